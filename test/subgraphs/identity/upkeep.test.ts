import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Platform } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { disableConnection, findConnection } from '../../../subgraphs/identity/connections/service.ts';
import { samlSettings, type SamlSettings } from '../../../subgraphs/identity/saml/settings.ts';
import { startUpkeep } from '../../../subgraphs/identity/upkeep/upkeep-loop.ts';
import { mutate } from './connection-world.ts';
import type { TestTenant } from './identity-platform.ts';
import { certificateFor, type TestIdp } from './saml-identity-provider.ts';
import { adminOf, idpOf, openSamlWorld, type SamlWorld } from './saml-world.ts';
import { openUpkeepWorker, turnIn } from './upkeep-world.ts';

const HOUR_MS = 3_600_000;
const start = new Date();
let world: SamlWorld;
let worker: Platform;
let second: Platform;
let idp: TestIdp;
let server: Server;
let metadata = '';
let served = 0;
/** What DNS says, by name; a text is the code of a fault. */
const dns = new Map<string, string[][] | string>();
const lookups: string[] = [];
let onLookup: (name: string) => Promise<void> | void;

beforeAll(async () => {
  world = await openSamlWorld();
  world.setNow(start);
  const resolveTxt = async (name: string) => {
    lookups.push(name);
    await onLookup(name);
    const found = dns.get(name) ?? 'ENOTFOUND';
    if (typeof found === 'string') throw Object.assign(new Error(`queryTxt ${found}`), { code: found });
    return found;
  };
  Object.assign(world.platform, { resolveTxt });
  worker = await openUpkeepWorker(world);
  second = await openUpkeepWorker(world);
  idp = idpOf(world);
  server = createServer((_req, res) => {
    served += 1;
    res.writeHead(metadata === '' ? 503 : 200).end(metadata);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
});
afterAll(() => void server.close());
beforeEach(() => {
  world.setNow(start);
  dns.clear();
  onLookup = () => undefined;
  lookups.length = 0;
});

/** Something that is given once and can be waited for. */
function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give = () => {};
  const given = new Promise<void>((resolve) => (give = resolve));
  return { given, give };
}

/** Takes a turn in a cell, hours after the start. */
async function turnAt(hours: number, platform = worker, cell: 'eu-1' | 'us-1' = 'eu-1'): Promise<boolean> {
  world.setNow(new Date(start.getTime() + hours * HOUR_MS));
  return turnIn(platform, cell);
}

interface Proof {
  readonly verified_at: Date | null;
  readonly checked_at: Date | null;
  readonly missing_since: Date | null;
  readonly sso_enforced: boolean;
}

const proofOf = async (tenant: TestTenant, domain: string) =>
  (
    await world.peek<Proof>(tenant.cell, 'select * from domain_proofs where domain = $1 and tenant_id = $2', [
      domain,
      uuidOf('tnt', tenant.id),
    ])
  )[0];
const ownersOf = async (domain: string) =>
  (await world.platform.databases.directory.query('select from email_domains where domain = $1', [domain])).rowCount;
const actionsOf = async (tenant: TestTenant, action: string) =>
  (await tenant.events()).filter((event) => event.action === action);

/** Adds and proves a domain and returns its name in DNS and what stands there. */
async function prove(tenant: TestTenant, domain: string): Promise<{ name: string; value: string }> {
  const payload = 'emailDomain { id record { name value } }';
  const { emailDomain } = await mutate<{ emailDomain: { id: string; record: { name: string; value: string } } }>(
    tenant,
    'addEmailDomain',
    'AddEmailDomainInput',
    { domain },
    payload,
  );
  dns.set(emailDomain.record.name, [[emailDomain.record.value]]);
  const input = { emailDomainId: emailDomain.id };
  await mutate(tenant, 'verifyEmailDomain', 'EmailDomainInput', input, 'recordFound');
  lookups.length = 0;
  return emailDomain.record;
}

describe('a proven e-mail domain', () => {
  it('is proven no more once its record has been missing for 14 days, and not a look earlier', async () => {
    const { name } = await prove(world.acme, 'lapsing.example');
    await world.peek('eu-1', `update domain_proofs set sso_enforced = true where domain = 'lapsing.example'`);
    const { value } = await prove(world.initech, 'staying.example');
    dns.delete(name);
    const proven: boolean[] = [];
    for (const day of [1, 2, 14, 15]) {
      await turnAt(day * 24);
      proven.push((await proofOf(world.acme, 'lapsing.example'))?.verified_at instanceof Date);
    }
    expect([proven, await ownersOf('lapsing.example')]).toEqual([[true, true, true, false], 0]);
    expect((await proofOf(world.acme, 'lapsing.example'))?.sso_enforced).toBe(false);
    expect(await actionsOf(world.acme, 'email_domain.lapse')).toMatchObject([
      { actor: { type: 'system', id: 'identity-upkeep' }, resource: { name: 'lapsing.example' } },
    ]);
    expect(value).toMatch(/^tenon/);
    expect(await proofOf(world.initech, 'staying.example')).toMatchObject({ verified_at: start, missing_since: null });
    expect(await ownersOf('staying.example')).toBe(1);
    expect(await actionsOf(world.initech, 'email_domain.lapse')).toEqual([]);
    // Given up, it is looked for no more.
    lookups.length = 0;
    await turnAt(17 * 24);
    expect(lookups).not.toContain(name);
  });

  it('is looked up once a day, and its record that comes back ends the count', async () => {
    const { name, value } = await prove(world.acme, 'back.example');
    dns.delete(name);
    for (const hours of [1, 23.9, 24, 24.1, 47]) await turnAt(hours);
    expect(lookups.filter((looked) => looked === name)).toHaveLength(1);
    expect((await proofOf(world.acme, 'back.example'))?.missing_since).toEqual(
      new Date(start.getTime() + 24 * HOUR_MS),
    );
    dns.set(name, [[value]]);
    for (const day of [2, 3, 20]) await turnAt(day * 24);
    expect(await proofOf(world.acme, 'back.example')).toMatchObject({ verified_at: start, missing_since: null });
    const told = (await actionsOf(world.acme, 'email_domain.verify')).filter(
      ({ resource }) => resource.name === 'back.example',
    );
    expect(told.map(({ context }) => context['record'])).toEqual(['found', 'missing', 'found']);
  });

  it('stays as it is while DNS does not answer, and keeps no other from its turn', async () => {
    const [mute, other] = [await prove(world.acme, 'mute.example'), await prove(world.acme, 'other.example')];
    dns.set(mute.name, 'ESERVFAIL');
    await turnAt(400);
    expect(await proofOf(world.acme, 'mute.example')).toMatchObject({ checked_at: start, missing_since: null });
    expect(lookups).toContain(other.name);
    expect((await proofOf(world.acme, 'other.example'))?.checked_at).toEqual(new Date(start.getTime() + 400 * HOUR_MS));
  });

  it('that the directory vouches for has no record to lose', async () => {
    const input = { domain: 'acme.example' };
    await mutate(world.acme, 'addEmailDomain', 'AddEmailDomainInput', input, 'emailDomain { id }');
    await turnAt(500);
    expect(lookups).not.toContain('_tenon-challenge.acme.example');
    expect(await proofOf(world.acme, 'acme.example')).toMatchObject({ verified_at: start, missing_since: null });
  });
});

describe('several workers', () => {
  it('at once do it once, and each cell has one of its own', async () => {
    const { name } = await prove(world.acme, 'once.example');
    const reached = signal();
    const gate = signal();
    onLookup = async (looked) => {
      if (looked !== name) return;
      reached.give();
      await gate.given;
    };
    const first = turnAt(48);
    await reached.given;
    expect(await turnAt(48, second)).toBe(false);
    expect(await turnAt(48, second, 'us-1')).toBe(true);
    gate.give();
    expect(await first).toBe(true);
    expect(await turnAt(48, second)).toBe(true);
    expect(lookups.filter((looked) => looked === name)).toHaveLength(1);
  });

  it('each wake by themselves and end when they are told to', async () => {
    const { name } = await prove(world.acme, 'awake.example');
    world.setNow(new Date(start.getTime() + 72 * HOUR_MS));
    const reached = signal();
    onLookup = (looked) => (looked === name ? reached.give() : undefined);
    const upkeep = startUpkeep(worker, { firstMs: () => 0, nextMs: () => 1e8 });
    await reached.given;
    await upkeep.stop();
    expect((await proofOf(world.acme, 'awake.example'))?.checked_at).toEqual(worker.clock());
  });
});

describe('a SAML connection that nobody uses', () => {
  const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/metadata`;
  const settingsOf = async (id: string): Promise<SamlSettings & { version: number }> => {
    const found = await findConnection(adminOf(world.acme), id);
    if (found === null) throw new Error('it is there');
    return { ...samlSettings(found.settings), version: found.version };
  };
  const events = async (id: string, action: string) =>
    (await actionsOf(world.acme, action)).filter(({ resource }) => resource.id === id);

  it('follows its metadata, asked for once a day', async () => {
    metadata = metadataOf(idp.entityId, [idp]);
    const connection = await world.connect(world.acme, idp, { metadataUrl: address() });
    const next = idpOf(world, { kind: 'ec' });
    const { version } = await settingsOf(connection.id);
    served = 0;
    for (const hours of [1, 23, 24, 25]) await turnAt(hours);
    expect([served, (await settingsOf(connection.id)).version]).toEqual([1, version]);
    expect(await events(connection.id, 'identity_connection.refresh_metadata')).toEqual([]);
    metadata = metadataOf(idp.entityId, [idp, next]);
    await turnAt(48);
    const after = await settingsOf(connection.id);
    expect(after.certificates.map(({ pem }) => pem)).toEqual([idp.certificate, next.certificate]);
    expect([served, after.version, after.refreshedAt]).toEqual([2, version + 1, worker.clock().toISOString()]);
    expect(await events(connection.id, 'identity_connection.refresh_metadata')).toMatchObject([
      { actor: { type: 'system' }, context: { fingerprints: [expect.any(String), expect.any(String)] } },
    ]);
    metadata = metadataOf('https://mallory.example', [next]);
    await turnAt(72);
    expect([served, await settingsOf(connection.id)]).toEqual([3, after]);
    metadata = '';
    await turnAt(73);
    expect([served, await settingsOf(connection.id)]).toEqual([4, after]);
    await disableConnection(adminOf(world.acme), connection.id);
    await turnAt(120);
    expect(served).toBe(4);
  });

  it('has its certificate warned of, once a day from thirty days before its end', async () => {
    const ending = { ...idp, certificate: certificateFor(idp.key, start, [-1, 31]) };
    const connection = await world.connect(world.acme, ending);
    const counts: number[] = [];
    for (const hours of [0, 25, 26, 50]) {
      await turnAt(hours);
      counts.push((await events(connection.id, 'saml_certificate.expire_soon')).length);
    }
    expect(counts).toEqual([0, 1, 1, 2]);
    const fingerprint = new X509Certificate(ending.certificate).fingerprint256.replaceAll(':', '').toLowerCase();
    expect((await events(connection.id, 'saml_certificate.expire_soon'))[0]?.context).toMatchObject({ fingerprint });
  });
});

function metadataOf(entityId: string, idps: readonly TestIdp[]): string {
  const keys = idps.map(({ certificate }) => {
    const base64 = certificate.replaceAll(/-----[A-Z ]+-----|\s/g, '');
    return (
      `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>` +
      `<X509Certificate>${base64}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`
    );
  });
  return (
    `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${entityId}">` +
    `<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">${keys.join('')}` +
    `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/>` +
    `</IDPSSODescriptor></EntityDescriptor>`
  );
}

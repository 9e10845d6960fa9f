import { generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILT_IN_ROLES, type Scope } from '#schema/scopes.ts';
import { parseXml } from '../../../subgraphs/identity/saml/xml-document.ts';
import { METADATA_LIMITS } from '../../../subgraphs/identity/saml/xml-scan.ts';
import { ask, codeOf, type TestTenant } from './identity-platform.ts';
import { assertionXml, certificateFor, responseXml, sign, type TestIdp } from './saml-identity-provider.ts';
import { adminOf, idpOf, openSamlWorld, type SamlConnection, type SamlWorld } from './saml-world.ts';

const SETTINGS = `connection { id name state version jit defaultRoleId groupsAttribute saml { entityId ssoUrl metadataUrl refreshedAt
  expiresSoon allowIdpInitiated encryptedAssertionsOnly allowCbc emailAttribute displayNameAttribute
  certificates { fingerprint subject validFrom validUntil inUse expiresSoon pem }
  serviceProvider { entityId acsUrl metadataUrl startUrl certificates } } }`;

/** Every mutation, with its input for a connection. */
const MUTATIONS: readonly { readonly name: string; readonly input: (id: string) => Record<string, unknown> }[] = [
  { name: 'updateSamlConnection', input: (connectionId) => ({ connectionId, allowCbc: true }) },
  { name: 'refreshSamlMetadata', input: (connectionId) => ({ connectionId }) },
  { name: 'addSamlCertificate', input: (connectionId) => ({ connectionId, certificate: other.certificate }) },
  { name: 'removeSamlCertificate', input: (connectionId) => ({ connectionId, fingerprint: '0'.repeat(64) }) },
  { name: 'rotateSamlServiceKey', input: (connectionId) => ({ connectionId }) },
];

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly version: number;
  readonly jit: boolean;
  readonly defaultRoleId: string | null;
  readonly groupsAttribute: string | null;
  readonly saml: {
    readonly entityId: string;
    readonly ssoUrl: string;
    readonly metadataUrl: string | null;
    readonly refreshedAt: string | null;
    readonly expiresSoon: boolean;
    readonly allowIdpInitiated: boolean;
    readonly encryptedAssertionsOnly: boolean;
    readonly allowCbc: boolean;
    readonly emailAttribute: string | null;
    readonly certificates: readonly { readonly fingerprint: string; readonly inUse: boolean; readonly pem: string }[];
    readonly serviceProvider: {
      readonly entityId: string;
      readonly acsUrl: string;
      readonly certificates: readonly string[];
    };
  };
}

let world: SamlWorld;
let idp: TestIdp;
let other: TestIdp;
let server: Server;
let served = { status: 200, body: '' };
let address: string;
beforeAll(async () => {
  world = await openSamlWorld();
  [idp, other] = [idpOf(world), idpOf(world, { kind: 'ec' })];
  server = createServer((_req, res) => res.writeHead(served.status).end(served.body)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metadata`;
});
afterAll(() => void server.close());

let serial = 0;

async function run(tenant: TestTenant, name: string, input: object, scopes: readonly Scope[] = BUILT_IN_ROLES.admin) {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`.replace(
    /^(RefreshSamlMetadata|RotateSamlServiceKey)Input$/,
    'SamlConnectionInput',
  );
  return ask(tenant.request(scopes), `mutation ($input: ${type}!) { ${name}(input: $input) { ${SETTINGS} } }`, {
    input,
  });
}

/** Runs a mutation that has to succeed and returns the connection. */
async function done(name: string, input: object, tenant = world.acme): Promise<Shown> {
  const result = await run(tenant, name, input);
  expect(result.errors ?? []).toEqual([]);
  return (result.data as Record<string, { connection: Shown }>)[name]?.connection as Shown;
}

/** The error of a mutation that has to fail: its code, and what the caller reads. */
async function refused(name: string, input: object, tenant = world.acme): Promise<{ code: unknown; message: string }> {
  const result = await run(tenant, name, input);
  return { code: codeOf(result), message: result.errors?.[0]?.message ?? '' };
}

function fields(change: object = {}): object {
  return {
    name: `c${(serial += 1)}`,
    entityId: idp.entityId,
    ssoUrl: 'https://idp.example/sso',
    certificates: [idp.certificate],
    ...change,
  };
}

function keyOf({ certificate }: TestIdp, use = ' use="signing"'): string {
  const body = certificate.replaceAll(/-----[A-Z ]+-----/g, '');
  return `<KeyDescriptor${use}><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>${body}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>`;
}

function metadata({ keys = keyOf(idp), entityId = 'https://idp.example/saml', binding = 'Redirect' } = {}): string {
  return (
    `<?xml version="1.0"?><!-- by hand --><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${entityId}">` +
    `<RoleDescriptor xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706" xsi:type="fed:SecurityTokenServiceType"/>` +
    `<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">${keys}` +
    `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example/post"/>` +
    `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-${binding}" Location="https://idp.example/redirect"/>` +
    `</IDPSSODescriptor></EntityDescriptor>`
  );
}

describe('an administrator makes a SAML connection', () => {
  it('of entity id, address and certificates, and sees what to fill in at the identity provider', async () => {
    const shown = await done('createSamlConnection', fields());
    const base = `http://tenon.test/sso/saml/${world.acme.id}/${shown.id}`;
    expect(shown).toMatchObject({
      state: 'DRAFT',
      jit: false,
      saml: {
        entityId: idp.entityId,
        ssoUrl: 'https://idp.example/sso',
        expiresSoon: false,
        allowIdpInitiated: false,
        encryptedAssertionsOnly: false,
        allowCbc: false,
        certificates: [{ inUse: true, subject: 'CN=idp.example', pem: idp.certificate }],
        serviceProvider: {
          entityId: `${base}/metadata`,
          acsUrl: `${base}/acs`,
          metadataUrl: `${base}/metadata`,
          startUrl: `${base}/start`,
        },
      },
    });
    expect(JSON.stringify(shown)).not.toContain('PRIVATE KEY');
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'identity_connection.create',
      resource: { type: 'identity_connection', id: shown.id },
      context: { kind: 'saml', entity_id: idp.entityId },
    });
  });

  it('of metadata as text, with the keys that sign and without those that are too weak', async () => {
    const weak = {
      ...idp,
      certificate: certificateFor(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey, new Date(), [-1, 9]),
    };
    const keys = `${keyOf(weak)}${keyOf(idp)}${keyOf(idp)}${keyOf(other, '')}${keyOf(idpOf(world), ' use="encryption"')}`;
    const { saml } = await done('createSamlConnection', {
      name: 'by text',
      metadataXml: `\ufeff${metadata({ keys })}`,
    });
    expect([saml.entityId, saml.ssoUrl, saml.metadataUrl]).toEqual([
      'https://idp.example/saml',
      'https://idp.example/redirect',
      null,
    ]);
    expect(saml.certificates.map(({ pem }) => pem)).toEqual([idp.certificate, other.certificate]);
  });

  it('of metadata by address, which are read again', async () => {
    served = { status: 200, body: metadata() };
    const made = await done('createSamlConnection', { name: 'by address', metadataUrl: address });
    expect([made.saml.metadataUrl, made.saml.refreshedAt === null]).toEqual([address, false]);
    served.body = metadata({ keys: keyOf(idp) + keyOf(other) });
    const again = await done('refreshSamlMetadata', { connectionId: made.id });
    expect(again.saml.certificates.map(({ pem }) => pem)).toEqual([idp.certificate, other.certificate]);
    served.body = metadata({ entityId: 'https://mallory.example' });
    expect((await refused('refreshSamlMetadata', { connectionId: made.id })).message).toContain(
      'another identity provider',
    );
    served = { status: 302, body: '' };
    expect((await refused('refreshSamlMetadata', { connectionId: made.id })).message).toContain('status 302');
  });

  it.each([
    ['no certificate', () => fields({ certificates: [] }), /signing certificate/],
    ['no entity id', () => fields({ entityId: null }), /entity id/],
    ['an entity id with a space', () => fields({ entityId: 'a b' }), /entity id/],
    ['no address', () => fields({ ssoUrl: null }), /address/],
    ['an address that is a script', () => fields({ ssoUrl: 'javascript:alert(1)' }), /address/],
    ['a text that is no certificate', () => fields({ certificates: ['x'] }), /certificate/],
    [
      'metadata with a document type',
      () => ({ name: 'x', metadataXml: `<!DOCTYPE x>${metadata()}` }),
      /cannot be read/,
    ],
    ['metadata that are no XML', () => ({ name: 'x', metadataXml: 'hello' }), /cannot be read/],
    [
      'metadata of a service provider',
      () => ({ name: 'x', metadataXml: metadata().replaceAll('IDPSSO', 'SPSSO') }),
      /one identity provider/,
    ],
    [
      'metadata of two identity providers',
      () => ({
        name: 'x',
        metadataXml: `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">${[metadata(), metadata()].map((text) => text.replace(/^.*?-->/, '')).join('')}</EntitiesDescriptor>`,
      }),
      /exactly one/,
    ],
    [
      'metadata without the binding',
      () => ({ name: 'x', metadataXml: metadata({ binding: 'Artifact' }) }),
      /HTTP-Redirect/,
    ],
    ['metadata without a key', () => ({ name: 'x', metadataXml: metadata({ keys: '' }) }), /certificate/],
    [
      'a comment that is not closed',
      () => ({ name: 'x', metadataXml: `<!-- ${metadata().replaceAll('-->', '')}` }),
      /comment/,
    ],
  ])('never of %s', async (_what, input, message) => {
    const error = await refused('createSamlConnection', input());
    expect(error.code).toBe('BAD_USER_INPUT');
    expect(error.message).toMatch(message);
  });

  it('never of a name that is taken, nor with a role of rights that she does not hold', async () => {
    const shown = await done('createSamlConnection', fields());
    expect((await refused('createSamlConnection', fields({ name: shown.name }))).code).toBe('UNIQUENESS');
    const [admin] = await world.peek<{ id: string }>('eu-1', `select id from roles where name = 'admin' limit 1`);
    expect(admin).toBeDefined();
    const roles = await ask(adminOf(world.acme), '{ roles { id name } }');
    const role = (roles.data as { roles: { id: string; name: string }[] }).roles.find(({ name }) => name === 'admin');
    const few = ['identity:write', 'users:read'] as const;
    const input = fields({ jit: true, defaultRoleId: role?.id });
    expect(codeOf(await run(world.acme, 'createSamlConnection', input, few))).toBe('FORBIDDEN');
    expect((await done('createSamlConnection', input)).defaultRoleId).toBe(role?.id);
    const foreign = await ask(adminOf(world.globex), '{ roles { id } }');
    const elsewhere = (foreign.data as { roles: { id: string }[] }).roles[0]?.id;
    expect((await refused('createSamlConnection', fields({ defaultRoleId: elsewhere }))).code).toBe('NOT_FOUND');
  });
});

describe('an administrator changes a SAML connection', () => {
  it('in what she names, and leaves the rest', async () => {
    const made = await done('createSamlConnection', fields({ emailAttribute: 'mail', groupsAttribute: 'groups' }));
    const changed = await done('updateSamlConnection', {
      connectionId: made.id,
      allowIdpInitiated: true,
      groupsAttribute: null,
      name: `${made.name} b`,
    });
    expect(changed).toMatchObject({ name: `${made.name} b`, groupsAttribute: null, version: made.version + 1 });
    expect(changed.saml).toEqual({ ...made.saml, allowIdpInitiated: true });
    expect((await world.acme.events()).at(-1)?.context).toMatchObject({
      changed: ['name', 'allowIdpInitiated', 'groupsAttribute'],
    });
    const unset = await done('updateSamlConnection', { connectionId: made.id, emailAttribute: null });
    expect(unset.saml.emailAttribute).toBeNull();
  });

  it('by its certificates, of which one always stays', async () => {
    const made = await done('createSamlConnection', fields());
    const [first] = made.saml.certificates;
    const both = await done('addSamlCertificate', { connectionId: made.id, certificate: other.certificate });
    const again = await done('addSamlCertificate', { connectionId: made.id, certificate: other.certificate });
    expect([both.saml.certificates.length, again.version]).toEqual([2, both.version]);
    const one = await done('removeSamlCertificate', { connectionId: made.id, fingerprint: first?.fingerprint });
    expect(one.saml.certificates.map(({ pem }) => pem)).toEqual([other.certificate]);
    const last = one.saml.certificates[0]?.fingerprint;
    expect((await refused('removeSamlCertificate', { connectionId: made.id, fingerprint: last })).code).toBe(
      'CONFLICT',
    );
    expect(
      (await refused('removeSamlCertificate', { connectionId: made.id, fingerprint: first?.fingerprint })).code,
    ).toBe('NOT_FOUND');
    const codes: unknown[] = [];
    for (let count = 1; count < 9; count += 1) {
      const more = { connectionId: made.id, certificate: certificateFor(idp.key, new Date(), [-1, count]) };
      codes.push(codeOf(await run(world.acme, 'addSamlCertificate', more)));
    }
    expect(codes).toEqual([...Array<null>(7).fill(null), 'BAD_USER_INPUT']);
  });

  it('by a new key of ours, which the metadata show beside the one before', async () => {
    const made = await done('createSamlConnection', fields());
    const [before] = made.saml.serviceProvider.certificates;
    const rotated = await done('rotateSamlServiceKey', { connectionId: made.id });
    expect(rotated.saml.serviceProvider.certificates).toHaveLength(2);
    expect(rotated.saml.serviceProvider.certificates[1]).toBe(before);
    const response = await world.fetch(null, new URL(made.saml.serviceProvider.entityId).pathname);
    const text = await response.text();
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/samlmetadata+xml']);
    expect(parseXml(text, METADATA_LIMITS).getAttribute('entityID')).toBe(made.saml.serviceProvider.entityId);
    expect(text).toContain(`Location="${made.saml.serviceProvider.acsUrl}"`);
    const shown = [...text.matchAll(/use="(\w+)".*?X509Certificate>([^<]+)</g)].map(([, use, body]) => [use, body]);
    const bodies = rotated.saml.serviceProvider.certificates.map((pem) => pem.replaceAll(/-----[A-Z ]+-----|\s/g, ''));
    expect(shown).toEqual([
      ['signing', bodies[0]],
      ['signing', bodies[1]],
      ['encryption', bodies[0]],
    ]);
  });

  it('to another identity provider, whose subjects are other people', async () => {
    const one = await world.connect(world.acme, idp, { allowIdpInitiated: true });
    const said = one.said(null);
    expect((await one.post(null, responseXml(said, sign(assertionXml(said), said.assertionId, idp)))).status).toBe(200);
    const links = () => world.peek('eu-1', 'select 1 from identity_links');
    expect(await links()).toHaveLength(1);
    await done('updateSamlConnection', { connectionId: one.id, entityId: 'https://other.example' });
    expect(await links()).toHaveLength(0);
    expect((await world.acme.events()).at(-1)?.context).toMatchObject({ links_forgotten: true });
  });
});

describe('a SAML connection', () => {
  let made: Shown;
  let active: SamlConnection;
  beforeAll(async () => {
    made = await done('createSamlConnection', fields());
    active = await world.connect(world.acme, idp);
  });

  it.each(MUTATIONS)('is changed by nobody without the right: $name', async ({ name, input }) => {
    const scopes = BUILT_IN_ROLES.admin.filter((scope) => scope !== 'identity:write');
    expect(codeOf(await run(world.acme, name, input(made.id), scopes))).toBe('FORBIDDEN');
    expect(codeOf(await run(world.acme, 'createSamlConnection', fields(), scopes))).toBe('FORBIDDEN');
  });

  it.each(MUTATIONS)('of another tenant looks like none: $name', async ({ name, input }) => {
    const before = await world.globex.events();
    const [foreign, none] = [
      await refused(name, input(made.id), world.globex),
      await refused(name, input('con_00000000000000000000000000'), world.globex),
    ];
    expect([foreign.code, foreign]).toEqual(['NOT_FOUND', none]);
    expect(await world.globex.events()).toEqual(before);
  });

  it.each(MUTATIONS)(
    'that is active is changed by those alone who hold all that anybody holds: $name',
    async ({ name, input }) => {
      const few = ['identity:write', 'identity:read', 'users:read'] as const;
      expect(codeOf(await run(world.acme, name, input(active.id), few))).toBe('FORBIDDEN');
    },
  );

  it('of another protocol has no settings of this one', async () => {
    const answer = await ask(
      adminOf(world.acme),
      `mutation { createOidcConnection(input: { name: "oidc", issuer: "https://oidc.example", clientId: "c" }) { connection { id saml { entityId } } } }`,
    );
    const { id, saml } = (answer.data as { createOidcConnection: { connection: { id: string; saml: unknown } } })
      .createOidcConnection.connection;
    expect(saml).toBeNull();
    expect((await refused('updateSamlConnection', { connectionId: id })).code).toBe('NOT_FOUND');
    expect((await world.fetch(null, `/sso/saml/${world.acme.id}/${id}/metadata`)).status).toBe(404);
    expect((await world.fetch(null, `/sso/saml/${world.acme.id}/${id}/start`, { redirect: 'manual' })).status).toBe(
      401,
    );
  });
});

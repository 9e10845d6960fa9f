import { beforeAll, describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { entryLeaf, parseEntry } from '#schema/audit-event.ts';
import { parseProof, verifyProof } from '#schema/tlog-proof.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { recordImported } from '../../compliance/privacy/index-tokens.ts';
import { verifyCertificate } from '../../compliance/privacy/verify-certificate.ts';
import { exportNdjson } from '../../subgraphs/audit/export.ts';
import { eraseSubject, erasureCertificate, findErasure, listErasures } from '../../subgraphs/audit/personal-erasure.ts';
import { createView } from '../../subgraphs/audit/saved-views.ts';
import { findProofs } from '../../subgraphs/audit/proof.ts';
import { findEvents, listEvents } from '../../subgraphs/audit/service.ts';
import { endTenant } from '../../subgraphs/tenants/ending.ts';
import { withClient } from '../support/postgres.ts';
import { openEvidenceHouse, type EvidenceHouse } from './evidence-fixture.ts';
import {
  act,
  ADDRESS,
  asSuperuser,
  BROWSER,
  dumpOf,
  erasureTurn,
  filesOf,
  requestOf,
  uuid,
  VERIFIER,
} from './privacy-world.ts';

const NAME = 'alma.erasable@example.com';
const SECRETS = [NAME, ADDRESS, BROWSER];

let house: EvidenceHouse;
let admin: RequestContext;
let alma: Id<'usr'>;
let bert: Id<'usr'>;
let almas: Id<'aud'>;
let berts: Id<'aud'>;

beforeAll(async () => {
  house = await openEvidenceHouse();
  admin = await house.contextOf(house.acme);
  alma = await house.addPerson(house.acme, NAME);
  bert = await house.addPerson(house.acme, 'bert.staying@example.com');
  almas = await act(await requestOf(house, { tenant: house.acme, person: alma }));
  berts = await act(await requestOf(house, { tenant: house.acme, person: bert, ip: '198.51.100.4' }));
});

describe('personal values in the log', () => {
  it('are sealed before anything stores them', async () => {
    const waiting = await outboxTexts();
    expect(waiting).toContain(almas);
    for (const secret of SECRETS) expect(waiting).not.toContain(secret);
    await house.seal();
    const [audit, archive] = [await dumpOf(house, 'eu-1 audit'), filesOf(house.archiveFolder)];
    expect(audit).toContain(almas);
    expect(archive).toContain(almas);
    for (const secret of SECRETS) {
      expect(audit).not.toContain(secret);
      expect(archive).not.toContain(secret);
    }
  });

  it('are shown to whoever may read the log, and found by what they say', async () => {
    const [event] = await findEvents(admin, [almas]);
    expect(event?.actor).toMatchObject({ id: alma, ip: ADDRESS, ua: BROWSER });
    expect(event?.erased).toEqual([]);
    expect(event?.entry).not.toContain(ADDRESS);
    for (const text of [ADDRESS, 'ALMA.erasable@example.com']) {
      const page = await listEvents(admin, { filter: { text } });
      expect(page.edges.map(({ node }) => node.actor.id ?? node.resource.id)).not.toEqual([]);
      for (const { node } of page.edges) expect(JSON.stringify(node)).toContain(text.toLowerCase());
    }
  });

  it('are found together with what is not sealed, piece by piece, and by exports too', async () => {
    const found = async (text: string) =>
      (await listEvents(admin, { filter: { text } })).edges.map(({ node }) => node.id);
    expect(await found(`audit_log ${ADDRESS}`)).toContain(almas);
    expect(await found(`${ADDRESS} document`)).toEqual([]);
    let text = '';
    for await (const piece of await exportNdjson(admin, { text: `audit_log ${ADDRESS}` })) text += String(piece);
    expect(text).toContain(almas);
    expect(text).not.toContain(berts);
  });

  it('are exported sealed', async () => {
    let text = '';
    for await (const piece of await exportNdjson(admin, {})) text += String(piece);
    expect(text).toContain(almas);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  });
});

describe('erasing a person', () => {
  let before: { audit: string; archive: string; proof: string };
  let erasure: string;

  beforeAll(async () => {
    const [proof] = await findProofs(admin, [almas]);
    before = {
      audit: await dumpOf(house, 'eu-1 audit'),
      archive: filesOf(house.archiveFolder),
      proof: proof?.tlogProof ?? '',
    };
    await createView(admin, { name: 'about her', shared: false, filter: { text: `${NAME} document.share` } });
    const made = await eraseSubject(admin, { userId: alma, basis: 'consent_withdrawn', request: 'DSR-42' });
    erasure = made.id;
  });

  it('makes unreadable at once what the log holds of her, and nothing else', async () => {
    const [hers, his] = [(await findEvents(admin, [almas]))[0], (await findEvents(admin, [berts]))[0]];
    expect(hers?.actor).toMatchObject({ id: alma, ip: null, ua: null });
    expect(hers?.erased).toEqual(['actor.ip', 'actor.ua']);
    expect(his?.actor).toMatchObject({ ip: '198.51.100.4' });
  });

  it('leaves nothing of her anywhere once the worker has been there', async () => {
    await house.seal();
    expect(await findErasure(admin, erasure)).toMatchObject({ state: 'requested', certificateUrl: null });
    await erasureTurn(house)();
    await house.seal();
    expect(await findErasure(admin, erasure)).toMatchObject({ state: 'erased', subject: { id: alma } });
    const everywhere = {
      cell: await dumpOf(house, 'eu-1'),
      audit: await dumpOf(house, 'eu-1 audit'),
      archive: filesOf(house.archiveFolder),
      auditBefore: before.audit,
      archiveBefore: before.archive,
    };
    for (const [place, text] of Object.entries(everywhere)) {
      for (const secret of SECRETS) expect(text.includes(secret), `${secret} in ${place}`).toBe(false);
    }
    const page = await listEvents(admin, { filter: { text: ADDRESS } });
    expect(page.edges).toEqual([]);
  });

  it('is known to the archive for as long as the platform keeps anything', async () => {
    const { rows } = await withClient(house.stores.url('eu-1 audit'), (client) =>
      client.query<{ key: string; is_platform: boolean; is_due_before: boolean }>(
        `select key, tenant_id = '00000000-0000-7000-8000-000000000000' as is_platform, due_at < retain_until as is_due_before
           from app.archive_objects where key like '%/erasures/%'`,
      ),
    );
    expect(rows).toEqual([{ key: expect.any(String), is_platform: true, is_due_before: true }]);
  });

  it('leaves every older proof as it was', () => {
    const leaf = entryLeaf(parseProof(before.proof).extra ?? Buffer.alloc(0));
    expect(verifyProof({ proof: before.proof, leaf, verifierKeys: [VERIFIER] }).index).toBeGreaterThanOrEqual(0);
  });

  it('is certified by a file that proves it offline, and in which no byte can be changed', async () => {
    const certificate = Buffer.from(await erasureCertificate(admin, erasure));
    const { erasure: shown } = verifyCertificate(certificate, [VERIFIER]);
    expect(shown).toMatchObject({ event: erasure, person: alma, basis: 'consent_withdrawn', request: 'DSR-42' });
    expect(shown.stores).toContainEqual({
      store: 'identity.users',
      method: 'deleted',
      rows: 1,
      left: 0,
      kept_until: null,
    });
    for (let at = 0; at < certificate.length; at += 7) {
      const changed = Buffer.from(certificate);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => verifyCertificate(changed, [VERIFIER]), `byte ${at}`).toThrow();
    }
  });

  it('is refused a second time, and of nobody', async () => {
    await expect(eraseSubject(admin, { userId: alma, basis: 'objection' })).rejects.toMatchObject({ code: 'CONFLICT' });
    const other = await house.contextOf(house.initech);
    await expect(eraseSubject(other, { userId: bert, basis: 'objection' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is done again where a backup brings her back', async () => {
    await asSuperuser(
      house,
      'eu-1',
      `update app.subject_keys set wrapped = decode(repeat('00', 60), 'hex'), destroyed_at = null, cleared_at = null where subject = $1`,
      [uuid(alma)],
    );
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.users (tenant_id, id, user_name, email) select tenant_id, $1, $2, $2 from app.subject_keys where subject = $1`,
      [uuid(alma), NAME],
    );
    await erasureTurn(house)();
    const [cell, audit] = [await dumpOf(house, 'eu-1'), await dumpOf(house, 'eu-1 audit')];
    expect(cell).not.toContain(NAME);
    expect(audit).toContain('erasure.reapplied');
  });
});

describe('an erasure that is broken off', () => {
  it('is completed by the next turn, with the statement of the first', async () => {
    const person = await house.addPerson(house.acme, 'cora.interrupted@example.com');
    const { id } = await eraseSubject(admin, { userId: person, basis: 'objection' });
    await house.seal();
    const cells = house.builder.platform.databases.cells.map(({ name, region }) => ({ name, region }));
    const failing = cells.map((cell) => ({ ...cell, archive: withoutPut(house.archives[cell.name]) }));
    await erasureTurn(house, { cells: failing })();
    expect(await findErasure(admin, id)).toMatchObject({ state: 'requested', certificateUrl: null });
    expect(await dumpOf(house, 'eu-1')).not.toContain('cora.interrupted');
    await erasureTurn(house)();
    await house.seal();
    expect(await findErasure(admin, id)).toMatchObject({ state: 'erased' });
    const certificate = verifyCertificate(Buffer.from(await erasureCertificate(admin, id)), [VERIFIER]);
    // What went in the first turn is what the certificate tells of.
    expect(certificate.erasure.stores).toContainEqual({
      store: 'identity.users',
      method: 'deleted',
      rows: 1,
      left: 0,
      kept_until: null,
    });
  });

  it('waits for a legal hold that came after the request, and goes on when that is released', async () => {
    const person = await house.addPerson(house.acme, 'hilda.held@example.com');
    const { id } = await eraseSubject(admin, { userId: person, basis: 'objection' });
    const tenant = [uuidOf('tnt', house.acme)];
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $1, 'a case', 'usr_x', now())`,
      tenant,
    );
    await house.seal();
    await erasureTurn(house)();
    expect(await findErasure(admin, id)).toMatchObject({ state: 'held', stores: [] });
    expect(await dumpOf(house, 'eu-1')).toContain('hilda.held');
    await asSuperuser(house, 'eu-1', 'delete from app.legal_holds where tenant_id = $1', tenant);
    await erasureTurn(house)();
    expect((await findErasure(admin, id))?.stores).toContainEqual({
      store: 'identity.users',
      method: 'deleted',
      rows: 1,
      left: 0,
      keptUntil: null,
    });
    expect(await dumpOf(house, 'eu-1')).not.toContain('hilda.held');
  });

  it('is taken back from the archive where the audit database has forgotten it', async () => {
    await asSuperuser(house, 'eu-1 audit', 'delete from app.erasures where subject_id = $1', [uuid(alma)]);
    await asSuperuser(house, 'eu-1', 'delete from app.subject_keys where subject = $1', [uuid(alma)]);
    await erasureTurn(house)();
    const event = (await listErasures(admin, { first: 20 })).edges.find(({ node }) => node.subject?.id === alma);
    expect(event?.node).toMatchObject({ state: 'erased' });
    await expect(eraseSubject(admin, { userId: alma, basis: 'objection' })).rejects.toMatchObject({ code: 'CONFLICT' });
  });
});

describe('the end of a tenant', () => {
  it('makes unreadable what is personal in her log, and in no other', async () => {
    const dora = await house.addPerson(house.initech, 'dora.gone@example.com');
    const event = await act(await requestOf(house, { tenant: house.initech, person: dora }));
    await house.seal();
    const ctx = await house.contextOf(house.initech);
    expect((await findEvents(ctx, [event]))[0]?.actor.ip).toBe(ADDRESS);
    const origin = {
      actor: { type: 'system', id: 'test', ip: null, ua: null },
      requestId: 'req_test',
      sessionId: null,
    } as const;
    const ending = { tenant: house.initech, origin };
    await expect(endTenant(house.platform, ending)).rejects.toMatchObject({ code: 'INVALID_TRANSITION' });
    await asSuperuser(
      house,
      'eu-1',
      `update app.tenants set state = 'soft_deleted', state_since = now() - interval '31 days' where tenant_id = $1`,
      [uuidOf('tnt', house.initech)],
    );
    const initech = [uuidOf('tnt', house.initech)];
    await asSuperuser(
      house,
      'eu-1',
      `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $1, 'a case', 'usr_x', now())`,
      initech,
    );
    await expect(endTenant(house.platform, ending)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect((await findEvents(ctx, [event]))[0]?.actor.ip).toBe(ADDRESS);
    await asSuperuser(house, 'eu-1', 'delete from app.legal_holds where tenant_id = $1', initech);
    await endTenant(house.platform, ending);
    expect((await findEvents(ctx, [event]))[0]).toMatchObject({
      actor: { ip: null, ua: null },
      erased: ['actor.ip', 'actor.ua'],
    });
    expect((await findEvents(admin, [berts]))[0]?.actor.ip).toBe('198.51.100.4');
    await house.seal();
    await erasureTurn(house)();
    expect((await listErasures(ctx, { first: 20 })).edges.map(({ node }) => node)).toMatchObject([
      { state: 'erased', subject: null },
    ]);
  });
});

describe('entries that came back from the archive', () => {
  it('are found again by the sealed values of everybody but the erased', async () => {
    const ids = async (text: string) =>
      (await listEvents(admin, { filter: { text } })).edges.map(({ node }) => node.actor.id);
    expect(await ids('198.51.100.4')).toContain(bert);
    await withClient(house.stores.url('eu-1 audit'), async (client) => {
      await client.query('set search_path = app; delete from log_index_tokens');
      const { rows } = await client.query<{
        tenant_id: string;
        epoch: number;
        seq: string;
        leaf: Buffer;
        entry: string;
      }>('select tenant_id, epoch, seq, leaf, entry from log_entries where tenant_id = $1 order by seq', [
        uuidOf('tnt', house.acme),
      ]);
      const entries = rows.map(({ tenant_id: tenantId, epoch, seq, leaf, entry }) => {
        const { event } = parseEntry(Buffer.from(entry));
        return { tenantId, epoch, seq: Number(seq), leaf, event };
      });
      await recordImported(client, entries);
    });
    expect(await ids('198.51.100.4')).toEqual([]);
    expect(await erasureTurn(house)()).toBe(true);
    expect(await ids('198.51.100.4')).toContain(bert);
    expect(await ids(ADDRESS)).toEqual([]);
    expect(await erasureTurn(house)()).toBe(false);
  });
});

function withoutPut(archive: Archive | undefined): Archive {
  if (archive === undefined) throw new Error('a cell without an archive');
  return { ...archive, put: () => Promise.reject(new Error('the archive is away')) };
}

/** What waits to enter the log, with the tokens beside it. */
async function outboxTexts(): Promise<string> {
  return withClient(house.stores.url('eu-1'), async (client) => {
    const { rows } = await client.query<{ text: string }>(
      `select event || coalesce(index_tokens::text, '') as text from app.outbox`,
    );
    return rows.map(({ text }) => text).join('\n');
  });
}

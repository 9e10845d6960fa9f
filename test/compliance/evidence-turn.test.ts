import { hash } from 'node:crypto';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { mintId, idOf, uuidOf, type Id } from '#schema/ids.ts';
import { evidenceTurn } from '../../compliance/evidence/turn.ts';
import { requestEvidence, findEvidence, downloadEvidence } from '../../subgraphs/audit/evidence.ts';
import { openEvidenceHouse, WINDOW } from './evidence-fixture.ts';

const house = await openEvidenceHouse();
const { acme } = house;
const grace = await house.addPerson(acme, 'grace@acme.example');
const ctx = await house.contextOf(acme);
let now = new Date();
const builder = { ...house.builder, platform: { ...house.builder.platform, clock: () => now } };
const turn = evidenceTurn({ ...builder, cells: ['eu-1', 'us-1'] });
const superuser = new pg.Pool({ connectionString: house.stores.url('eu-1 audit'), max: 2 });
superuser.on('error', () => undefined);
afterAll(() => superuser.end());

test('a pack that somebody asks for is built, stored in pieces and handed out', async () => {
  const { id } = await requestEvidence(ctx, { kind: 'soc2', from: WINDOW.from, to: WINDOW.to });
  await house.seal();
  expect(await turn()).toBe(true);
  const { pack, bytes } = await downloadEvidence(ctx, id);
  const zip = await readAll(bytes);
  expect(pack).toMatchObject({
    state: 'ready',
    sizeBytes: zip.length,
    sha256: hash('sha256', zip, 'hex'),
    failure: null,
  });
  expect(pack.finishedAt).toEqual(now);
  expect(await turn()).toBe(false);
});

test('a pack waits until its own request is sealed, and not longer than a minute', async () => {
  const { id, requestedAt } = await requestEvidence(ctx, { kind: 'soc2', from: WINDOW.from, to: WINDOW.to });
  expect(await turn()).toBe(false);
  expect((await findEvidence(ctx, id)).state).toBe('requested');
  now = new Date(requestedAt.getTime() + 60_001);
  expect(await turn()).toBe(true);
  expect((await findEvidence(ctx, id)).state).toBe('ready');
});

test('a pack that a killed worker left half-built is built anew, without its pieces', async () => {
  const id = await insertPack({ state: 'building' });
  await superuser.query(
    'insert into evidence_chunks (tenant_id, pack_id, number, bytes) select tenant_id, id, n, $2 from evidence_packs, generate_series(0, 9) n where id = $1',
    [uuidOf('evd', id), Buffer.alloc(10)],
  );
  expect(await turn()).toBe(true);
  const { pack, bytes } = await downloadEvidence(ctx, id);
  expect(hash('sha256', await readAll(bytes), 'hex')).toBe(pack.sha256);
  const { rows } = await superuser.query(
    'select sum(length(bytes))::integer as size from evidence_chunks where pack_id = $1',
    [uuidOf('evd', id)],
  );
  expect(rows).toEqual([{ size: pack.sizeBytes }]);
});

test('a pack that another worker builds is left to it, until that worker is gone', async () => {
  const id = await insertPack({ state: 'building' });
  const other = new pg.Client({ connectionString: house.stores.url('eu-1 audit', 'tenon_worker') });
  await other.connect();
  await other.query('select pg_advisory_lock(1702259044, hashtext($1))', [uuidOf('evd', id)]);
  expect(await turn()).toBe(false);
  await other.end();
  // The server lets go of the lock a moment after the connection is closed.
  await expect.poll(turn).toBe(true);
  expect((await findEvidence(ctx, id)).state).toBe('ready');
});

test('a pack that cannot be built fails with the public sentence, and holds up no other', async () => {
  const bad = await insertPack({ subject: mintId('usr') });
  const good = await insertPack({ subject: grace });
  expect(await turn()).toBe(true);
  expect(await turn()).toBe(true);
  expect(await findEvidence(ctx, bad)).toMatchObject({
    state: 'failed',
    failure: 'There is no such thing in this tenant. The subject is no user of this tenant.',
  });
  expect(await findEvidence(ctx, good)).toMatchObject({ state: 'ready' });
  await expect(downloadEvidence(ctx, bad)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

async function insertPack({
  state = 'requested',
  subject = null,
}: {
  state?: string;
  subject?: Id<'usr'> | null;
}): Promise<Id<'evd'>> {
  const id = mintId('evd');
  await superuser.query(
    `insert into evidence_packs (tenant_id, id, kind, subject_id, window_from, window_to, state, requested_by, requested_at)
     values ($1, $2, $3, $4, $5, $6, $7, 'test', $8)`,
    [
      uuidOf('tnt', acme),
      uuidOf('evd', id),
      subject === null ? 'soc2' : 'gdpr_access',
      subject === null ? null : uuidOf('usr', subject),
      WINDOW.from,
      WINDOW.to,
      state,
      new Date(now.getTime() - 120_000),
    ],
  );
  return idOf('evd', uuidOf('evd', id));
}

async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) if (Buffer.isBuffer(piece)) pieces.push(piece);
  return Buffer.concat(pieces);
}

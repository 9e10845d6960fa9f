import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { expect, test } from 'vitest';
import { issueCredential } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { csvLines } from '../../compliance/evidence/table.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { verifyTarget } from '../../compliance/verify/verify.ts';
import { deactivateUser } from '../../subgraphs/identity/service.ts';
import { withClient } from '../support/postgres.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { jsonIn, openEvidenceHouse, rowsIn, WINDOW, type Pack } from './evidence-fixture.ts';

const house = await openEvidenceHouse();
const fresh = await openEvidenceHouse();
const { acme, initech } = house;
const grace = await house.addPerson(acme, 'grace@acme.example');
const ida = await house.addPerson(initech, 'ida@initech.example');
const leaver = await house.addPerson(acme, '=HYPERLINK("http://evil.example")');
await leave(leaver);
await house.seal();
const pack = await house.build({ tenant: acme });

test('the verifier finds the pack whole and unchanged', async () => {
  const report = await verifyTarget(pack.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
  expect(report.integrity).toEqual({ verdict: 'pass', place: null });
  expect(report.completeness).toEqual({ verdict: 'pass', place: null });
  expect(report.counts.populations).toBeGreaterThan(10);
  expect(jsonIn(pack, 'manifest.json').omissions).toEqual([]);
});

test('one changed byte is found in its file', async () => {
  for (const path of ['populations/user-lifecycle.csv', 'controls/CC6.1/control.json', 'report.html']) {
    const folder = unpack(pack, (files) => flip(files.get(path)));
    const { integrity } = await verifyTarget(folder, { keys: [TEST_SIGNING_KEY.verifierKey] });
    expect(integrity).toMatchObject({ verdict: 'fail', place: { file: path } });
  }
  const zip = pack.save((bytes) => bytes.fill((bytes[2000] ?? 0) ^ 1, 2000, 2001));
  expect((await verifyTarget(zip, { keys: [TEST_SIGNING_KEY.verifierKey] })).integrity.verdict).toBe('fail');
});

test('a pack of one tenant holds nothing of another in the same cell', async () => {
  const texts = [...pack.files].map(([path, text]) => (path.endsWith('.gz') ? '' : text));
  const log = segmentText(pack);
  for (const foreign of [initech, ida, 'initech', uuidOf('tnt', initech)]) {
    expect([log, ...texts].filter((text) => text.includes(foreign))).toEqual([]);
  }
  expect(log).toContain(acme);
  expect(rowsIn<{ user: string }>(pack, 'users-present').map(({ user }) => user)).toContain(grace);
});

test('whoever was deactivated stands in her population, with what ended with her access', async () => {
  const rows = rowsIn<{ resource_id: string; action: string; ended_sessions: number; leaf: string }>(
    pack,
    'deactivations',
  );
  expect(rows).toEqual([
    expect.objectContaining({ resource_id: leaver, action: 'user.deactivate', ended_sessions: 1 }),
  ]);
  expect(jsonIn(pack, 'controls/CC6.3/control.json')).toMatchObject({
    facts: { deactivated_in_window: 1 },
    result: 'pass',
  });
});

test('a cell that is a formula is none in a CSV file, and a name of a person does not stand there at all', () => {
  expect(csvLines([['=HYPERLINK("http://evil.example")']])).toBe(`"'=HYPERLINK(""http://evil.example"")"\r\n`);
  const lifecycle = pack.files.get('populations/user-lifecycle.csv') ?? '';
  expect(lifecycle).toContain('$enc');
  expect(lifecycle).not.toContain('HYPERLINK');
});

test('every population says how it was drawn and how many rows it must have', () => {
  const claims = [...pack.files.keys()].filter((path) => path.endsWith('.completeness.json'));
  expect(claims.length).toBeGreaterThan(10);
  for (const path of claims) {
    const claim = jsonIn(pack, path);
    expect(claim).toMatchObject({ count: claim.expected, completeness: 'pass' });
    expect(rowsIn(pack, claim.population)).toHaveLength(claim.count);
    expect(pack.files.get(`populations/${claim.population}.query.sql`)).toMatch(/^-- /);
  }
});

test('the report loads nothing, runs nothing and calls nobody compliant', () => {
  const report = pack.files.get('report.html') ?? '';
  expect(report).toContain('NOTHING LEFT OUT');
  expect(report).not.toMatch(/<script|<link|<img|src=|url\(|@import|compliant/i);
});

test('the same window over the same head gives the same bytes, also in another process and time zone', async () => {
  const again = await house.build({ tenant: acme });
  expect(again.sha256).toBe(pack.sha256);
  const order = {
    ...house.stores.settingsFor('tenon_worker', `file://${house.archiveFolder}`),
    contextKeys: JSON.stringify({ signing: 'k2', keys: [{ kid: 'k2', secret: '22'.repeat(32) }] }),
    archiveFolder: join(house.archiveFolder, 'eu-1'),
    generator: house.builder.generator,
    tenant: acme,
    from: WINDOW.from.toISOString(),
    to: WINDOW.to.toISOString(),
  };
  const child = fileURLToPath(new URL('evidence-child.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', child, JSON.stringify(order)], {
    env: { ...process.env, TZ: 'Asia/Tokyo' },
  });
  expect(stdout).toBe(`${pack.sha256} -540`);
});

test('a table without row security is an exception of isolation', async () => {
  await asOwner('alter table app.users disable row level security');
  try {
    const faulty = await house.build({ tenant: acme });
    const control = jsonIn(faulty, 'controls/CC6.1/control.json');
    expect(control).toMatchObject({ result: 'exception' });
    expect(faulty.files.get('controls/CC6.1/exceptions.csv')).toContain('cell: app.users');
    expect(faulty.files.get('report.html')).toContain('has no row-level security');
    expect(jsonIn(pack, 'controls/CC6.1/control.json').facts).not.toEqual(control.facts);
  } finally {
    await asOwner('alter table app.users enable row level security');
  }
});

test('who is active in the table and not by the log is an exception, and so is who came without an entry', async () => {
  await asOwner(`update app.users set active = true where id = '${uuidOf('usr', leaver)}'`);
  await asOwner(`insert into app.users (tenant_id, id, user_name, updated_at)
    values ('${uuidOf('tnt', acme)}', '01890000-0000-7000-8000-000000000001', 'ghost', '2026-01-01')`);
  try {
    const found = await house.build({ tenant: acme });
    expect(found.files.get('controls/CC6.3/exceptions.csv')).toContain(leaver);
    const ghost = rowsIn<{ user_name: string; difference: string }>(found, 'users-present').find(
      (row) => row.user_name === 'ghost',
    );
    expect(ghost?.difference).toBe('the log holds no entry of her creation');
    expect(jsonIn(found, 'controls/CC6.2/control.json')).toMatchObject({ result: 'exception' });
  } finally {
    await asOwner(`delete from app.users where user_name = 'ghost';
      update app.users set active = false where id = '${uuidOf('usr', leaver)}'`);
  }
});

test('a collector that fails is named, and what it would have shown is not tested; the rest of the pack stands', async () => {
  const away: Archive = { ...archive(), get: () => Promise.reject(new Error('archive: disk on fire')) };
  const partial = await house.build({ tenant: acme }, { archiveOf: () => away });
  const { omissions } = jsonIn(partial, 'manifest.json');
  expect(omissions.map(({ what }) => what.slice(0, 2))).toEqual(['E2', 'E4', 'E5', 'th']);
  expect(JSON.stringify(omissions)).not.toContain('fire');
  expect(partial.files.get('report.html')).toContain('PARTIAL');
  expect(jsonIn(partial, 'controls/CC7.2/control.json')).toMatchObject({ result: 'not_tested' });
  expect(jsonIn(partial, 'controls/CC6.1/control.json')).toMatchObject({ result: 'pass' });
  const report = await verifyTarget(partial.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
  expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'fail']);
});

test('a segment that the archive has lost is an exception, and the populations say that they are not whole', async () => {
  const lost: Archive = {
    ...archive(),
    get: (key) =>
      key.includes('/seg/') ? Promise.resolve().then(() => fail('NOT_FOUND', 'gone')) : archive().get(key),
  };
  const found = await house.build({ tenant: acme }, { archiveOf: () => lost });
  expect(found.files.get('controls/CC7.2/exceptions.csv')).toContain('is missing');
  expect(jsonIn(found, 'populations/user-lifecycle.completeness.json')).toMatchObject({
    count: 0,
    completeness: 'fail',
  });
});

test('entries that are not sealed yet are told, and are not in the pack', async () => {
  const late = await house.addPerson(acme, 'late@acme.example');
  await sequenceOnly();
  const found = await house.build({ tenant: acme });
  expect(found.files.get('controls/CC7.2/exceptions.csv')).toContain('1 entries of the window were not sealed');
  expect(found.files.get('populations/user-lifecycle.ndjson')).not.toContain(late);
  const past = await house.build({ tenant: acme, window: { from: WINDOW.from, to: new Date('2020-02-01') } });
  expect(jsonIn(past, 'controls/CC7.2/control.json')).toMatchObject({
    result: 'pass',
    facts: { entries_not_sealed: 1 },
  });
});

test('a window behind the first segments carries the log from the segment before it, and still verifies', async () => {
  for (const name of ['one', 'two', 'three']) {
    await house.addPerson(acme, `${name}@acme.example`);
    await house.seal();
  }
  const ts = rowsIn<{ ts: string }>(await house.build({ tenant: acme }), 'user-lifecycle').at(-1)?.ts ?? '';
  const part = await house.build({ tenant: acme, window: { from: new Date(ts), to: WINDOW.to } });
  expect([...part.files.keys()].filter((path) => path.includes('/seg/'))).toHaveLength(2);
  expect(part.files.has('log/frontier.json')).toBe(true);
  expect(rowsIn<{ ts: string }>(part, 'user-lifecycle').map((row) => row.ts)).toEqual([ts]);
  const report = await verifyTarget(part.save(), { keys: [TEST_SIGNING_KEY.verifierKey] });
  expect([report.integrity.verdict, report.completeness.verdict]).toEqual(['pass', 'pass']);
});

test('a migration that is not the one of this program is an exception', async () => {
  for (const store of ['eu-1', 'eu-1 audit'] as const)
    await asOwner('grant select on tenon.migrations to tenon_worker', store);
  const good = await house.build({ tenant: acme });
  expect(jsonIn(good, 'controls/CC8.1/control.json')).toMatchObject({ result: 'pass' });
  expect(rowsIn<{ series: string }>(good, 'migrations').map(({ series }) => series)).toContain('tenancy');
  await asOwner(`update tenon.migrations set sha256 = 'other' where name = 'users'`);
  const bad = await house.build({ tenant: acme });
  expect(bad.files.get('controls/CC8.1/exceptions.csv')).toContain('0003-users.sql was changed after it was applied');
});

test('a tenant whose log was never sealed gets a pack that says so', async () => {
  const unsealed = await fresh.build({ tenant: fresh.acme });
  expect(jsonIn(unsealed, 'manifest.json')).toMatchObject({ head: null, omissions: [] });
  expect(jsonIn(unsealed, 'controls/CC7.2/control.json')).toMatchObject({ result: 'not_tested' });
  expect(jsonIn(unsealed, 'populations/user-lifecycle.completeness.json')).toMatchObject({
    completeness: 'cannot say',
  });
});

test('an unknown tenant and an empty window are refused', async () => {
  const unknown: Id<'tnt'> = `tnt_${'0'.repeat(26)}`;
  await expect(house.build({ tenant: unknown })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(house.build({ tenant: acme, window: { from: WINDOW.to, to: WINDOW.from } })).rejects.toMatchObject({
    code: 'BAD_USER_INPUT',
  });
});

async function leave(user: Id<'usr'>): Promise<void> {
  const ctx = await house.contextOf(acme);
  const expiresAt = new Date(Date.now() + 3_600_000);
  await inTenant(ctx, (tx) => issueCredential(tx, acme, { kind: 'session', userId: user, name: 'test', expiresAt }));
  await deactivateUser(ctx, user);
}

async function sequenceOnly(): Promise<void> {
  const [tenants, audit] = (['eu-1', 'eu-1 audit'] as const).map(
    (store) => new pg.Pool({ connectionString: house.stores.url(store, 'tenon_worker') }),
  ) as [pg.Pool, pg.Pool];
  const sequenceNext = createSequencer({ outbox: outboxOf(tenants), audit, clock: () => new Date(), batchSize: 1000 });
  // An event is taken when every transaction of the server that began before its own has ended, other tests' included.
  await expect.poll(async () => (await sequenceNext()).added).toBe(1);
  await Promise.all([tenants.end(), audit.end()]);
}

function archive(): Archive {
  return house.builder.archiveOf('eu-1');
}

async function asOwner(sql: string, store: 'eu-1' | 'eu-1 audit' = 'eu-1'): Promise<void> {
  await withClient(house.stores.url(store), (client) => client.query(sql));
}

function segmentText(from: Pack): string {
  const segments = [...from.raw].filter(([path]) => path.endsWith('.gz'));
  return segments.map(([, content]) => gunzipSync(content).toString()).join('');
}

function unpack(from: Pack, change: (files: ReadonlyMap<string, Buffer>) => void): string {
  const folder = join(house.archiveFolder, 'unpacked');
  rmSync(folder, { recursive: true, force: true });
  const files = new Map([...from.raw].map(([path, content]) => [path, Buffer.from(content)]));
  change(files);
  for (const [path, content] of files) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

function flip(content: Buffer | undefined): void {
  content?.writeUInt8(content.readUInt8(20) ^ 1, 20);
}

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, uuidv7, type Id } from '#schema/ids.ts';
import { noteVerifier, verifyNote } from '#schema/signed-note.ts';
import type { Archive } from '../../compliance/archive/archive.ts';

import {
  createRetentionTurn,
  newRetentionCounters,
  type RetentionTurnOptions,
} from '../../compliance/retention/turn.ts';
import { selfTestNote, testArchive } from '../../compliance/archive-self-test.ts';
import { createSelfTestTurn } from '../../compliance/retention/self-test-turn.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { DAY_MS, log, prepareSealing, sealer, sealing } from './sealing.ts';

prepareSealing();

/** Stands for the directory: tenants that have ended. */
let directory: pg.Pool;
const ended = new Set<string>();

beforeAll(() => {
  directory = { query: async () => ({ rows: [...ended].map((id) => ({ id })) }) } as unknown as pg.Pool;
});
beforeEach(async () => {
  ended.clear();
  await sealing.cell.superuserOfAudit.query('truncate app.archive_objects, app.archive_retention, app.archive_scans');
  // A comparison has just ended.
  await sealing.cell.audit.query('insert into archive_scans (tenant_id, started_at, finished_at) values ($1, $2, $2)', [
    PLATFORM_UUID,
    sealing.now,
  ]);
  await sealing.cell.superuserOfTenants.query('truncate app.retention_policies, app.legal_holds');
});

function turnOf(part: Partial<RetentionTurnOptions> = {}) {
  return createRetentionTurn({
    cell: 'eu-1',
    region: 'eu',
    tenants: sealing.cell.tenants,
    audit: sealing.cell.audit,
    directory,
    archive: sealing.archive,
    clock: () => sealing.now,
    defaultDays: 90,
    wishIntervalMs: 0,
    objectsPerSecond: 1000,
    scanIntervalMs: 10_000 * DAY_MS,
    log: () => undefined,
    ...part,
  });
}

/** Runs turns of new workers until one finds nothing to do. */
async function settle(part: Partial<RetentionTurnOptions> = {}) {
  const counters = newRetentionCounters();
  const turn = turnOf({ counters, ...part });
  let turns = 0;
  while ((await turn()) !== 'idle') if (++turns > 1000) throw new Error('the turns do not end');
  return counters;
}

async function sealOne(of: Id<'tnt'> = sealing.tenant): Promise<string[]> {
  await log(2, { of });
  expect((await sealer()()).failures).toEqual([]);
  return keysOf(of);
}

async function keysOf(of: Id<'tnt'> = sealing.tenant): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of sealing.archive.list(`v1/eu/${of}/`)) keys.push(key);
  return keys;
}

async function decide(days: number, of = sealing.tenant) {
  await sealing.cell.superuserOfTenants.query(
    `insert into app.retention_policies (tenant_id, id, days, set_by, set_at) values ($1, $2, $3, 'usr_1', now())`,
    [uuidOf('tnt', of), uuidv7(), days],
  );
}

async function hold(of = sealing.tenant): Promise<string> {
  const id = uuidv7();
  await sealing.cell.superuserOfTenants.query(
    `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $2, 'a case', 'usr_1', now())`,
    [uuidOf('tnt', of), id],
  );
  return id;
}

async function release(id: string) {
  await sealing.cell.superuserOfTenants.query(
    `update app.legal_holds set released_by = 'usr_2', released_at = now() where id = $1`,
    [id],
  );
}

async function events(): Promise<{ type: string; detail: Record<string, unknown> }[]> {
  const { rows } = await sealing.cell.superuserOfAudit.query<{ type: string; detail: string }>(
    'select type, detail from app.platform_events order by position',
  );
  return rows.map(({ type, detail }) => ({ type, detail: JSON.parse(detail) as Record<string, unknown> }));
}

const forward = (days: number) => void (sealing.now = new Date(sealing.now.getTime() + days * DAY_MS));
const leftDays = async (key: string) =>
  ((await sealing.archive.retention(key)).getTime() - sealing.now.getTime()) / DAY_MS;

describe('retention', () => {
  test('is extended once less than a third of it is left, and not before', async () => {
    const keys = await sealOne();
    expect(keys).toHaveLength(2);
    forward(59);
    expect((await settle()).extended).toBe(0);
    forward(2);
    expect((await settle()).extended).toBe(2);
    for (const key of keys) expect(await leftDays(key)).toBe(90);
    forward(20);
    expect((await settle()).extended).toBe(0);
  });

  test('that the tenant makes longer counts for what is archived and for what is sealed next', async () => {
    const keys = await sealOne();
    await decide(365);
    expect((await settle()).extended).toBe(2);
    for (const key of keys) expect(await leftDays(key)).toBe(365);
    for (const key of await sealOne()) expect(await leftDays(key)).toBe(365);
  });

  test('that the tenant makes shorter counts for what is sealed next, and shortens nothing', async () => {
    const [first = ''] = await sealOne();
    await decide(30);
    expect((await settle()).extended).toBe(0);
    const later = (await sealOne()).filter((key) => key.includes('/000000001.'));
    expect(await leftDays(first)).toBe(90);
    for (const key of later) expect(await leftDays(key)).toBe(30);
  });

  test('of one tenant leaves those of another as they are', async () => {
    const other = await sealing.cell.addTenant();
    const [key = ''] = await sealOne(other);
    await sealOne();
    await decide(365);
    expect((await settle()).extended).toBe(2);
    expect(await leftDays(key)).toBe(90);
  });

  test('goes on where a worker ended in the middle, and is not hurried', async () => {
    for (let count = 0; count < 3; count++) await sealOne();
    await decide(365);
    expect(await turnOf({ objectsPerSecond: 4 })()).toBe('worked');
    const left = await Promise.all((await keysOf()).map(leftDays));
    expect(left.filter((days) => days === 365)).toHaveLength(4);
    expect((await settle()).extended).toBe(2);
  });

  test('is tried again while the archive is away, and says so', async () => {
    await sealOne();
    await decide(365);
    const away = { ...sealing.archive, head: () => Promise.reject(new Error('away')) };
    const counters = newRetentionCounters();
    expect(await turnOf({ archive: away, counters })()).toBe('waiting');
    expect(counters).toMatchObject({ failures: 1, faults: 0 });
    expect((await settle()).extended).toBe(2);
  });

  test('that the archive refuses to extend is a fault until it does', async () => {
    const [key = ''] = await sealOne();
    await decide(365);
    const refusing: Archive = {
      ...sealing.archive,
      extendRetention: async (of, until) =>
        of === key ? fail('SERVICE_UNAVAILABLE', 'no') : sealing.archive.extendRetention(of, until),
    };
    expect(await settle({ archive: refusing })).toMatchObject({ extended: 1, faults: 1 });
    expect(await events()).toEqual([{ type: 'archive.fault_found', detail: { key, fault: 'lock' } }]);
    forward(1);
    expect(await settle()).toMatchObject({ extended: 1, faults: 0 });
  });
});

describe('an ended tenant', () => {
  test('is kept as long as was promised and no longer; others stay', async () => {
    const other = await sealing.cell.addTenant();
    await sealOne(other);
    await sealOne();
    ended.add(uuidOf('tnt', sealing.tenant));
    forward(89);
    expect(await settle()).toMatchObject({ extended: 2, removed: 0 });
    expect(await keysOf()).toHaveLength(2);
    forward(2);
    expect((await settle()).removed).toBe(2);
    expect(await keysOf()).toEqual([]);
    expect(await keysOf(other)).toHaveLength(2);
    expect(await events()).toMatchObject([{ type: 'archive.expired', detail: { tenant: sealing.tenant, objects: 2 } }]);
    expect((await settle()).removed).toBe(0);
  });

  test('leaves nothing behind, not even what no segment names', async () => {
    await sealOne();
    const stray = `v1/eu/${sealing.tenant}/1/seg/000000007.jsonl.gz`;
    const retainUntil = new Date(sealing.now.getTime() + 30 * DAY_MS);
    await sealing.archive.put(stray, Buffer.from('stray'), { retainUntil });
    ended.add(uuidOf('tnt', sealing.tenant));
    expect((await settle()).removed).toBe(0);
    forward(31);
    expect((await settle()).removed).toBe(1);
    forward(60);
    expect((await settle()).removed).toBe(2);
    expect(await keysOf()).toEqual([]);
  });

  test('under a legal hold loses nothing before it is released', async () => {
    await sealOne();
    const id = await hold();
    await settle();
    ended.add(uuidOf('tnt', sealing.tenant));
    forward(400);
    expect((await settle()).removed).toBe(0);
    expect(await keysOf()).toHaveLength(2);
    await release(id);
    expect(await settle()).toMatchObject({ released: 2, removed: 2 });
  });
});

describe('a legal hold', () => {
  test('is placed on each object, later ones too, and lifted with the last hold', async () => {
    const [key = ''] = await sealOne();
    const [one, two] = [await hold(), await hold()];
    expect((await settle()).held).toBe(2);
    const later = await sealOne();
    expect((await settle()).held).toBe(2);
    for (const each of later) expect(await sealing.archive.legalHold(each)).toBe(true);
    await release(one);
    expect((await settle()).released).toBe(0);
    await release(two);
    expect((await settle()).released).toBe(4);
    expect(await sealing.archive.legalHold(key)).toBe(false);
  });
});

describe('the comparison with the archive', () => {
  const compare = () => {
    forward(1);
    return settle({ scanIntervalMs: 1000 });
  };

  test('finds nothing where nothing is wrong, and says so in the platform log', async () => {
    await sealOne();
    expect(await compare()).toMatchObject({ checked: 2, repaired: 0, faults: 0, scans: 1 });
    expect(await events()).toMatchObject([
      { type: 'archive.drift_scanned', detail: { objects: 2, repaired: 0, faults: 0 } },
    ]);
  });

  test('makes a lock and a hold whole again that somebody has weakened', async () => {
    const [key = ''] = await sealOne();
    await hold();
    await settle();
    writeFileSync(
      join(sealing.folder, `${key}.retention.jsonl`),
      '\n{"mode":"FILESYSTEM","retain_until":"2026-05-03T00:00:00.000Z"}\n',
    );
    expect(await compare()).toMatchObject({ repaired: 1, faults: 0 });
    expect(await sealing.archive.legalHold(key)).toBe(true);
    expect(await leftDays(key)).toBe(89);
    expect((await events()).map(({ type }) => type)).toEqual(['retention.repaired', 'archive.drift_scanned']);
  });

  test.each([
    ['missing', (path: string) => rmSync(path)],
    ['size', (path: string) => replace(path, Buffer.concat([readFileSync(path), Buffer.from('x')]))],
  ] as const)('says what is %s, once, and is content when it is back', async (fault, damage) => {
    const [key = ''] = await sealOne();
    const path = join(sealing.folder, key);
    const bytes = readFileSync(path);
    damage(path);
    expect(await compare()).toMatchObject({ faults: 1, repaired: 0 });
    expect(await compare()).toMatchObject({ faults: 1 });
    const told = (await events()).filter(({ type }) => type === 'archive.fault_found');
    expect(told).toEqual([{ type: 'archive.fault_found', detail: { key, fault } }]);
    const alarms = async () => (await sealing.cell.audit.query('select kind, sentence from log_alarms')).rows;
    const alarm = [{ kind: 'archive', sentence: 'The archive does not hold an object of the log as it was sealed.' }];
    expect(await alarms()).toEqual(alarm);
    replace(path, bytes);
    expect(await compare()).toMatchObject({ faults: 0 });
    expect(await alarms()).toEqual([]);
  });

  test('repairs no lock over other bytes of the same size', async () => {
    const [key = ''] = await sealOne();
    const path = join(sealing.folder, key);
    replace(path, Buffer.alloc(readFileSync(path).length, 'x'));
    rmSync(`${path}.retention.jsonl`);
    writeFileSync(`${path}.retention.jsonl`, '\n{"mode":"FILESYSTEM","retain_until":"2026-05-03T00:00:00.000Z"}\n');
    expect(await compare()).toMatchObject({ faults: 1, repaired: 0 });
    expect((await events())[0]).toEqual({ type: 'archive.fault_found', detail: { key, fault: 'content' } });
  });

  test('goes on where a worker ended, and counts everything once', async () => {
    for (let count = 0; count < 3; count++) await sealOne();
    forward(1);
    expect(await turnOf({ objectsPerSecond: 4, scanIntervalMs: 1000 })()).toBe('worked');
    expect(await settle({ scanIntervalMs: 1000 })).toMatchObject({ checked: 2, scans: 1 });
    expect((await events()).at(-1)).toMatchObject({ type: 'archive.drift_scanned', detail: { objects: 6 } });
  });
});

describe('the self-test', () => {
  test('is recorded, signed, at the start and then once a day', async () => {
    const turn = createSelfTestTurn({
      cell: 'eu-1',
      audit: sealing.cell.audit,
      archive: sealing.archive,
      signer: TEST_SIGNING_KEY,
      clock: () => sealing.now,
      log: () => undefined,
    });
    expect(await turn()).toBe('worked');
    expect(await turn()).toBe('idle');
    const [event, ...others] = await events();
    expect(others).toEqual([]);
    expect(event).toMatchObject({ type: 'archive.self_tested', detail: { lock_mode: 'FILESYSTEM', is_sound: true } });
    const { name, publicKey } = TEST_SIGNING_KEY;
    const { text } = verifyNote(String(event?.detail['note']), [noteVerifier(name, publicKey)]);
    expect(text.split('\n').slice(0, 5)).toEqual([
      `${name}/archive/eu-1`,
      sealing.now.toISOString(),
      'FILESYSTEM',
      'sound',
      'takes_an_object_under_retention kept -',
    ]);
  });

  test('of a store that breaks one promise beyond this program is broken', async () => {
    const attack = async () => [{ attempt: 'shorten', answer: '200', verdict: 'broken' } as const];
    const found = await testArchive({ ...sealing.archive, attack }, () => sealing.now);
    expect([found.isSound, found.promises.every(({ isKept }) => isKept)]).toEqual([false, true]);
    expect(selfTestNote(found, { cell: 'eu-1', signer: TEST_SIGNING_KEY })).toContain('\nbroken\n');
  });

  test('of an archive that lets go of what it should keep is broken', async () => {
    const lax: Archive = { ...sealing.archive, extendRetention: async () => undefined };
    await createSelfTestTurn({
      cell: 'eu-1',
      audit: sealing.cell.audit,
      archive: lax,
      signer: TEST_SIGNING_KEY,
      clock: () => sealing.now,
      log: () => undefined,
    })();
    const [event] = await events();
    expect(event?.detail['is_sound']).toBe(false);
    expect(String(event?.detail['note'])).toContain('refuses_to_keep_it_for_less broken it was done');
  });
});

function replace(path: string, bytes: Buffer): void {
  rmSync(path, { force: true });
  writeFileSync(path, bytes, { mode: 0o444 });
}

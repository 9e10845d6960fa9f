import { cpSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type pg from 'pg';
import { Frontier } from '#schema/merkle.ts';
import { platformLeaf } from '#schema/platform-entry.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { recordPlatformEvent } from '../../compliance/platform/event.ts';
import { verifyPlatform } from '../../compliance/platform/verify-platform.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import {
  logEvents,
  minutePasses,
  platform,
  platformTurn,
  preparePlatform,
  TEST_VERIFIER,
  ticksInArchive,
} from './platform-log.ts';
import { around } from './split-brain.ts';

preparePlatform();

/** Statements and calls at which a worker may be ended: whether what it has just asked for was done or not. */
const STATEMENTS = [
  'insert into platform_ticks',
  'insert into platform_entries',
  'insert into platform_heads',
  'update platform_log set epoch',
  'delete from platform_events',
  'commit',
  `update platform_ticks set state = 'signed'`,
  'with closed as',
] as const;
/** Calls to the archive of a turn that writes a tick, and of one that finds its number taken. */
const CALLS = { ofTick: 5, ofEpoch: 11 } as const;

const killed = (): Promise<never> => Promise.reject(new Error('killed'));

/** A pool whose worker is ended at the first statement that begins like this. */
function poolKilledAt(start: string, when: 'before' | 'after'): pg.Pool {
  const { audit } = platform.cell;
  let isDead = false;
  const through = (target: pg.Pool | pg.PoolClient) => (text: string, values?: unknown[]) => {
    if (isDead) return killed();
    const isPlace = text.trimStart().startsWith(start);
    if (isPlace) isDead = true;
    if (isPlace && when === 'before') return killed();
    const answer = target.query(text, values);
    return isPlace ? answer.then(killed) : answer;
  };
  return Object.assign(Object.create(audit) as pg.Pool, {
    query: through(audit),
    connect: async () => {
      const client = await audit.connect();
      return {
        query: through(client),
        // What a killed process had open is rolled back by the server, which sees its connection end.
        release: () => client.release(isDead),
      };
    },
  });
}

/** An archive whose worker is ended at its n-th call, counted from 0. */
function archiveKilledAt(place: number, when: 'before' | 'after'): Archive {
  const { archive } = platform;
  let calls = 0;
  const at = async <T>(work: () => Promise<T>): Promise<T> => {
    const call = calls++;
    if (call > place || (call === place && when === 'before')) return killed();
    const answer = await work();
    return call === place ? killed() : answer;
  };
  return around(archive, at);
}

/** Every tick is there once, and together they are one log. */
function expectOneLog(ticks: number, events: number): void {
  const read = ticksInArchive();
  expect(read.map(({ name }) => Number(name.slice(0, 9)))).toEqual(Array.from({ length: ticks }, (_, index) => index));
  const frontier = new Frontier();
  let prev = '0'.repeat(64);
  for (const { texts, entries, checkpoint } of read) {
    for (const [index, text] of texts.entries()) {
      expect(entries[index]).toMatchObject({ number: frontier.size, prev });
      const leaf = platformLeaf(text);
      frontier.append(leaf);
      prev = leaf.toString('hex');
    }
    expect(checkpoint.size).toBe(frontier.size);
    expect(Buffer.from(checkpoint.root).equals(frontier.root())).toBe(true);
  }
  expect(read.flatMap(({ entries }) => entries).filter(({ kind }) => kind === 'event')).toHaveLength(events);
}

describe('a worker that is killed while it keeps the platform log', () => {
  const places = [
    ...STATEMENTS.map((at) => ({ kind: 'statement', at }) as const),
    ...Array.from({ length: CALLS.ofTick }, (_, at) => ({ kind: 'call', at }) as const),
  ].flatMap((place) => [
    { ...place, when: 'before' as const },
    { ...place, when: 'after' as const },
  ]);

  test.each(places)('$when $kind $at loses nothing and signs nothing twice', async ({ kind, at, when }) => {
    await logEvents(2);
    await platformTurn()();
    minutePasses();
    await logEvents(1);
    await recordPlatformEvent(platform.cell.audit, { type: 'key.rotated', detail: {}, at: platform.now });
    const dying = kind === 'statement' ? { audit: poolKilledAt(at, when) } : { archive: archiveKilledAt(at, when) };
    await platformTurn(dying)().catch(() => undefined);
    await next();
    minutePasses();
    await next();
    expectOneLog(3, 1);
  });
});

/** The lock of a killed worker ends with its connection, which the server may notice a moment later. */
async function next(): Promise<void> {
  const turn = platformTurn();
  while ((await turn()) === 'waiting');
}

const PLATFORM_TABLES = ['log', 'ticks', 'entries', 'tiles', 'heads', 'events'].map((name) => `app.platform_${name}`);

/** The database as it stands, to be set back to later. */
async function backup(): Promise<() => Promise<void>> {
  const { superuserOfAudit } = platform.cell;
  await superuserOfAudit.query('drop schema if exists backup cascade; create schema backup');
  for (const table of PLATFORM_TABLES)
    await superuserOfAudit.query(`create table ${table.replace('app.', 'backup.')} as select * from ${table}`);
  return async () => {
    await superuserOfAudit.query(`truncate ${PLATFORM_TABLES.join(', ')}`);
    for (const table of PLATFORM_TABLES) {
      const from = table.replace('app.', 'backup.');
      await superuserOfAudit.query(`insert into ${table} overriding system value select * from ${from}`);
    }
  };
}

describe('a database that was set back behind the archive', () => {
  test('signs over nothing, and opens an epoch that names how the one before ended', async () => {
    await logEvents(2);
    const turn = platformTurn();
    await turn();
    const restore = await backup();
    for (let minute = 0; minute < 3; minute++) {
      minutePasses();
      await logEvents(1);
      await turn();
    }
    await restore();
    minutePasses();
    await recordPlatformEvent(platform.cell.audit, { type: 'key.rotated', detail: {}, at: platform.now });
    const before = ticksInArchive(1);
    await platformTurn()();
    expect(ticksInArchive(1)).toEqual(before);
    const last = before.at(-1);
    const [first] = ticksInArchive(2);
    expect(first?.entries.map((entry) => (entry.kind === 'event' ? entry.type : entry.kind))).toEqual([
      'platform.epoch_opened',
      'key.rotated',
      'heads',
    ]);
    expect(first?.entries[0]).toMatchObject({
      number: 0,
      detail: { epoch: 1, size: 4, root: Buffer.from(last?.checkpoint.root ?? []).toString('hex') },
    });
    expect(first?.heads).toMatchObject([{ size: 5 }]);
    minutePasses();
    await platformTurn()();
    expect(ticksInArchive(2)).toHaveLength(2);
  });

  const places = Array.from({ length: CALLS.ofEpoch }, (_, call) => call).flatMap((call) => [
    { when: 'before' as const, call },
    { when: 'after' as const, call },
  ]);

  test.each(places)('goes on where its worker is killed $when call $call to the archive', async ({ when, call }) => {
    await logEvents(2);
    const turn = platformTurn();
    await turn();
    const restore = await backup();
    minutePasses();
    await turn();
    await restore();
    minutePasses();
    await recordPlatformEvent(platform.cell.audit, { type: 'key.rotated', detail: {}, at: platform.now });
    await platformTurn({ archive: archiveKilledAt(call, when) })();
    await next();
    minutePasses();
    await next();
    const source = folderSource(platform.folder);
    const answer = await verifyPlatform({ source, root: '', region: 'eu', keys: [TEST_VERIFIER] });
    expect(answer).toMatchObject({ integrity: { verdict: 'pass' }, completeness: { verdict: 'pass' }, epochs: 2 });
    const entries = [1, 2].flatMap((epoch) => ticksInArchive(epoch)).flatMap((tick) => tick.entries);
    expect(entries.filter((entry) => entry.kind === 'event' && entry.type === 'key.rotated')).toHaveLength(1);
  });

  test('opens an epoch of its own each time, also where it was made anew', async () => {
    const turn = platformTurn();
    await turn();
    for (const epoch of [2, 3]) {
      await platform.cell.superuserOfAudit.query(`truncate ${PLATFORM_TABLES.join(', ')}`);
      minutePasses();
      await platformTurn()();
      expect(ticksInArchive(epoch)[0]?.entries[0]).toMatchObject({
        kind: 'event',
        detail: { epoch: epoch - 1, size: epoch === 2 ? 1 : 2 },
      });
    }
  });

  test('goes on where the archive was set back with it', async () => {
    const turn = platformTurn();
    await turn();
    const restore = await backup();
    const folder = mkdtempSync(join(platform.cell.archiveFolder, 'copy-'));
    cpSync(platform.folder, folder, { recursive: true });
    minutePasses();
    await turn();
    await restore();
    platform.archive = await filesystemArchive({ folder, clock: () => platform.now });
    await platformTurn()();
    expect(ticksInArchive(1, folder)).toHaveLength(2);
  });
});

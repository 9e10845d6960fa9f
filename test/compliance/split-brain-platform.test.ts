import { cpSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { parsePlatformEntry, parsePlatformTick } from '#schema/platform-entry.ts';
import type * as signedNote from '#schema/signed-note.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { recordPlatformEvent } from '../../compliance/platform/event.ts';
import { newPlatformCounters, type PlatformCounters } from '../../compliance/platform/turn.ts';
import { verifyPlatform } from '../../compliance/platform/verify-platform.ts';
import { folderSource } from '../../compliance/verify/folder-source.ts';
import { backUp } from './backups.ts';
import { logEvents, minutePasses, platform, platformTurn, preparePlatform, TEST_VERIFIER } from './platform-log.ts';
import { stepped } from './split-brain.ts';

/** The text of everything that is signed while a case runs. */
const signed: string[] = [];

vi.mock('#schema/signed-note.ts', async (original) => {
  const module = await original<typeof signedNote>();
  const signNote: typeof module.signNote = (text, ...signers) => {
    signed.push(text);
    return module.signNote(text, ...signers);
  };
  return { ...module, signNote };
});

/** What both databases have behind them when they part: ticks in the archive, and one that was planned and not signed. */
interface Past {
  readonly archived: number;
  readonly isPlanned: boolean;
}

const PASTS: readonly (readonly [string, Past])[] = [
  ['a tick', { archived: 1, isPlanned: false }],
  ['a tick, and one that was only planned', { archived: 1, isPlanned: true }],
  ['no tick', { archived: 0, isPlanned: false }],
];
/** Beyond what a turn asks of the archive where it loses its number. */
const CALLS = 11;
const TABLES = ['log', 'ticks', 'entries', 'tiles', 'heads', 'events'].map((name) => `platform_${name}`);

preparePlatform();

/** The audit database and its copy: pools of the worker, and of the superuser who sets them back. */
const worlds: { audit: pg.Pool; superuser: pg.Pool }[] = [];
const drops: (() => Promise<unknown>)[] = [];
let events = 0;

beforeAll(async () => {
  const { cell } = platform;
  const backup = await backUp(cell.auditDatabase, (drop) => void drops.push(drop));
  const url = await backup.open();
  const { username, password } = new URL(cell.superuserOfAudit.options.connectionString ?? '');
  const audit = new pg.Pool({ connectionString: url, max: 8 });
  const superuser = new pg.Pool({ connectionString: Object.assign(new URL(url), { username, password }).href, max: 2 });
  for (const pool of [audit, superuser]) {
    pool.on('error', () => undefined);
    drops.unshift(() => pool.end());
  }
  worlds.push({ audit: cell.audit, superuser: cell.superuserOfAudit }, { audit, superuser });
});

afterAll(async () => {
  for (const drop of drops) await drop();
});

/** Makes the past, and returns what gives both databases and a new archive this past again. */
async function makePast({ archived, isPlanned }: Past): Promise<() => Promise<void>> {
  await logEvents(2);
  for (let tick = 0; tick < archived; tick++) {
    await platformTurn()();
    minutePasses();
  }
  if (isPlanned) {
    const away: Archive = { ...platform.archive, put: () => Promise.reject(new Error('away')) };
    await platformTurn({ archive: away })();
    minutePasses();
  }
  const [from, now] = [platform.folder, platform.now];
  const saved = new Map<string, string>();
  for (const table of TABLES) {
    const { rows } = await platform.cell.superuserOfAudit.query<{ saved: string }>(
      `select coalesce(json_agg(t), '[]')::text as saved from app.${table} t`,
    );
    saved.set(table, rows[0]?.saved ?? '[]');
  }
  return async () => {
    for (const { superuser } of worlds) {
      await superuser.query(`truncate ${TABLES.map((table) => `app.${table}`).join(', ')}`);
      for (const [table, rows] of saved) {
        const columns = `select * from json_populate_recordset(null::app.${table}, $1)`;
        await superuser.query(`insert into app.${table} overriding system value ${columns}`, [rows]);
      }
    }
    platform.now = now;
    platform.folder = mkdtempSync(join(platform.cell.archiveFolder, 'case-'));
    cpSync(from, platform.folder, { recursive: true });
    platform.archive = await filesystemArchive({ folder: platform.folder, clock: () => platform.now });
  };
}

/**
 * Lets both keep the platform log at once, each call to the archive when the schedule says whose is next; then one after
 * the other to their end, and by turns until neither has anything left.
 */
async function tickApart(schedule: readonly (0 | 1)[]): Promise<PlatformCounters> {
  const counters = newPlatformCounters();
  const gates = worlds.map(() => stepped(platform.archive));
  const turns = worlds.map(({ audit }, index) =>
    platformTurn({ audit, counters, archive: gates[index]?.archive ?? expect.fail() }),
  );
  const works = turns.map((turn) => turn());
  for (const of of schedule) await gates[of]?.step(works[of] ?? expect.fail());
  for (const [index, gate] of gates.entries()) {
    gate.release();
    await works[index];
  }
  for (let left = 1, round = 0; left > 0; round++) {
    expect(round, 'turns until nothing is left').toBeLessThan(20);
    left = 0;
    for (const turn of turns) if ((await turn()) !== 'idle') left += 1;
  }
  return counters;
}

/** One case: events of each database's own, then both at once. */
async function expectOneLog(restore: () => Promise<void>, schedule: readonly (0 | 1)[]): Promise<void> {
  await restore();
  signed.length = 0;
  const own: number[] = [];
  for (const { audit } of worlds) {
    own.push(++events);
    await recordPlatformEvent(audit, { type: 'key.rotated', detail: { number: events }, at: platform.now });
  }
  expect(await tickApart(schedule)).toMatchObject({ failures: 0 });
  minutePasses();
  expect(await tickApart([])).toMatchObject({ failures: 0 });
  expectNothingSignedTwice();
  const answer = await verifyPlatform({
    source: folderSource(platform.folder),
    root: '',
    region: 'eu',
    keys: [TEST_VERIFIER],
  });
  expect(answer.integrity).toMatchObject({ verdict: 'pass' });
  expect(answer.completeness).toMatchObject({ verdict: 'pass' });
  const archived = entriesInArchive();
  for (const number of own) expect(archived.filter(({ detail }) => detail['number'] === number)).toHaveLength(1);
  await expectArchived();
}

function expectNothingSignedTwice(): void {
  const roots = new Map<string, string>();
  for (const text of signed) {
    const { origin, size, root } = parseCheckpoint(text);
    const hex = Buffer.from(root).toString('hex');
    expect(hex, `two roots were signed for ${origin} ${size}`).toBe(roots.get(`${origin} ${size}`) ?? hex);
    roots.set(`${origin} ${size}`, hex);
  }
}

function ticksOf(folder: string): ReturnType<typeof parsePlatformTick>[] {
  const place = join(folder, 'v1/eu/platform');
  return readdirSync(place).flatMap((epoch) => {
    const names = readdirSync(join(place, epoch, 'cp')).filter((name) => name.endsWith('.json.gz'));
    return names.map((name) => parsePlatformTick(gunzipSync(readFileSync(join(place, epoch, 'cp', name)))));
  });
}

function entriesInArchive() {
  const entries = ticksOf(platform.folder).flatMap((tick) => tick.entries);
  return entries.flatMap((text) => {
    const entry = parsePlatformEntry(Buffer.from(text));
    return entry.kind === 'event' ? [entry] : [];
  });
}

/** What either database shows as archived stands in the archive as it shows it. */
async function expectArchived(): Promise<void> {
  const notes = new Set(ticksOf(platform.folder).map(({ checkpoint }) => checkpoint));
  for (const { superuser } of worlds) {
    const { rows } = await superuser.query<{ checkpoint: string }>(
      `select checkpoint from app.platform_ticks where checkpoint is not null`,
    );
    for (const { checkpoint } of rows) expect(notes).toContain(checkpoint);
  }
}

/** Lets the first come so far, then the second, then the first to its end, then the second. */
const oneSwitch = (first: number, second: number): (0 | 1)[] => [
  ...Array.from({ length: first }, () => 0 as const),
  ...Array.from({ length: second }, () => 1 as const),
];

const LONG = { timeout: 240_000 };

describe('two databases with one past that keep the platform log at once', () => {
  test('sign one log, wherever one stops for the other', LONG, async () => {
    const restore = await makePast({ archived: 1, isPlanned: false });
    for (let first = 0; first < CALLS; first++) {
      for (let second = 0; second < CALLS; second++) await expectOneLog(restore, oneSwitch(first, second));
    }
  });

  test.each(PASTS)('behind %s: sign one log in whatever order their calls reach the archive', LONG, async (_, past) => {
    const restore = await makePast(past);
    const anySchedule = fc.array(fc.constantFrom(0 as const, 1 as const), { minLength: 4, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(anySchedule, (schedule) => expectOneLog(restore, schedule)),
      { numRuns: 40, endOnFailure: true },
    );
  });
});

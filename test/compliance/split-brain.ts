import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { expect } from 'vitest';
import { parseEntry } from '#schema/audit-event.ts';
import type { Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { outboxOf, type OutboxRow } from '../../compliance/outbox-reader.ts';
import { createSealer, type SealingTurn } from '../../compliance/sealer.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { keysOf } from './archive-contract.ts';
import { anEvent } from './an-event.ts';
import { DAY_MS, sealing } from './sealing.ts';

/** Events that both databases hold behind what was signed last, and those that each holds behind them alone. */
export interface Tails {
  readonly common: number;
  readonly own: readonly [number, number];
}

/** Writes the events and sequences them in the databases that hold them; returns their ids. */
export async function logApart(audits: readonly pg.Pool[], tenant: Id<'tnt'>, tails: Tails): Promise<string[]> {
  const [first, second] = audits as [pg.Pool, pg.Pool];
  const ids: string[] = [];
  for (const [count, pools] of [
    [tails.common, audits],
    [tails.own[0], [first]],
    [tails.own[1], [second]],
  ] as const) {
    const events = Array.from({ length: count }, () => anEvent(tenant));
    await sealing.cell.write(tenant, events);
    const rows = await takeRows(count);
    for (const pool of pools) await sequence(pool, rows, sealing.now);
    ids.push(...events.map(({ id }) => id));
  }
  return ids;
}

async function takeRows(count: number): Promise<OutboxRow[]> {
  if (count === 0) return [];
  const outbox = outboxOf(sealing.cell.tenants);
  for (;;) {
    const rows = await outbox.take({ limit: 1000, skipPositions: [], skipTenants: [] });
    if (rows.length < count) continue;
    await sealing.cell.superuserOfTenants.query('delete from app.outbox');
    return rows;
  }
}

/** Returns a sealer over a database; its clock goes after by so much. */
export function sealerOver(audit: pg.Pool, archive: Archive, lateMs: number): () => Promise<SealingTurn> {
  return createSealer({
    audit,
    archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock: () => new Date(sealing.now.getTime() + lateMs),
    sealIntervalMs: 0,
    retentionMs: 90 * DAY_MS,
    log: () => undefined,
  });
}

/** An archive whose every call waits for its turn. */
export interface Stepped {
  readonly archive: Archive;
  /** Lets the next call happen; false where the work ends without one. */
  step(work: Promise<unknown>): Promise<boolean>;
  /** From now on nothing waits. */
  release(): void;
}

/** Returns the archive, its calls stopped. */
export function stepped(archive: Archive): Stepped {
  const waiting: { start: () => void; ended: Promise<void> }[] = [];
  let isFree = false;
  let arrived = (): void => undefined;
  const through = async <T>(call: () => Promise<T>): Promise<T> => {
    if (isFree) return call();
    let start = (): void => undefined;
    let end = (): void => undefined;
    const mayStart = new Promise<void>((resolve) => (start = resolve));
    waiting.push({ start, ended: new Promise<void>((resolve) => (end = resolve)) });
    arrived();
    await mayStart;
    return call().finally(end);
  };
  return {
    archive: around(archive, through),
    step: async (work) => {
      const isThere = new Promise<void>((resolve) => (arrived = resolve));
      if (waiting.length === 0) await Promise.race([isThere, work]);
      const next = waiting.shift();
      next?.start();
      await next?.ended;
      return next !== undefined;
    },
    release: () => {
      isFree = true;
      for (const { start } of waiting.splice(0)) start();
    },
  };
}

/**
 * Lets both seal at once, each call to the archive when the schedule says whose is next, and both to their end, one after
 * the other, where it is over; then by turns until neither has anything left.
 */
export async function sealApart(workers: readonly [Worker, Worker], schedule: readonly (0 | 1)[]): Promise<void> {
  const gates = workers.map(({ archive }) => stepped(archive));
  const turns = workers.map(({ audit, lateMs }, index) =>
    sealerOver(audit, gates[index]?.archive ?? expect.fail(), lateMs),
  );
  const works = turns.map((turn) => turn());
  for (const of of schedule) await gates[of]?.step(works[of] ?? expect.fail());
  for (const [index, gate] of gates.entries()) {
    gate.release();
    expect((await works[index])?.failures).toEqual([]);
  }
  for (let left = 2, round = 0; left > 0; round++) {
    expect(round, 'turns until nothing is left').toBeLessThan(20);
    left = 0;
    for (const turn of turns) {
      const { unsealed, failures } = await turn();
      expect(failures).toEqual([]);
      left += unsealed;
    }
  }
}

/** One of the two. */
export interface Worker {
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly lateMs: number;
}

/** Returns the ids of the events that an archive holds under a manifest, but for those that open epochs. */
export async function archivedIds(archive: Archive, tenant: Id<'tnt'>): Promise<string[]> {
  const ids: string[] = [];
  for (const key of await keysOf(archive, `v1/eu/${tenant}/`)) {
    if (!key.includes('/man/')) continue;
    const { segment } = JSON.parse((await archive.get(key)).toString()) as { segment: { key: string } };
    for (const line of gunzipSync(await archive.get(segment.key))
      .toString()
      .split('\n')
      .slice(0, -1)) {
      const { event } = parseEntry(Buffer.from(line));
      if (event.action !== 'log.epoch_opened') ids.push(event.id);
    }
  }
  return ids;
}

/** Returns the archive with each call that a sealer makes going through the function. */
export function around(archive: Archive, through: <T>(call: () => Promise<T>) => Promise<T>): Archive {
  return {
    ...archive,
    put: (...args) => through(() => archive.put(...args)),
    head: (key) => through(() => archive.head(key)),
    get: (key) => through(() => archive.get(key)),
    list: async function* (prefix) {
      yield* await through(() => keysOf(archive, prefix));
    },
  };
}

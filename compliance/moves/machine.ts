import { setTimeout as sleep } from 'node:timers/promises';
import { forgetTenant } from '#kit/directory.ts';
import type { MovePhase } from '#schema/tenant-move.ts';
import type { WorkerCell } from '../worker.ts';
import { leftObjects, newArchiveCopy } from './archive-copy.ts';
import { signMove, type MovePlace } from './certificate.ts';
import type { MoveEnd } from './end.ts';
import { FenceLifted, isBusy, standingAt, takeUpAgain, whileHeld, type Fence } from './fence.ts';
import { openArrivedLog, requireSettledLog } from './log-arrival.ts';
import { giveUpStore, noteMove, readMove, turnDirectory, type MoveNote } from './move-store.ts';
import { MoveCancelled, recordPhase, requireWanted, withEnds, type MoverOptions, type MoveScope } from './mover.ts';
import { copyRows, countRows, identifier, removeRows, type RowPath } from './row-copy.ts';
import { closeChanges, newFollower, openChanges, type Follower } from './row-follower.ts';
import { compareChanged, compareWhole, sumsOf } from './row-sums.ts';

/** A tenant is held for so long at most. */
const BUDGET_MS = 3_000;
/** She is held once a round of following takes no longer than this, or after so many, for rounds get no shorter. */
const CLOSE_MS = 300;
const MOST_ROUNDS = 50;
/** After a try that had to be given up; longer each time. */
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 30_000;
const PROGRESS_EVERY_MS = 500;

/**
 * Drives a move to its end, from wherever it is: called again after a breakdown at any point it goes on or begins anew,
 * and nothing of the tenant is lost or doubled. Until the tenant is sent to her new cell a cancellation takes all of it
 * back. Throws what kept it from going on.
 */
export async function driveMove(options: MoverOptions, id: string): Promise<void> {
  const { databases } = options.platform;
  for (;;) {
    const move = await readMove(databases, id);
    if (move.phase === 'done' || move.phase === 'cancelled') return;
    await options.onStep?.(move.phase);
    await withEnds(options, move, (scope) => PHASES[move.phase]?.(scope) ?? Promise.resolve());
  }
}

const PHASES: Readonly<Partial<Record<MovePhase, (scope: MoveScope) => Promise<void>>>> = {
  requested: unlessCancelled(begin),
  copying: unlessCancelled(copy),
  following: unlessCancelled(follow),
  switching: switchOver,
  removing: remove,
  cancelling: cancel,
};

function unlessCancelled(phase: (scope: MoveScope) => Promise<void>): (scope: MoveScope) => Promise<void> {
  return async (scope) => {
    try {
      await requireWanted(scope);
      await phase(scope);
    } catch (error) {
      if (!(error instanceof MoveCancelled)) throw error;
      await note(scope, { phase: 'cancelling' });
    }
  };
}

async function begin(scope: MoveScope): Promise<void> {
  await recordPhase(scope, 'copying');
  await note(scope, { phase: 'copying' });
}

/** Begun again, it begins from nothing: what was copied is of a moment that is gone. */
async function copy(scope: MoveScope): Promise<void> {
  const paths = pathsOf(scope);
  for (const { target } of paths) await mark(scope, target, 'arriving');
  for (const { target } of paths) await removeRows(target);
  for (const path of paths) await openChanges(path);
  const counts = await Promise.all(paths.map(({ source }) => countRows(source)));
  const progressTotal = counts.reduce((sum, rows) => sum + rows, 0);
  const report = progressOf(scope, (progressDone) => ({ progressDone, progressTotal }));
  for (const path of paths) await copyRows(path, report);
  await scope.options.onStep?.('copied');
  await note(scope, { phase: 'following', progressDone: progressTotal, progressTotal });
}

/** Follows until little is left to bring over, compares, holds her for the rest, and passes the point of no return. */
async function follow(scope: MoveScope): Promise<void> {
  const paths = pathsOf(scope);
  const sources = paths.map(({ source }) => source);
  // What a process that broke off has left behind.
  await takeUpAgain(sources);
  const followers = await Promise.all(
    paths.map(async (path): Promise<Followed> => ({ path, follower: await newFollower(path) })),
  );
  const archive = archiveOf(scope);
  const catchUpWith = async () => {
    const changes = await roundOf(followers);
    await archive();
    return changes;
  };
  let { fences } = scope.move;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS)) {
    await catchUp(scope, catchUpWith);
    for (const { path, follower } of followers) await compareWhole(path, follower);
    await catchUp(scope, catchUpWith);
    try {
      if (await isBusy(sources)) throw new FenceLifted('a transaction of the worker runs for long');
      fences += 1;
      await note(scope, { fences });
      const { budgetMs = BUDGET_MS } = scope.options;
      const hold = { ends: sources, tenantId: scope.tenantId, moveId: scope.move.id, budgetMs };
      return await whileHeld(hold, (fence) => turn(scope, { fence, followers, archive }));
    } catch (error) {
      if ((await readMove(scope.options.platform.databases, scope.move.id)).phase !== 'following') throw error;
      await takeUpAgain(sources);
      if (!(error instanceof FenceLifted)) throw error;
      await note(scope, { obstacle: error.message });
      await sleep(pauseMs);
    }
  }
}

function archiveOf({ from, to, audit }: MoveScope): () => Promise<number> {
  if (audit === null) return () => Promise.resolve(0);
  return newArchiveCopy({
    source: from.archive,
    target: to.archive,
    audit: audit.source,
    fromRegion: from.region,
    toRegion: to.region,
  });
}

interface Followed {
  readonly path: RowPath;
  readonly follower: Follower;
}

async function roundOf(followers: readonly Followed[]): Promise<number> {
  const changes = await Promise.all(followers.map(({ follower }) => follower.catchUp()));
  return changes.reduce((sum, count) => sum + count, 0);
}

async function catchUp(scope: MoveScope, round: () => Promise<unknown>): Promise<void> {
  for (let rounds = 0; rounds < MOST_ROUNDS; rounds += 1) {
    await requireWanted(scope);
    const startedMs = performance.now();
    await round();
    if (performance.now() - startedMs <= CLOSE_MS) return;
  }
}

interface Turning {
  readonly fence: Fence;
  readonly followers: readonly Followed[];
  readonly archive: () => Promise<number>;
}

/** The whole was compared while she worked, so what has changed since is all that can differ. */
async function turn(scope: MoveScope, { fence, followers, archive }: Turning): Promise<void> {
  await scope.options.onStep?.('held');
  if (scope.audit !== null) await requireSettledLog(scope.audit);
  while ((await roundOf(followers)) > 0) fence.checkTime();
  await archive();
  fence.checkTime();
  const counts = await Promise.all(followers.map(({ path, follower }) => compareChanged(path, follower.changedRows())));
  fence.checkTime();
  const left = scope.audit === null ? { objects: 0, lockedUntil: null } : await leftObjects(scope.audit.source);
  // Whoever ends before the next note finds her held here, and lets her go again.
  for (const { source } of pathsOf(scope)) await mark(scope, source, 'departed');
  await scope.options.onStep?.('departed');
  await note(scope, { phase: 'switching', left, comparedRows: counts.reduce((sum, count) => sum + count, 0) });
  await switchOver(scope);
  await note(scope, { fenceMs: Math.round(fence.heldMs()) });
}

/**
 * From here on there is no way back but another move: nobody can write at the source any more, so the target becomes what
 * counts, and the directory sends everybody there. Each step can be done twice.
 */
async function switchOver(scope: MoveScope): Promise<void> {
  const { options, move, to } = scope;
  const { signer, olderKeys = [], retentionMs } = options;
  const { clock } = options.platform;
  const sealing = { archive: to.archive, region: to.region, signer, olderKeys, clock, retentionMs };
  for (const { target } of pathsOf(scope)) await raisePositions(target);
  if (scope.audit !== null) await openArrivedLog(scope.audit, sealing, scope.tenantId);
  await options.onStep?.('opened');
  await scope.cell.target.inContext(async (tx) => {
    if ((await standingAt(tx)) === 'arriving')
      await tx.query('select tenon.settle_tenant($1, $2)', [to.region, to.name]);
  });
  await turnDirectory(options.platform.databases, move, { region: to.region, at: clock() });
  await options.onStep?.('turned');
  await arrive(scope);
}

/** Her rows count at the target, and whoever remembers her credentials asks again, where they are now. */
async function arrive(scope: MoveScope): Promise<void> {
  for (const { target } of pathsOf(scope)) await target.inContext((tx) => tx.query('select tenon.end_absence()'));
  forgetTenant(scope.options.platform.databases, scope.move.tenant);
  await scope.cell.source.inContext((tx) =>
    tx.query(`select tenon.announce('credentials', $1, null)`, [scope.tenantId]),
  );
}

/** Removes what was left behind, and certifies the move. */
async function remove(scope: MoveScope): Promise<void> {
  const { options, move, from, to } = scope;
  await arrive(scope);
  const sources = pathsOf(scope).map(({ source }) => source);
  for (const source of sources) await closeChanges({ source });
  await scope.cell.source.inContext((tx) => tx.query(FORGET_JOBS, [scope.tenantId]));
  // Nothing changes there any more.
  if (move.sums === null) {
    const sums = await Promise.all(pathsOf(scope).map(({ source, store }) => sumsOf(source, store)));
    return note(scope, { sums: sums.flat() });
  }
  let removed = move.removed;
  const report = async (rows: number) => note(scope, { removed: (removed += rows) });
  for (const source of sources) await removeRows(source, report);
  await options.onStep?.('removed');
  const endedAt = options.platform.clock();
  await giveUpStore(options.platform.databases, { cell: move.fromCell, store: move.fromStore }, endedAt);
  const facts = {
    move,
    from: placeOf(from, move.fromStore),
    to: placeOf(to, move.toStore),
    removedRows: removed,
    endedAt,
  };
  const certificate = signMove(facts, options.signer);
  await recordPhase(scope, 'done');
  await note(scope, { phase: 'done', endedAt, certificate, obstacle: null });
}

/** Jobs of hers wait in her own table, from which they are handed on where she is now. */
const FORGET_JOBS = `delete from graphile_worker._private_jobs where payload ->> 'tenant' = $1 and locked_at is null`;

/** Takes back all that was done; where she lives has not changed. */
async function cancel(scope: MoveScope): Promise<void> {
  const paths = pathsOf(scope);
  await takeUpAgain(paths.map(({ source }) => source));
  for (const { source, target } of paths) {
    await closeChanges({ source });
    if ((await target.inContext(standingAt)) !== 'arriving') continue;
    await removeRows(target);
    await mark(scope, target, 'departed');
  }
  const { databases, clock } = scope.options.platform;
  await giveUpStore(databases, { cell: scope.move.toCell, store: scope.move.toStore }, clock());
  await recordPhase(scope, 'cancelled');
  await note(scope, { phase: 'cancelled', endedAt: clock() });
}

function pathsOf({ cell, audit }: MoveScope): readonly RowPath[] {
  return audit === null ? [cell] : [cell, audit];
}

function placeOf({ name, region }: WorkerCell, store: string): MovePlace {
  return { cell: name, region, store };
}

function mark({ move }: MoveScope, end: MoveEnd, standing: 'arriving' | 'departed'): Promise<unknown> {
  return end.inContext((tx) => tx.query('select tenon.set_absence($1, $2)', [move.id, standing]));
}

function note({ options, move }: MoveScope, what: MoveNote): Promise<void> {
  return noteMove(options.platform.databases, move.id, what);
}

/** Counts rows, and says now and then how many there were. */
function progressOf(scope: MoveScope, noteOf: (done: number) => MoveNote): (rows: number) => Promise<void> {
  let done = 0;
  let dueMs = performance.now();
  return async (rows) => {
    done += rows;
    if (performance.now() < dueMs) return;
    dueMs = performance.now() + PROGRESS_EVERY_MS;
    await requireWanted(scope);
    await note(scope, noteOf(done));
  };
}

/** What is written here from now on comes behind what came along. */
function raisePositions(end: MoveEnd): Promise<void> {
  return end.inContext(async (tx) => {
    const tables = await tx.query<{ name: string }>(
      `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'app'::regnamespace and a.attname = 'position' and a.attidentity = 'a'`,
    );
    for (const { name } of tables)
      await tx.query(
        `select tenon.raise_position($1, max(position)) from app.${identifier(name)} having max(position) is not null`,
        [name],
      );
  });
}

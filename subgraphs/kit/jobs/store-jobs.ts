import { setTimeout as pause } from 'node:timers/promises';
import { runOnce } from 'graphile-worker';
import type pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import { storeUrl } from '#schema/tenant-store.ts';
import { cellStoresOf, type CellStore } from '#kit/cell-stores.ts';
import { log } from '#kit/log.ts';
import { scopedPool } from '#kit/store-scope.ts';
import { newStoreWalk, type VisitResult } from '#kit/store-walk.ts';
import { LANES, type Lane } from './job-kind.ts';
import { queueLogger, queueSchema } from './job-queue.ts';
import { jobTasks, newTaker, type LaneWork, type Taker } from './job-tasks.ts';
import { openLiveness } from './liveness.ts';
import { deleteOld, handOnStuck, releaseDead } from './recovery.ts';

/** What the jobs of a cell's stores beside its pool are run with. */
export interface StoreJobsOptions extends Omit<LaneWork, 'lane'> {
  readonly cell: { readonly name: string; readonly database: string };
}

/** Stores whose jobs run beside each other, by lane: each has one tenant, who is not let wait for others' long ones. */
const STORES_AT_ONCE: Readonly<Record<Lane, number>> = { quick: LANES.quick.atOnce, long: LANES.long.atOnce };
/** A store's own pool is small, and what runs in it needs connections too. */
const JOBS_AT_ONCE = 2;
const LOOK_MS = 1_000;

interface Running {
  readonly stop: () => void;
  readonly ended: Promise<void>;
}

/** Jobs under way, by lane and store. */
type Lanes = Readonly<Record<Lane, Map<string, Running>>>;

/**
 * Runs the jobs of the stores beside the pool, each out of its own queue, while there are any: a store without jobs is not
 * listened to, but looked at within a second after something was written there. Resolves some time after the signal.
 */
export async function runStoreJobs(options: StoreJobsOptions, stopping: AbortSignal): Promise<void> {
  const stores = cellStoresOf(options.platform.databases, options.cell.name);
  const lanes: Lanes = { quick: new Map(), long: new Map() };
  const walk = newStoreWalk({ stores, what: 'jobs', visit: (store) => visit({ options, lanes, stopping }, store) });
  while (!stopping.aborted) {
    await walk().catch((error: unknown) =>
      log('warn', `jobs of stores were not looked for: ${asTenonError(error).message}`, { cell: options.cell.name }),
    );
    await pause(LOOK_MS, undefined, { signal: stopping }).catch(ignore);
  }
  const all = Object.values(lanes).flatMap((running) => Array.from(running.values()));
  for (const { stop } of all) stop();
  await Promise.all(all.map(({ ended }) => ended));
}

interface Visit {
  readonly options: StoreJobsOptions;
  readonly lanes: Lanes;
  readonly stopping: AbortSignal;
}

/** Only begins the work: a long job must not keep the others from being visited. */
async function visit(visiting: Visit, store: CellStore): Promise<VisitResult> {
  const { options, lanes } = visiting;
  const { rows } = await store.statements.query<{ lane: Lane }>(
    `select distinct lane from app.jobs where state in ('queued', 'running', 'failed')`,
  );
  if (rows.length === 0) {
    await deleteOld(store.statements, options.platform.clock());
    return 'idle';
  }
  for (const { lane } of rows) {
    const running = lanes[lane];
    if (running.has(store.name) || running.size >= STORES_AT_ONCE[lane]) continue;
    begin(visiting, store, lane);
  }
  return 'waiting';
}

function begin({ options, lanes, stopping }: Visit, { name }: CellStore, lane: Lane): void {
  let stop: () => void = ignore;
  const onStop = (stopNow: () => void) => {
    stop = stopNow;
    if (stopping.aborted) stopNow();
  };
  const ended = runLane({ ...options, lane }, name, onStop)
    .catch((error: unknown) =>
      log('error', `jobs of a store are not run: ${asTenonError(error).message}`, { store: name }),
    )
    .finally(() => lanes[lane].delete(name));
  lanes[lane].set(name, { stop: () => stop(), ended });
}

async function runLane(
  { cell, ...work }: StoreJobsOptions & LaneWork,
  store: string,
  onStop: (stop: () => void) => void,
): Promise<void> {
  const { platform } = work;
  const liveness = await openLiveness(storeUrl(cell.database, store));
  const { pool, giveBack } = await platform.databases.stores.lend({ cell: cell.name, store }).catch(async (error) => {
    await liveness.close();
    throw error;
  });
  const taker = newTaker(liveness);
  onStop(taker.stop);
  try {
    await releaseDead(scopedPool(pool, store));
    await handOnStuck(platform, scopedPool(pool, store));
    await Promise.race([takeAll(work, { pool, schema: queueSchema(store) }, taker), liveness.lost]);
  } catch (error) {
    taker.stop();
    throw error;
  } finally {
    await liveness.close();
    giveBack();
  }
}

async function takeAll(
  work: LaneWork,
  { pool, schema }: { readonly pool: pg.Pool; readonly schema: string },
  taker: Taker,
): Promise<void> {
  await runOnce({
    pgPool: pool,
    schema,
    concurrency: JOBS_AT_ONCE,
    noHandleSignals: true,
    logger: queueLogger(),
    taskList: jobTasks(work, taker.ready),
    events: taker.events,
  });
}

function ignore(): void {}

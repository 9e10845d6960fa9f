import { setTimeout as pause } from 'node:timers/promises';
import { parseCronItems, run, type ParsedCronItem, type Runner, type TaskList } from 'graphile-worker';
import pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { log } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import { onlyTo, stampOf } from '#kit/store-stamp.ts';
import { LANES, type CellTurn, type JobKind, type Lane } from './job-kind.ts';
import { listenForErrors, QUEUE_SCHEMA, queueLogger } from './job-queue.ts';
import { jobTasks, newTaker } from './job-tasks.ts';
import { openLiveness, type Liveness } from './liveness.ts';
import { deleteOld, handOnStuck, releaseDead } from './recovery.ts';
import { runStoreJobs } from './store-jobs.ts';

/** What a process runs jobs with. */
export interface JobRunnerOptions {
  /** Its databases are opened in the role of the worker. */
  readonly platform: Platform;
  readonly kinds: readonly JobKind[];
  readonly turns?: readonly CellTurn[];
  /** How long jobs under way may go on after `stop` before they are told to end. */
  readonly drainMs?: number;
  /** How often it looks for what others left behind. */
  readonly recoveryMs?: number;
}

/** A process that runs jobs. */
export interface JobRunner {
  /** Takes no new job, waits for those under way, and gives back what does not end in time. */
  stop(): Promise<void>;
}

const DRAIN_MS = 5_000;
const RECOVERY_MS = 5_000;
/** Jobs are announced; this is for those that come back after a pause, and for an announcement that was lost. */
const POLL_MS = 1_000;
const RESTART_MS = 2_000;
const DAY_MS = 24 * 3_600_000;

/**
 * Runs the jobs of every cell of the platform until it is stopped. Many processes may: each job goes to one of them, and
 * what one leaves behind goes to another. Cells' addresses have to lead to PostgreSQL itself, for a job is announced by
 * LISTEN and a process is known by its locks, neither of which a pooler of transactions keeps. A cell that is away is tried
 * again; nothing of it delays the others.
 */
export function startJobRunner(options: JobRunnerOptions): JobRunner {
  requireNames(options);
  const stopping = new AbortController();
  const cells = options.platform.databases.cells.map((cell) => keepRunning({ ...options, cell }, stopping.signal));
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(cells);
    },
  };
}

function requireNames({ kinds, turns = [] }: JobRunnerOptions): void {
  const names = [...kinds, ...turns].map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two kinds of job are named ${twice}`);
}

interface CellOptions extends JobRunnerOptions {
  readonly cell: CellSettings;
}

async function keepRunning(options: CellOptions, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    try {
      await runCell(options, stopping);
    } catch (error) {
      log('error', `jobs are not run: ${asTenonError(error).message}`, { cell: options.cell.name });
    }
    if (!stopping.aborted) await pause(RESTART_MS, undefined, { signal: stopping }).catch(ignore);
  }
}

/** Resolves once it is stopped; rejects where the database or the lock of this process is lost. */
async function runCell(options: CellOptions, stopping: AbortSignal): Promise<void> {
  const pool = new pg.Pool({
    connectionString: options.cell.database,
    max: 8,
    application_name: 'tenon jobs',
    ...onlyTo(stampOf(options.cell, 'cell')),
  });
  listenForErrors(pool);
  const ending = new AbortController();
  const liveness = await openLiveness(options.cell.database).catch(async (error: unknown) => {
    await pool.end();
    throw error;
  });
  const recovery = startRecovery(options, pool);
  const leaving = new AbortController();
  const stores = runStoreJobs({ ...options, ending: ending.signal }, leaving.signal);
  const runners: Runner[] = [];
  try {
    for (const lane of Object.keys(LANES) as Lane[]) {
      const runner = await startLane({ ...options, lane, pool, liveness, ending: ending.signal });
      if (runner !== null) runners.push(runner);
    }
    await Promise.race([aborted(stopping), liveness.lost, ...runners.map(({ promise }) => promise)]);
  } finally {
    const drain = setTimeout(() => ending.abort(), options.drainMs ?? DRAIN_MS);
    leaving.abort();
    await Promise.all([recovery.stop(), stores, ...runners.map((runner) => runner.stop().catch(ignore))]);
    clearTimeout(drain);
    await liveness.close();
    await pool.end();
  }
}

interface LaneOptions extends CellOptions {
  readonly lane: Lane;
  readonly pool: pg.Pool;
  readonly liveness: Liveness;
  readonly ending: AbortSignal;
}

async function startLane(options: LaneOptions): Promise<Runner | null> {
  const { lane, pool, liveness } = options;
  const { events, ready } = newTaker(liveness);
  const taskList = { ...jobTasks(options, ready), ...(lane === 'long' ? turnTasks(options, ready) : {}) };
  if (Object.keys(taskList).length === 0) return null;
  return run({
    pgPool: pool,
    schema: QUEUE_SCHEMA,
    concurrency: LANES[lane].atOnce,
    noHandleSignals: true,
    pollInterval: POLL_MS,
    logger: queueLogger(),
    taskList,
    parsedCronItems: lane === 'long' ? cronItems(options.turns ?? []) : [],
    events,
  });
}

function turnTasks({ platform, turns = [], cell, ending }: LaneOptions, ready: Promise<string>): TaskList {
  return Object.fromEntries(
    turns.map((turn) => [
      turn.name,
      async () => {
        await ready;
        await turn.run({ platform, cell: cell.name, signal: ending }).catch((error: unknown) => {
          log('error', `${turn.name} failed: ${asTenonError(error).message}`, { cell: cell.name });
          throw error;
        });
      },
    ]),
  );
}

function cronItems(turns: readonly CellTurn[]): ParsedCronItem[] {
  return parseCronItems(
    turns.map(({ name, schedule }) => ({
      task: name,
      match: schedule,
      options: { backfillPeriod: DAY_MS, maxAttempts: 10, jobKey: name },
    })),
  );
}

function startRecovery({ platform, cell, recoveryMs = RECOVERY_MS }: CellOptions, pool: pg.Pool) {
  const stopping = new AbortController();
  const turn = async () => {
    await releaseDead(pool);
    await handOnStuck(platform, pool);
    await deleteOld(pool, platform.clock());
  };
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      await turn().catch((error: unknown) =>
        log('warn', `jobs were not looked after: ${asTenonError(error).message}`, { cell: cell.name }),
      );
      await pause(recoveryMs, undefined, { signal: stopping.signal }).catch(ignore);
    }
  })();
  return {
    stop: async () => {
      stopping.abort();
      await loop;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function ignore(): void {}

import { asTenonError, type ErrorCode } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { log as logLine } from '#kit/log.ts';
import { keepAlarmsOf, raiseAlarmOf } from '../alarm.ts';
import { alone } from '../alone.ts';
import { inTransaction } from '../log-store.ts';
import type { TurnResult } from '../turn-loop.ts';
import { archiveTick, type TickArchivingOptions } from './archiving.ts';
import { openNextEpoch } from './next-epoch.ts';
import { planTick, type Planned, type PlanningOptions, type RememberedHeads } from './planning.ts';
import { oldestOpenTick, raisePlatformAlarm, readLog } from './platform-store.ts';

/** What keeping the platform log of one cell needs. */
export interface PlatformTurnOptions extends TickArchivingOptions {
  /** How long an object is kept at least. */
  readonly retentionMs: number;
  /** Ticks come at the multiples of this time; `PLATFORM_INTERVAL_MS` without it. */
  readonly intervalMs?: number;
  /** Is updated in place. */
  readonly counters?: PlatformCounters;
  readonly log?: typeof logLine;
}

/** What a worker has done for a platform log since it started, and how it stands. */
export interface PlatformCounters {
  ticksPlanned: number;
  ticksArchived: number;
  headsWritten: number;
  epochsOpened: number;
  failures: number;
  /** When the newest archived tick was planned in this process; 0 before the first. */
  lastArchivedAtMs: number;
}

/**
 * The heartbeat of a platform log, in milliseconds. A minute is promised from the commit of an event to the checkpoint that
 * covers it, which is this time and that of sequencing and archiving.
 */
export const PLATFORM_INTERVAL_MS = 30_000;

/** What operators read while ticks do not reach the archive. */
const ALARMS: Partial<Record<ErrorCode, string>> = {
  SERVICE_UNAVAILABLE: 'The archive does not take the platform log; it is tried again until it does.',
  RETENTION_LOCKED: 'The archive holds something else under the name of a tick of the platform log.',
  NOT_FOUND: 'The archive no longer holds the newest tick of the platform log.',
  CONFLICT: 'The platform log does not continue what was signed before; nothing more is signed.',
};
const OTHER_ALARM = 'The platform log cannot go on.';
/** What a tenant's operators and auditors read. */
const SHRUNK_ALARM = 'The log holds less than the platform log has recorded of it.';
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;
/** Ticks brought into the archive in one turn: what an hour without it has left goes in a minute. */
const MOST_TICKS = 120;

/** Returns counters at zero. */
export function newPlatformCounters(): PlatformCounters {
  return { ticksPlanned: 0, ticksArchived: 0, headsWritten: 0, epochsOpened: 0, failures: 0, lastArchivedAtMs: 0 };
}

interface TurnState {
  readonly options: PlatformTurnOptions;
  readonly counters: PlatformCounters;
  readonly log: typeof logLine;
  heads: RememberedHeads | null;
  /** The interval, counted from 1970, in which this worker has nothing more to do. */
  doneInterval: number;
  /** Monotonic, for wall clocks jump. */
  plannedMs: number;
  failures: number;
  retryAtMs: number;
}

/**
 * Returns the function that keeps the platform log of a cell: each time it is called it plans a tick where the next
 * interval has begun, and brings ticks that are planned into the archive, oldest first. While the archive is away ticks go
 * on being planned, unsigned, so that none is missing afterwards. Several workers may run it over one cell; ended at
 * any point, the next call of any goes on with the same bytes.
 */
export function createPlatformTurn(options: PlatformTurnOptions): () => Promise<TurnResult> {
  const { counters = newPlatformCounters(), log = logLine } = options;
  const state: TurnState = {
    options,
    counters,
    log,
    heads: null,
    doneInterval: -1,
    plannedMs: -Infinity,
    failures: 0,
    retryAtMs: -Infinity,
  };
  return async () => {
    const interval = intervalOf(options, options.clock());
    if (state.doneInterval === interval) return 'idle';
    const result = await alone(options.audit, 'platform', async () => {
      const planned = await planDue(state);
      return (await archiveOpen(state)) ?? (planned ? 'worked' : 'idle');
    });
    if (result === 'idle') state.doneInterval = interval;
    return result ?? 'waiting';
  };
}

function intervalOf({ intervalMs = PLATFORM_INTERVAL_MS }: PlatformTurnOptions, time: Date): number {
  return Math.floor(time.getTime() / intervalMs);
}

async function planDue(state: TurnState): Promise<boolean> {
  const { options, counters } = state;
  const planning = planningOf(options);
  const { tickedAt } = await readLog(options.audit, { lock: false });
  if (!isDue(state, planning.now, tickedAt)) return false;
  const planned = await inTransaction(options.audit, async (client) => {
    const log = await readLog(client, { lock: true });
    if (!isDue(state, planning.now, log.tickedAt)) return null;
    return planTick(client, { log, heads: takeHeads(state) }, planning);
  });
  if (planned === null) return false;
  await remember(state, planned);
  counters.ticksPlanned += 1;
  return true;
}

/** Memory of a plan that fails half way would be wrong: it comes back with the plan that succeeds. */
function takeHeads(state: TurnState): RememberedHeads | null {
  const { heads } = state;
  state.heads = null;
  return heads;
}

function isDue({ options, plannedMs }: TurnState, now: Date, tickedAt: Date | null): boolean {
  if (tickedAt === null) return true;
  // A clock that was set back must neither stop the heartbeat nor hurry it.
  if (now < tickedAt) return performance.now() - plannedMs >= (options.intervalMs ?? PLATFORM_INTERVAL_MS);
  return intervalOf(options, now) > intervalOf(options, tickedAt);
}

async function remember(state: TurnState, { heads, changed, refused }: Planned): Promise<void> {
  const { options, counters, log } = state;
  state.heads = heads;
  state.plannedMs = performance.now();
  counters.headsWritten += changed;
  for (const tenantId of refused) {
    await raiseAlarmOf(options.audit, 'shrunk', { tenantId, sentence: SHRUNK_ALARM, now: options.clock() });
    log('error', 'a log is shorter than the platform log has recorded', {
      cell: options.cell,
      tenant: idOf('tnt', tenantId),
    });
  }
  await keepAlarmsOf(options.audit, 'shrunk', refused);
}

/** Returns null where there is nothing to archive. */
async function archiveOpen(state: TurnState): Promise<TurnResult | null> {
  const { options, counters } = state;
  if (performance.now() < state.retryAtMs) return 'waiting';
  let result: TurnResult | null = null;
  try {
    for (let count = 0; count < MOST_TICKS; count++) {
      const row = await oldestOpenTick(options.audit);
      if (row === null) break;
      if ((await archiveTick(options, row)) === 'archived') {
        counters.ticksArchived += 1;
        counters.lastArchivedAtMs = options.clock().getTime();
      } else await openEpoch(state, row);
      result = 'worked';
    }
    state.failures = 0;
    return result;
  } catch (thrown) {
    await noteFailure(state, thrown);
    return 'waiting';
  }
}

async function openEpoch(state: TurnState, row: Parameters<typeof openNextEpoch>[1]): Promise<void> {
  const { options, counters, log } = state;
  const planned = await openNextEpoch(options, row, planningOf(options));
  if (planned === null) return;
  counters.epochsOpened += 1;
  await remember(state, planned);
  log('error', 'the archive is ahead of the platform log; the next epoch begins', {
    cell: options.cell,
    epoch: planned.heads.epoch,
  });
}

async function noteFailure(state: TurnState, thrown: unknown): Promise<void> {
  const { options, counters, log } = state;
  const error = asTenonError(thrown);
  counters.failures += 1;
  state.failures += 1;
  state.retryAtMs = performance.now() + Math.min(FIRST_RETRY_MS * 2 ** (state.failures - 1), LAST_RETRY_MS);
  log('error', `platform log not archived: ${error.message}`, { cell: options.cell, code: error.code });
  await raisePlatformAlarm(options.audit, ALARMS[error.code] ?? OTHER_ALARM, options.clock());
}

function planningOf({ signer, clock, retentionMs }: PlatformTurnOptions): PlanningOptions {
  return { deployment: signer.name, now: clock(), retentionMs };
}

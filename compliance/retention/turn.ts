import type pg from 'pg';
import { log as logLine } from '#kit/log.ts';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { asTenonError } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { keepAlarmsOf, raiseAlarmOf } from '../alarm.ts';
import { alone } from '../alone.ts';
import { inTransaction } from '../log-store.ts';
import { recordPlatformEvent } from '../platform/event.ts';
import { inParallel } from '../sealing/parallel.ts';
import type { TurnResult } from '../turn-loop.ts';
import { checkObject, holdObject, takeDue, type Deed, type Kept, type KeepingOptions } from './keeping.ts';
import {
  changeObject,
  countFaults,
  tenantsWithFaults,
  dueObjects,
  noteScan,
  objectsToHold,
  openScan,
  uncheckedObjects,
  type KnownObject,
  type ObjectQuery,
} from './object-store.ts';
import { applyWishes, type WishOptions } from './wishes.ts';

/** What keeping the archive of one cell as its tenants want needs. */
export interface RetentionTurnOptions extends WishOptions {
  /** Objects touched in a second at most, each with a handful of requests; 20 without it. */
  readonly objectsPerSecond?: number;
  /** Time between the beginnings of two comparisons; a day without it. */
  readonly scanIntervalMs?: number;
  /** How often tenants' wishes are read; 10,000 without it. */
  readonly wishIntervalMs?: number;
  /** Is updated in place. */
  readonly counters?: RetentionCounters;
  readonly log?: typeof logLine;
}

/** What a worker has done for an archive since it started, and how the archive stands. */
export interface RetentionCounters {
  extended: number;
  held: number;
  released: number;
  removed: number;
  repaired: number;
  checked: number;
  scans: number;
  failures: number;
  /** Objects that the archive does not hold as it should. */
  faults: number;
}

/** Returns counters at zero. */
export function newRetentionCounters(): RetentionCounters {
  return { extended: 0, held: 0, released: 0, removed: 0, repaired: 0, checked: 0, scans: 0, failures: 0, faults: 0 };
}

const OBJECTS_PER_SECOND = 20;
const SCAN_INTERVAL_MS = 24 * 60 * 60 * 1000;
const WISH_INTERVAL_MS = 10_000;
const REST_MS = 1_000;
const FAILURE_REST_MS = 10_000;
/** What an auditor of the tenant reads, until every object is as it was sealed. */
const FAULT_ALARM = 'The archive does not hold an object of the log as it was sealed.';

interface TurnState {
  readonly options: RetentionTurnOptions;
  readonly counters: RetentionCounters;
  readonly log: typeof logLine;
  readonly allowance: Allowance;
  /** Monotonic, for wall clocks jump. */
  wishedMs: number;
  restUntilMs: number;
}

/**
 * Returns the function that keeps the archive of a cell as its tenants want it, some objects each time it is called:
 * places and lifts legal holds, keeps objects for longer when less than a third of their time is left or the tenant
 * wants more, removes objects of ended tenants once nothing keeps them, and compares every object once a day with what
 * is known of it, as the platform event `archive.drift_scanned` tells. Several workers may run it over one cell; ended
 * at any point, the next call of any goes on from there. An archive that is away is waited for.
 */
export function createRetentionTurn(options: RetentionTurnOptions): () => Promise<TurnResult> {
  const { counters = newRetentionCounters(), log = logLine, objectsPerSecond = OBJECTS_PER_SECOND } = options;
  const state: TurnState = {
    options,
    counters,
    log,
    allowance: createAllowance(objectsPerSecond),
    wishedMs: -Infinity,
    restUntilMs: -Infinity,
  };
  return async () => {
    if (performance.now() < state.restUntilMs) return 'idle';
    const result = await alone(options.audit, 'retention', () =>
      takeTurn(state).catch((thrown: unknown) => noteFailure(state, thrown)),
    );
    if (result === 'idle') state.restUntilMs = performance.now() + Math.min(REST_MS, wishIntervalOf(state));
    return result ?? 'waiting';
  };
}

function noteFailure(state: TurnState, thrown: unknown): TurnResult {
  const { options, counters, log } = state;
  const error = asTenonError(thrown);
  counters.failures += 1;
  state.restUntilMs = performance.now() + FAILURE_REST_MS;
  log('error', `archive not kept: ${error.message}`, { cell: options.cell, code: error.code });
  return 'waiting';
}

async function takeTurn(state: TurnState): Promise<TurnResult> {
  const { options } = state;
  if (performance.now() - state.wishedMs >= wishIntervalOf(state)) {
    await applyWishes(options);
    state.wishedMs = performance.now();
  }
  const limit = state.allowance.left();
  if (limit < 1) return 'waiting';
  const query = { now: options.clock(), defaultDays: options.defaultDays, limit };
  const keeping = { archive: options.archive, now: query.now };
  const held = await treat(state, await objectsToHold(options.audit, query), (object) => holdObject(keeping, object));
  if (held.length > 0) return 'worked';
  const due = await dueToday(options, query);
  if ((await treat(state, due, (object) => takeDue(keeping, object))).length > 0) return 'worked';
  return scan(state, query, keeping);
}

/** Before anything is removed the wishes are read again, so that it goes by none that is ten seconds old. */
async function dueToday(options: RetentionTurnOptions, query: ObjectQuery): Promise<KnownObject[]> {
  const due = await dueObjects(options.audit, query);
  if (!due.some(({ wants }) => wants.isEnded)) return due;
  await applyWishes(options);
  return dueObjects(options.audit, query);
}

type Outcome = Kept & { readonly object: KnownObject };

/** Works on the objects and stores what came of it, also of those that were done before one threw. */
async function treat(
  state: TurnState,
  objects: readonly KnownObject[],
  work: (object: KnownObject) => Promise<Kept>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  try {
    await inParallel(objects, async (object) => void outcomes.push({ object, ...(await work(object)) }));
  } finally {
    if (outcomes.length > 0) {
      await inTransaction(state.options.audit, (client) => note(state, client, outcomes));
      await report(state, outcomes);
    }
  }
  return outcomes;
}

async function note(state: TurnState, client: pg.ClientBase, outcomes: readonly Outcome[]): Promise<void> {
  const now = state.options.clock();
  for (const { object, change } of outcomes) await changeObject(client, object, { ...change, now });
  const removed = outcomes.filter(({ deed }) => deed === 'removed').map(({ object }) => object);
  for (const tenantId of new Set(removed.map((object) => object.tenantId))) {
    const of = removed.filter((object) => object.tenantId === tenantId);
    const detail = {
      ...ownerOf(tenantId),
      objects: of.length,
      first: of[0]?.key ?? null,
      last: of.at(-1)?.key ?? null,
    };
    await recordPlatformEvent(client, { type: 'archive.expired', detail, at: now });
  }
  for (const { object, change } of outcomes) {
    if (change.fault == null || change.fault === object.fault) continue;
    const detail = { key: object.key, fault: change.fault };
    await recordPlatformEvent(client, { type: 'archive.fault_found', detail, at: now });
  }
  for (const { object, deed } of outcomes) {
    if (deed !== 'repaired') continue;
    await recordPlatformEvent(client, { type: 'retention.repaired', detail: { key: object.key }, at: now });
  }
}

async function report(state: TurnState, outcomes: readonly Outcome[]): Promise<void> {
  const { counters, options, log } = state;
  state.allowance.spend(outcomes.length);
  const count = (deed: Deed) => outcomes.filter((outcome) => outcome.deed === deed).length;
  counters.extended += count('extended');
  counters.held += count('held');
  counters.released += count('released');
  counters.removed += count('removed');
  counters.repaired += count('repaired');
  for (const { object, change, deed } of outcomes) {
    if (deed === 'repaired')
      log('warn', 'the archive had weakened what keeps an object', { cell: options.cell, key: object.key });
    if (change.fault == null) continue;
    log('error', `the archive does not hold an object as it was put: ${change.fault}`, {
      cell: options.cell,
      key: object.key,
    });
  }
  await showFaults(options);
  counters.faults = await countFaults(options.audit);
}

async function showFaults({ audit, clock }: RetentionTurnOptions): Promise<void> {
  const tenantIds = await tenantsWithFaults(audit);
  for (const tenantId of tenantIds)
    await raiseAlarmOf(audit, 'archive', { tenantId, sentence: FAULT_ALARM, now: clock() });
  await keepAlarmsOf(audit, 'archive', tenantIds);
}

async function scan(state: TurnState, query: ObjectQuery, keeping: KeepingOptions): Promise<TurnResult> {
  const { options, counters, log } = state;
  const { scanIntervalMs = SCAN_INTERVAL_MS, audit } = options;
  const current = await openScan(audit, {
    now: query.now,
    notBefore: new Date(query.now.getTime() - scanIntervalMs),
  });
  if (current === null) return 'idle';
  const found = await uncheckedObjects(audit, query, current.startedAt);
  const outcomes = await treat(state, found, (object) => checkObject(keeping, object));
  const added = {
    objects: outcomes.length,
    repaired: outcomes.filter(({ deed }) => deed === 'repaired').length,
    faults: outcomes.filter(({ change }) => change.fault != null).length,
  };
  counters.checked += added.objects;
  const isEnd = found.length < query.limit;
  await inTransaction(audit, async (client) => {
    await noteScan(client, current, { ...added, finishedAt: isEnd ? options.clock() : null });
    if (!isEnd) return;
    const detail = {
      objects: current.objects + added.objects,
      repaired: current.repaired + added.repaired,
      faults: current.faults + added.faults,
      started_at: current.startedAt.toISOString(),
    };
    await recordPlatformEvent(client, { type: 'archive.drift_scanned', detail, at: options.clock() });
    counters.scans += 1;
    log('info', 'archive compared', { cell: options.cell, ...detail });
  });
  return 'worked';
}

function ownerOf(tenantId: string): { readonly tenant: string | null } {
  return { tenant: tenantId === PLATFORM_UUID ? null : idOf('tnt', tenantId) };
}

function wishIntervalOf({ options }: TurnState): number {
  return options.wishIntervalMs ?? WISH_INTERVAL_MS;
}

interface Allowance {
  left(): number;
  spend(count: number): void;
}

/** So many in a second; what was not used within one second is lost. */
function createAllowance(perSecond: number): Allowance {
  const most = Math.max(1, perSecond);
  let [amount, atMs] = [most, performance.now()];
  return {
    left: () => {
      const nowMs = performance.now();
      amount = Math.min(most, amount + ((nowMs - atMs) / 1000) * perSecond);
      atMs = nowMs;
      return Math.floor(amount);
    },
    spend: (count) => {
      amount -= count;
    },
  };
}

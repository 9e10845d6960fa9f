import type pg from 'pg';
import type { CellStores, Statements } from '#kit/cell-stores.ts';
import { idOf, uuidv7 } from '#schema/ids.ts';
import { LOST_MUTATIONS } from '#schema/mutation-note.ts';
import { log as logLine } from '#kit/log.ts';
import { alone } from '../alone.ts';
import { inTransaction } from '../log-store.ts';
import type { TurnResult } from '../turn-loop.ts';
import { recordPlatformEvent } from './event.ts';
import {
  deleteBatch,
  groupNotes,
  hasNotes,
  markBatch,
  readNotes,
  tenantsWithNotes,
  type MutationGroup,
} from './mutation-notes.ts';
import { countBetween, countEvents, findInLog, findInOutbox } from './noted-events.ts';
import {
  acknowledgeMissing,
  countBatch,
  lastBatch,
  markFound,
  moveReconciledUntil,
  openMissing,
  reconciledUntil,
  showMissing,
  sumOfHour,
  type Acknowledgement,
  type HourCounts,
  type MissingEvents,
} from './reconcile-store.ts';

/** What holding mutations against the logs of one cell needs. */
export interface ReconcileOptions {
  /** Pools of `tenon_worker` over the tenant database and the audit database of the cell. */
  readonly tenants: Statements;
  readonly audit: pg.Pool;
  /** The stores of the cell beside its pool. */
  readonly stores?: CellStores | undefined;
  readonly cell: string;
  readonly clock: () => Date;
  /** Is updated in place. */
  readonly counters?: ReconcileCounters;
  readonly log?: typeof logLine;
}

/** What a worker has reconciled since it started. */
export interface ReconcileCounters {
  mutations: number;
  events: number;
  /** Mutations that no event speaks of. */
  missing: number;
}

/** The type of the platform event about an hour of all tenants. */
export const RECONCILED = 'completeness.reconciled';
/** The type of the platform event about mutations without an event. */
export const MISSING = 'completeness.missing';
/**
 * The type of the platform event about mutations that were under way when a gateway was killed and that left no event:
 * they were rolled back, or they are missing.
 */
export const UNSETTLED = 'completeness.unsettled';
/** The type of the platform event about events that were missing and have been found. */
export const FOUND = 'completeness.found';
/** The type of the platform event about missing events that somebody has explained. */
export const ACKNOWLEDGED = 'completeness.acknowledged';

const HOUR_MS = 3_600_000;
/** So long after its end an hour waits for the notes that gateways hold, who store them every ten seconds. */
const GRACE_MS = 120_000;
/** Alarms are looked after so often. */
const INTERVAL_MS = 60_000;

/** Returns counters at zero. */
export function newReconcileCounters(): ReconcileCounters {
  return { mutations: 0, events: 0, missing: 0 };
}

/**
 * Returns the function that holds, each time it is called after an hour has ended, every mutation that gateways let
 * through in it against the events of the log. An hour whose events still wait in the outbox waits with them; notes that
 * come later are reconciled when they come. Several workers may run it; ended at any point, nothing is counted twice.
 */
export function createReconcileTurn(options: ReconcileOptions): () => Promise<TurnResult> {
  let doneMs = -Infinity;
  return async () => {
    if (performance.now() - doneMs < INTERVAL_MS) return 'idle';
    const result = await alone(options.audit, 'reconciling', () => reconcile(options));
    if (result === null) return 'waiting';
    doneMs = performance.now();
    return 'idle';
  };
}

/** How far a reconciliation goes. */
export interface ReconcileScope {
  /** Notes from before this time; without it the hours that ended two minutes ago. */
  readonly before?: Date;
}

/** Reconciles what is there once. */
export async function reconcile(options: ReconcileOptions, { before }: ReconcileScope = {}): Promise<void> {
  const now = options.clock();
  const closed = hourOf(new Date(now.getTime() - GRACE_MS));
  const from = await reconciledUntil(options.audit, closed);
  const late = new Map<number, number>();
  for (const tenants of await allStatements(options)) {
    for (const tenantId of await tenantsWithNotes(tenants, before ?? closed)) {
      for (const { hour, mutations } of await reconcileTenant({ ...options, tenants }, tenantId, before ?? closed)) {
        if (hour < from) late.set(hour.getTime(), (late.get(hour.getTime()) ?? 0) + mutations);
      }
    }
  }
  for (const [hour, count] of late) await recordHour(options.audit, { hour: new Date(hour), late: count, now });
  await closeHours(options, { from, closed, now });
  await lookAgain(options, now);
  await showMissing(options.audit, now);
}

/**
 * Takes the missing events of a request for explained: the platform log tells of it with the reason, and the alarm of a
 * tenant with no others ends. Returns how many mutations that were.
 */
export async function acknowledge(audit: pg.Pool, acknowledgement: Acknowledgement): Promise<number> {
  return inTransaction(audit, async (client) => {
    const explained = await acknowledgeMissing(client, acknowledgement);
    for (const { tenantId, requestId, action, mutations, events } of explained) {
      const detail = { tenant: idOf('tnt', tenantId), request_id: requestId, action, mutations, events };
      await recordPlatformEvent(client, {
        type: ACKNOWLEDGED,
        detail: { ...detail, reason: acknowledgement.reason },
        at: acknowledgement.now,
      });
    }
    await showMissing(client, acknowledgement.now);
    return explained.reduce((sum, { mutations, events }) => sum + mutations - events, 0);
  });
}

/** The pool's, and those of the other stores. */
async function allStatements({ tenants, stores }: ReconcileOptions): Promise<Statements[]> {
  return [tenants, ...((await stores?.list()) ?? []).map(({ statements }) => statements)];
}

/** An event that was refused may be in the log by now. */
async function lookAgain({ audit }: ReconcileOptions, now: Date): Promise<void> {
  for (const missing of await openMissing(audit)) {
    const to = new Date(missing.hour.getTime() + HOUR_MS);
    if ((await countBetween(audit, { ...missing, from: missing.hour, to })) < missing.mutations) continue;
    await inTransaction(audit, async (client) => {
      if (!(await markFound(client, missing, now))) return;
      const detail = { tenant: idOf('tnt', missing.tenantId), request_id: missing.requestId, action: missing.action };
      await recordPlatformEvent(client, { type: FOUND, detail, at: now });
    });
  }
}

/** An hour is closed where no tenant has a note of it left. */
async function closeHours(
  options: ReconcileOptions,
  { from, closed, now }: { from: Date; closed: Date; now: Date },
): Promise<void> {
  const { audit } = options;
  const all = await allStatements(options);
  for (let hour = from; hour < closed; hour = new Date(hour.getTime() + HOUR_MS)) {
    const end = new Date(hour.getTime() + HOUR_MS);
    for (const tenants of all) if (await hasNotes(tenants, end)) return;
    const moved = await inTransaction(audit, async (client) => {
      if (!(await moveReconciledUntil(client, { from: hour, to: end }))) return false;
      await recordHourIn(client, { hour, late: 0, now });
      return true;
    });
    if (!moved) return;
  }
}

interface HourNote {
  readonly hour: Date;
  /** Mutations that were noted after the hour had been reconciled. */
  readonly late: number;
  readonly now: Date;
}

async function recordHour(audit: pg.Pool, note: HourNote): Promise<void> {
  await inTransaction(audit, (client) => recordHourIn(client, note));
}

async function recordHourIn(client: pg.ClientBase, { hour, late, now }: HourNote): Promise<void> {
  const { tenants, mutations, events } = await sumOfHour(client, hour);
  const detail = { hour: hour.toISOString(), tenants, mutations, events, late };
  await recordPlatformEvent(client, { type: RECONCILED, detail, at: now });
}

/** Reconciles the requests of a tenant, some thousand at a time, and returns what it counted by hour. */
async function reconcileTenant(options: ReconcileOptions, tenantId: string, before: Date): Promise<HourCounts[]> {
  const { tenants, audit } = options;
  // Of a worker that ended between counting and deleting.
  const counted = await lastBatch(audit, tenantId);
  if (counted !== null) await deleteBatch(tenants, tenantId, counted);
  const hours: HourCounts[] = [];
  for (let after = ''; ;) {
    const notes = await readNotes(tenants, { tenantId, before, after });
    const last = notes.at(-1);
    if (last === undefined) return hours;
    hours.push(...(await reconcileGroups(options, tenantId, groupNotes(notes))));
    after = last.requestId;
  }
}

interface Judged {
  readonly group: MutationGroup;
  /** That are known to be done: those that were answered, and of the others as many as left an event. */
  readonly mutations: number;
  readonly events: number;
  /** Nobody knows whether these were done; they left no event. */
  readonly unsettled: number;
}

async function reconcileGroups(
  options: ReconcileOptions,
  tenantId: string,
  groups: readonly MutationGroup[],
): Promise<readonly HourCounts[]> {
  const { tenants, audit, clock } = options;
  const settled = await judge(options, tenantId, groups);
  if (settled.length === 0) return [];
  const batch = uuidv7();
  await markBatch(tenants, { tenantId, batch, ids: settled.flatMap(({ group }) => group.notes.map(({ id }) => id)) });
  const missing = settled.filter(({ mutations, events }) => events < mutations).map(missingOf);
  const unsettled = settled.filter((judged) => judged.unsettled > 0);
  const hours = hoursOf(settled);
  const now = clock();
  await inTransaction(audit, async (client) => {
    if (!(await countBatch(client, { tenantId, batch, hours, missing, now }))) return;
    for (const { hour, requestId, ...rest } of missing) {
      const detail = { tenant: idOf('tnt', tenantId), hour: hour.toISOString(), request_id: requestId, ...rest };
      await recordPlatformEvent(client, { type: MISSING, detail, at: now });
    }
    for (const { group, unsettled: mutations } of unsettled) {
      const detail = { tenant: idOf('tnt', tenantId), request_id: group.requestId, action: group.action, mutations };
      await recordPlatformEvent(client, { type: UNSETTLED, detail, at: now });
    }
  });
  await deleteBatch(tenants, tenantId, batch);
  tell(options, tenantId, { hours, missing });
  return hours;
}

/** Returns the groups that can be judged now; those with an event in the outbox wait for it. */
async function judge(
  { tenants, audit }: ReconcileOptions,
  tenantId: string,
  groups: readonly MutationGroup[],
): Promise<Judged[]> {
  // In this order: an event leaves the outbox after it has entered the log, so none can hide between the two.
  const waiting = await findInOutbox({ tenants, audit }, { tenantId, groups });
  const logged = await findInLog(audit, { tenantId, groups });
  return groups.flatMap((group) => {
    const judged = countsOf(group, countEvents(logged, group));
    const isOpen = judged.events < judged.mutations || judged.unsettled > 0;
    return isOpen && countEvents(waiting, group) > 0 ? [] : [judged];
  });
}

function countsOf(group: MutationGroup, found: number): Judged {
  const { action, requestId, notes } = group;
  if (action === LOST_MUTATIONS) return { group, mutations: Number.parseInt(requestId, 10), events: 0, unsettled: 0 };
  const answered = notes.filter(({ isAnswered }) => isAnswered).length;
  const events = Math.min(notes.length, found);
  const mutations = Math.max(answered, events);
  return { group, mutations, events, unsettled: notes.length - mutations };
}

function missingOf({ group, mutations, events }: Judged): MissingEvents {
  const { requestId, action, notes } = group;
  return { requestId, action, hour: hourOf(notes[0]?.at ?? new Date(0)), mutations, events };
}

function hoursOf(settled: readonly Judged[]): HourCounts[] {
  const hours = new Map<number, HourCounts>();
  for (const { group, mutations: made, events } of settled) {
    const hour = hourOf(group.notes[0]?.at ?? new Date(0));
    const known = hours.get(hour.getTime()) ?? { hour, mutations: 0, events: 0 };
    const mutations = known.mutations + made;
    hours.set(hour.getTime(), { hour, mutations, events: known.events + events });
  }
  return [...hours.values()];
}

interface Reconciled {
  readonly hours: readonly HourCounts[];
  readonly missing: readonly MissingEvents[];
}

function tell(
  { cell, counters = newReconcileCounters(), log = logLine }: ReconcileOptions,
  tenantId: string,
  { hours, missing }: Reconciled,
): void {
  for (const { mutations, events } of hours) {
    counters.mutations += mutations;
    counters.events += events;
    counters.missing += mutations - events;
  }
  if (missing.length === 0) return;
  for (const { requestId, action, mutations, events } of missing) {
    const fields = { cell, tenant: idOf('tnt', tenantId), request: requestId, action, mutations, events };
    log('error', 'a mutation left no event in the log', fields);
  }
}

function hourOf(time: Date): Date {
  return new Date(time.getTime() - (time.getTime() % HOUR_MS));
}

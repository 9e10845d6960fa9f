import type pg from 'pg';
import type { Statements } from '#kit/cell-stores.ts';
import { UNCHANGED } from '#schema/mutation-note.ts';
import { groupKey, type MutationGroup } from './mutation-notes.ts';

/** Times of the events of each request and action, in milliseconds, by `groupKey`. */
export type EventTimes = ReadonlyMap<string, readonly number[]>;

/** What is looked for: the events of one tenant that speak of these mutations. */
export interface EventQuestion {
  readonly tenantId: string;
  readonly groups: readonly MutationGroup[];
}

/**
 * Longer than any mutation runs between its event and its note, and than clocks differ. Not much longer, for a caller may
 * choose the ids of her requests: one that comes again later must not pass for the first.
 */
const SLACK_MS = 5 * 60_000;

/** Returns when events of these mutations entered the tenant's log. */
export async function findInLog(audit: pg.Pool, { tenantId, groups }: EventQuestion): Promise<EventTimes> {
  const times = groups.flatMap(timesOf);
  const { rows } = await audit.query<EventRow>(LOG_SQL, [
    tenantId,
    requestsOf(groups),
    UNCHANGED,
    firstIdAt(Math.min(...times) - SLACK_MS),
    firstIdAt(Math.max(...times) + SLACK_MS),
  ]);
  return eventTimes(rows);
}

/** Returns when events of these mutations were made that wait in the outbox of the cell and that no log has refused. */
export async function findInOutbox(
  { tenants, audit }: { tenants: Statements; audit: pg.Pool },
  { tenantId, groups }: EventQuestion,
): Promise<EventTimes> {
  const { rows } = await tenants.query<EventRow>(OUTBOX_SQL, [tenantId, requestsOf(groups), UNCHANGED]);
  if (rows.length === 0) return new Map();
  const refused = await audit.query<{ event_id: string }>('select event_id from log_refusals where tenant_id = $1', [
    tenantId,
  ]);
  const refusedIds = new Set(refused.rows.map(({ event_id: id }) => id));
  return eventTimes(rows.filter(({ id }) => !refusedIds.has(id)));
}

/** Returns how many events of an action of a request the log holds that were made between two times. */
export async function countBetween(
  audit: pg.Pool,
  { tenantId, requestId, action, from, to }: Pick<MutationGroup, 'requestId' | 'action'> & Span & { tenantId: string },
): Promise<number> {
  const { rows } = await audit.query<EventRow>(LOG_SQL, [
    tenantId,
    [requestId],
    UNCHANGED,
    firstIdAt(from.getTime() - SLACK_MS),
    firstIdAt(to.getTime() + SLACK_MS),
  ]);
  return rows.filter((row) => row.action === action).length;
}

interface Span {
  readonly from: Date;
  readonly to: Date;
}

/** Returns how many of the events can be those of these mutations, by their time. */
export function countEvents(events: EventTimes, group: MutationGroup): number {
  const times = timesOf(group);
  const [from, to] = [Math.min(...times) - SLACK_MS, Math.max(...times) + SLACK_MS];
  return (events.get(groupKey(group)) ?? []).filter((time) => time >= from && time <= to).length;
}

interface EventRow {
  readonly id: string;
  readonly request_id: string;
  readonly action: string;
}

/** An event that says that nothing was to be changed counts for the action that it names. */
const EVENT = `id, event ->> 'request_id' as request_id,
  case when event ->> 'action' = $3 then event -> 'context' ->> 'action' else event ->> 'action' end as action`;

const LOG_SQL = `
select ${EVENT} from (
  select event_id as id, (entry::jsonb) -> 'event' as event from log_entries
   where tenant_id = $1 and event_id >= $4 and event_id < $5) as found
 where event ->> 'request_id' = any ($2::text[])`;

const OUTBOX_SQL = `
select ${EVENT} from (select id, event::jsonb as event from outbox where tenant_id = $1) as found
 where event ->> 'request_id' = any ($2::text[])`;

function eventTimes(rows: readonly EventRow[]): EventTimes {
  const times = new Map<string, number[]>();
  for (const { id, request_id: requestId, action } of rows) {
    const key = groupKey({ requestId, action });
    times.set(key, [...(times.get(key) ?? []), timeOf(id)]);
  }
  return times;
}

function requestsOf(groups: readonly MutationGroup[]): string[] {
  return [...new Set(groups.map(({ requestId }) => requestId))];
}

function timesOf({ notes }: MutationGroup): number[] {
  return notes.map(({ id }) => timeOf(id));
}

/** A UUIDv7 begins with its time in milliseconds (RFC 9562 section 5.7). */
function timeOf(uuid: string): number {
  return Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16);
}

function firstIdAt(timeMs: number): string {
  const hex = Math.max(0, timeMs).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

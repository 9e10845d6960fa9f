import type pg from 'pg';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { keepAlarmsOf, raiseAlarmOf } from '../alarm.ts';

/** What an hour of a tenant comes to. */
export interface HourCounts {
  readonly hour: Date;
  readonly mutations: number;
  /** Those of the mutations that an event speaks of. */
  readonly events: number;
}

/** Mutations of one request that have fewer events than there should be. */
export interface MissingEvents {
  readonly requestId: string;
  readonly action: string;
  readonly hour: Date;
  readonly mutations: number;
  readonly events: number;
}

/** Mutations of a tenant that were held against her log. */
export interface CountedBatch {
  readonly tenantId: string;
  readonly batch: string;
  readonly hours: readonly HourCounts[];
  readonly missing: readonly MissingEvents[];
  readonly now: Date;
}

/** Missing events that stand recorded. */
export interface RecordedMissing extends MissingEvents {
  readonly tenantId: string;
  readonly missedAt: Date;
}

/** What an operator and an auditor read while a mutation has no event. */
export const MISSING_ALARM = 'A mutation that was let through left no event in the log.';

/** Returns the batch of the tenant that was counted last, or null. */
export async function lastBatch(audit: pg.Pool, tenantId: string): Promise<string | null> {
  const { rows } = await audit.query<{ last_batch: string }>(
    'select last_batch from mutation_totals where tenant_id = $1',
    [tenantId],
  );
  return rows[0]?.last_batch ?? null;
}

/** Adds a batch to the counts of its tenant, in the caller's transaction. Called again with the same batch it does nothing: then false. */
export async function countBatch(client: pg.ClientBase, batch: CountedBatch): Promise<boolean> {
  const { tenantId, hours, now } = batch;
  const sum = (of: (counts: HourCounts) => number) => hours.reduce((total, counts) => total + of(counts), 0);
  const { rowCount } = await client.query(
    `insert into mutation_totals as t (tenant_id, mutations, events, last_batch) values ($1, $2, $3, $4)
     on conflict (tenant_id) do update set mutations = t.mutations + excluded.mutations,
       events = t.events + excluded.events, last_batch = excluded.last_batch
     where t.last_batch <> excluded.last_batch`,
    [tenantId, sum(({ mutations }) => mutations), sum(({ events }) => events), batch.batch],
  );
  if (rowCount !== 1) return false;
  await client.query(
    `insert into mutation_hours as h (tenant_id, hour, mutations, events, reconciled_at)
     select $1, hour, mutations, events, $5 from unnest($2::timestamptz[], $3::bigint[], $4::bigint[]) as n (hour, mutations, events)
     on conflict (tenant_id, hour) do update set mutations = h.mutations + excluded.mutations,
       events = h.events + excluded.events, reconciled_at = excluded.reconciled_at`,
    [
      tenantId,
      hours.map(({ hour }) => hour),
      hours.map(({ mutations }) => mutations),
      hours.map(({ events }) => events),
      now,
    ],
  );
  if (batch.missing.length > 0) await recordMissing(client, batch);
  return true;
}

async function recordMissing(client: pg.ClientBase, { tenantId, missing, now }: CountedBatch): Promise<void> {
  await client.query(
    `insert into missing_events as m (tenant_id, request_id, action, hour, mutations, events, missed_at)
     select $1, request_id, action, hour, mutations, events, $7
       from unnest($2::text[], $3::text[], $4::timestamptz[], $5::integer[], $6::integer[])
         as n (request_id, action, hour, mutations, events)
     on conflict (tenant_id, request_id, action) do update set mutations = m.mutations + excluded.mutations,
       events = m.events + excluded.events, missed_at = excluded.missed_at,
       found_at = null, acknowledged_at = null, reason = null`,
    [
      tenantId,
      missing.map(({ requestId }) => requestId),
      missing.map(({ action }) => action),
      missing.map(({ hour }) => hour),
      missing.map(({ mutations }) => mutations),
      missing.map(({ events }) => events),
      now,
    ],
  );
  // A tenant whose every event is missing has no log yet.
  await client.query('insert into log_heads (tenant_id) values ($1) on conflict do nothing', [tenantId]);
}

/** Returns the events that are missing still, oldest first. */
export async function openMissing(audit: pg.Pool): Promise<RecordedMissing[]> {
  const { rows } = await audit.query<MissingRow>(
    `select tenant_id, request_id, action, hour, mutations, events, missed_at from missing_events
     where ${OPEN} order by missed_at, tenant_id, request_id limit 1000`,
  );
  return rows.map(missingOf);
}

/** Neither found nor explained. */
const OPEN = 'found_at is null and acknowledged_at is null';

function missingOf(row: MissingRow): RecordedMissing {
  return {
    tenantId: row.tenant_id,
    requestId: row.request_id,
    action: row.action,
    hour: row.hour,
    mutations: row.mutations,
    events: row.events,
    missedAt: row.missed_at,
  };
}

/** Closes a gap; false where that was done before. */
export async function markFound(client: pg.ClientBase, missing: RecordedMissing, now: Date): Promise<boolean> {
  const { tenantId, requestId, action, hour, mutations, events } = missing;
  const { rowCount } = await client.query(
    `update missing_events set found_at = $4
     where tenant_id = $1 and request_id = $2 and action = $3 and ${OPEN}`,
    [tenantId, requestId, action, now],
  );
  if (rowCount !== 1) return false;
  const found = mutations - events;
  await client.query('update mutation_totals set events = events + $2 where tenant_id = $1', [tenantId, found]);
  await client.query('update mutation_hours set events = events + $3 where tenant_id = $1 and hour = $2', [
    tenantId,
    hour,
    found,
  ]);
  return true;
}

interface MissingRow {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly action: string;
  readonly hour: Date;
  readonly mutations: number;
  readonly events: number;
  readonly missed_at: Date;
}

/** Shows the alarm at the log of every tenant with a missing event, and at no other. */
export async function showMissing(audit: pg.Pool | pg.ClientBase, now: Date): Promise<void> {
  const { rows } = await audit.query<{ tenant_id: string }>(
    `select distinct tenant_id from missing_events where ${OPEN}`,
  );
  const tenantIds = rows.map(({ tenant_id: tenantId }) => tenantId);
  for (const tenantId of tenantIds)
    await raiseAlarmOf(audit, 'completeness', { tenantId, sentence: MISSING_ALARM, now });
  await keepAlarmsOf(audit, 'completeness', tenantIds);
}

/** What somebody has to say about missing events. */
export interface Acknowledgement {
  readonly requestId: string;
  /** UUID; null where the request names its tenant well enough. */
  readonly tenantId: string | null;
  readonly reason: string;
  readonly now: Date;
}

/** Takes the events of a request for explained, in the caller's transaction, and returns them; none where none is missing. */
export async function acknowledgeMissing(
  client: pg.ClientBase,
  { requestId, tenantId, reason, now }: Acknowledgement,
): Promise<RecordedMissing[]> {
  const { rows } = await client.query<MissingRow>(
    `update missing_events set acknowledged_at = $3, reason = $4
      where request_id = $1 and ($2::uuid is null or tenant_id = $2) and ${OPEN}
     returning tenant_id, request_id, action, hour, mutations, events, missed_at`,
    [requestId, tenantId, now, reason],
  );
  return rows.map(missingOf);
}

/** Returns up to when hours are reconciled; the first call begins with the hour of that time. */
export async function reconciledUntil(audit: pg.Pool, hour: Date): Promise<Date> {
  await audit.query('insert into platform_log (tenant_id) values ($1) on conflict do nothing', [PLATFORM_UUID]);
  const { rows } = await audit.query<{ reconciled_until: Date }>(
    `update platform_log set reconciled_until = coalesce(reconciled_until, $2) where tenant_id = $1 returning reconciled_until`,
    [PLATFORM_UUID, hour],
  );
  return rows[0]?.reconciled_until ?? hour;
}

/** Moves that time; false where another worker has done so. */
export async function moveReconciledUntil(
  client: pg.ClientBase,
  { from, to }: { from: Date; to: Date },
): Promise<boolean> {
  const { rowCount } = await client.query(
    'update platform_log set reconciled_until = $3 where tenant_id = $1 and reconciled_until = $2',
    [PLATFORM_UUID, from, to],
  );
  return rowCount === 1;
}

/** What an hour of all tenants comes to. */
export interface HourSum {
  readonly tenants: number;
  readonly mutations: number;
  readonly events: number;
}

/** Returns the sum of an hour over all tenants. */
export async function sumOfHour(client: pg.ClientBase, hour: Date): Promise<HourSum> {
  const { rows } = await client.query<{ tenants: string; mutations: string; events: string }>(
    `select count(*) as tenants, coalesce(sum(mutations), 0) as mutations, coalesce(sum(events), 0) as events
       from mutation_hours where hour = $1`,
    [hour],
  );
  const { tenants = '0', mutations = '0', events = '0' } = rows[0] ?? {};
  return { tenants: Number(tenants), mutations: Number(mutations), events: Number(events) };
}

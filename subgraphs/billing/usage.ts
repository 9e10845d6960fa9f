import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { METRICS, type MetricName } from './pricing-plans.ts';
import { settleSubscription } from './subscription.ts';
import { readUsageEvents, type UsageBatch, type UsageEvent } from './usage-event.ts';

/** What became of a batch of usage events. */
export interface UsageReceipt {
  /** How many events were stored. */
  readonly accepted: number;
  /** How many were stored before, or occur in the batch more than once; they count once. */
  readonly duplicates: number;
  /** The audit event of the batch. */
  readonly auditEventId: string;
}

/** A time from its first moment up to the one that belongs to the next. */
export interface Period {
  readonly start: Date;
  readonly end: Date;
}

/**
 * Stores the usage events of a batch with one audit event, or nothing at all. An event under a key that was used before
 * counts once where it is the same; where it is another, the batch is IDEMPOTENCY_CONFLICT. Of two batches at the same
 * moment exactly one stores a key.
 */
export async function recordUsage(ctx: RequestContext, batch: UsageBatch): Promise<UsageReceipt> {
  const events = readUsageEvents(batch, { tenant: ctx.tenant.tenant, now: ctx.clock() });
  const distinct = withoutRepetitions(events, batch.nameOf);
  return inTenant(ctx, async (tx) => {
    // Neither waits for the other, so they share a round trip.
    const [stored] = await Promise.all([insertEvents(tx, distinct), settleSubscription(tx, ctx)]);
    await requireRepetitions(
      tx,
      distinct.filter((event) => !stored.has(event.idempotency)),
      batch.nameOf,
    );
    const counts = { accepted: stored.size, duplicates: events.length - stored.size };
    const metrics = [...new Set(events.map((event) => event.metric))].toSorted();
    const audited = await appendAudit(tx, ctx, {
      action: 'usage.record',
      resource: { type: 'tenant', id: ctx.tenant.tenant, name: null },
      context: { ...counts, metrics },
    });
    return { ...counts, auditEventId: audited.id };
  });
}

/** Returns the quantity of each metric in a period, as decimal text; '0' for those without an event. */
export async function readUsage(
  tx: Pick<TenantTransaction, 'query'>,
  metrics: readonly MetricName[],
  period: Period,
): Promise<Map<MetricName, string>> {
  const rows = await tx.query<{ metric: string; sum: string; max: string }>(
    `select metric, trim_scale(sum(value))::text as sum, trim_scale(max(value))::text as max
       from usage_events where metric = any ($1) and ts >= $2 and ts < $3 group by metric`,
    [metrics, period.start, period.end],
  );
  return new Map(
    metrics.map((metric) => [metric, rows.find((row) => row.metric === metric)?.[METRICS[metric].aggregation] ?? '0']),
  );
}

/** Within one request a key must mean one thing, too. */
function withoutRepetitions(events: readonly UsageEvent[], nameOf: UsageBatch['nameOf']): UsageEvent[] {
  const byKey = new Map<string, UsageEvent>();
  for (const event of events) {
    const first = byKey.get(event.idempotency) ?? event;
    if (first.fingerprint !== event.fingerprint) refuseConflict([event], nameOf);
    byKey.set(event.idempotency, first);
  }
  // One order for all batches: two that share keys wait for each other instead of blocking each other.
  return [...byKey.values()].toSorted((a, b) => (a.idempotency < b.idempotency ? -1 : 1));
}

/** Returns the keys that were stored; the others stand there already, committed by whoever was first. */
async function insertEvents(tx: Pick<TenantTransaction, 'query'>, events: readonly UsageEvent[]): Promise<Set<string>> {
  const column = <T>(read: (event: UsageEvent) => T): T[] => events.map(read);
  const rows = await tx.query<{ idempotency: string }>(
    `insert into usage_events (idempotency, id, user_id, metric, value, ts, metadata, fingerprint)
     select * from unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::numeric[], $6::timestamptz[], $7::jsonb[], $8::bytea[])
     on conflict do nothing returning idempotency`,
    [
      column((event) => event.idempotency),
      column((event) => uuidOf('evt', event.id)),
      column((event) => (event.userId === null ? null : uuidOf('usr', event.userId))),
      column((event) => event.metric),
      column((event) => event.value),
      column((event) => event.timestamp),
      column((event) => JSON.stringify(event.metadata)),
      column((event) => Buffer.from(event.fingerprint, 'hex')),
    ],
  );
  return new Set(rows.map((row) => row.idempotency));
}

async function requireRepetitions(
  tx: Pick<TenantTransaction, 'query'>,
  events: readonly UsageEvent[],
  nameOf: UsageBatch['nameOf'],
): Promise<void> {
  if (events.length === 0) return;
  const rows = await tx.query<{ idempotency: string; fingerprint: string }>(
    `select idempotency, encode(fingerprint, 'hex') as fingerprint from usage_events where idempotency = any ($1)`,
    [events.map((event) => event.idempotency)],
  );
  const stored = new Map(rows.map((row) => [row.idempotency, row.fingerprint]));
  const conflicts = events.filter(
    (event) => stored.has(event.idempotency) && stored.get(event.idempotency) !== event.fingerprint,
  );
  if (conflicts.length > 0) refuseConflict(conflicts, nameOf);
  const foreign = events.find((event) => !stored.has(event.idempotency));
  if (foreign !== undefined) {
    fail('UNIQUENESS', 'the event id is taken', {
      hint: `${nameOf(foreign.index, 'event_id')} is the id of another event.`,
    });
  }
}

function refuseConflict(events: readonly UsageEvent[], nameOf: UsageBatch['nameOf']): never {
  const names = events.slice(0, 10).map((event) => nameOf(event.index, 'idempotency'));
  return fail('IDEMPOTENCY_CONFLICT', `${events.length} keys mean another event`, {
    hint: `It is ${names.join(', ')}.`,
  });
}

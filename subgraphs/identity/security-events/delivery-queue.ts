import { statementsOf, type Statements } from '#kit/cell-stores.ts';
import type { Databases } from '#kit/database.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { ReceiverKind } from './event-types.ts';

/** A token that a receiver is owed and that this process is about to send. */
export interface DueDelivery {
  readonly tenant: Id<'tnt'>;
  readonly id: Id<'dlv'>;
  readonly receiver: {
    readonly id: Id<'rcv'>;
    readonly kind: ReceiverKind;
    readonly endpoint: string;
    readonly audience: string;
    readonly sealedAuthorization: string | null;
    /** Attempts in a row that failed before this one. */
    readonly failures: number;
  };
  readonly events: readonly string[];
  readonly subjectType: 'user' | 'group' | 'test';
  /** UUID of the person or the group. */
  readonly subject: string;
  readonly session: Id<'ses'> | null;
  readonly attributes: readonly string[];
  readonly credentialType: string | null;
  readonly changeType: string | null;
  /** This attempt included. */
  readonly attempts: number;
  readonly occurredAt: Date;
  readonly queuedAt: Date;
  /** The same for all that one transaction changed. */
  readonly transaction: string;
}

/** Where and when the queue is asked; it takes the worker's role, which sees what all tenants owe. */
export interface QueueScope {
  readonly databases: Pick<Databases, 'tenantSource' | 'stores'>;
  readonly cell: string;
  /** Without it the pool. */
  readonly store?: string | undefined;
  readonly now: Date;
}

/** Whoever took a delivery is waited for so long; then somebody else takes it, for it may never have been sent. */
const LEASE_MS = 30_000;
/** Under way at once to one receiver that answers; to one that does not it is one. */
const MOST_PER_RECEIVER = 8;
/** So many of what a receiver is owed are looked through for those whose turn it is. */
const LOOKED_THROUGH = 500;

/**
 * Takes up to `limit` deliveries whose turn it is, for this process alone until the lease runs out: of each person or group
 * the oldest, of each receiver a few, and none of a receiver that is left in peace after a failure.
 */
export async function claimDeliveries(scope: QueueScope, limit: number): Promise<DueDelivery[]> {
  const { now } = scope;
  const leasedUntil = new Date(now.getTime() + LEASE_MS);
  const { rows } = await queueOf(scope).query<ClaimedRow>(CLAIM, [now, limit, leasedUntil]);
  return rows.map(deliveryOf);
}

/** Tells whether anything waits, now or for a later attempt. */
export async function isAnythingPending(scope: QueueScope): Promise<boolean> {
  const { rows } = await queueOf(scope).query<{ pending: boolean }>(
    `select exists (select from app.security_event_deliveries where state = 'pending') as pending`,
  );
  return rows[0]?.pending === true;
}

/** Writes down that a receiver has a token; the latency of the delivery ends here. */
export async function markDelivered(
  scope: QueueScope,
  { tenant, id, receiver }: DueDelivery,
  status: number,
): Promise<void> {
  await queueOf(scope).query(
    `with delivered as (
       update app.security_event_deliveries
          set state = 'delivered', delivered_at = clock_timestamp(), ended_at = $3, leased_until = null,
              last_status = $4, last_error = null
        where tenant_id = $1 and id = $2 and state = 'pending')
     update app.security_event_receivers set failures = 0, retry_at = null, last_delivered_at = $3
      where tenant_id = $1 and id = $5`,
    [uuidOf('tnt', tenant), uuidOf('dlv', id), scope.now, status, uuidOf('rcv', receiver.id)],
  );
}

/** What is known of an attempt that failed. */
export interface FailedAttempt {
  readonly status: number | null;
  readonly error: string;
  /** When this delivery may be tried again; null where it is given up. */
  readonly nextAttemptAt: Date | null;
  /** Until when the receiver is left in peace; null where it answered, and refused no more than this token. */
  readonly receiverRetryAt: Date | null;
}

/** Writes down an attempt that failed, and what comes of it. */
export async function markFailed(
  scope: QueueScope,
  { tenant, id, receiver }: DueDelivery,
  { status, error, nextAttemptAt, receiverRetryAt }: FailedAttempt,
): Promise<void> {
  await queueOf(scope).query(
    `with failed as (
       update app.security_event_deliveries
          set state = case when $6::timestamptz is null then 'dead' else 'pending' end,
              ended_at = case when $6::timestamptz is null then $3::timestamptz end,
              next_attempt_at = coalesce($6, next_attempt_at), leased_until = null, last_status = $4, last_error = $5
        where tenant_id = $1 and id = $2 and state = 'pending')
     update app.security_event_receivers
        set failures = case when $8::timestamptz is null then 0 else failures + 1 end, retry_at = $8, last_failed_at = $3
      where tenant_id = $1 and id = $7`,
    [
      uuidOf('tnt', tenant),
      uuidOf('dlv', id),
      scope.now,
      status,
      error.slice(0, 500),
      nextAttemptAt,
      uuidOf('rcv', receiver.id),
      receiverRetryAt,
    ],
  );
}

/** Gives a delivery back that could not be attempted, for a fault that is ours; the attempt is not counted. */
export async function releaseDelivery(
  scope: QueueScope,
  { tenant, id }: DueDelivery,
  nextAttemptAt: Date,
): Promise<void> {
  await queueOf(scope).query(
    `update app.security_event_deliveries set leased_until = null, attempts = attempts - 1, next_attempt_at = $3
      where tenant_id = $1 and id = $2 and state = 'pending'`,
    [uuidOf('tnt', tenant), uuidOf('dlv', id), nextAttemptAt],
  );
}

/** How long what was delivered can be looked up, and what was given up can be replayed. */
const DELIVERED_KEPT_DAYS = 7;
const DEAD_KEPT_DAYS = 30;

/** Gives up what was queued before `giveUpBefore`, and forgets what ended long ago. */
export async function sweepDeliveries(scope: QueueScope, giveUpBefore: Date): Promise<void> {
  const { now } = scope;
  const source = queueOf(scope);
  await source.query(
    `update app.security_event_deliveries
        set state = 'dead', ended_at = $1, leased_until = null, last_error = coalesce(last_error, 'not delivered in time')
      where state = 'pending' and queued_at < $2 and (leased_until is null or leased_until < $1)`,
    [now, giveUpBefore],
  );
  await source.query(
    `delete from app.security_event_deliveries where (tenant_id, id) in (
       select tenant_id, id from app.security_event_deliveries
        where state <> 'pending'
          and ended_at < $1::timestamptz - case state when 'dead' then interval '${DEAD_KEPT_DAYS} days'
                                           else interval '${DELIVERED_KEPT_DAYS} days' end
        limit 1000)`,
    [now],
  );
}

function queueOf({ databases, cell, store }: QueueScope): Statements {
  return statementsOf(databases, { cell, store });
}

/** A receiver that failed is asked with one delivery; while that is under way, with none. */
const CLAIM = `
  with due as (
    select d.tenant_id, d.id
      from app.security_event_receivers r
     cross join lateral (
       select count(*) as running from app.security_event_deliveries l
        where l.tenant_id = r.tenant_id and l.receiver_id = r.id and l.state = 'pending' and l.leased_until >= $1) as busy
     cross join lateral (
       select q.tenant_id, q.id, q.position from app.security_event_deliveries q
        where q.tenant_id = r.tenant_id and q.id in (
          select w.id from (
            select p.id, p.subject_id, p.position, p.next_attempt_at, p.leased_until from app.security_event_deliveries p
             where p.tenant_id = r.tenant_id and p.receiver_id = r.id and p.state = 'pending'
             order by p.position limit ${LOOKED_THROUGH}) as w
           where w.next_attempt_at <= $1 and (w.leased_until is null or w.leased_until < $1)
             and not exists (
               select from app.security_event_deliveries e
                where e.tenant_id = r.tenant_id and e.receiver_id = r.id and e.subject_id = w.subject_id
                  and e.state = 'pending' and e.position < w.position))
          and q.state = 'pending' and (q.leased_until is null or q.leased_until < $1)
        order by q.position
        limit greatest(0, case when r.failures > 0 then 1 else ${MOST_PER_RECEIVER} end - busy.running)
        for update skip locked) as d
     where r.state = 'active' and (r.retry_at is null or r.retry_at <= $1)
       and exists (select from app.security_event_deliveries w
                    where w.tenant_id = r.tenant_id and w.receiver_id = r.id and w.state = 'pending')
     limit $2),
  claimed as (
    update app.security_event_deliveries d set leased_until = $3, attempts = attempts + 1
      from due where d.tenant_id = due.tenant_id and d.id = due.id
    returning d.*)
  select c.*, r.kind, r.endpoint, r.audience, r.sealed_authorization, r.failures
    from claimed c join app.security_event_receivers r on r.tenant_id = c.tenant_id and r.id = c.receiver_id
   order by c.position`;

interface ClaimedRow {
  readonly tenant_id: string;
  readonly id: string;
  readonly receiver_id: string;
  readonly kind: ReceiverKind;
  readonly endpoint: string;
  readonly audience: string;
  readonly sealed_authorization: string | null;
  readonly failures: number;
  readonly events: string[];
  readonly subject_type: 'user' | 'group' | 'test';
  readonly subject_id: string;
  readonly session_id: string | null;
  readonly attributes: string[];
  readonly credential_type: string | null;
  readonly change_type: string | null;
  readonly attempts: number;
  readonly occurred_at: Date;
  readonly queued_at: Date;
  readonly transaction_id: string;
}

function deliveryOf(row: ClaimedRow): DueDelivery {
  return {
    tenant: idOf('tnt', row.tenant_id),
    id: idOf('dlv', row.id),
    receiver: {
      id: idOf('rcv', row.receiver_id),
      kind: row.kind,
      endpoint: row.endpoint,
      audience: row.audience,
      sealedAuthorization: row.sealed_authorization,
      failures: row.failures,
    },
    events: row.events,
    subjectType: row.subject_type,
    subject: row.subject_id,
    session: row.session_id === null ? null : idOf('ses', row.session_id),
    attributes: row.attributes,
    credentialType: row.credential_type,
    changeType: row.change_type,
    attempts: row.attempts,
    occurredAt: row.occurred_at,
    queuedAt: row.queued_at,
    transaction: row.transaction_id,
  };
}

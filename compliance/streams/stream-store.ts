import { randomUUID } from 'node:crypto';
import { statementsOf, type Statements } from '#kit/cell-stores.ts';
import type { Databases } from '#kit/database.ts';
import { StreamState, type StreamForm, type StreamKind, type StreamSettings } from '#schema/audit-stream.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';

/** The entry of a tenant's log that comes next. */
export interface LogPosition {
  readonly epoch: number;
  readonly seq: number;
}

/** A stream that may have something to send. */
export interface DueStream {
  readonly tenant: Id<'tnt'>;
  readonly id: Id<'str'>;
  readonly position: LogPosition;
  readonly proofs: boolean;
  readonly isFailing: boolean;
  /** Somebody asked for a test that was not sent yet. */
  readonly isTestDue: boolean;
  /** Entries may be sent: it is not paused, nor left in peace after a failure. */
  readonly isOpen: boolean;
}

/** A stream that this process alone sends for. */
export interface ClaimedStream {
  readonly tenant: Id<'tnt'>;
  readonly id: Id<'str'>;
  readonly lease: string;
  readonly name: string;
  readonly kind: StreamKind;
  readonly form: StreamForm;
  readonly endpoint: string;
  readonly settings: StreamSettings;
  readonly sealedSecret: string | null;
  readonly actions: readonly string[];
  readonly outcomes: readonly string[];
  readonly proofs: boolean;
  readonly state: StreamState;
  readonly position: LogPosition;
  readonly failures: number;
  readonly failingSince: Date | null;
  readonly isTestDue: boolean;
  readonly isOpen: boolean;
  readonly updatedAt: Date;
}

/** Where and when streams are asked for; it takes the worker's role, which sees those of all tenants. */
export interface StreamScope {
  readonly databases: Pick<Databases, 'tenantSource' | 'stores' | 'auditPool'>;
  readonly cell: string;
  /** Without it the pool. */
  readonly store?: string | undefined;
  readonly now: Date;
}

/** Whoever sends is waited for so long after each batch, longer than any batch takes; then somebody else goes on. */
export const LEASE_MS = 120_000;

/**
 * Returns the streams that nobody sends for and that have something to send, by what the log holds now: entries, or a
 * test. Those come first that have waited longest.
 */
export async function dueStreams(scope: StreamScope): Promise<DueStream[]> {
  const { rows } = await sourceOf(scope).query<DueRow>(DUE, [scope.now]);
  if (rows.length === 0) return [];
  const heads = await readHeads(scope, [...new Set(rows.map(({ tenant_id }) => tenant_id))]);
  return rows.map(dueOf).filter(({ tenant, position, proofs, isOpen, isTestDue }) => {
    const head = heads.get(tenant);
    const size = (proofs ? head?.sealedSize : head?.size) ?? 0;
    const isBehind = head !== undefined && (head.epoch > position.epoch || size > position.seq);
    return isTestDue || (isOpen && isBehind);
  });
}

/** Takes a stream for this process alone, until its lease runs out; null where somebody else was faster. */
export async function claimStream(scope: StreamScope, { tenant, id }: DueStream): Promise<ClaimedStream | null> {
  const leasedUntil = new Date(scope.now.getTime() + LEASE_MS);
  const values = [uuidOf('tnt', tenant), uuidOf('str', id), scope.now, randomUUID(), leasedUntil];
  const { rows } = await sourceOf(scope).query<ClaimedRow>(CLAIM, values);
  const [row] = rows;
  return row === undefined ? null : claimedOf(row);
}

/** Tells whether a store has streams that are not paused: that they have something to send is not written there. */
export async function hasStreams(scope: StreamScope): Promise<boolean> {
  const { rows } = await sourceOf(scope).query<{ any: boolean }>(
    `select exists (select from app.audit_streams where state <> 'paused') as any`,
  );
  return rows[0]?.any === true;
}

/** What moving on found: whether this process may go on by what it knows of the stream. */
export interface Advance {
  readonly position: LogPosition;
  /** Entries that the receiver has taken; 0 where the filter left all of them out. */
  readonly taken: number;
}

/** Writes down how far a stream has come, and prolongs the lease; false where it was paused, changed or taken away. */
export async function advanceStream(
  scope: StreamScope,
  { tenant, id, lease, updatedAt }: ClaimedStream,
  { position, taken }: Advance,
): Promise<boolean> {
  const { rows } = await sourceOf(scope).query<{ state: StreamState; updated_at: Date }>(ADVANCE, [
    uuidOf('tnt', tenant),
    uuidOf('str', id),
    lease,
    position.epoch,
    position.seq,
    taken,
    scope.now,
    new Date(scope.now.getTime() + LEASE_MS),
  ]);
  const [row] = rows;
  return row !== undefined && row.state !== StreamState.PAUSED && row.updated_at.getTime() === updatedAt.getTime();
}

/** What is known of an attempt that failed. */
export interface FailedAttempt {
  readonly failure: string;
  readonly retryAt: Date;
}

/** Writes down an attempt that failed. */
export async function markFailed(
  scope: StreamScope,
  { tenant, id, lease }: ClaimedStream,
  { failure, retryAt }: FailedAttempt,
): Promise<void> {
  await sourceOf(scope).query(
    `update app.audit_streams
        set failures = least(failures, 1000000) + 1, failing_since = coalesce(failing_since, $4), failure = $5, retry_at = $6
      where tenant_id = $1 and id = $2 and lease = $3`,
    [uuidOf('tnt', tenant), uuidOf('str', id), lease, scope.now, failure.slice(0, 500), retryAt],
  );
}

/** Writes down how a test went; null where it was taken. */
export async function markTested(
  scope: StreamScope,
  { tenant, id, lease }: ClaimedStream,
  failure: string | null,
): Promise<void> {
  await sourceOf(scope).query(
    `update app.audit_streams set tested_at = greatest($4, test_requested_at), test_failure = $5
      where tenant_id = $1 and id = $2 and lease = $3`,
    [uuidOf('tnt', tenant), uuidOf('str', id), lease, scope.now, failure?.slice(0, 500) ?? null],
  );
}

/** Gives a stream back; `retryAt` leaves it in peace until then, for a fault that is ours. */
export async function releaseStream(
  scope: StreamScope,
  { tenant, id, lease }: ClaimedStream,
  retryAt: Date | null,
): Promise<void> {
  await sourceOf(scope).query(
    `update app.audit_streams set lease = null, leased_until = null, retry_at = coalesce($4, retry_at)
      where tenant_id = $1 and id = $2 and lease = $3`,
    [uuidOf('tnt', tenant), uuidOf('str', id), lease, retryAt],
  );
}

const TEST_DUE = `coalesce(test_requested_at > coalesce(tested_at, '-infinity'), false)`;
const OPEN = `(state <> 'paused' and coalesce(retry_at <= $PLACE, true))`;

const DUE = `
  select tenant_id, id, epoch, next_seq, proofs, failures > 0 as failing, ${TEST_DUE} as test_due, open
    from app.audit_streams, lateral (select ${OPEN.replace('$PLACE', '$1')} as open) as judged
   where coalesce(leased_until < $1, true) and (open or ${TEST_DUE})
   order by attempted_at nulls first, id`;

const CLAIM = `
  with due as (
    select tenant_id, id from app.audit_streams
     where tenant_id = $1 and id = $2 and coalesce(leased_until < $3, true) for update skip locked),
  claimed as (
    update app.audit_streams s set lease = $4, leased_until = $5, attempted_at = $3
      from due where s.tenant_id = due.tenant_id and s.id = due.id returning s.*)
  select *, ${TEST_DUE} as test_due, ${OPEN.replace('$PLACE', '$3')} as open from claimed`;

const ADVANCE = `
  with moved as (
    update app.audit_streams
       set epoch = $4, next_seq = $5, leased_until = $8, delivered = delivered + $6,
           delivered_at = case when $6 > 0 then $7 else delivered_at end,
           failures = case when $6 > 0 then 0 else failures end,
           failing_since = case when $6 > 0 then null else failing_since end,
           failure = case when $6 > 0 then null else failure end,
           retry_at = case when $6 > 0 then null else retry_at end
     where tenant_id = $1 and id = $2 and lease = $3 returning state, updated_at)
  select state, updated_at from moved`;

interface DueRow {
  readonly tenant_id: string;
  readonly id: string;
  readonly epoch: number;
  readonly next_seq: string;
  readonly proofs: boolean;
  readonly failing: boolean;
  readonly test_due: boolean;
  readonly open: boolean;
}

interface ClaimedRow extends Omit<DueRow, 'failing'> {
  readonly lease: string;
  readonly name: string;
  readonly kind: StreamKind;
  readonly form: StreamForm;
  readonly endpoint: string;
  readonly settings: StreamSettings;
  readonly sealed_secret: string | null;
  readonly actions: string[];
  readonly outcomes: string[];
  readonly state: StreamState;
  readonly failures: number;
  readonly failing_since: Date | null;
  readonly updated_at: Date;
}

function dueOf(row: DueRow): DueStream {
  return {
    tenant: idOf('tnt', row.tenant_id),
    id: idOf('str', row.id),
    position: { epoch: row.epoch, seq: Number(row.next_seq) },
    proofs: row.proofs,
    isFailing: row.failing,
    isTestDue: row.test_due,
    isOpen: row.open,
  };
}

function claimedOf(row: ClaimedRow): ClaimedStream {
  const { lease, name, kind, form, endpoint, settings, actions, outcomes, state, failures } = row;
  return {
    ...dueOf({ ...row, failing: failures > 0 }),
    lease,
    name,
    kind,
    form,
    endpoint,
    settings,
    actions,
    outcomes,
    state,
    failures,
    sealedSecret: row.sealed_secret,
    failingSince: row.failing_since,
    updatedAt: row.updated_at,
  };
}

interface Head {
  readonly epoch: number;
  readonly size: number;
  readonly sealedSize: number;
}

async function readHeads(
  { databases, cell }: StreamScope,
  tenants: readonly string[],
): Promise<ReadonlyMap<Id<'tnt'>, Head>> {
  const { rows } = await databases
    .auditPool(cell)
    .query<{ tenant_id: string; epoch: number; size: string; sealed_size: string }>(
      'select tenant_id, epoch, size, sealed_size from log_heads where tenant_id = any($1::uuid[])',
      [tenants],
    );
  return new Map(
    rows.map(({ tenant_id: tenant, epoch, size, sealed_size: sealed }) => [
      idOf('tnt', tenant),
      { epoch, size: Number(size), sealedSize: Number(sealed) },
    ]),
  );
}

function sourceOf({ databases, cell, store }: StreamScope): Statements {
  return statementsOf(databases, { cell, store });
}

import type pg from 'pg';
import { OUTCOMES, type AuditOutcome } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';

/** An event as the business transaction wrote it. */
export interface OutboxRow {
  /** UUID. */
  readonly tenantId: string;
  /** Decimal; positions grow in the order of writing, not of committing. */
  readonly position: string;
  /** UUID of the event. */
  readonly id: string;
  readonly outcome: AuditOutcome;
  /** What stands in the column, unchecked. */
  readonly event: string;
}

/** How much to take, and what to leave where it is. */
export interface OutboxRequest {
  readonly limit: number;
  readonly skipPositions: readonly string[];
  readonly skipTenants: readonly string[];
}

/** The outbox of one cell. */
export interface Outbox {
  /**
   * Returns the oldest rows by position, of all tenants, whose transaction ended before every one that still runs: no
   * row that commits later can belong before one of these, so taking them in this order skips nothing.
   */
  take(request: OutboxRequest): Promise<OutboxRow[]>;
  /** Deletes rows that the audit database holds; those that are gone already are passed over. */
  remove(rows: readonly OutboxRow[]): Promise<void>;
  /** Returns when the oldest event was made that still waits, ready or not, those at these positions set aside, or null. */
  oldest(skipPositions: readonly string[]): Promise<Date | null>;
}

/** Returns the outbox behind a pool of `tenon_worker`, who sees the rows of all tenants. */
export function outboxOf(pool: pg.Pool): Outbox {
  return {
    take: (request) => take(pool, request),
    remove: (rows) => remove(pool, rows),
    oldest: (skipPositions) => oldest(pool, skipPositions),
  };
}

interface TakenRow {
  readonly tenant_id: string;
  readonly position: string;
  readonly id: string;
  readonly outcome: string;
  readonly event: string;
}

/** A transaction beyond the snapshot cannot have written a row it shows: such rows were restored from another server. */
async function take(pool: pg.Pool, { limit, skipPositions, skipTenants }: OutboxRequest): Promise<OutboxRow[]> {
  const { rows } = await pool.query<TakenRow>(
    `select tenant_id, position::text as position, id, outcome, event from outbox
     where (transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         or transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))
       and position <> all ($2::bigint[]) and tenant_id <> all ($3::uuid[])
     order by outbox.position limit $1`,
    [limit, skipPositions, skipTenants],
  );
  return rows.map(({ tenant_id: tenantId, position, id, outcome, event }) => {
    return { tenantId, position, id, outcome: outcomeOf(outcome), event };
  });
}

async function remove(pool: pg.Pool, rows: readonly OutboxRow[]): Promise<void> {
  if (rows.length === 0) return;
  await pool.query(
    `delete from outbox o using unnest($1::uuid[], $2::bigint[]) as done (tenant_id, position)
     where o.tenant_id = done.tenant_id and o.position = done.position`,
    [rows.map(({ tenantId }) => tenantId), rows.map(({ position }) => position)],
  );
}

async function oldest(pool: pg.Pool, skipPositions: readonly string[]): Promise<Date | null> {
  const { rows } = await pool.query<{ id: string }>(
    'select id from outbox where position <> all ($1::bigint[]) order by position limit 1',
    [skipPositions],
  );
  return rows[0] === undefined ? null : timeOf(rows[0].id);
}

/** A UUIDv7 begins with its time in milliseconds (RFC 9562 section 5.7). */
function timeOf(uuid: string): Date {
  return new Date(Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16));
}

/** The column has the same constraint. */
function outcomeOf(text: string): AuditOutcome {
  return OUTCOMES.find((outcome) => outcome === text) ?? fail('INTERNAL_SERVER_ERROR', 'unknown outcome in the outbox');
}

import type { Statements } from '#kit/cell-stores.ts';
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
  /** Version of the action's schema that the event was checked against. */
  readonly actionVersion: number;
  /** What stands in the column, unchecked. */
  readonly event: string;
  /** Tokens of sealed values for searching, unchecked; null where there are none. */
  readonly indexTokens?: unknown;
}

/** An event that stands in its log, and where. */
export interface SequencedRow extends OutboxRow {
  readonly epoch: number;
  readonly seq: number;
}

/** One of so many parts of the tenants: a tenant is in the same one as long as there are as many. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly count: number;
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
   * Returns the oldest rows by position, of all tenants of the shard, whose transaction ended before every one that still
   * runs: no row that commits later can belong before one of these, so taking them in this order skips nothing. They are
   * at most 16 MiB of events.
   */
  take(request: OutboxRequest): Promise<OutboxRow[]>;
  /**
   * Moves rows that the audit database holds to `sequenced_events`; those that are gone already are passed over. A server
   * that crashes right after may bring some back: the log knows them, so they are moved again.
   */
  remove(rows: readonly SequencedRow[]): Promise<void>;
  /** Returns when the oldest event was made that still waits, ready or not, those at these positions set aside, or null. */
  oldest(skipPositions: readonly string[]): Promise<Date | null>;
}

/** Returns the outbox behind a pool of `tenon_worker`, who sees the rows of all tenants, or of one shard of them. */
export function outboxOf(pool: Statements, shard: Shard = { index: 0, count: 1 }): Outbox {
  return {
    take: (request) => take(pool, shard, request),
    remove: (rows) => remove(pool, rows),
    oldest: (skipPositions) => oldest(pool, shard, skipPositions),
  };
}

/** Returns when the event of a row was made: a UUIDv7 begins with its time in milliseconds (RFC 9562 section 5.7). */
export function madeAt({ id }: Pick<OutboxRow, 'id'>): Date {
  return new Date(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16));
}

/** So much is in memory at a time for each shard, whatever the events look like. */
const MAX_BYTES = 16 * 1024 * 1024;

/** A row of the outbox, or of the events that were taken from it, as it is read. */
export interface StoredRow {
  readonly tenant_id: string;
  readonly position: string;
  readonly id: string;
  readonly outcome: string;
  readonly action_version: number;
  readonly index_tokens: unknown;
  readonly event: string;
}

async function take(
  pool: Statements,
  shard: Shard,
  { limit, skipPositions, skipTenants }: OutboxRequest,
): Promise<OutboxRow[]> {
  const values: unknown[] = [limit, MAX_BYTES];
  // A transaction beyond the snapshot cannot have written a row it shows: such rows were restored from another server.
  const conditions = [
    `(transaction_id < pg_snapshot_xmin(pg_current_snapshot())
      or transaction_id >= pg_snapshot_xmax(pg_current_snapshot()))`,
    ...ofShard(shard),
  ];
  if (skipPositions.length > 0) conditions.push(`position <> all ($${values.push(skipPositions)}::bigint[])`);
  if (skipTenants.length > 0) conditions.push(`tenant_id <> all ($${values.push(skipTenants)}::uuid[])`);
  const { rows } = await pool.query<StoredRow>(
    `select ${OUTBOX_COLUMNS} from (
       select *, sum(octet_length(event)) over (order by position rows unbounded preceding) as bytes
       from outbox where ${conditions.join(' and ')} order by position limit $1
     ) ready where bytes <= $2 order by ready.position`,
    values,
  );
  return rows.map(outboxRowOf);
}

/** What is read of a row, for `outboxRowOf`. */
export const OUTBOX_COLUMNS = 'tenant_id, position::text as position, id, outcome, action_version, index_tokens, event';

/** Returns a row that was read. */
export function outboxRowOf(row: StoredRow): OutboxRow {
  return {
    tenantId: row.tenant_id,
    position: row.position,
    id: row.id,
    outcome: outcomeOf(row.outcome),
    actionVersion: row.action_version,
    event: row.event,
    indexTokens: row.index_tokens,
  };
}

/** The last byte of a UUIDv7 is random. */
function ofShard({ index, count }: Shard): string[] {
  return count === 1 ? [] : [`get_byte(uuid_send(tenant_id), 15) % ${count} = ${index}`];
}

/** Whether the disk has it does not matter to anybody, so nobody waits for it. */
async function remove(pool: Statements, rows: readonly SequencedRow[]): Promise<void> {
  if (rows.length === 0) return;
  await pool.query(
    `with waiting as materialized (select set_config('synchronous_commit', 'off', true) as mode),
     gone as (
       delete from outbox o
       using waiting, unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[]) as done (tenant_id, id, epoch, seq)
       where waiting.mode = 'off' and o.tenant_id = done.tenant_id and o.id = done.id
       returning o.tenant_id, o.id, o.position, o.outcome, o.action_version, o.event, o.index_tokens, done.epoch, done.seq
     )
     insert into sequenced_events (tenant_id, id, position, outcome, action_version, event, index_tokens, epoch, seq)
     select * from gone
     on conflict (tenant_id, id) do update set epoch = excluded.epoch, seq = excluded.seq`,
    [
      listOf(rows, ({ tenantId }) => tenantId),
      listOf(rows, ({ id }) => id),
      listOf(rows, ({ epoch }) => String(epoch)),
      listOf(rows, ({ seq }) => String(seq)),
    ],
  );
}

/** Returns an array as PostgreSQL reads it, of texts that need no quotes: quoting them costs more than reading. */
function listOf<Row>(rows: readonly Row[], textOf: (row: Row) => string): string {
  return `{${rows.map(textOf).join(',')}}`;
}

async function oldest(pool: Statements, shard: Shard, skipPositions: readonly string[]): Promise<Date | null> {
  const conditions = ['position <> all ($1::bigint[])', ...ofShard(shard)];
  const { rows } = await pool.query<{ id: string }>(
    `select id from outbox where ${conditions.join(' and ')} order by position limit 1`,
    [skipPositions],
  );
  return rows[0] === undefined ? null : madeAt(rows[0]);
}

/** Returns the outcome that a column holds, which has the same constraint. */
function outcomeOf(text: string): AuditOutcome {
  return OUTCOMES.find((outcome) => outcome === text) ?? fail('INTERNAL_SERVER_ERROR', 'unknown outcome in the outbox');
}

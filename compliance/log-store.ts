import type pg from 'pg';
import { ZERO_PREV, type AuditEntry } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { REFUSAL_ALARM } from './alarm.ts';
import type { OutboxRow } from './outbox-reader.ts';

/** A log that is locked for this transaction, on its way from one size to the next. */
export interface OpenLog {
  readonly tenantId: string;
  readonly epoch: number;
  readonly frontier: Frontier;
  /** Lower-case hex; `ZERO_PREV` while the log is empty. */
  lastLeaf: string;
  /** What the new entries take in a segment. */
  addedBytes: number;
  refusals: number;
}

/** An entry to store, and the outbox row it comes from. */
export interface NewEntry {
  readonly log: OpenLog;
  readonly entry: AuditEntry;
  readonly row: OutboxRow;
  readonly bytes: Buffer;
  readonly leaf: Buffer;
}

/** The root of a complete subtree of 256^level leaves. */
export interface NewTile {
  readonly log: OpenLog;
  readonly level: number;
  readonly index: number;
  readonly hash: Buffer;
}

/** An event that its log cannot take. */
export interface Refusal {
  readonly row: OutboxRow;
  /** Names the fault by its path and repeats no value. */
  readonly reason: string;
}

/** What one transaction adds. */
export interface LogChanges {
  readonly logs: Iterable<OpenLog>;
  readonly entries: readonly NewEntry[];
  readonly tiles: readonly NewTile[];
  readonly refused: readonly Refusal[];
  readonly now: Date;
}

/** Runs the work in one transaction and commits it; a throw rolls everything back. */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => (broken = true));
    throw error;
  } finally {
    client.release(broken);
  }
}

/**
 * Locks the heads of the tenants' logs until the transaction ends, making those that are missing, and returns them by
 * tenant. All callers lock in the same order, so that two wait for each other but never both. CONFLICT or
 * BAD_USER_INPUT where a head is damaged.
 */
export async function openLogs(client: pg.PoolClient, tenants: readonly string[]): Promise<Map<string, OpenLog>> {
  await client.query(
    'insert into log_heads (tenant_id) select t from unnest($1::uuid[]) as t order by t on conflict do nothing',
    [tenants],
  );
  const { rows } = await client.query<HeadRow>(
    'select tenant_id, epoch, size, last_leaf, frontier from log_heads where tenant_id = any ($1) order by tenant_id for update',
    [tenants],
  );
  return new Map(rows.map((head) => [head.tenant_id, openLog(head)]));
}

/**
 * Returns the entries, by `eventKey`, that hold an event of these rows already: those of a worker that ended before it
 * emptied the outbox.
 */
export async function knownEntries(client: pg.PoolClient, rows: readonly OutboxRow[]): Promise<Map<string, string>> {
  const found = await client.query<{ tenant_id: string; event_id: string; entry: string }>(
    `select e.tenant_id, e.event_id, e.entry from unnest($1::uuid[], $2::uuid[]) as asked (tenant_id, event_id)
     join log_entries e on e.tenant_id = asked.tenant_id and e.event_id = asked.event_id`,
    [rows.map(({ tenantId }) => tenantId), rows.map(({ id }) => id)],
  );
  return new Map(found.rows.map((row) => [eventKey({ tenantId: row.tenant_id, id: row.event_id }), row.entry]));
}

/** Stores the changes; entries before the heads that speak of them. */
export async function saveLogs(
  client: pg.PoolClient,
  { logs, entries, tiles, refused, now }: LogChanges,
): Promise<void> {
  await insertEntries(client, entries);
  await insertTiles(client, tiles);
  await recordRefusals(client, refused, now);
  await forgetRefusals(client, entries);
  await updateHeads(client, [...logs], now);
}

/** Returns what names an event among those of all tenants. */
export function eventKey({ tenantId, id }: Pick<OutboxRow, 'tenantId' | 'id'>): string {
  return `${tenantId} ${id}`;
}

interface HeadRow {
  readonly tenant_id: string;
  readonly epoch: number;
  readonly size: string;
  readonly last_leaf: Buffer | null;
  readonly frontier: unknown;
}

function openLog({ tenant_id: tenantId, epoch, size, last_leaf: lastLeaf, frontier }: HeadRow): OpenLog {
  if (!Array.isArray(frontier) || !frontier.every((node) => typeof node === 'string')) {
    return fail('CONFLICT', 'the frontier of the log is no list of hashes');
  }
  if ((lastLeaf === null) !== (size === '0')) fail('CONFLICT', 'the head of the log has no last leaf');
  return {
    tenantId,
    epoch,
    frontier: Frontier.fromJSON({ size: Number(size), nodes: frontier }),
    lastLeaf: lastLeaf?.toString('hex') ?? ZERO_PREV,
    addedBytes: 0,
    refusals: 0,
  };
}

async function insertEntries(client: pg.PoolClient, entries: readonly NewEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const column = <T>(of: (entry: NewEntry) => T): T[] => entries.map(of);
  await client.query(
    `insert into log_entries (tenant_id, epoch, seq, event_id, leaf, entry, ts, action, outcome,
       actor_type, actor_id, resource_type, resource_id)
     select tenant_id, epoch, seq, event_id, decode(leaf, 'hex'), entry, ts, action, outcome,
       actor_type, actor_id, resource_type, resource_id
     from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::uuid[], $5::text[], string_to_array($6, E'\\n'), $7::timestamptz[],
       $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[])
       as e (tenant_id, epoch, seq, event_id, leaf, entry, ts, action, outcome,
         actor_type, actor_id, resource_type, resource_id)`,
    [
      column(({ log }) => log.tenantId),
      column(({ log }) => log.epoch),
      column(({ entry }) => entry.seq),
      column(({ row }) => row.id),
      column(({ leaf }) => leaf.toString('hex')),
      // As lines, for canonical JSON has no line break in it: quoting it for an array costs more than hashing it.
      column(({ bytes }) => bytes.toString('utf8')).join('\n'),
      column(({ entry }) => entry.event.ts),
      column(({ entry }) => entry.event.action),
      column(({ entry }) => entry.outcome),
      column(({ entry }) => entry.event.actor.type),
      column(({ entry }) => entry.event.actor.id),
      column(({ entry }) => entry.event.resource.type),
      column(({ entry }) => entry.event.resource.id),
    ],
  );
}

async function insertTiles(client: pg.PoolClient, tiles: readonly NewTile[]): Promise<void> {
  if (tiles.length === 0) return;
  await client.query(
    `insert into log_tiles (tenant_id, epoch, level, index, hash)
     select tenant_id, epoch, level, index, decode(hash, 'hex')
     from unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::text[])
       as t (tenant_id, epoch, level, index, hash)`,
    [
      tiles.map(({ log }) => log.tenantId),
      tiles.map(({ log }) => log.epoch),
      tiles.map(({ level }) => level),
      tiles.map(({ index }) => index),
      tiles.map(({ hash }) => hash.toString('hex')),
    ],
  );
}

async function recordRefusals(client: pg.PoolClient, refused: readonly Refusal[], now: Date): Promise<void> {
  if (refused.length === 0) return;
  await client.query(
    `insert into log_refusals (tenant_id, event_id, reason, refused_at)
     select tenant_id, event_id, reason, $4 from unnest($1::uuid[], $2::uuid[], $3::text[]) as r (tenant_id, event_id, reason)
     on conflict (tenant_id, event_id) do nothing`,
    [
      refused.map(({ row }) => row.tenantId),
      refused.map(({ row }) => row.id),
      refused.map(({ reason }) => reason),
      now,
    ],
  );
}

/** What an older worker refused and this one takes is missing no more. */
async function forgetRefusals(client: pg.PoolClient, entries: readonly NewEntry[]): Promise<void> {
  if (entries.length === 0) return;
  await client.query(
    `delete from log_refusals r using unnest($1::uuid[], $2::uuid[]) as added (tenant_id, event_id)
     where r.tenant_id = added.tenant_id and r.event_id = added.event_id`,
    [entries.map(({ row }) => row.tenantId), entries.map(({ row }) => row.id)],
  );
}

async function updateHeads(client: pg.PoolClient, logs: readonly OpenLog[], now: Date): Promise<void> {
  const changed = logs.filter(({ addedBytes, refusals }) => addedBytes > 0 || refusals > 0);
  if (changed.length === 0) return;
  await client.query(
    `update log_heads h set size = n.size, last_leaf = decode(nullif(n.last_leaf, $7), 'hex'), frontier = n.frontier,
       unsealed_bytes = h.unsealed_bytes + n.added_bytes, updated_at = $8,
       alarm = case when n.refusals > 0 then coalesce(h.alarm, $9) else h.alarm end,
       alarm_since = case when n.refusals > 0 then coalesce(h.alarm_since, $8) else h.alarm_since end
     from unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::bigint[], $6::integer[])
       as n (tenant_id, size, last_leaf, frontier, added_bytes, refusals)
     where h.tenant_id = n.tenant_id`,
    [
      changed.map(({ tenantId }) => tenantId),
      changed.map(({ frontier }) => frontier.size),
      changed.map(({ lastLeaf }) => lastLeaf),
      changed.map(({ frontier }) => JSON.stringify(frontier.toJSON().nodes)),
      changed.map(({ addedBytes }) => addedBytes),
      changed.map(({ refusals }) => refusals),
      ZERO_PREV,
      now,
      REFUSAL_ALARM,
    ],
  );
}

import type pg from 'pg';
import { ZERO_PREV } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { REFUSAL_ALARM } from './alarm.ts';
import type { EntryView } from './entry-view.ts';
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
  /** Whether events of the tenant were refused before: what enters the log now may be one of them. */
  readonly hasRefusals: boolean;
}

/** An entry to store, and the outbox row it comes from. */
export interface NewEntry {
  readonly log: OpenLog;
  readonly entry: EntryView;
  readonly row: OutboxRow;
  readonly bytes: Buffer;
  /** The same as text, where the caller has it. */
  readonly text?: string;
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
    `insert into log_heads (tenant_id) select t from unnest($1::uuid[]) as t
     where not exists (select from log_heads h where h.tenant_id = t) order by t on conflict do nothing`,
    [tenants],
  );
  const { rows } = await client.query<HeadRow>(
    `select tenant_id, epoch, size, encode(last_leaf, 'hex') as last_leaf, frontier,
       exists (select from log_refusals r where r.tenant_id = h.tenant_id) as has_refusals
     from log_heads h where tenant_id = any ($1) order by tenant_id for update of h`,
    [tenants],
  );
  return new Map(rows.map((head) => [head.tenant_id, openLog(head)]));
}

/**
 * Returns the entries, by `eventKey`, that hold an event of these rows already: those of a worker that ended before it
 * emptied the outbox.
 */
export async function knownEntries(
  client: pg.PoolClient,
  rows: readonly OutboxRow[],
): Promise<Map<string, KnownEntry>> {
  const found = await client.query<{ tenant_id: string; event_id: string; epoch: number; seq: string; entry: string }>(
    `select e.tenant_id, e.event_id, e.epoch, e.seq, e.entry from unnest($1::uuid[], $2::uuid[]) as asked (tenant_id, event_id)
     join log_entries e on e.tenant_id = asked.tenant_id and e.event_id = asked.event_id`,
    [rows.map(({ tenantId }) => tenantId), rows.map(({ id }) => id)],
  );
  return new Map(
    found.rows.map(({ tenant_id: tenantId, event_id: id, epoch, seq, entry: text }) => [
      eventKey({ tenantId, id }),
      { epoch, seq: Number(seq), text },
    ]),
  );
}

/** An entry that stands in the log, and where. */
export interface KnownEntry {
  readonly epoch: number;
  readonly seq: number;
  readonly text: string;
}

/** Stores the changes, entries, tiles and heads in one statement. */
export async function saveLogs(
  client: pg.PoolClient,
  { logs, entries, tiles, refused, now }: LogChanges,
): Promise<void> {
  await recordRefusals(client, refused, now);
  await forgetRefusals(
    client,
    entries.filter(({ log }) => log.hasRefusals),
  );
  const changed = [...logs].filter(({ addedBytes, refusals }) => addedBytes > 0 || refusals > 0);
  if (changed.length === 0) return;
  await client.query(`with entries as (${INSERT_ENTRIES}), tiles as (${INSERT_TILES}) ${UPDATE_HEADS}`, [
    ...headColumns(changed, now),
    ...entryColumns(changed, entries),
    ...tileColumns(changed, tiles),
  ]);
}

/** Returns what names an event among those of all tenants. */
export function eventKey({ tenantId, id }: Pick<OutboxRow, 'tenantId' | 'id'>): string {
  return `${tenantId} ${id}`;
}

interface HeadRow {
  readonly tenant_id: string;
  readonly epoch: number;
  readonly size: string;
  /** Hex. */
  readonly last_leaf: string | null;
  readonly frontier: unknown;
  readonly has_refusals: boolean;
}

function openLog(head: HeadRow): OpenLog {
  const { tenant_id: tenantId, epoch, size, last_leaf: lastLeaf, frontier } = head;
  if (!Array.isArray(frontier) || !frontier.every((node) => typeof node === 'string')) {
    return fail('CONFLICT', 'the frontier of the log is no list of hashes');
  }
  if ((lastLeaf === null) !== (size === '0')) fail('CONFLICT', 'the head of the log has no last leaf');
  return {
    tenantId,
    epoch,
    frontier: Frontier.fromJSON({ size: Number(size), nodes: frontier }),
    lastLeaf: lastLeaf ?? ZERO_PREV,
    addedBytes: 0,
    refusals: 0,
    hasRefusals: head.has_refusals,
  };
}

const UPDATE_HEADS = `
  update log_heads h set size = n.size, last_leaf = decode(nullif(n.last_leaf, $7), 'hex'), frontier = n.frontier,
    unsealed_bytes = h.unsealed_bytes + n.added_bytes, updated_at = $8,
    alarm = case when n.refusals > 0 then coalesce(h.alarm, $9) else h.alarm end,
    alarm_since = case when n.refusals > 0 then coalesce(h.alarm_since, $8) else h.alarm_since end
  from unnest($1::uuid[], $2::bigint[], $3::text[], $4::jsonb[], $5::bigint[], $6::integer[])
    as n (tenant_id, size, last_leaf, frontier, added_bytes, refusals)
  where h.tenant_id = n.tenant_id`;

function headColumns(logs: readonly OpenLog[], now: Date): unknown[] {
  return [
    listOf(logs, ({ tenantId }) => tenantId),
    listOf(logs, ({ frontier }) => String(frontier.size)),
    listOf(logs, ({ lastLeaf }) => lastLeaf),
    logs.map(({ frontier }) => JSON.stringify(frontier.toJSON().nodes)),
    listOf(logs, ({ addedBytes }) => String(addedBytes)),
    listOf(logs, ({ refusals }) => String(refusals)),
    ZERO_PREV,
    now,
    REFUSAL_ALARM,
  ];
}

/** An entry names its log by the place of that in the list of heads. */
const INSERT_ENTRIES = `
  insert into log_entries (tenant_id, epoch, seq, event_id, leaf, entry, ts, action, outcome,
    actor_type, actor_id, resource_type, resource_id)
  select ($1::uuid[])[e.log], ($10::integer[])[e.log], e.seq, e.event_id, decode(e.leaf, 'hex'), e.entry, e.ts, e.action,
    e.outcome, e.actor_type, e.actor_id, e.resource_type, e.resource_id
  from unnest($11::integer[], $12::bigint[], $13::uuid[], $14::text[], string_to_array($15, E'\n'), $16::timestamptz[],
    $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[])
    as e (log, seq, event_id, leaf, entry, ts, action, outcome, actor_type, actor_id, resource_type, resource_id)`;

function entryColumns(logs: readonly OpenLog[], entries: readonly NewEntry[]): unknown[] {
  const places = placesOf(logs);
  return [
    listOf(logs, ({ epoch }) => String(epoch)),
    listOf(entries, ({ log }) => String(places.get(log))),
    listOf(entries, ({ entry }) => String(entry.seq)),
    listOf(entries, ({ row }) => row.id),
    listOf(entries, ({ leaf }) => leaf.toString('hex')),
    // As lines, for canonical JSON has no line break in it: quoting it for an array costs more than hashing it.
    entries.map(({ text, bytes }) => text ?? bytes.toString('utf8')).join('\n'),
    listOf(entries, ({ entry }) => entry.event.ts),
    listOf(entries, ({ entry }) => entry.event.action),
    listOf(entries, ({ entry }) => entry.outcome),
    listOf(entries, ({ entry }) => entry.event.actor.type),
    // These two hold whatever a writer likes.
    entries.map(({ entry }) => entry.event.actor.id),
    listOf(entries, ({ entry }) => entry.event.resource.type),
    entries.map(({ entry }) => entry.event.resource.id),
  ];
}

const INSERT_TILES = `
  insert into log_tiles (tenant_id, epoch, level, index, hash)
  select ($1::uuid[])[t.log], ($10::integer[])[t.log], t.level, t.index, decode(t.hash, 'hex')
  from unnest($23::integer[], $24::integer[], $25::bigint[], $26::text[]) as t (log, level, index, hash)`;

function tileColumns(logs: readonly OpenLog[], tiles: readonly NewTile[]): unknown[] {
  const places = placesOf(logs);
  return [
    listOf(tiles, ({ log }) => String(places.get(log))),
    listOf(tiles, ({ level }) => String(level)),
    listOf(tiles, ({ index }) => String(index)),
    listOf(tiles, ({ hash }) => hash.toString('hex')),
  ];
}

/** As PostgreSQL counts: from 1. */
function placesOf(logs: readonly OpenLog[]): Map<OpenLog, number> {
  return new Map(logs.map((log, index) => [log, index + 1]));
}

/** Returns an array as PostgreSQL reads it, of texts that need no quotes: quoting them costs more than reading. */
function listOf<T>(items: readonly T[], textOf: (item: T) => string): string {
  return `{${items.map(textOf).join(',')}}`;
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

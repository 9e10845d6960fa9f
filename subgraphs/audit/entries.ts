import type { TenantTransaction } from '#kit/database.ts';
import { parseEntry, type AuditEntry } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import type { AuditFilter } from './inputs.ts';
import type { AuditEvent } from './model.ts';

/** The part of a transaction that reading needs. */
export type Reader = Pick<TenantTransaction, 'query'>;

/** An entry as the audit database keeps it. */
export interface EntryRow {
  readonly epoch: number;
  readonly seq: number;
  /** The hashed text. */
  readonly entry: string;
  readonly leaf: Buffer;
}

/** A place in the tenant's logs; a later epoch lies behind all of an earlier one. */
export interface EntryPlace {
  readonly epoch: number;
  readonly seq: number;
}

/** The newest log of a tenant. */
export interface LogHead {
  readonly epoch: number;
  readonly size: number;
  readonly sealedSize: number;
  /** Over all entries, sealed or not. */
  readonly root: Buffer;
  readonly alarm: string | null;
}

/** A condition on entries; `?` stands for the value. */
export interface Term {
  readonly sql: string;
  readonly value: unknown;
}

/** Which entries to read: those of one epoch with `from <= seq < end` that fit every term. */
export interface EntryRange {
  readonly epoch: number;
  readonly from: number;
  readonly end: number;
  readonly terms: readonly Term[];
  readonly limit: number;
}

/** The names of a filter's fields, in snake case, as the audit log records a search: what was looked for stays private. */
export function filterNames(filter: AuditFilter): string[] {
  return namesIn(filter).map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

/** Returns the conditions of a filter. */
export function filterTerms(filter: AuditFilter): Term[] {
  // Within an entry, quotes and controls are written as JSON writes them.
  return namesIn(filter).map((name) => ({
    sql: TERMS[name],
    value: name === 'text' ? JSON.stringify(filter.text).slice(1, -1) : filter[name],
  }));
}

/** Returns the condition that any of these JSON texts stands in an entry, in small or capital letters. */
export function mentionTerm(texts: readonly string[]): Term {
  const sql = 'exists (select from unnest(?::text[]) as part where position(part in lower(entry)) > 0)';
  return { sql, value: texts.map((text) => text.toLowerCase()) };
}

/** Returns the head of the tenant's newest log; a tenant without entries has an empty one. */
export async function readHead(tx: Reader): Promise<LogHead> {
  const [row] = await tx.query<{
    epoch: number;
    size: string;
    sealed_size: string;
    frontier: string[];
    alarm: string | null;
  }>('select epoch, size, sealed_size, frontier, alarm from log_heads');
  if (row === undefined) return { epoch: 1, size: 0, sealedSize: 0, root: new Frontier().root(), alarm: null };
  const size = Number(row.size);
  const root = Frontier.fromJSON({ size, nodes: row.frontier }).root();
  return { epoch: row.epoch, size, sealedSize: Number(row.sealed_size), root, alarm: row.alarm };
}

/**
 * Returns at most `limit` entries behind a place, newest first: of the newest epoch, then of those before it. A window of
 * time with few entries is read by its time and then sorted; otherwise the log is read backwards until the page is full,
 * which for a text that hardly occurs in a very long log can run into the statement's timeout.
 */
export async function readNewestFirst(
  tx: Reader,
  { before, filter, limit }: { before: EntryPlace | null; filter: AuditFilter; limit: number },
): Promise<EntryRow[]> {
  const { epoch: newest } = await readHead(tx);
  const byTime = await isNarrow(tx, filter);
  const terms = filterTerms(filter);
  const rows: EntryRow[] = [];
  let end = before?.seq ?? Number.MAX_SAFE_INTEGER;
  for (let epoch = Math.min(before?.epoch ?? newest, newest); epoch >= 1 && rows.length < limit; epoch--) {
    const range = { epoch, from: 0, end, terms, limit: limit - rows.length };
    rows.push(...(await readRange(tx, range, { order: 'desc', byTime })));
    end = Number.MAX_SAFE_INTEGER;
  }
  return rows;
}

/** Returns the entries of a range in the order of the log. */
export function readOldestFirst(tx: Reader, range: EntryRange): Promise<EntryRow[]> {
  return readRange(tx, range, { order: 'asc', byTime: false });
}

/** Returns the entries whose events have these UUIDs. */
export async function readByEvent(tx: Reader, uuids: readonly string[]): Promise<EntryRow[]> {
  const rows = await tx.query<StoredRow>(
    'select epoch, seq, entry, leaf from log_entries where event_id = any($1::uuid[])',
    [uuids],
  );
  return rows.map(rowOf);
}

/** Returns the entry inside a row; one that is not what the sequencer writes is an inner fault. */
export function entryOf(row: EntryRow): AuditEntry {
  try {
    return parseEntry(Buffer.from(row.entry));
  } catch (cause) {
    return fail('INTERNAL_SERVER_ERROR', `entry ${row.epoch}.${row.seq} is not canonical any more`, { cause });
  }
}

/** Returns an entry as the graph shows it. */
export function eventOf(row: EntryRow): AuditEvent {
  const { outcome, event } = entryOf(row);
  const { type, id, ip, ua } = event.actor;
  return {
    id: event.id,
    epoch: row.epoch,
    seq: row.seq,
    ts: new Date(event.ts),
    action: event.action,
    outcome,
    actor: { type, id, ip, ua, user: type === 'user' && id !== null ? { id } : null },
    resource: event.resource,
    context: event.context,
    sessionId: event.session_id,
    requestId: event.request_id,
    entry: row.entry,
    leafHash: row.leaf.toString('hex'),
  };
}

type StoredRow = Omit<EntryRow, 'seq'> & { readonly seq: string };
type FilterName = keyof AuditFilter;

/** What the fields compare with; `?` stands for the value. */
const TERMS: Readonly<Record<FilterName, string>> = {
  actorId: 'actor_id = ?',
  action: 'action = ?',
  resourceType: 'resource_type = ?',
  resourceId: 'resource_id = ?',
  outcome: 'outcome = ?',
  from: 'ts >= ?',
  to: 'ts < ?',
  // No pattern, so nothing in the text has a meaning of its own.
  text: 'position(lower(?) in lower(entry)) > 0',
};

function namesIn(filter: AuditFilter): FilterName[] {
  const names = Object.keys(TERMS) as FilterName[];
  return names.filter((name) => filter[name] != null);
}

/** Entries of a window that are worth sorting by seq. */
const NARROW_WINDOW = 20_000;

async function isNarrow(tx: Reader, filter: AuditFilter): Promise<boolean> {
  if (filter.from == null && filter.to == null) return false;
  const [row] = await tx.query<{ size: number }>(
    'select count(*)::integer as size from (select from log_entries where ts >= $1 and ts < $2 limit $3) as entries',
    [filter.from ?? '-infinity', filter.to ?? 'infinity', NARROW_WINDOW + 1],
  );
  return (row?.size ?? 0) <= NARROW_WINDOW;
}

async function readRange(
  tx: Reader,
  { epoch, from, end, terms, limit }: EntryRange,
  { order, byTime }: { order: 'asc' | 'desc'; byTime: boolean },
): Promise<EntryRow[]> {
  const conditions = terms.map(({ sql }, index) => sql.replace('?', `$${index + 5}`));
  const window = conditions.filter((condition) => condition.startsWith('ts '));
  // The offset keeps the planner from reading the log backwards all the same, since it takes times for evenly spread.
  const source = byTime
    ? `(select * from log_entries where ${window.join(' and ')} offset 0) as entries`
    : 'log_entries';
  const rows = await tx.query<StoredRow>(
    `select epoch, seq, entry, leaf from ${source}
      where ${['epoch = $1', 'seq >= $2', 'seq < $3', ...conditions].join(' and ')} order by seq ${order} limit $4`,
    [epoch, from, end, limit, ...terms.map(({ value }) => value)],
  );
  return rows.map(rowOf);
}

function rowOf(row: StoredRow): EntryRow {
  return { ...row, seq: Number(row.seq) };
}

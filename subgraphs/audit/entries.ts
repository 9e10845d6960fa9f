import type { TenantTransaction } from '#kit/database.ts';
import type { SeqRange } from '#kit/log-search.ts';
import { parseEntry, type AuditEntry, type PersonalText } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import type { AuditEvent } from './model.ts';
import type { Term } from './search-terms.ts';

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

/** Returns the head of the tenant's newest log; a tenant without entries has an empty one. */
export async function readHead(tx: Reader): Promise<LogHead> {
  const [row] = await tx.query<{
    epoch: number;
    size: string;
    sealed_size: string;
    frontier: string[];
    alarm: string | null;
  }>(`select epoch, size, sealed_size, frontier, coalesce(alarm,
       (select sentence from log_alarms order by since, kind limit 1)) as alarm from log_heads`);
  if (row === undefined) return { epoch: 1, size: 0, sealedSize: 0, root: new Frontier().root(), alarm: null };
  const size = Number(row.size);
  const root = Frontier.fromJSON({ size, nodes: row.frontier }).root();
  return { epoch: row.epoch, size, sealedSize: Number(row.sealed_size), root, alarm: row.alarm };
}

/** Which entries to read: of the ranges of an epoch, at most so many of each from its end in this order. */
export interface EntryRanges {
  readonly epoch: number;
  /** In the order of reading; none overlap. */
  readonly ranges: readonly SeqRange[];
  readonly order: 'asc' | 'desc';
  readonly terms: readonly Term[];
  readonly limitEach: number;
}

/** Returns the entries of some ranges that fit every term, in order. */
export async function readRanges(
  tx: Reader,
  { epoch, ranges, order, terms, limitEach }: EntryRanges,
): Promise<EntryRow[]> {
  // The limit makes the planner go to the primary key once a range.
  const rows = await tx.query<StoredRow>(
    `select found.epoch, found.seq, found.entry, found.leaf
       from unnest($2::bigint[], $3::bigint[]) as range (low, high), lateral (
         select epoch, seq, entry, leaf from log_entries
          where ${['epoch = $1', 'seq >= low', 'seq < high', ...termConditions(terms, 5)].join(' and ')}
          order by seq ${order} limit $4
       ) as found`,
    [
      epoch,
      ranges.map(({ low }) => low),
      ranges.map(({ high }) => high),
      limitEach,
      ...terms.map(({ value }) => value),
    ],
  );
  const sign = order === 'asc' ? 1 : -1;
  return rows.map(rowOf).toSorted((a, b) => sign * (a.seq - b.seq));
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
  const { outcome, action_version: actionVersion, event } = entryOf(row);
  const { type, id, ip, ua } = event.actor;
  return {
    id: event.id,
    epoch: row.epoch,
    seq: row.seq,
    ts: new Date(event.ts),
    action: event.action,
    actionVersion,
    outcome,
    actor: { type, id, ip: textOf(ip), ua: textOf(ua), user: type === 'user' && id !== null ? { id } : null },
    resource: { ...event.resource, name: textOf(event.resource.name) },
    context: event.context,
    erased: [],
    sessionId: event.session_id,
    requestId: event.request_id,
    entry: row.entry,
    leafHash: row.leaf.toString('hex'),
  };
}

type StoredRow = Omit<EntryRow, 'seq'> & { readonly seq: string };
/** What is sealed and was not opened is shown as unknown. */
function textOf(value: PersonalText): string | null {
  return typeof value === 'string' ? value : null;
}

/** The conditions of terms whose values stand from this parameter on. */
function termConditions(terms: readonly Term[], first: number): string[] {
  return terms.map(({ sql }, index) => sql.replace('?', `$${first + index}`));
}

function rowOf(row: StoredRow): EntryRow {
  return { ...row, seq: Number(row.seq) };
}

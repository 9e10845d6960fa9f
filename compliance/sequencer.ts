import pg from 'pg';
import { entryLeaf, parseEntry } from '#schema/audit-event.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { LOG_ALARM, raiseAlarm } from './alarm.ts';
import { viewEntry, type EntryView } from './entry-view.ts';
import {
  eventKey,
  inTransaction,
  knownEntries,
  type KnownEntry,
  openLogs,
  saveLogs,
  type NewEntry,
  type NewTile,
  type OpenLog,
  type Refusal,
} from './log-store.ts';
import { madeAt, type Outbox, type OutboxRow, type SequencedRow } from './outbox-reader.ts';
import { ERASURE_ACTIONS, recordPrivacy, type PlacedEntry } from './privacy/index-tokens.ts';

/** What sequencing the events of one cell needs. */
export interface SequencerOptions {
  readonly outbox: Outbox;
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly clock: () => Date;
  /** Events taken at a time; eight times as many while more are there. */
  readonly batchSize: number;
  /** Runs the work unless another worker runs it for these tenants: then null. Without it nobody else is asked. */
  readonly alone?: <T>(work: () => Promise<T>) => Promise<T | null>;
}

/** What one turn did. */
export interface SequencingTurn {
  /** Rows that were there to take; null where another worker takes them. */
  readonly taken: number | null;
  /** Entries that logs hold now and did not before. */
  readonly added: number;
  readonly refused: readonly Refusal[];
  readonly failures: readonly { readonly tenantId: string; readonly error: Error }[];
  /** Logs whose events are left alone for a while, because the last try failed. */
  readonly resting: number;
  /** When the oldest event was made that waited as the turn began, those refused set aside; null where none did. */
  readonly oldest: Date | null;
}

const FIRST_REST_MS = 1_000;
const LAST_REST_MS = 60_000;
/** What costs by the batch and by the log in it is shared by more events where more wait. */
const MOST_GROWTH = 8;

interface Resting {
  readonly failures: number;
  readonly untilMs: number;
}

/** What a sequencer remembers from turn to turn. */
interface Progress {
  readonly refusedPositions: Set<string>;
  readonly resting: Map<string, Resting>;
  /** Events taken next; above the least while batches are full. */
  limit: number;
}

/**
 * Returns the function that moves, each time it is called, one batch of events from the outbox into the logs of their
 * tenants. Ended at any point, the next call of any worker goes on: an event leaves the outbox only after its entry is
 * committed. An event that no log can take stays there and is passed over by this sequencer, and so, for a while, are
 * the events of a log that failed; neither holds up the others.
 */
export function createSequencer(options: SequencerOptions): () => Promise<SequencingTurn> {
  const { outbox, batchSize, alone = (work) => work() } = options;
  const progress: Progress = { refusedPositions: new Set(), resting: new Map(), limit: batchSize };
  return async () => {
    // While batches are full there is more; else looking is cheaper than taking turns with other workers.
    const isKnown = progress.limit > batchSize;
    const oldest = isKnown ? null : await outbox.oldest([...progress.refusedPositions]);
    if (!isKnown && oldest === null) return { ...NOTHING, resting: progress.resting.size };
    return (await alone(() => sequenceNext(options, progress, oldest))) ?? { ...NOTHING, taken: null, oldest };
  };
}

const NOTHING: SequencingTurn = { taken: 0, added: 0, refused: [], failures: [], resting: 0, oldest: null };

async function sequenceNext(
  { outbox, audit, clock, batchSize }: SequencerOptions,
  progress: Progress,
  waiting: Date | null,
): Promise<SequencingTurn> {
  const { refusedPositions, resting, limit } = progress;
  const skipTenants = [...resting]
    .filter(([, { untilMs }]) => performance.now() < untilMs)
    .map(([tenantId]) => tenantId);
  const rows = await outbox.take({ limit, skipPositions: [...refusedPositions], skipTenants });
  const { settled, added, refused, failed } = await sequence(audit, rows, clock());
  await outbox.remove(settled);
  progress.limit = rows.length < limit ? batchSize : Math.min(limit * 2, batchSize * MOST_GROWTH);
  for (const { row } of refused) refusedPositions.add(row.position);
  for (const { tenantId } of settled) resting.delete(tenantId);
  for (const tenantId of failed.keys()) {
    await raiseAlarm(audit, { tenantId, sentence: LOG_ALARM, now: clock() });
    resting.set(tenantId, afterFailure(resting.get(tenantId)));
  }
  const failures = [...failed].map(([tenantId, error]) => ({ tenantId, error }));
  const oldest = waiting ?? (rows[0] === undefined ? null : madeAt(rows[0]));
  return { taken: rows.length, added, refused, failures, resting: resting.size, oldest };
}

function afterFailure(before: Resting | undefined): Resting {
  const failures = (before?.failures ?? 0) + 1;
  return { failures, untilMs: performance.now() + Math.min(FIRST_REST_MS * 2 ** (failures - 1), LAST_REST_MS) };
}

/** What became of a batch: every row is in exactly one of the three. */
export interface SequencedBatch {
  /** Stand in the log, now or from an earlier try; they can leave the outbox. */
  readonly settled: readonly SequencedRow[];
  /** How many of them were added by this call. */
  readonly added: number;
  /** Recorded as refused; they stay in the outbox. */
  readonly refused: readonly Refusal[];
  /** Nothing of these tenants was written, for the fault that is given; their rows stay in the outbox. */
  readonly failed: ReadonlyMap<string, Error>;
}

/** Leaves under one tile of `log_tiles`: 2^8, and so on for every level above. */
const TILE_LEVELS = 8;

/**
 * Appends the rows to the logs of their tenants, in their order: gives each its number and its predecessor's hash, and
 * stores entries, tiles and heads in one transaction. An event that stands in the log already is not added again, so a
 * batch may be repeated after any crash, and two workers may sequence the same batch at once. A fault of one tenant's
 * log is found by sequencing every tenant alone, and leaves the others untouched; any other fault is thrown.
 */
export async function sequence(audit: pg.Pool, rows: readonly OutboxRow[], now: Date): Promise<SequencedBatch> {
  if (rows.length === 0) return { settled: [], added: 0, refused: [], failed: new Map() };
  try {
    return await sequenceTogether(audit, rows, now);
  } catch (error) {
    if (!isFaultOfLog(error)) throw error;
  }
  return sequenceApart(audit, rows, now);
}

/**
 * Events that the log knows already are there only after a crash or beside another worker, so they are looked for only
 * once the log refuses to take an event twice.
 */
async function sequenceTogether(audit: pg.Pool, rows: readonly OutboxRow[], now: Date): Promise<SequencedBatch> {
  try {
    return await sequenceOnce(audit, { rows, now, mayBeKnown: false });
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== UNIQUE_VIOLATION) throw error;
  }
  return sequenceOnce(audit, { rows, now, mayBeKnown: true });
}

const UNIQUE_VIOLATION = '23505';

async function sequenceApart(audit: pg.Pool, rows: readonly OutboxRow[], now: Date): Promise<SequencedBatch> {
  const batches: SequencedBatch[] = [];
  const failed = new Map<string, Error>();
  for (const [tenantId, ofTenant] of byTenant(rows)) {
    try {
      batches.push(await sequenceTogether(audit, ofTenant, now));
    } catch (error) {
      if (!isFaultOfLog(error)) throw error;
      failed.set(tenantId, error);
    }
  }
  return {
    settled: batches.flatMap(({ settled }) => settled),
    added: batches.reduce((sum, { added }) => sum + added, 0),
    refused: batches.flatMap(({ refused }) => refused),
    failed,
  };
}

interface Batch {
  readonly rows: readonly OutboxRow[];
  readonly now: Date;
  readonly mayBeKnown: boolean;
}

async function sequenceOnce(audit: pg.Pool, { rows, now, mayBeKnown }: Batch): Promise<SequencedBatch> {
  const tenants = [...new Set(rows.map(({ tenantId }) => tenantId))];
  return inTransaction(audit, async (client) => {
    const logs = await openLogs(client, tenants);
    const known = mayBeKnown ? await knownEntries(client, rows) : new Map<string, KnownEntry>();
    const settled: SequencedRow[] = [];
    const entries: NewEntry[] = [];
    const tiles: NewTile[] = [];
    const refused: Refusal[] = [];
    for (const row of rows) {
      const log = logs.get(row.tenantId) ?? fail('INTERNAL_SERVER_ERROR', 'a log that was just made is missing');
      const reason = faultOf(() => {
        const entry = mayBeKnown ? known.get(eventKey(row)) : undefined;
        if (entry === undefined) {
          const added = append(log, row, tiles);
          entries.push(added);
          settled.push({ ...row, epoch: log.epoch, seq: added.entry.seq });
        } else {
          checkSame(row, entry.text);
          settled.push({ ...row, epoch: entry.epoch, seq: entry.seq });
        }
      });
      if (reason === null) continue;
      log.refusals += 1;
      refused.push({ row, reason });
    }
    await saveLogs(client, { logs: logs.values(), entries, tiles, refused, now });
    await recordPrivacy(client, entries.flatMap(placedEntry));
    return { settled, added: entries.length, refused, failed: new Map() };
  });
}

/** Few events tell of an erasure, so the others are not read whole for it. */
function placedEntry({ log, row, entry, bytes, leaf }: NewEntry): PlacedEntry[] {
  const { indexTokens = null, tenantId } = row;
  const isErasure = ERASURE_ACTIONS.has(entry.event.action);
  if (indexTokens === null && !isErasure) return [];
  const event = isErasure ? parseEntry(bytes).event : null;
  return [{ tenantId, epoch: log.epoch, seq: entry.seq, leaf, event, indexTokens }];
}

/** An id that comes again with another event would drop that event without a trace. */
function checkSame(row: OutboxRow, entry: string): void {
  if (entry.startsWith(entryHead(row))) return;
  fail('AUDIT_EVENT_REFUSED', 'event.id stands in the log with another event');
}

function append(log: OpenLog, row: OutboxRow, tiles: NewTile[]): NewEntry {
  // The event's bytes are kept as they are; the keys stand in the order of RFC 8785. Reading the entry as an auditor
  // will proves the bytes canonical and complete, whatever the column held.
  const text = `${entryHead(row)}"${log.lastLeaf}","seq":${log.frontier.size},"v":1}`;
  const bytes = Buffer.from(text);
  const entry = viewEntry(bytes, text);
  checkPlace(entry.event, row);
  const leaf = entryLeaf(bytes);
  log.frontier.append(leaf, ({ level, index }, hash) => {
    if (level % TILE_LEVELS === 0) tiles.push({ log, level: level / TILE_LEVELS, index, hash });
  });
  log.lastLeaf = leaf.toString('hex');
  log.addedBytes += bytes.length + 1;
  return { log, entry, row, bytes, text, leaf };
}

/** The text of the row's entry up to its place in the log. */
function entryHead({ actionVersion, event, outcome }: OutboxRow): string {
  return `{"action_version":${actionVersion},"event":${event},"outcome":"${outcome}","prev":`;
}

function checkPlace(event: EntryView['event'], row: OutboxRow): void {
  if (uuidOf('aud', event.id) !== row.id) fail('AUDIT_EVENT_REFUSED', 'event.id is not the id of its outbox row');
  if (uuidOf('tnt', event.tenant_id) !== row.tenantId) {
    fail('AUDIT_EVENT_REFUSED', 'event.tenant_id is not the tenant of its outbox row');
  }
  // PostgreSQL counts no year 0, so the copy for searching could not be stored.
  if (event.ts.startsWith('0000')) fail('AUDIT_EVENT_REFUSED', 'event.ts is before the year 1');
}

function byTenant(rows: readonly OutboxRow[]): Map<string, OutboxRow[]> {
  const groups = new Map<string, OutboxRow[]>();
  for (const row of rows) {
    const group = groups.get(row.tenantId);
    if (group === undefined) groups.set(row.tenantId, [row]);
    else group.push(row);
  }
  return groups;
}

/** Returns why the event is refused, or null where it is not. */
function faultOf(work: () => void): string | null {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof TenonError && error.code !== 'INTERNAL_SERVER_ERROR') return error.message;
    throw error;
  }
}

/** A fault of the data of one log, which no repetition heals; lost connections and the like are faults of all. */
function isFaultOfLog(error: unknown): error is Error {
  if (error instanceof TenonError) return true;
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '');
}

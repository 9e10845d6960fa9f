import pg from 'pg';
import { entryLeaf, parseEntry, type AuditEvent } from '#schema/audit-event.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { LOG_ALARM, raiseAlarm } from './alarm.ts';
import {
  eventKey,
  inTransaction,
  knownEntries,
  openLogs,
  saveLogs,
  type NewEntry,
  type NewTile,
  type OpenLog,
  type Refusal,
} from './log-store.ts';
import type { Outbox, OutboxRow } from './outbox-reader.ts';

/** What sequencing the events of one cell needs. */
export interface SequencerOptions {
  readonly outbox: Outbox;
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly clock: () => Date;
  /** Events taken at a time. */
  readonly batchSize: number;
}

/** What one turn did. */
export interface SequencingTurn {
  /** Rows that were there to take. */
  readonly taken: number;
  /** Entries that logs hold now and did not before. */
  readonly added: number;
  readonly refused: readonly Refusal[];
  readonly failures: readonly { readonly tenantId: string; readonly error: Error }[];
  /** Logs whose events are left alone for a while, because the last try failed. */
  readonly resting: number;
  /** When the oldest event was made that still waits, those refused set aside; null where none does. */
  readonly oldest: Date | null;
}

const FIRST_REST_MS = 1_000;
const LAST_REST_MS = 60_000;

/**
 * Returns the function that moves, each time it is called, one batch of events from the outbox into the logs of their
 * tenants. Ended at any point, the next call of any worker goes on: an event leaves the outbox only after its entry is
 * committed. An event that no log can take stays there and is passed over by this sequencer, and so, for a while, are
 * the events of a log that failed; neither holds up the others.
 */
export function createSequencer({ outbox, audit, clock, batchSize }: SequencerOptions): () => Promise<SequencingTurn> {
  const refusedPositions = new Set<string>();
  const resting = new Map<string, { readonly failures: number; readonly untilMs: number }>();
  return async () => {
    const skipTenants = [...resting]
      .filter(([, { untilMs }]) => performance.now() < untilMs)
      .map(([tenantId]) => tenantId);
    const rows = await outbox.take({ limit: batchSize, skipPositions: [...refusedPositions], skipTenants });
    const { settled, added, refused, failed } = await sequence(audit, rows, clock());
    await outbox.remove(settled);
    for (const { row } of refused) refusedPositions.add(row.position);
    for (const { tenantId } of settled) resting.delete(tenantId);
    for (const tenantId of failed.keys()) {
      await raiseAlarm(audit, { tenantId, sentence: LOG_ALARM, now: clock() });
      const failures = (resting.get(tenantId)?.failures ?? 0) + 1;
      const restMs = Math.min(FIRST_REST_MS * 2 ** (failures - 1), LAST_REST_MS);
      resting.set(tenantId, { failures, untilMs: performance.now() + restMs });
    }
    const failures = [...failed].map(([tenantId, error]) => ({ tenantId, error }));
    const oldest = await outbox.oldest([...refusedPositions]);
    return { taken: rows.length, added, refused, failures, resting: resting.size, oldest };
  };
}

/** What became of a batch: every row is in exactly one of the three. */
export interface SequencedBatch {
  /** Stand in the log, now or from an earlier try; they can leave the outbox. */
  readonly settled: readonly OutboxRow[];
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

async function sequenceTogether(audit: pg.Pool, rows: readonly OutboxRow[], now: Date): Promise<SequencedBatch> {
  const tenants = [...byTenant(rows).keys()];
  return inTransaction(audit, async (client) => {
    const logs = await openLogs(client, tenants);
    const known = await knownEntries(client, rows);
    const entries: NewEntry[] = [];
    const tiles: NewTile[] = [];
    const refused: Refusal[] = [];
    for (const row of rows) {
      const log = logs.get(row.tenantId) ?? fail('INTERNAL_SERVER_ERROR', 'a log that was just made is missing');
      const reason = faultOf(() => {
        const entry = known.get(eventKey(row));
        if (entry !== undefined) checkSame(row, entry);
        else entries.push(append(log, row, tiles));
      });
      if (reason === null) continue;
      log.refusals += 1;
      refused.push({ row, reason });
    }
    await saveLogs(client, { logs: logs.values(), entries, tiles, refused, now });
    const left = new Set(refused.map(({ row }) => row));
    return { settled: rows.filter((row) => !left.has(row)), added: entries.length, refused, failed: new Map() };
  });
}

/** An id that comes again with another event would drop that event without a trace. */
function checkSame({ event, outcome }: OutboxRow, entry: string): void {
  if (entry.startsWith(`{"event":${event},"outcome":"${outcome}","prev":`)) return;
  fail('AUDIT_EVENT_REFUSED', 'event.id stands in the log with another event');
}

function append(log: OpenLog, row: OutboxRow, tiles: NewTile[]): NewEntry {
  // The event's bytes are kept as they are; the keys stand in the order of RFC 8785. Reading the entry as an auditor
  // will proves the bytes canonical and complete, whatever the column held.
  const { event: text, outcome } = row;
  const bytes = Buffer.from(
    `{"event":${text},"outcome":"${outcome}","prev":"${log.lastLeaf}","seq":${log.frontier.size},"v":1}`,
  );
  const entry = parseEntry(bytes);
  checkPlace(entry.event, row);
  const leaf = entryLeaf(bytes);
  log.frontier.append(leaf, ({ level, index }, hash) => {
    if (level % TILE_LEVELS === 0) tiles.push({ log, level: level / TILE_LEVELS, index, hash });
  });
  log.lastLeaf = leaf.toString('hex');
  log.addedBytes += bytes.length + 1;
  return { log, entry, row, bytes, leaf };
}

function checkPlace(event: AuditEvent, row: OutboxRow): void {
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

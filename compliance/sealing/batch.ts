import { asTenonError, fail, type TenonError } from '#schema/errors.ts';
import { REFUSAL_ALARM } from '../alarm.ts';
import { parseManifest, segmentKey } from '../manifest.ts';
import { MAX_SEGMENT_ENTRIES } from '../segment.ts';
import {
  findSegments,
  insertPlans,
  markManifestsPut,
  markSealed,
  markSegmentsPut,
  readEntries,
  type SegmentPlan,
  type SegmentRow,
  type StoredEntries,
  type UnsealedLog,
} from '../segment-store.ts';
import { isAhead } from './archived-keys.ts';
import { confirm, putFirst, putSegment } from './objects.ts';
import { nameOf, type SealingOptions } from './options.ts';
import { inParallel } from './parallel.ts';
import { afterSegment, readPredecessor, type Predecessor, type Predecessors } from './predecessor.ts';
import { sealable, signSegment, type Sealable } from './sealable.ts';

/**
 * What became of a log's next segment: sealed; left to another worker that got ahead; or not touched, because the
 * archive holds more of the log than the database knows.
 */
export type Outcome = 'sealed' | 'overtaken' | 'ahead' | TenonError;

/** What sealing goes by from one batch to the next. */
export interface SealingScope extends SealingOptions {
  readonly predecessors: Predecessors;
}

interface Batch {
  readonly scope: SealingScope;
  readonly outcomes: Map<string, Outcome>;
}

/** A log on its way to a signature. */
interface Started {
  readonly log: UnsealedLog;
  readonly planned: SegmentRow | null;
  readonly before: Predecessor;
}

interface Planned {
  readonly row: SegmentRow;
  readonly segment: Sealable;
}

/**
 * Takes the open segment of each log, or a new one, from its state to the last, all logs one state at a time so that a
 * state costs one statement for all of them. A log that fails, or that another worker got ahead with, drops out and
 * holds up no other. A throw is a statement that failed for all; each log alone may then be tried again.
 */
export async function sealBatch(scope: SealingScope, logs: readonly UnsealedLog[]): Promise<Map<string, Outcome>> {
  const batch: Batch = { scope, outcomes: new Map() };
  const { audit, clock } = scope;
  const rows = await openSegments(batch, logs);
  const isOf = (state: SegmentRow['state']) => rows.open.filter((row) => row.state === state);
  const resumed = await keep(batch, [...isOf('segment_put'), ...isOf('manifest_put')], (row) =>
    checkResumed(batch, row),
  );
  const signed = await signNext(batch, logs, rows);
  const manifests = await keep(batch, [...signed, ...resumed.filter(({ state }) => state === 'segment_put')], (row) =>
    putManifest(batch, row),
  );
  const noted = await markManifestsPut(audit, manifests);
  const looked = await keep(batch, [...noted, ...resumed.filter(({ state }) => state === 'manifest_put')], (row) =>
    confirmBoth(scope, row),
  );
  const closed = await markSealed(audit, looked, { now: clock(), refusalAlarm: REFUSAL_ALARM });
  const own = new Set(signed.map(({ tenantId }) => tenantId));
  for (const row of looked) {
    if (!closed.has(row.tenantId)) continue;
    batch.outcomes.set(row.tenantId, 'sealed');
    // Behind a segment that another process signed, the archive may hold more than this database.
    if (!own.has(row.tenantId)) continue;
    scope.predecessors.remember(row.tenantId, afterSegment({ ...row, text: archivedOf(row).manifest }));
  }
  for (const { tenantId } of logs) if (!batch.outcomes.has(tenantId)) batch.outcomes.set(tenantId, 'overtaken');
  return batch.outcomes;
}

interface FoundRows {
  /** The log's next segment, where it is under way. */
  readonly open: readonly SegmentRow[];
  /** The one before, where this process has not sealed it itself. */
  readonly last: ReadonlyMap<string, SegmentRow>;
}

async function openSegments({ scope }: Batch, logs: readonly UnsealedLog[]): Promise<FoundRows> {
  const names = logs.flatMap((log) => {
    const next = { tenantId: log.tenantId, epoch: log.epoch, number: log.nextSegment };
    const isKnown = log.nextSegment === 0 || scope.predecessors.of(log) !== null;
    return isKnown ? [next] : [next, { ...next, number: log.nextSegment - 1 }];
  });
  const numbers = new Map(logs.map((log) => [log.tenantId, log.nextSegment]));
  const found = await findSegments(scope.audit, names);
  const isOpen = (row: SegmentRow) => row.number === numbers.get(row.tenantId);
  return {
    open: found.filter(isOpen),
    last: new Map(found.filter((row) => !isOpen(row)).map((row) => [row.tenantId, row])),
  };
}

/** Returns the rows that hold a signed manifest now, from the plan or from before it on. */
async function signNext(batch: Batch, logs: readonly UnsealedLog[], { open, last }: FoundRows): Promise<SegmentRow[]> {
  const { scope } = batch;
  const openOf = new Map(open.map((row) => [row.tenantId, row]));
  const unsigned = logs.filter(({ tenantId }) => (openOf.get(tenantId)?.state ?? 'planned') === 'planned');
  const started = await each(batch, unsigned, async (log): Promise<Started | null> => {
    const planned = openOf.get(log.tenantId) ?? null;
    return start(batch, { log, planned, last: last.get(log.tenantId) ?? null });
  });
  const entries = await readEntries(
    scope.audit,
    started.map(({ log, planned }) => ({
      tenantId: log.tenantId,
      epoch: log.epoch,
      firstSeq: log.sealedSize,
      count: planned?.count ?? MAX_SEGMENT_ENTRIES,
    })),
  );
  const plans = await planAll(batch, started, entries);
  const put = await each(batch, plans, async (plan) => putAndSign(batch, plan));
  return markSegmentsPut(scope.audit, put);
}

async function start(
  batch: Batch,
  { log, planned, last }: { log: UnsealedLog; planned: SegmentRow | null; last: SegmentRow | null },
): Promise<Started | null> {
  const { scope } = batch;
  const own = scope.predecessors.of(log);
  if (own !== null && planned === null) return { log, planned, before: own };
  if (await isAhead(scope.archive, { log: nameOf(scope, log), number: log.nextSegment }, planned)) {
    batch.outcomes.set(log.tenantId, 'ahead');
    return null;
  }
  return { log, planned, before: own ?? (await readPredecessor(scope, log, last)) };
}

async function planAll(
  batch: Batch,
  started: readonly Started[],
  entries: ReadonlyMap<string, StoredEntries>,
): Promise<Planned[]> {
  const { scope } = batch;
  const built = await each(batch, started, async ({ log, planned, before }) => {
    const stored = entries.get(log.tenantId) ?? fail('CONFLICT', 'the log does not continue: an entry is missing');
    const segment = sealable(before, stored);
    if (planned !== null && planned.sha256 !== segment.sha256)
      fail('CONFLICT', 'the entries of a planned segment have changed');
    return { log, planned, segment };
  });
  const fresh = built.filter(({ planned }) => planned === null);
  const inserted = await insertPlans(
    scope.audit,
    fresh.map(({ log, segment }) => planOf(scope, log, segment)),
  );
  const rows = new Map(inserted.map((row) => [row.tenantId, row]));
  return built.flatMap(({ log, planned, segment }) => {
    const row = planned ?? rows.get(log.tenantId);
    return row === undefined ? [] : [{ row, segment }];
  });
}

const DAY_MS = 24 * 60 * 60 * 1000;

function planOf(scope: SealingScope, log: UnsealedLog, segment: Sealable): SegmentPlan {
  const plannedAt = scope.clock();
  const retentionMs = log.retentionDays === null ? scope.retentionMs : log.retentionDays * DAY_MS;
  return {
    tenantId: log.tenantId,
    epoch: log.epoch,
    number: log.nextSegment,
    firstSeq: log.sealedSize,
    count: segment.count,
    sizeBytes: segment.bytes.length,
    sha256: segment.sha256,
    frontier: segment.frontier,
    segmentKey: segmentKey(nameOf(scope, log), log.nextSegment),
    plannedAt,
    retainUntil: new Date(plannedAt.getTime() + retentionMs),
  };
}

/**
 * Nothing is signed before the archive holds the segment under its number, where it takes no other: of workers over
 * databases that part ways one alone signs what it has, and the others continue that.
 */
async function putAndSign(batch: Batch, { row, segment }: Planned) {
  const packed = await putSegment(batch.scope.archive, row, segment.bytes);
  if (packed !== null) return { row, signed: signSegment(batch.scope, { row, segment, packed }) };
  batch.outcomes.set(row.tenantId, 'ahead');
  return null;
}

/** A segment that another process left behind may be one of a database that was set back since. */
async function checkResumed(batch: Batch, row: SegmentRow): Promise<void> {
  const { archive } = batch.scope;
  if (await isAhead(archive, { log: nameOf(batch.scope, row), number: row.number }, row)) {
    batch.outcomes.set(row.tenantId, 'ahead');
  }
}

/** A worker over another database may have signed the same segment with words of its own around it: then those hold. */
async function putManifest({ scope, outcomes }: Batch, row: SegmentRow): Promise<void> {
  const { manifestKey: key, manifest } = archivedOf(row);
  const isFirst = await putFirst(scope.archive, { key, bytes: Buffer.from(manifest), retainUntil: row.retainUntil });
  if (!isFirst) outcomes.set(row.tenantId, 'ahead');
}

async function confirmBoth({ archive }: SealingScope, row: SegmentRow): Promise<void> {
  const { manifestKey, manifest } = archivedOf(row);
  const { retainUntil } = row;
  const { segment } = parseManifest(Buffer.from(manifest));
  await confirm(archive, { key: row.segmentKey, sizeBytes: segment.gz_size_bytes, retainUntil });
  await confirm(archive, { key: manifestKey, sizeBytes: Buffer.byteLength(manifest), retainUntil });
}

/** Runs the work for every log that has no outcome yet and returns what it gave; a throw becomes the log's outcome. */
async function each<T extends { log: UnsealedLog } | { row: SegmentRow } | UnsealedLog, R>(
  batch: Batch,
  items: readonly T[],
  work: (item: T) => Promise<R | null>,
): Promise<R[]> {
  const results: R[] = [];
  await inParallel(items, async (item) => {
    const { tenantId } = 'log' in item ? item.log : 'row' in item ? item.row : item;
    if (batch.outcomes.has(tenantId)) return;
    try {
      const result = await work(item);
      if (result !== null) results.push(result);
    } catch (thrown) {
      batch.outcomes.set(tenantId, asTenonError(thrown));
    }
  });
  return results;
}

/** The same for rows, which are returned as they are where the work gave them no outcome. */
async function keep(
  batch: Batch,
  rows: readonly SegmentRow[],
  work: (row: SegmentRow) => Promise<void>,
): Promise<SegmentRow[]> {
  return each(
    batch,
    rows.map((row) => ({ row })),
    async ({ row }) => {
      await work(row);
      return batch.outcomes.has(row.tenantId) ? null : row;
    },
  );
}

function archivedOf({ archived }: SegmentRow): { manifestKey: string; manifest: string } {
  return archived ?? fail('INTERNAL_SERVER_ERROR', 'a segment beyond its plan has no manifest');
}

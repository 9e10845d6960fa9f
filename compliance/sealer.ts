import { hash } from 'node:crypto';
import type pg from 'pg';
import { ZERO_PREV } from '#schema/audit-event.ts';
import { asTenonError, fail, TenonError, type ErrorCode } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import type { NoteSigner } from '#schema/signed-note.ts';
import { raiseAlarm, REFUSAL_ALARM } from './alarm.ts';
import type { Archive } from './archive/archive.ts';
import {
  keyPrefix,
  logOf,
  manifestSha256,
  parseManifest,
  segmentKey,
  signManifest,
  type LogName,
  type SignedManifest,
} from './manifest.ts';
import {
  findSegment,
  insertPlan,
  markManifestPut,
  markSealed,
  markSegmentPut,
  readEntries,
  unsealedLogs,
  type SegmentRow,
  type UnsealedLog,
} from './segment-store.ts';
import {
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_ENTRIES,
  packSegment,
  readSegment,
  unpackSegment,
  type Segment,
} from './segment.ts';

/** What sealing the logs of one cell needs. */
export interface SealerOptions {
  /** Pool of `tenon_worker` over the audit database. */
  readonly audit: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  /** Signs every checkpoint; its name is the deployment's. */
  readonly signer: NoteSigner;
  readonly clock: () => Date;
  /** How long an entry waits at most for others to share its segment. */
  readonly sealIntervalMs: number;
  /** How long a segment and its manifest are kept at least. */
  readonly retentionMs: number;
}

/** What one turn did. */
export interface SealingTurn {
  /** Segments that are sealed now and were not before. */
  readonly sealed: number;
  /** Logs that have unsealed entries, whether their time has come or not. */
  readonly unsealed: number;
  readonly failures: readonly { readonly tenantId: string; readonly error: TenonError }[];
}

/** Logs sealed at a time: most of it is waiting for disks. */
const PARALLEL_LOGS = 4;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

/** What operators and auditors read while a log cannot be sealed. */
const ALARMS: Partial<Record<ErrorCode, string>> = {
  SERVICE_UNAVAILABLE: 'The archive does not take the segment; it is tried again until it does.',
  RETENTION_LOCKED: 'The archive holds something else under the name of the segment.',
  NOT_FOUND: 'The archive no longer holds what was sealed before.',
  CONFLICT: 'The log does not continue what was signed before; nothing more is signed.',
};
const OTHER_ALARM = 'The segment cannot be sealed.';

interface Waiting {
  readonly sealedSize: number;
  /** Monotonic, for wall clocks jump. */
  readonly sinceMs: number;
  readonly failures: number;
  readonly retryAtMs: number;
}

/**
 * Returns the function that seals, each time it is called, one segment of every log whose time has come: as soon as a
 * segment is full, else when its oldest entry has waited for the interval; on the first call everything, for nobody
 * knows how long it has waited. A log that fails keeps its entries, shows an alarm, is tried again ever more slowly,
 * and holds up no other. Nothing is sealed twice by two sealers at once, since the states of segments part them.
 */
export function createSealer(options: SealerOptions): () => Promise<SealingTurn> {
  let waiting: Map<string, Waiting> | null = null;
  return async () => {
    const logs = await unsealedLogs(options.audit);
    const nowMs = performance.now();
    const known = waiting;
    const current = new Map(logs.map((log) => [log.tenantId, stillWaiting(log, known, nowMs)]));
    waiting = current;
    const due = logs.filter((log) =>
      isDue(log, current.get(log.tenantId), { nowMs, sealIntervalMs: options.sealIntervalMs }),
    );
    const failures: { tenantId: string; error: TenonError }[] = [];
    let sealed = 0;
    await inParallel(due, async (log) => {
      try {
        if (await sealNext(options, log)) sealed += 1;
      } catch (thrown) {
        const error = asTenonError(thrown);
        failures.push({ tenantId: log.tenantId, error });
        await raiseAlarm(options.audit, {
          tenantId: log.tenantId,
          sentence: ALARMS[error.code] ?? OTHER_ALARM,
          now: options.clock(),
        });
        current.set(log.tenantId, afterFailure(current.get(log.tenantId), log));
      }
    });
    return { sealed, unsealed: logs.length, failures };
  };
}

function stillWaiting(log: UnsealedLog, known: Map<string, Waiting> | null, nowMs: number): Waiting {
  const before = known?.get(log.tenantId);
  if (before?.sealedSize === log.sealedSize) return before;
  return { sealedSize: log.sealedSize, sinceMs: known === null ? -Infinity : nowMs, failures: 0, retryAtMs: -Infinity };
}

function isDue(
  log: UnsealedLog,
  waiting: Waiting | undefined,
  { nowMs, sealIntervalMs }: { nowMs: number; sealIntervalMs: number },
): boolean {
  if (waiting === undefined || nowMs < waiting.retryAtMs) return false;
  if (log.size - log.sealedSize >= MAX_SEGMENT_ENTRIES || log.unsealedBytes >= MAX_SEGMENT_BYTES) return true;
  return nowMs - waiting.sinceMs >= sealIntervalMs;
}

function afterFailure(before: Waiting | undefined, { sealedSize }: UnsealedLog): Waiting {
  const failures = (before?.failures ?? 0) + 1;
  const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), LAST_RETRY_MS);
  return { sealedSize, sinceMs: -Infinity, failures, retryAtMs: performance.now() + delayMs };
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: PARALLEL_LOGS }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

/** Takes the log's open segment, or a new one, from its state to the last; false where another worker got ahead. */
async function sealNext(options: SealerOptions, log: UnsealedLog): Promise<boolean> {
  let row = await findSegment(options.audit, log, log.nextSegment);
  if (row === null || row.state === 'planned') row = await archiveSegment(options, log, row);
  if (row?.state === 'segment_put') row = await archiveManifest(options, row);
  return row?.state === 'manifest_put' && (await finish(options, row));
}

/** What the log's next segment continues. */
interface Predecessor {
  readonly manifestSha256: string | null;
  readonly lastLeaf: string;
  readonly frontier: readonly string[];
  readonly root: string;
}

async function archiveSegment(
  options: SealerOptions,
  log: UnsealedLog,
  planned: SegmentRow | null,
): Promise<SegmentRow | null> {
  const { audit, signer } = options;
  const name = logOf({ deployment: signer.name, region: options.region }, log.tenantId, log.epoch);
  const before = await predecessorOf(options, log);
  const { segment, after } = await readNext(audit, { log, before, count: planned?.count ?? MAX_SEGMENT_ENTRIES });
  const row = planned ?? (await plan(options, { log, name, segment, after }));
  if (row === null) return null;
  if (row.sha256 !== segment.sha256) fail('CONFLICT', 'the entries of a planned segment have changed');
  const packed = await putSegment(options.archive, row, segment.bytes);
  return markSegmentPut(audit, row, manifestOf(options, { name, before, row, segment, after, packed }));
}

/**
 * What was signed last, read from the archive, where nobody could change it since. A tree that grows from its frontier
 * is consistent with its root, so no checkpoint is ever signed that contradicts an earlier one.
 */
async function predecessorOf({ audit, archive }: SealerOptions, log: UnsealedLog): Promise<Predecessor> {
  if (log.nextSegment === 0) {
    if (log.sealedSize !== 0) fail('CONFLICT', 'entries count as sealed, but no segment was');
    return { manifestSha256: null, lastLeaf: ZERO_PREV, frontier: [], root: new Frontier().root().toString('hex') };
  }
  const row = await findSegment(audit, log, log.nextSegment - 1);
  if (row?.state !== 'sealed' || row.archived === null) return fail('CONFLICT', 'the segment before is not sealed');
  const archived = await archive.get(row.archived.manifestKey);
  if (archived.toString() !== row.archived.manifest)
    fail('CONFLICT', 'the last manifest in the archive is another one');
  const manifest = continuing(() => parseManifest(archived));
  const frontier = continuing(() => Frontier.fromJSON({ size: log.sealedSize, nodes: row.frontier }));
  const root = frontier.root().toString('hex');
  if (manifest.size_after !== log.sealedSize || manifest.root_after !== root) {
    fail('CONFLICT', 'the sealed size and frontier are not those that were signed');
  }
  return {
    manifestSha256: manifestSha256(row.archived.manifest),
    lastLeaf: manifest.last_leaf,
    frontier: row.frontier,
    root,
  };
}

/** Nothing is signed that a verifier would refuse: every entry is read as she reads it. */
async function readNext(
  audit: pg.Pool,
  { log, before, count }: { log: UnsealedLog; before: Predecessor; count: number },
): Promise<{ segment: Segment; after: Frontier }> {
  const entries = await readEntries(audit, log, count);
  const after = Frontier.fromJSON({ size: log.sealedSize, nodes: before.frontier });
  const lines = entries.map(({ line }) => line);
  const segment = continuing(() => readSegment(lines, { frontier: after, prev: before.lastLeaf }));
  if (!entries.every(({ leaf }, index) => segment.leaves[index]?.equals(leaf) === true)) {
    fail('CONFLICT', 'a stored leaf is not the hash of its entry');
  }
  return { segment, after };
}

function continuing<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    return fail('CONFLICT', `the log does not continue: ${cause instanceof Error ? cause.message : ''}`, { cause });
  }
}

async function plan(
  { audit, archive, clock, retentionMs }: SealerOptions,
  { log, name, segment, after }: { log: UnsealedLog; name: LogName; segment: Segment; after: Frontier },
): Promise<SegmentRow | null> {
  // A database that was set back to an older point would sign another history under the same numbers.
  for (const kind of ['seg', 'man'] as const) {
    for await (const key of archive.list(keyPrefix(name, kind, log.nextSegment))) {
      fail('CONFLICT', `the archive holds ${key}, which the database does not know`);
    }
  }
  const plannedAt = clock();
  return insertPlan(audit, log, {
    segment,
    frontier: after.toJSON().nodes,
    segmentKey: segmentKey(name, log.nextSegment, segment.sha256),
    plannedAt,
    retainUntil: new Date(plannedAt.getTime() + retentionMs),
  });
}

/** Returns the compressed bytes that stand in the archive. */
async function putSegment(
  archive: Archive,
  { segmentKey: key, retainUntil }: SegmentRow,
  bytes: Buffer,
): Promise<Buffer> {
  const packed = await packSegment(bytes);
  try {
    await archive.put(key, packed, { retainUntil });
    return packed;
  } catch (error) {
    if (!(error instanceof TenonError) || error.code !== 'RETENTION_LOCKED') throw error;
    // A worker with another zlib may have put the same segment in other bytes before it was ended.
    const standing = await archive.get(key);
    const unpacked = await unpackSegment(standing).catch(() => null);
    if (unpacked === null || !unpacked.equals(bytes)) throw error;
    await archive.put(key, standing, { retainUntil });
    return standing;
  }
}

interface Sealable {
  readonly name: LogName;
  readonly before: Predecessor;
  readonly row: SegmentRow;
  readonly segment: Segment;
  readonly after: Frontier;
  readonly packed: Buffer;
}

function manifestOf(
  { archive, signer }: SealerOptions,
  { name, before, row, segment, after, packed }: Sealable,
): SignedManifest {
  const first = segment.entries[0] ?? fail('INTERNAL_SERVER_ERROR', 'a segment without entries');
  const last = segment.entries.at(-1) ?? first;
  return signManifest(
    name,
    {
      number: row.number,
      first_seq: row.firstSeq,
      count: row.count,
      first_ts: first.event.ts,
      last_ts: last.event.ts,
      prev_manifest_sha256: before.manifestSha256,
      segment: {
        key: row.segmentKey,
        size_bytes: segment.bytes.length,
        sha256: segment.sha256,
        gz_size_bytes: packed.length,
        gz_sha256: hash('sha256', packed, 'hex'),
      },
      first_prev: first.prev,
      last_leaf: segment.lastLeaf,
      size_before: row.firstSeq,
      root_before: before.root,
      size_after: after.size,
      root_after: after.root().toString('hex'),
      planned_at: row.plannedAt.toISOString(),
      lock: { mode: archive.lockMode, until: row.retainUntil.toISOString() },
    },
    signer,
  );
}

async function archiveManifest({ audit, archive }: SealerOptions, row: SegmentRow): Promise<SegmentRow | null> {
  const { manifestKey, manifest } = archivedOf(row);
  await archive.put(manifestKey, Buffer.from(manifest), { retainUntil: row.retainUntil });
  return markManifestPut(audit, row);
}

/** Looks at what stands in the archive before anybody relies on it: a server may take a lock and not keep it. */
async function finish({ audit, archive, clock }: SealerOptions, row: SegmentRow): Promise<boolean> {
  const { manifestKey, manifest } = archivedOf(row);
  const { segment } = parseManifest(Buffer.from(manifest));
  await confirm(archive, { key: row.segmentKey, sizeBytes: segment.gz_size_bytes, retainUntil: row.retainUntil });
  await confirm(archive, { key: manifestKey, sizeBytes: Buffer.byteLength(manifest), retainUntil: row.retainUntil });
  return markSealed(audit, row, { now: clock(), refusalAlarm: REFUSAL_ALARM });
}

async function confirm(
  archive: Archive,
  { key, sizeBytes, retainUntil }: { key: string; sizeBytes: number; retainUntil: Date },
): Promise<void> {
  const object = await archive.head(key);
  if (object?.sizeBytes !== sizeBytes)
    return fail('SERVICE_UNAVAILABLE', `the archive does not hold ${key} as it was put`);
  if (object.retainUntil >= retainUntil) return;
  await archive.extendRetention(key, retainUntil);
  if ((await archive.retention(key)) < retainUntil)
    fail('SERVICE_UNAVAILABLE', `the archive does not keep ${key} for long enough`);
}

function archivedOf({ archived }: SegmentRow): { manifestKey: string; manifest: string } {
  return archived ?? fail('INTERNAL_SERVER_ERROR', 'a segment beyond its plan has no manifest');
}

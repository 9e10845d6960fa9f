import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import type { SignedManifest } from './manifest.ts';
import { MAX_SEGMENT_BYTES, type Segment } from './segment.ts';

/** A log with entries that no sealed segment holds yet. */
export interface UnsealedLog {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly size: number;
  readonly sealedSize: number;
  /** What its unsealed entries take in a segment. */
  readonly unsealedBytes: number;
  readonly nextSegment: number;
}

/** A segment on its way into the archive, as the audit database remembers it. */
export interface SegmentRow {
  readonly tenantId: string;
  readonly epoch: number;
  readonly number: number;
  readonly state: 'planned' | 'segment_put' | 'manifest_put' | 'sealed';
  readonly firstSeq: number;
  readonly count: number;
  /** Of the uncompressed segment, lower-case hex. */
  readonly sha256: string;
  /** Right edge of the tree after the segment, hashes as hex. */
  readonly frontier: readonly string[];
  readonly segmentKey: string;
  /** Null in state `planned` alone. */
  readonly archived: { readonly manifestKey: string; readonly manifest: string } | null;
  readonly plannedAt: Date;
  readonly retainUntil: Date;
}

/** What a plan fixes. */
export interface SegmentPlan extends Pick<SegmentRow, 'frontier' | 'segmentKey' | 'plannedAt' | 'retainUntil'> {
  readonly segment: Segment;
}

const COLUMNS = `tenant_id, epoch, number, state, first_seq, count, encode(sha256, 'hex') as sha256, frontier,
  segment_key, manifest_key, manifest, planned_at, retain_until`;

/** Returns the logs that have something to seal, an open segment included. */
export async function unsealedLogs(audit: pg.Pool): Promise<UnsealedLog[]> {
  const { rows } = await audit.query<{
    tenant_id: string;
    epoch: number;
    size: string;
    sealed_size: string;
    unsealed_bytes: string;
    next_segment: number;
  }>(
    `select tenant_id, epoch, size, sealed_size, unsealed_bytes, next_segment from log_heads
     where size > sealed_size order by tenant_id`,
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    epoch: row.epoch,
    size: Number(row.size),
    sealedSize: Number(row.sealed_size),
    unsealedBytes: Number(row.unsealed_bytes),
    nextSegment: row.next_segment,
  }));
}

/** Returns the segment of that number, or null where none was planned. */
export async function findSegment(audit: pg.Pool, log: UnsealedLog, number: number): Promise<SegmentRow | null> {
  const { rows } = await audit.query<RawSegment>(
    `select ${COLUMNS} from segments where tenant_id = $1 and epoch = $2 and number = $3`,
    [log.tenantId, log.epoch, number],
  );
  return segmentOf(rows);
}

/** Returns the entries' bytes and stored leaves from `sealedSize` on: at most `count`, and as many as one segment holds. */
export async function readEntries(
  audit: pg.Pool,
  log: UnsealedLog,
  count: number,
): Promise<{ line: Buffer; leaf: Buffer }[]> {
  const { rows } = await audit.query<{ entry: string; leaf: Buffer }>(
    `select entry, leaf from (
       select seq, entry, leaf, sum(octet_length(entry) + 1) over (order by seq) as bytes from log_entries
       where tenant_id = $1 and epoch = $2 and seq >= $3 and seq < $3::bigint + $4
     ) run where bytes <= $5 order by seq`,
    [log.tenantId, log.epoch, log.sealedSize, count, MAX_SEGMENT_BYTES],
  );
  return rows.map(({ entry, leaf }) => ({ line: Buffer.from(entry), leaf }));
}

/** Fixes what the log's next segment holds; null where another worker has planned that number. */
export async function insertPlan(audit: pg.Pool, log: UnsealedLog, plan: SegmentPlan): Promise<SegmentRow | null> {
  const { segment } = plan;
  const { rows } = await audit.query<RawSegment>(
    `insert into segments (tenant_id, epoch, number, state, first_seq, count, size_bytes, sha256, frontier,
       segment_key, planned_at, retain_until)
     values ($1, $2, $3, 'planned', $4, $5, $6, decode($7, 'hex'), $8, $9, $10, $11)
     on conflict do nothing returning ${COLUMNS}`,
    [
      log.tenantId,
      log.epoch,
      log.nextSegment,
      log.sealedSize,
      segment.entries.length,
      segment.bytes.length,
      segment.sha256,
      JSON.stringify(plan.frontier),
      plan.segmentKey,
      plan.plannedAt,
      plan.retainUntil,
    ],
  );
  return segmentOf(rows);
}

/** Notes that the segment stands in the archive and fixes its manifest; null where another worker has done so. */
export async function markSegmentPut(
  audit: pg.Pool,
  row: SegmentRow,
  { key, text, manifest }: SignedManifest,
): Promise<SegmentRow | null> {
  const { rows } = await audit.query<RawSegment>(
    `update segments set state = 'segment_put', manifest_key = $4, manifest = $5, checkpoint = $6
     where tenant_id = $1 and epoch = $2 and number = $3 and state = 'planned' returning ${COLUMNS}`,
    [row.tenantId, row.epoch, row.number, key, text, manifest.checkpoint],
  );
  return segmentOf(rows);
}

/** Notes that the manifest stands in the archive; null where another worker has done so. */
export async function markManifestPut(audit: pg.Pool, row: SegmentRow): Promise<SegmentRow | null> {
  const { rows } = await audit.query<RawSegment>(
    `update segments set state = 'manifest_put'
     where tenant_id = $1 and epoch = $2 and number = $3 and state = 'segment_put' returning ${COLUMNS}`,
    [row.tenantId, row.epoch, row.number],
  );
  return segmentOf(rows);
}

/**
 * Closes the segment and moves the head's sealed size behind it, both or neither; an alarm ends here, but for one about
 * refused events that still wait. False where another worker has closed it.
 */
export async function markSealed(
  audit: pg.Pool,
  row: SegmentRow,
  { now, refusalAlarm }: { now: Date; refusalAlarm: string },
): Promise<boolean> {
  const { rowCount } = await audit.query(
    `with closed as (
       update segments set state = 'sealed', sealed_at = $4
       where tenant_id = $1 and epoch = $2 and number = $3 and state = 'manifest_put' returning *
     ), refused as (
       select min(refused_at) as since from log_refusals where tenant_id = $1
     )
     update log_heads h set sealed_size = closed.first_seq + closed.count, next_segment = closed.number + 1,
       unsealed_bytes = h.unsealed_bytes - closed.size_bytes, updated_at = $4,
       alarm = case when refused.since is null then null else $5 end, alarm_since = refused.since
     from closed, refused
     where h.tenant_id = closed.tenant_id and h.epoch = closed.epoch and h.sealed_size = closed.first_seq`,
    [row.tenantId, row.epoch, row.number, now, refusalAlarm],
  );
  return rowCount === 1;
}

interface RawSegment {
  readonly tenant_id: string;
  readonly epoch: number;
  readonly number: number;
  readonly state: SegmentRow['state'];
  readonly first_seq: string;
  readonly count: number;
  readonly sha256: string;
  readonly frontier: readonly string[];
  readonly segment_key: string;
  readonly manifest_key: string | null;
  readonly manifest: string | null;
  readonly planned_at: Date;
  readonly retain_until: Date;
}

function segmentOf([row]: readonly RawSegment[]): SegmentRow | null {
  if (row === undefined) return null;
  const { manifest_key: manifestKey, manifest } = row;
  if ((manifestKey === null) !== (manifest === null)) fail('INTERNAL_SERVER_ERROR', 'half a manifest in the database');
  return {
    tenantId: row.tenant_id,
    epoch: row.epoch,
    number: row.number,
    state: row.state,
    firstSeq: Number(row.first_seq),
    count: row.count,
    sha256: row.sha256,
    frontier: row.frontier,
    segmentKey: row.segment_key,
    archived: manifestKey === null || manifest === null ? null : { manifestKey, manifest },
    plannedAt: row.planned_at,
    retainUntil: row.retain_until,
  };
}

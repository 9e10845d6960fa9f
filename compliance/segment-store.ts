import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import type { SignedManifest } from './manifest.ts';
import { MAX_SEGMENT_BYTES } from './segment.ts';

/** A log with something to seal or to bring back. */
export interface UnsealedLog {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly size: number;
  readonly sealedSize: number;
  /** What its unsealed entries take in a segment. */
  readonly unsealedBytes: number;
  readonly nextSegment: number;
  /** It is being brought back from the archive; nothing is sealed before that has ended. */
  readonly isRecovering: boolean;
  /** What the tenant has decided; null where she has decided nothing. */
  readonly retentionDays: number | null;
}

/** Which segment of which log. */
export interface SegmentName {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly number: number;
}

/** A segment on its way into the archive, as the audit database remembers it. */
export interface SegmentRow extends SegmentName {
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
export type SegmentPlan = Omit<SegmentRow, 'state' | 'archived'> & { readonly sizeBytes: number };

/** A run of a log's entries, to be read. */
export interface EntryRange {
  /** UUID. */
  readonly tenantId: string;
  readonly epoch: number;
  readonly firstSeq: number;
  readonly count: number;
}

/** The entries of a run as they are stored. */
export interface StoredEntries {
  /** The uncompressed segment: each entry's bytes, followed by one LF. */
  readonly bytes: Buffer;
  /** The stored leaf hashes, 32 bytes each. */
  readonly leaves: Buffer;
}

const COLUMNS = `s.tenant_id, s.epoch, s.number, s.state, s.first_seq, s.count, encode(s.sha256, 'hex') as sha256,
  s.frontier, s.segment_key, s.manifest_key, s.manifest, s.planned_at, s.retain_until`;
const NAMED = 's.tenant_id = named.tenant_id and s.epoch = named.epoch and s.number = named.number';

/** Returns the logs that have something to seal, an open segment included, or to bring back, by tenant. */
export async function unsealedLogs(audit: pg.Pool): Promise<UnsealedLog[]> {
  const { rows } = await audit.query<{
    tenant_id: string;
    epoch: number;
    size: string;
    sealed_size: string;
    unsealed_bytes: string;
    next_segment: number;
    is_recovering: boolean;
    retention_days: number | null;
  }>(
    `select h.tenant_id, epoch, size, sealed_size, unsealed_bytes, next_segment, r.days as retention_days,
       recovering_since is not null as is_recovering
     from log_heads h left join archive_retention r on r.tenant_id = h.tenant_id
     where unsealed or recovering_since is not null order by h.tenant_id`,
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    epoch: row.epoch,
    size: Number(row.size),
    sealedSize: Number(row.sealed_size),
    unsealedBytes: Number(row.unsealed_bytes),
    nextSegment: row.next_segment,
    isRecovering: row.is_recovering,
    retentionDays: row.retention_days,
  }));
}

/** Returns those of the segments that were planned. */
export async function findSegments(
  audit: pg.Pool | pg.ClientBase,
  names: readonly SegmentName[],
): Promise<SegmentRow[]> {
  if (names.length === 0) return [];
  const { rows } = await audit.query<RawSegment>(
    `select ${COLUMNS} from segments s
     join unnest($1::uuid[], $2::integer[], $3::integer[]) as named (tenant_id, epoch, number) on ${NAMED}`,
    nameColumns(names),
  );
  return rows.map(segmentOf);
}

/** Returns, by tenant, as many of each run's entries as one segment holds; a run without entries is left out. */
export async function readEntries(audit: pg.Pool, ranges: readonly EntryRange[]): Promise<Map<string, StoredEntries>> {
  if (ranges.length === 0) return new Map();
  const { rows } = await audit.query<{ tenant_id: string; lines: string | null; leaves: Buffer }>(
    `select asked.tenant_id, run.lines, run.leaves
     from unnest($1::uuid[], $2::integer[], $3::bigint[], $4::integer[]) as asked (tenant_id, epoch, first_seq, count)
     cross join lateral (
       select string_agg(entry, E'\\n' order by seq) as lines, string_agg(leaf, ''::bytea order by seq) as leaves from (
         select seq, entry, leaf, sum(octet_length(entry) + 1) over (order by seq) as bytes from log_entries e
         where e.tenant_id = asked.tenant_id and e.epoch = asked.epoch
           and e.seq >= asked.first_seq and e.seq < asked.first_seq + asked.count
       ) counted where bytes <= $5
     ) run`,
    [
      ranges.map(({ tenantId }) => tenantId),
      ranges.map(({ epoch }) => epoch),
      ranges.map(({ firstSeq }) => firstSeq),
      ranges.map(({ count }) => count),
      MAX_SEGMENT_BYTES,
    ],
  );
  const found = new Map<string, StoredEntries>();
  for (const { tenant_id: tenantId, lines, leaves } of rows) {
    if (lines !== null) found.set(tenantId, { bytes: Buffer.from(`${lines}\n`), leaves });
  }
  return found;
}

/** Fixes what the next segments of logs hold; returns those that no other worker had planned before. */
export async function insertPlans(
  audit: pg.Pool | pg.ClientBase,
  plans: readonly SegmentPlan[],
): Promise<SegmentRow[]> {
  if (plans.length === 0) return [];
  const { rows } = await audit.query<RawSegment>(
    `insert into segments as s (tenant_id, epoch, number, state, first_seq, count, size_bytes, sha256, frontier,
       segment_key, planned_at, retain_until)
     select tenant_id, epoch, number, 'planned', first_seq, count, size_bytes, decode(sha256, 'hex'), frontier,
       segment_key, planned_at, retain_until
     from unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::integer[], $6::integer[], $7::text[],
       $8::jsonb[], $9::text[], $10::timestamptz[], $11::timestamptz[])
       as plan (tenant_id, epoch, number, first_seq, count, size_bytes, sha256, frontier, segment_key, planned_at, retain_until)
     on conflict do nothing returning ${COLUMNS}`,
    [
      ...nameColumns(plans),
      plans.map(({ firstSeq }) => firstSeq),
      plans.map(({ count }) => count),
      plans.map(({ sizeBytes }) => sizeBytes),
      plans.map(({ sha256 }) => sha256),
      plans.map(({ frontier }) => JSON.stringify(frontier)),
      plans.map(({ segmentKey }) => segmentKey),
      plans.map(({ plannedAt }) => plannedAt),
      plans.map(({ retainUntil }) => retainUntil),
    ],
  );
  return rows.map(segmentOf);
}

/**
 * Notes that the segments stand in the archive and fixes their manifests; returns those no other worker had noted. A row
 * that is planned anew, with other entries, stays as it is.
 */
export async function markSegmentsPut(
  audit: pg.Pool,
  put: readonly { row: SegmentRow; signed: SignedManifest }[],
): Promise<SegmentRow[]> {
  if (put.length === 0) return [];
  const { rows } = await audit.query<RawSegment>(
    `update segments s set state = 'segment_put', manifest_key = named.manifest_key, manifest = named.manifest,
       checkpoint = named.checkpoint
     from unnest($1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[])
       as named (tenant_id, epoch, number, manifest_key, manifest, checkpoint, sha256)
     where ${NAMED} and s.state = 'planned' and s.sha256 = decode(named.sha256, 'hex') returning ${COLUMNS}`,
    [
      ...nameColumns(put.map(({ row }) => row)),
      put.map(({ signed }) => signed.key),
      put.map(({ signed }) => signed.text),
      put.map(({ signed }) => signed.manifest.checkpoint),
      put.map(({ row }) => row.sha256),
    ],
  );
  return rows.map(segmentOf);
}

/** Notes that the manifests stand in the archive; returns those no other worker had noted. */
export async function markManifestsPut(audit: pg.Pool, put: readonly SegmentRow[]): Promise<SegmentRow[]> {
  if (put.length === 0) return [];
  const { rows } = await audit.query<RawSegment>(
    `update segments s set state = 'manifest_put'
     from unnest($1::uuid[], $2::integer[], $3::integer[]) as named (tenant_id, epoch, number)
     where ${NAMED} and s.state = 'segment_put' returning ${COLUMNS}`,
    nameColumns(put),
  );
  return rows.map(segmentOf);
}

/**
 * Closes the segments and moves each head's sealed size behind its segment, both or neither; an alarm ends here, but for
 * one about refused events that still wait. Returns the tenants whose segment no other worker had closed.
 */
export async function markSealed(
  audit: pg.Pool,
  put: readonly SegmentRow[],
  { now, refusalAlarm }: { now: Date; refusalAlarm: string },
): Promise<Set<string>> {
  if (put.length === 0) return new Set();
  const { rows } = await audit.query<{ tenant_id: string }>(
    // Heads are locked in the order in which everybody locks them, so that no two wait for each other.
    `with locked as materialized (
       select h.tenant_id, named.epoch, named.number
       from log_heads h join unnest($1::uuid[], $2::integer[], $3::integer[]) as named (tenant_id, epoch, number)
         on h.tenant_id = named.tenant_id
       order by h.tenant_id for update of h
     ), closed as (
       update segments s set state = 'sealed', sealed_at = $4 from locked named
       where ${NAMED} and s.state = 'manifest_put'
       returning s.tenant_id, s.epoch, s.number, s.first_seq, s.count, s.size_bytes
     ), refused as (
       select tenant_id, min(refused_at) as since from log_refusals where tenant_id = any ($1::uuid[]) group by tenant_id
     )
     update log_heads h set sealed_size = closed.first_seq + closed.count, next_segment = closed.number + 1,
       unsealed_bytes = h.unsealed_bytes - closed.size_bytes, updated_at = $4,
       alarm = case when refused.since is null then null else $5 end, alarm_since = refused.since
     from closed left join refused on refused.tenant_id = closed.tenant_id
     where h.tenant_id = closed.tenant_id and h.epoch = closed.epoch and h.sealed_size = closed.first_seq
     returning h.tenant_id`,
    [...nameColumns(put), now, refusalAlarm],
  );
  return new Set(rows.map((row) => row.tenant_id));
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

function segmentOf(row: RawSegment): SegmentRow {
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

function nameColumns(names: readonly SegmentName[]): [string[], number[], number[]] {
  return [names.map(({ tenantId }) => tenantId), names.map(({ epoch }) => epoch), names.map(({ number }) => number)];
}

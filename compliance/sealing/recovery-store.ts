import type pg from 'pg';
import { fail } from '#schema/errors.ts';
import { findSegments, type SegmentName } from '../segment-store.ts';
import type { ArchivedSegment } from './archived-segments.ts';
import type { LogScope } from './log-import.ts';
import { readPredecessor, type LogPosition, type Predecessor } from './predecessor.ts';
import type { SealingOptions } from './options.ts';

/** Notes that a log is being brought back, making its head where it is missing; an alarm says so. */
export async function beginRecovery(
  audit: pg.Pool,
  { tenantId, sentence, now }: { tenantId: string; sentence: string; now: Date },
): Promise<void> {
  await audit.query(
    `insert into log_heads (tenant_id, recovering_since, alarm, alarm_since) values ($1, $3, $2, $3)
     on conflict (tenant_id) do update set recovering_since = coalesce(log_heads.recovering_since, $3),
       alarm = $2, alarm_since = coalesce(log_heads.alarm_since, $3)`,
    [tenantId, sentence, now],
  );
}

/** Notes that nothing is left to bring back; the alarm ends unless something else waits. False where that was noted. */
export async function endRecovery(
  client: pg.PoolClient,
  { tenantId, sentence, refusalAlarm }: { tenantId: string; sentence: string; refusalAlarm: string },
): Promise<boolean> {
  const { rowCount } = await client.query(
    `with refused as (select min(refused_at) as since from log_refusals where tenant_id = $1)
     update log_heads h set recovering_since = null,
       alarm = case when h.alarm <> $2 then h.alarm when refused.since is null then null else $3 end,
       alarm_since = case when h.alarm <> $2 then h.alarm_since else refused.since end
     from refused where h.tenant_id = $1 and h.recovering_since is not null`,
    [tenantId, sentence, refusalAlarm],
  );
  return rowCount === 1;
}

/** Returns what was signed last by head, segments and archive, which have to agree. */
export async function signedLast(options: SealingOptions, tenantId: string): Promise<Predecessor> {
  const { rows } = await options.audit.query<{ epoch: number; sealed_size: string; next_segment: number }>(
    'select epoch, sealed_size, next_segment from log_heads where tenant_id = $1',
    [tenantId],
  );
  const [head] = rows;
  if (head === undefined) return fail('INTERNAL_SERVER_ERROR', 'the log has no head');
  const position: LogPosition = {
    tenantId,
    epoch: head.epoch,
    sealedSize: Number(head.sealed_size),
    nextSegment: head.next_segment,
  };
  const [last] = await findSegments(options.audit, [{ tenantId, epoch: head.epoch, number: head.next_segment - 1 }]);
  return readPredecessor(options, position, last ?? null);
}

/**
 * Stores an archived segment as sealed and moves the head behind it. CONFLICT where the database has sealed another one
 * under that number, or signed other entries.
 */
export async function storeSealed(
  client: pg.PoolClient,
  { tenantId, before, now }: LogScope,
  { key, segment, frontier, signed }: ArchivedSegment,
): Promise<void> {
  if (signed === null) return fail('INTERNAL_SERVER_ERROR', 'an unsigned segment is not sealed');
  const { manifest, text, key: manifestKey } = signed;
  const { rowCount } = await client.query(
    `insert into segments as s (tenant_id, epoch, number, state, first_seq, count, size_bytes, sha256, frontier,
       segment_key, manifest_key, manifest, checkpoint, planned_at, retain_until, sealed_at)
     values ($1, $2, $3, 'sealed', $4, $5, $6, decode($7, 'hex'), $8, $9, $10, $11, $12, $13, $14, $15)
     on conflict (tenant_id, epoch, number) do update set state = 'sealed', first_seq = excluded.first_seq,
       count = excluded.count, size_bytes = excluded.size_bytes, sha256 = excluded.sha256, frontier = excluded.frontier,
       segment_key = excluded.segment_key, manifest_key = excluded.manifest_key, manifest = excluded.manifest,
       checkpoint = excluded.checkpoint, planned_at = excluded.planned_at, retain_until = excluded.retain_until,
       sealed_at = excluded.sealed_at
     where s.manifest is null or s.manifest = excluded.manifest
       or (s.state <> 'sealed' and s.sha256 = excluded.sha256)`,
    [
      tenantId,
      before.epoch,
      before.number,
      before.size,
      segment.entries.length,
      segment.bytes.length,
      segment.sha256,
      JSON.stringify(frontier),
      key,
      manifestKey,
      text,
      manifest.checkpoint,
      manifest.planned_at,
      manifest.lock.until,
      now,
    ],
  );
  if (rowCount !== 1) fail('CONFLICT', `segment ${before.number} was signed twice: the archive holds another manifest`);
  await moveSealed(client, { tenantId, size: manifest.size_after, nextSegment: before.number + 1, now });
}

/** Removes a segment of that number which was planned and never signed. */
export async function forgetPlan(client: pg.PoolClient, { tenantId, epoch, number }: SegmentName): Promise<void> {
  await client.query(`delete from segments where tenant_id = $1 and epoch = $2 and number = $3 and state = 'planned'`, [
    tenantId,
    epoch,
    number,
  ]);
}

/** Lets a log go on at the beginning of another epoch. */
export async function moveToEpoch(
  client: pg.PoolClient,
  { tenantId, epoch, now }: { tenantId: string; epoch: number; now: Date },
): Promise<void> {
  await client.query(
    `update log_heads set epoch = $2, size = 0, last_leaf = null, frontier = '[]', sealed_size = 0, next_segment = 0,
       unsealed_bytes = 0, updated_at = $3 where tenant_id = $1`,
    [tenantId, epoch, now],
  );
}

async function moveSealed(
  client: pg.PoolClient,
  { tenantId, size, nextSegment, now }: { tenantId: string; size: number; nextSegment: number; now: Date },
): Promise<void> {
  await client.query(
    `update log_heads h set sealed_size = $2, next_segment = $3, updated_at = $4, unsealed_bytes = coalesce((
       select sum(octet_length(e.entry) + 1) from log_entries e
       where e.tenant_id = h.tenant_id and e.epoch = h.epoch and e.seq >= $2), 0)
     where h.tenant_id = $1`,
    [tenantId, size, nextSegment, now],
  );
}

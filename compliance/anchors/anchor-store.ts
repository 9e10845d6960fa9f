import type pg from 'pg';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { fail } from '#schema/errors.ts';
import { consistencyNodes, consistencyProof } from '#schema/merkle.ts';
import { lookupIn, rangeOf, type HashRange } from '#schema/stored-tree.ts';

/** What was said of a checkpoint: by a time stamp authority, or by witnesses. */
export type AnchorKind = 'tsr' | 'cosig';

/** The newest checkpoint of a platform log that is in the archive. */
export interface PlatformHead {
  readonly epoch: number;
  readonly size: number;
  /** The signed note, verbatim. */
  readonly note: string;
}

/** An anchor on its way into the archive. */
export interface AnchorRow {
  readonly epoch: number;
  readonly size: number;
  readonly kind: AnchorKind;
  readonly bytes: Buffer;
  readonly key: string;
  readonly retainUntil: Date;
}

/** How it stands with an authority or a witness. */
export interface SourceState {
  readonly knownEpoch: number | null;
  readonly knownSize: number;
  readonly failures: number;
  readonly failingSince: Date | null;
  readonly retryAt: Date | null;
  readonly alarmedAt: Date | null;
}

/** Returns the newest checkpoint in the archive, or null before the first. */
export async function newestHead(audit: pg.Pool): Promise<PlatformHead | null> {
  const { rows } = await audit.query<{ epoch: number; size: string; checkpoint: string }>(
    `select epoch, first_number + count as size, checkpoint from platform_ticks
     where tenant_id = $1 and state = 'archived' order by epoch desc, tick desc limit 1`,
    [PLATFORM_UUID],
  );
  const [row] = rows;
  return row === undefined ? null : { epoch: row.epoch, size: Number(row.size), note: row.checkpoint };
}

/** Returns the newest anchor of a kind: what it is of, and when it was made; null before the first. */
export async function newestAnchor(
  audit: pg.Pool,
  kind: AnchorKind,
): Promise<{ readonly epoch: number; readonly size: number; readonly madeAt: Date } | null> {
  const { rows } = await audit.query<{ epoch: number; size: string; made_at: Date }>(
    `select epoch, size, made_at from platform_anchors where tenant_id = $1 and kind = $2 order by made_at desc limit 1`,
    [PLATFORM_UUID, kind],
  );
  const [row] = rows;
  return row === undefined ? null : { epoch: row.epoch, size: Number(row.size), madeAt: row.made_at };
}

/** Stores an anchor; where another worker has stored one of the same checkpoint, that one stays. */
export async function insertAnchor(
  audit: pg.Pool,
  anchor: AnchorRow & { readonly attestedAt: Date; readonly madeAt: Date },
): Promise<void> {
  const { epoch, size, kind, bytes, attestedAt, madeAt, key, retainUntil } = anchor;
  await audit.query(
    `insert into platform_anchors (tenant_id, epoch, size, kind, bytes, attested_at, made_at, key, retain_until)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing`,
    [PLATFORM_UUID, epoch, size, kind, bytes, attestedAt, madeAt, key, retainUntil],
  );
}

/** Returns anchors that are not in the archive yet, oldest first. */
export async function openAnchors(audit: pg.Pool): Promise<AnchorRow[]> {
  const { rows } = await audit.query<Omit<AnchorRow, 'size' | 'retainUntil'> & { size: string; retain_until: Date }>(
    `select epoch, size, kind, bytes, key, retain_until from platform_anchors
     where tenant_id = $1 and archived_at is null order by made_at limit 100`,
    [PLATFORM_UUID],
  );
  return rows.map(({ epoch, size, kind, bytes, key, retain_until: retainUntil }) => {
    return { epoch, size: Number(size), kind, bytes, key, retainUntil };
  });
}

/** Writes down that an anchor is in the archive. */
export async function markAnchorArchived(audit: pg.Pool, { epoch, size, kind }: AnchorRow, now: Date): Promise<void> {
  await audit.query(
    `update platform_anchors set archived_at = $5
     where tenant_id = $1 and epoch = $2 and size = $3 and kind = $4 and archived_at is null`,
    [PLATFORM_UUID, epoch, size, kind, now],
  );
}

/** Returns how it stands with a source; a new one has never failed. */
export async function readSource(audit: pg.Pool, source: string): Promise<SourceState> {
  const { rows } = await audit.query<SourceRow>(
    `select known_epoch, known_size, failures, failing_since, retry_at, alarmed_at from anchor_sources
     where tenant_id = $1 and source = $2`,
    [PLATFORM_UUID, source],
  );
  const [row] = rows;
  return {
    knownEpoch: row?.known_epoch ?? null,
    knownSize: Number(row?.known_size ?? 0),
    failures: row?.failures ?? 0,
    failingSince: row?.failing_since ?? null,
    retryAt: row?.retry_at ?? null,
    alarmedAt: row?.alarmed_at ?? null,
  };
}

/** Writes down that a source has answered; with `known`, which checkpoint it has cosigned. */
export async function markSucceeded(
  audit: pg.Pool | pg.ClientBase,
  source: string,
  { now, known }: { now: Date; known: { readonly epoch: number; readonly size: number } | null },
): Promise<void> {
  await audit.query(
    `insert into anchor_sources (tenant_id, source, succeeded_at, known_epoch, known_size) values ($1, $2, $3, $4, $5)
     on conflict (tenant_id, source) do update set succeeded_at = $3, known_epoch = coalesce($4, anchor_sources.known_epoch),
       known_size = coalesce($5, anchor_sources.known_size), failures = 0, failing_since = null, retry_at = null,
       fault = null, alarmed_at = null`,
    [PLATFORM_UUID, source, now, known?.epoch ?? null, known?.size ?? null],
  );
}

/** Writes down that a source has failed, and when it is asked again. */
export async function markFailed(
  audit: pg.Pool | pg.ClientBase,
  source: string,
  failure: { readonly now: Date; readonly retryAt: Date; readonly fault: string; readonly alarmedAt: Date | null },
): Promise<void> {
  await audit.query(
    `insert into anchor_sources (tenant_id, source, failures, failing_since, retry_at, fault, alarmed_at)
     values ($1, $2, 1, $3, $4, $5, $6)
     on conflict (tenant_id, source) do update set failures = anchor_sources.failures + 1,
       failing_since = coalesce(anchor_sources.failing_since, $3), retry_at = $4, fault = $5, alarmed_at = $6`,
    [PLATFORM_UUID, source, failure.now, failure.retryAt, failure.fault.slice(0, 500), failure.alarmedAt],
  );
}

/** Returns the proof that the platform log of the new size begins with that of the old one; it reads some hundred hashes. */
export async function platformConsistency(
  audit: pg.Pool,
  { epoch, from, to }: { readonly epoch: number; readonly from: number; readonly to: number },
): Promise<Buffer[]> {
  const hashes = new Map<string, Buffer>();
  for (const range of consistencyNodes(from, to).map(rangeOf)) {
    for (const { index, hash } of await readRange(audit, epoch, range)) hashes.set(`${range.level}:${index}`, hash);
  }
  const stored = (level: number, index: number): Buffer =>
    hashes.get(`${level}:${index}`) ?? fail('INTERNAL_SERVER_ERROR', `hash ${index} on level ${level} is missing`);
  return consistencyProof(lookupIn(stored), from, to);
}

interface SourceRow {
  readonly known_epoch: number | null;
  readonly known_size: string | null;
  readonly failures: number;
  readonly failing_since: Date | null;
  readonly retry_at: Date | null;
  readonly alarmed_at: Date | null;
}

async function readRange(
  audit: pg.Pool,
  epoch: number,
  { level, start, count }: HashRange,
): Promise<{ index: string; hash: Buffer }[]> {
  const values = [PLATFORM_UUID, epoch, start, start + count];
  const { rows } =
    level === 0
      ? await audit.query<{ index: string; hash: Buffer }>(
          `select number as index, leaf as hash from platform_entries
           where tenant_id = $1 and epoch = $2 and number >= $3 and number < $4`,
          values,
        )
      : await audit.query<{ index: string; hash: Buffer }>(
          `select index, hash from platform_tiles
           where tenant_id = $1 and epoch = $2 and index >= $3 and index < $4 and level = $5`,
          [...values, level],
        );
  return rows;
}

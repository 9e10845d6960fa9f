import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { parseCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { encodeProof } from '#schema/tlog-proof.ts';
import { entryOf, readByEvent, readHead, type EntryRow, type Reader } from './entries.ts';
import { hashRanges, proofOf, type HashRange, type StoredHash } from './inclusion.ts';
import type { InclusionProof } from './model.ts';

/** The newest signed head of a log. */
export interface SealedHead {
  /** The signed note, verbatim. */
  readonly note: string;
  /** How many entries it covers. */
  readonly size: number;
}

/**
 * Returns the proofs of the tenant's events among the ids, in one transaction: against the newest checkpoint, or pending
 * where none covers the entry yet. It reads some hundred hashes a proof, never the log.
 */
export async function findProofs(ctx: RequestContext, eventIds: readonly string[]): Promise<InclusionProof[]> {
  const uuids = eventIds.map((id) => uuidOrNull('aud', id)).filter((uuid) => uuid !== null);
  return inTenantAudit(ctx, async (tx) => {
    const rows = await readByEvent(tx, uuids);
    const proofs: InclusionProof[] = [];
    for (const epoch of new Set(rows.map((row) => row.epoch))) {
      proofs.push(
        ...(await proofsOf(
          tx,
          epoch,
          rows.filter((row) => row.epoch === epoch),
        )),
      );
    }
    return proofs;
  });
}

/** Returns the newest checkpoint of the tenant's newest log, or null before the first seal. */
export async function findCheckpoint(ctx: RequestContext): Promise<SealedHead | null> {
  return inTenantAudit(ctx, async (tx) => readSealedHead(tx, (await readHead(tx)).epoch));
}

/** Returns the newest checkpoint of a log, or null before its first seal. */
export async function readSealedHead(tx: Reader, epoch: number): Promise<SealedHead | null> {
  const [row] = await tx.query<{ checkpoint: string }>(
    `select checkpoint from segments where epoch = $1 and state = 'sealed' and checkpoint is not null
      order by number desc limit 1`,
    [epoch],
  );
  if (row === undefined) return null;
  const text = row.checkpoint.slice(0, row.checkpoint.lastIndexOf('\n\n') + 1);
  return { note: row.checkpoint, size: parseCheckpoint(text).size };
}

async function proofsOf(tx: Reader, epoch: number, rows: readonly EntryRow[]): Promise<InclusionProof[]> {
  const head = await readSealedHead(tx, epoch);
  if (head === null) return rows.map(pendingProof);
  const sealed = rows.filter(({ seq }) => seq < head.size);
  const stored = await readHashes(
    tx,
    epoch,
    sealed.flatMap(({ seq }) => hashRanges(seq, head.size)),
  );
  return rows.map((row) => (row.seq < head.size ? sealedProof(row, head, stored) : pendingProof(row)));
}

function pendingProof(row: EntryRow): InclusionProof {
  return {
    id: eventIdOf(row),
    status: 'pending',
    index: row.seq,
    treeSize: null,
    hashes: [],
    checkpoint: null,
    tlogProof: null,
  };
}

function sealedProof(row: EntryRow, { note, size }: SealedHead, stored: StoredHash): InclusionProof {
  const hashes = proofOf(stored, row.seq, size);
  return {
    id: eventIdOf(row),
    status: 'sealed',
    index: row.seq,
    treeSize: size,
    hashes: hashes.map((hash) => hash.toString('hex')),
    checkpoint: note,
    // The entry travels along, so that the file alone is enough for a verifier.
    tlogProof: encodeProof({ index: row.seq, hashes, checkpoint: note, extra: Buffer.from(row.entry) }),
  };
}

function eventIdOf(row: EntryRow): string {
  return entryOf(row).event.id;
}

/** Reads leaves and subtree roots, each range once; a hash that should be there and is not is an inner fault. */
async function readHashes(tx: Reader, epoch: number, ranges: readonly HashRange[]): Promise<StoredHash> {
  const distinct = [
    ...new Map(ranges.map((range) => [`${range.level}:${range.start}:${range.count}`, range])).values(),
  ];
  const leaves = distinct.filter(({ level }) => level === 0);
  const roots = distinct.filter(({ level }) => level > 0);
  const rows = [
    ...(await readLeaves(tx, epoch, leaves)),
    ...(roots.length === 0 ? [] : await readRoots(tx, epoch, roots)),
  ];
  const hashes = new Map(rows.map(({ level, index, hash }) => [`${level}:${index}`, hash]));
  return (level, index) =>
    hashes.get(`${level}:${index}`) ??
    fail('INTERNAL_SERVER_ERROR', `hash ${index} on level ${level} of epoch ${epoch} is missing`);
}

interface HashRow {
  readonly level: number;
  readonly index: string;
  readonly hash: Buffer;
}

// The limits below make the planner go to the index once a range; it would read the whole log for a join.

function readLeaves(tx: Reader, epoch: number, ranges: readonly HashRange[]): Promise<HashRow[]> {
  return tx.query<HashRow>(
    `select 0 as level, seq as index, leaf as hash
       from unnest($2::bigint[], $3::bigint[]) as range (low, high), lateral (
         select seq, leaf from log_entries where epoch = $1 and seq >= low and seq < high order by seq limit high - low
       ) as entry`,
    [epoch, ranges.map(({ start }) => start), ranges.map(({ start, count }) => start + count)],
  );
}

function readRoots(tx: Reader, epoch: number, ranges: readonly HashRange[]): Promise<HashRow[]> {
  return tx.query<HashRow>(
    `select level, index, hash
       from unnest($2::integer[], $3::bigint[], $4::bigint[]) as range (tile_level, low, high), lateral (
         select level, index, hash from log_tiles
          where epoch = $1 and level = tile_level and index >= low and index < high order by index limit high - low
       ) as tile`,
    [
      epoch,
      ranges.map(({ level }) => level),
      ranges.map(({ start }) => start),
      ranges.map(({ start, count }) => start + count),
    ],
  );
}

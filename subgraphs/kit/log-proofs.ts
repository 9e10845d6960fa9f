import { parseCheckpoint } from '#schema/checkpoint.ts';
import { fail } from '#schema/errors.ts';
import { inclusionNodes, inclusionProof, nodeHash, type NodeLookup } from '#schema/merkle.ts';
import { rangeOf, type HashRange, type StoredHash } from '#schema/stored-tree.ts';
import type { TenantTransaction } from './database.ts';

/** The part of a transaction in the audit database, under the context of the log's tenant, that proofs need. */
export type LogReader = Pick<TenantTransaction, 'query'>;

/** The newest signed head of a log. */
export interface SealedHead {
  /** The signed note, verbatim. */
  readonly note: string;
  /** How many entries it covers. */
  readonly size: number;
}

/** Where an entry stands. */
export interface LeafPlace {
  readonly epoch: number;
  readonly seq: number;
}

/** That an entry is in the log of a signed head. */
export interface LeafProof {
  readonly head: SealedHead;
  /** The audit path (RFC 6962 section 2.1.1), nearest sibling first. */
  readonly hashes: readonly Buffer[];
}

/** Stored hashes are read in whole runs of this many, so that neighbours share them. */
const TILE_WIDTH = 256;
/** Said beside the wall, for the worker's lets no index be used by itself. */
const OWN = 'tenant_id = (select tenon.tenant_id())';

/** Returns the newest checkpoint of a log, or null before its first seal. */
export async function readSealedHead(tx: LogReader, epoch: number): Promise<SealedHead | null> {
  const [row] = await tx.query<{ checkpoint: string }>(
    `select checkpoint from segments where ${OWN} and epoch = $1 and state = 'sealed' and checkpoint is not null
      order by number desc limit 1`,
    [epoch],
  );
  if (row === undefined) return null;
  const text = row.checkpoint.slice(0, row.checkpoint.lastIndexOf('\n\n') + 1);
  return { note: row.checkpoint, size: parseCheckpoint(text).size };
}

/**
 * Returns the proofs of a page of entries in their order, each against the head of its epoch, or null where that does not
 * cover the entry. All entries of an epoch share two statements; neighbours share what they read and hash, so a page
 * out of one stretch of the log costs little more than one proof. Heads that are not given are the newest.
 */
export async function proofsFor(
  tx: LogReader,
  places: readonly LeafPlace[],
  heads: ReadonlyMap<number, SealedHead | null> = new Map(),
): Promise<(LeafProof | null)[]> {
  const lookups = new Map<number, { head: SealedHead; lookup: NodeLookup } | null>();
  for (const epoch of new Set(places.map((place) => place.epoch))) {
    const head = heads.has(epoch) ? (heads.get(epoch) ?? null) : await readSealedHead(tx, epoch);
    const seqs = places.filter((place) => place.epoch === epoch && place.seq < (head?.size ?? 0)).map(({ seq }) => seq);
    lookups.set(epoch, head === null ? null : { head, lookup: await readNodes(tx, { epoch, seqs, size: head.size }) });
  }
  return places.map(({ epoch, seq }) => {
    const known = lookups.get(epoch) ?? null;
    if (known === null || seq >= known.head.size) return null;
    return { head: known.head, hashes: inclusionProof(known.lookup, seq, known.head.size) };
  });
}

/** Reads leaves and subtree roots, each range once; a hash that should be there and is not is an inner fault. */
export async function readHashes(tx: LogReader, epoch: number, ranges: readonly HashRange[]): Promise<StoredHash> {
  const distinct = [
    ...new Map(ranges.map((range) => [`${range.level}:${range.start}:${range.count}`, range])).values(),
  ];
  const leaves = distinct.filter(({ level }) => level === 0);
  const roots = distinct.filter(({ level }) => level > 0);
  const rows = [
    ...(leaves.length === 0 ? [] : await readLeaves(tx, epoch, leaves)),
    ...(roots.length === 0 ? [] : await readRoots(tx, epoch, roots)),
  ];
  const hashes = new Map(rows.map(({ level, index, hash }) => [`${level}:${index}`, hash]));
  return (level, index) =>
    hashes.get(`${level}:${index}`) ??
    fail('INTERNAL_SERVER_ERROR', `hash ${index} on level ${level} of epoch ${epoch} is missing`);
}

/** Nodes of the tree that were read or hashed once are kept for the other proofs of the page. */
async function readNodes(
  tx: LogReader,
  { epoch, seqs, size }: { epoch: number; seqs: readonly number[]; size: number },
): Promise<NodeLookup> {
  const tiles = new Map<string, HashRange>();
  for (const seq of seqs) {
    for (const { level, start } of inclusionNodes(seq, size).map(rangeOf)) {
      const first = start - (start % TILE_WIDTH);
      tiles.set(`${level}:${first}`, { level, start: first, count: TILE_WIDTH });
    }
  }
  const stored = await readHashes(tx, epoch, [...tiles.values()]);
  const known = new Map<string, Uint8Array>();
  const lookup: NodeLookup = ({ level, index }) => {
    const { level: tileLevel, start, count } = rangeOf({ level, index });
    if (count === 1) return stored(tileLevel, start);
    const name = `${level}:${index}`;
    const node =
      known.get(name) ??
      nodeHash(lookup({ level: level - 1, index: index * 2 }), lookup({ level: level - 1, index: index * 2 + 1 }));
    known.set(name, node);
    return node;
  };
  return lookup;
}

interface HashRow {
  readonly level: number;
  readonly index: string;
  readonly hash: Buffer;
}

// The limits below make the planner go to the index once a range; it would read the whole log for a join.

function readLeaves(tx: LogReader, epoch: number, ranges: readonly HashRange[]): Promise<HashRow[]> {
  return tx.query<HashRow>(
    `select 0 as level, seq as index, leaf as hash
       from unnest($2::bigint[], $3::bigint[]) as range (low, high), lateral (
         select seq, leaf from log_entries where ${OWN} and epoch = $1 and seq >= low and seq < high order by seq limit high - low
       ) as entry`,
    [epoch, ranges.map(({ start }) => start), ranges.map(({ start, count }) => start + count)],
  );
}

function readRoots(tx: LogReader, epoch: number, ranges: readonly HashRange[]): Promise<HashRow[]> {
  return tx.query<HashRow>(
    `select level, index, hash
       from unnest($2::integer[], $3::bigint[], $4::bigint[]) as range (tile_level, low, high), lateral (
         select level, index, hash from log_tiles
          where ${OWN} and epoch = $1 and level = tile_level and index >= low and index < high order by index limit high - low
       ) as tile`,
    [
      epoch,
      ranges.map(({ level }) => level),
      ranges.map(({ start }) => start),
      ranges.map(({ start, count }) => start + count),
    ],
  );
}

import { hash } from 'node:crypto';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { signManifest, type SignedManifest } from '../manifest.ts';
import { readSegment, segmentLines } from '../segment.ts';
import type { SegmentName, SegmentRow, StoredEntries } from '../segment-store.ts';
import { nameOf, type SealingOptions } from './options.ts';
import { continuing, type Predecessor } from './predecessor.ts';

/** A run of a log's entries that is proved to continue what was signed, and what a manifest says of it. */
export interface Sealable {
  readonly before: Predecessor;
  readonly bytes: Buffer;
  readonly sha256: string;
  readonly count: number;
  readonly firstTs: string;
  readonly lastTs: string;
  readonly firstPrev: string;
  readonly lastLeaf: string;
  /** The tree with it. */
  readonly frontier: readonly string[];
  readonly rootAfter: string;
}

const LEAF_BYTES = 32;

/**
 * Returns the segment of these entries. Nothing is signed that a verifier would refuse: every entry is read as she reads
 * it. CONFLICT where they do not continue the log or a stored leaf is not the hash of its entry.
 */
export function sealable(before: Predecessor, stored: StoredEntries): Sealable {
  return continuing(() => {
    const after = Frontier.fromJSON({ size: before.size, nodes: before.frontier });
    const segment = readSegment(segmentLines(stored.bytes), { frontier: after, prev: before.lastLeaf });
    if (!Buffer.concat(segment.leaves).equals(stored.leaves)) {
      fail('CONFLICT', 'a stored leaf is not the hash of its entry');
    }
    const first = segment.entries[0] ?? fail('INTERNAL_SERVER_ERROR', 'a segment without entries');
    const last = segment.entries.at(-1) ?? first;
    return {
      before,
      bytes: segment.bytes,
      sha256: segment.sha256,
      count: stored.leaves.length / LEAF_BYTES,
      firstTs: first.event.ts,
      lastTs: last.event.ts,
      firstPrev: first.prev,
      lastLeaf: segment.lastLeaf,
      frontier: after.toJSON().nodes,
      rootAfter: after.root().toString('hex'),
    };
  });
}

/** What of a segment's row its manifest says. */
type SignedRow = SegmentName & Pick<SegmentRow, 'firstSeq' | 'count' | 'segmentKey' | 'plannedAt' | 'retainUntil'>;

/** Signs the checkpoint behind a segment that stands in the archive as `packed`, under its number. */
export function signSegment(
  options: SealingOptions,
  { row, segment, packed }: { row: SignedRow; segment: Sealable; packed: Buffer },
): SignedManifest {
  const { before } = segment;
  return signManifest(
    nameOf(options, row),
    {
      number: row.number,
      first_seq: row.firstSeq,
      count: row.count,
      first_ts: segment.firstTs,
      last_ts: segment.lastTs,
      prev_manifest_sha256: before.manifestSha256,
      segment: {
        key: row.segmentKey,
        size_bytes: segment.bytes.length,
        sha256: segment.sha256,
        gz_size_bytes: packed.length,
        gz_sha256: hash('sha256', packed, 'hex'),
      },
      first_prev: segment.firstPrev,
      last_leaf: segment.lastLeaf,
      size_before: row.firstSeq,
      root_before: before.root,
      size_after: row.firstSeq + row.count,
      root_after: segment.rootAfter,
      planned_at: row.plannedAt.toISOString(),
      lock: { mode: options.archive.lockMode, until: row.retainUntil.toISOString() },
    },
    options.signer,
  );
}

import { inclusionNodes, inclusionProof } from '#schema/merkle.ts';
import { lookupIn, rangeOf, type HashRange, type StoredHash } from '#schema/stored-tree.ts';

export type { HashRange, StoredHash } from '#schema/stored-tree.ts';

/**
 * Returns the stored hashes that the proof of a leaf in the tree of the first `size` leaves is made of: at most 256 a
 * level on either side, whatever the size of the log. Each range is aligned, so equal ranges of several proofs are equal.
 */
export function hashRanges(index: number, size: number): HashRange[] {
  return inclusionNodes(index, size).map(rangeOf);
}

/** Returns the audit path (RFC 6962 section 2.1.1), nearest sibling first, from the hashes of `hashRanges`. */
export function proofOf(stored: StoredHash, index: number, size: number): Buffer[] {
  return inclusionProof(lookupIn(stored), index, size);
}

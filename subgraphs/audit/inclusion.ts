import { inclusionNodes, inclusionProof, nodeHash, type NodeLookup } from '#schema/merkle.ts';

/** Hashes side by side on one level of the stored tree: level 0 is the leaves, level n the roots of 256^n of them. */
export interface HashRange {
  readonly level: number;
  /** Index of the first hash on its level. */
  readonly start: number;
  readonly count: number;
}

/** Returns a stored hash; it throws where there is none. */
export type StoredHash = (level: number, index: number) => Uint8Array;

/** Stored levels are eight levels of the binary tree apart: 2^8 = 256. */
const STORED_EVERY = 8;

/**
 * Returns the stored hashes that the proof of a leaf in the tree of the first `size` leaves is made of: at most 256 a
 * level on either side, whatever the size of the log. Each range is aligned, so equal ranges of several proofs are equal.
 */
export function hashRanges(index: number, size: number): HashRange[] {
  return inclusionNodes(index, size).map((address) => {
    const count = 2 ** (address.level % STORED_EVERY);
    return { level: Math.floor(address.level / STORED_EVERY), start: address.index * count, count };
  });
}

/** Returns the audit path (RFC 6962 section 2.1.1), nearest sibling first, from the hashes of `hashRanges`. */
export function proofOf(stored: StoredHash, index: number, size: number): Buffer[] {
  const lookup: NodeLookup = ({ level, index: at }) =>
    level % STORED_EVERY === 0
      ? stored(level / STORED_EVERY, at)
      : nodeHash(lookup({ level: level - 1, index: at * 2 }), lookup({ level: level - 1, index: at * 2 + 1 }));
  return inclusionProof(lookup, index, size);
}

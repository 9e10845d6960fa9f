import { nodeHash, type NodeAddress, type NodeLookup } from './merkle.ts';

/** Hashes side by side on one level of a stored tree: level 0 is the leaves, level n the roots of 256^n of them. */
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

/** Returns the stored hashes that the root of a complete subtree is made of: at most 128 side by side. */
export function rangeOf({ level, index }: NodeAddress): HashRange {
  const count = 2 ** (level % STORED_EVERY);
  return { level: Math.floor(level / STORED_EVERY), start: index * count, count };
}

/** Returns the root of any complete subtree from the stored hashes of `rangeOf`. */
export function lookupIn(stored: StoredHash): NodeLookup {
  const lookup: NodeLookup = ({ level, index }) =>
    level % STORED_EVERY === 0
      ? stored(level / STORED_EVERY, index)
      : nodeHash(lookup({ level: level - 1, index: index * 2 }), lookup({ level: level - 1, index: index * 2 + 1 }));
  return lookup;
}

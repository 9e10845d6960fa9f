import { EMPTY_ROOT, nodeHash } from '#schema/merkle.ts';

/** An RFC 6962 tree whose leaves change in place: a change costs one hash a level, so a tick in which little changed is cheap. */
export interface UpdatableTree {
  readonly size: number;
  /** Replaces the leaf hash at an index below `size`. */
  set(index: number, leaf: Buffer): void;
  root(): Buffer;
}

/** Returns the tree of these leaf hashes. */
export function updatableTreeOf(leaves: readonly Buffer[]): UpdatableTree {
  const levels: Buffer[][] = [[...leaves]];
  // A node without a sibling goes up as it is: so the split is at the largest power of two, as RFC 6962 wants it.
  for (let below = levels[0] ?? []; below.length > 1;) {
    const above = Array.from({ length: Math.ceil(below.length / 2) }, (_, index) => parentOf(below, index));
    levels.push(above);
    below = above;
  }
  const stale = new Set<number>();
  const settle = () => {
    let indices = stale;
    for (const [level, nodes] of levels.slice(1).entries()) {
      indices = new Set([...indices].map((index) => index >> 1));
      for (const index of indices) nodes[index] = parentOf(levels[level] ?? [], index);
    }
    stale.clear();
  };
  return {
    size: leaves.length,
    set: (index, leaf) => {
      const [bottom = []] = levels;
      if (index < 0 || index >= bottom.length) throw new Error('no leaf at that index');
      bottom[index] = leaf;
      stale.add(index);
    },
    root: () => {
      if (stale.size > 0) settle();
      return levels.at(-1)?.[0] ?? EMPTY_ROOT;
    },
  };
}

function parentOf(below: readonly Buffer[], index: number): Buffer {
  const left = below[index * 2];
  const right = below[index * 2 + 1];
  if (left === undefined) throw new Error('a level of the tree is too short');
  return right === undefined ? left : nodeHash(left, right);
}

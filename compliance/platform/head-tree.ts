import { updatableTreeOf, type UpdatableTree } from './updatable-tree.ts';

/** A head of the tree: where it stands, and what it counts for. */
export interface HeadOfTree {
  readonly origin: string;
  readonly leaf: Buffer;
}

/** The heads of all logs of a cell at one time, in the order of their origins. */
export interface HeadTree<Head extends HeadOfTree> {
  readonly size: number;
  find(origin: string): Head | undefined;
  /** Puts a head in the place of the log's former one, or adds the log; a log never leaves. */
  set(head: Head): void;
  /** Returns the RFC 6962 root over all heads. */
  root(): Buffer;
  heads(): IterableIterator<Head>;
}

/** Returns an empty tree. Adding a log costs a hash for every log at the next root, changing one a hash for every level. */
export function newHeadTree<Head extends HeadOfTree>(): HeadTree<Head> {
  const heads = new Map<string, Head>();
  let places = new Map<string, number>();
  let tree: UpdatableTree | null = null;
  const build = (): UpdatableTree => {
    // Origins are ASCII, whose UTF-16 order is that of their bytes.
    const ordered = [...heads.keys()].toSorted((left, right) => (left < right ? -1 : 1));
    places = new Map(ordered.map((origin, index) => [origin, index]));
    return updatableTreeOf(ordered.flatMap((origin) => heads.get(origin)?.leaf ?? []));
  };
  return {
    get size() {
      return heads.size;
    },
    find: (origin) => heads.get(origin),
    set: (head) => {
      const place = heads.has(head.origin) ? places.get(head.origin) : undefined;
      heads.set(head.origin, head);
      if (place === undefined) tree = null;
      else tree?.set(place, head.leaf);
    },
    root: () => (tree ??= build()).root(),
    heads: () => heads.values(),
  };
}

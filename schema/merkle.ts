import { hash } from 'node:crypto';
import { fail } from './errors.ts';

/** The root of a tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1). */
export const EMPTY_ROOT: Buffer = sha256(Buffer.alloc(0));

const HASH_BYTES = 32;
const HASH_HEX = /^[0-9a-f]{64}$/;

/**
 * Names the root of a complete subtree of 2^level leaves, the index-th of that width; level 0 is the leaves.
 * Such a hash never changes once its last leaf is in, so it can be stored for good.
 */
export interface NodeAddress {
  readonly level: number;
  readonly index: number;
}

/** Returns the hash at an address; it throws where there is none. */
export type NodeLookup = (address: NodeAddress) => Uint8Array;

/** What is kept of a tree to go on appending: JSON, hashes as lower-case hex, widest subtree first. */
export interface FrontierState {
  readonly size: number;
  readonly nodes: readonly string[];
}

/** Returns the leaf hash of an entry: SHA-256(0x00 || bytes). */
export function leafHash(bytes: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(bytes.length + 1);
  input[0] = 0x00;
  input.set(bytes, 1);
  return sha256(input);
}

// One buffer for all nodes is safe, for hashing is synchronous and keeps nothing of its input.
const pair = Buffer.alloc(1 + 2 * HASH_BYTES, 0x01);

/** Returns the hash of an inner node: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  if (left.length !== HASH_BYTES || right.length !== HASH_BYTES) refuse('a hash is not 32 bytes long');
  pair.set(left, 1);
  pair.set(right, 1 + HASH_BYTES);
  return sha256(pair);
}

/** Sizes are safe integers, so no tree has more complete subtrees on its right edge. */
const MAX_NODES = 53;

/**
 * A growing tree that keeps only the roots of its complete subtrees: one hash for each one-bit of the size.
 * Appending costs two hashes a leaf on average. It is changed in place; `fromJSON(toJSON())` makes a copy.
 */
export class Frontier {
  #size = 0;
  #count = 0;
  // All nodes side by side, so that two neighbours with the byte before them are what their parent is the hash of: no
  // append has to allocate or to copy.
  readonly #nodes = new Uint8Array(1 + MAX_NODES * HASH_BYTES);
  readonly #pairs: Uint8Array[] = [];

  /** Restores a frontier, or starts an empty tree; a state that fits no tree is BAD_USER_INPUT. */
  static fromJSON(state: FrontierState = { size: 0, nodes: [] }): Frontier {
    const { size, nodes } = state;
    if (!isSize(size) || nodes.length !== oneBits(size)) refuse('the frontier does not fit its size');
    if (!nodes.every((node) => HASH_HEX.test(node))) refuse('a frontier node is not 64 lower-case hex digits');
    const frontier = new Frontier();
    frontier.#size = size;
    frontier.#count = nodes.length;
    for (const [index, node] of nodes.entries()) frontier.#nodes.set(Buffer.from(node, 'hex'), 1 + index * HASH_BYTES);
    return frontier;
  }

  /** The number of leaves. */
  get size(): number {
    return this.#size;
  }

  /** Adds a leaf hash at index `size`; `onNode` is told of every inner node that this completes, lowest first. */
  append(leaf: Uint8Array, onNode?: (address: NodeAddress, node: Buffer) => void): void {
    if (leaf.length !== HASH_BYTES) refuse('a hash is not 32 bytes long');
    if (!isSize(this.#size + 1)) refuse('the tree is full');
    this.#nodes.set(leaf, 1 + this.#count * HASH_BYTES);
    this.#count += 1;
    let level = 0;
    for (let index = this.#size; index % 2 === 1; index = (index - 1) / 2) {
      this.#join();
      level += 1;
      onNode?.({ level, index: (index - 1) / 2 }, Buffer.from(this.#node(this.#count - 1)));
    }
    this.#size += 1;
  }

  /** Returns the root of all leaves so far; `EMPTY_ROOT` where there is none. */
  root(): Buffer {
    return Buffer.from(foldRight(this.#edge()) ?? EMPTY_ROOT);
  }

  /** Returns the state that `fromJSON` takes. */
  toJSON(): FrontierState {
    return { size: this.#size, nodes: this.#edge().map((node) => Buffer.from(node).toString('hex')) };
  }

  #edge(): Uint8Array[] {
    return Array.from({ length: this.#count }, (_, index) => this.#node(index));
  }

  #node(index: number): Uint8Array {
    return this.#nodes.subarray(1 + index * HASH_BYTES, 1 + (index + 1) * HASH_BYTES);
  }

  /** Puts the parent of the last two nodes in their place. */
  #join(): void {
    const nodes = this.#nodes;
    const at = (this.#count - 2) * HASH_BYTES;
    const input = (this.#pairs[this.#count] ??= nodes.subarray(at, at + 1 + 2 * HASH_BYTES));
    const last = nodes[at] ?? 0;
    nodes[at] = 0x01;
    const parent = hash('sha256', input, 'binary');
    nodes[at] = last;
    for (let index = 0; index < HASH_BYTES; index++) nodes[at + 1 + index] = parent.charCodeAt(index);
    this.#count -= 1;
  }
}

/** Returns the addresses that `inclusionProof` will look up, so that one query can fetch them; O(log size). */
export function inclusionNodes(index: number, size: number): NodeAddress[] {
  return inclusionParts(index, size).flat();
}

/** Returns the addresses that `consistencyProof` will look up; O(log newSize). */
export function consistencyNodes(oldSize: number, newSize: number): NodeAddress[] {
  return consistencyParts(oldSize, newSize).flat();
}

/**
 * Returns the audit path of RFC 6962 section 2.1.1 for the leaf at `index` in the tree of the first `size` leaves,
 * nearest sibling first, from all leaf hashes (O(size) hashes) or from stored nodes (O(log size)).
 */
export function inclusionProof(source: readonly Uint8Array[] | NodeLookup, index: number, size: number): Buffer[] {
  return hashParts(inclusionParts(index, size), source);
}

/**
 * Returns the proof of RFC 6962 section 2.1.2 that the first `oldSize` leaves of the tree of `newSize` leaves are the
 * old tree; it is empty where a size is 0 or both are equal.
 */
export function consistencyProof(
  source: readonly Uint8Array[] | NodeLookup,
  oldSize: number,
  newSize: number,
): Buffer[] {
  return hashParts(consistencyParts(oldSize, newSize), source);
}

/** A claim that `leaf` (a leaf hash) stands at `index` in the tree of `size` leaves that has this root. */
export interface InclusionClaim {
  readonly leaf: Uint8Array;
  readonly index: number;
  readonly size: number;
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** Tells whether the claim is proved (RFC 9162 section 2.1.3.2); hostile input is false, never an error. */
export function verifyInclusion({ leaf, index, size, proof, root }: InclusionClaim): boolean {
  if (!isSize(size) || !isSize(index) || index >= size || ![leaf, root, ...proof].every(isHash)) return false;
  let node = index;
  let last = size - 1;
  let top = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      top = nodeHash(sibling, top);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      top = nodeHash(top, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && Buffer.compare(top, root) === 0;
}

/** A claim that the tree of `oldSize` leaves with `oldRoot` is a prefix of the one of `newSize` with `newRoot`. */
export interface ConsistencyClaim {
  readonly oldSize: number;
  readonly newSize: number;
  readonly oldRoot: Uint8Array;
  readonly newRoot: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Tells whether the claim is proved (RFC 9162 section 2.1.4.2); hostile input is false, never an error. */
export function verifyConsistency({ oldSize, newSize, oldRoot, newRoot, proof }: ConsistencyClaim): boolean {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (![oldRoot, newRoot, ...proof].every(isHash)) return false;
  if (oldSize === newSize) return proof.length === 0 && Buffer.compare(oldRoot, newRoot) === 0;
  if (oldSize === 0) return proof.length === 0 && Buffer.compare(oldRoot, EMPTY_ROOT) === 0;
  // An old tree that is one complete subtree is the first node of the path itself, so the proof leaves it out.
  const path = oneBits(oldSize) === 1 ? [oldRoot, ...proof] : proof;
  const roots = climb(path, oldSize - 1, newSize - 1);
  return roots !== null && Buffer.compare(roots.old, oldRoot) === 0 && Buffer.compare(roots.new, newRoot) === 0;
}

function climb(
  path: readonly Uint8Array[],
  oldLast: number,
  newLast: number,
): { old: Uint8Array; new: Uint8Array } | null {
  let [node, last] = [oldLast, newLast];
  while (node % 2 === 1) [node, last] = [half(node), half(last)];
  const [first, ...rest] = path;
  if (first === undefined) return null;
  const roots = { old: first, new: first };
  for (const sibling of rest) {
    if (last === 0) return null;
    if (node % 2 === 1 || node === last) {
      roots.old = nodeHash(sibling, roots.old);
      roots.new = nodeHash(sibling, roots.new);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      roots.new = nodeHash(roots.new, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 ? roots : null;
}

// A part is the list of complete subtrees, left to right, that fold into one hash of a proof.
type Part = readonly NodeAddress[];

function inclusionParts(index: number, size: number): Part[] {
  if (!isSize(size) || !isSize(index) || index >= size) refuse(`no leaf ${index} in a tree of ${size}`);
  const parts: Part[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      parts.push(subtrees(middle, end));
      end = middle;
    } else {
      parts.push(subtrees(start, middle));
      start = middle;
    }
  }
  return parts.toReversed();
}

function consistencyParts(oldSize: number, newSize: number): Part[] {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) refuse(`no tree of ${newSize} grows from ${oldSize}`);
  if (oldSize === 0) return [];
  const parts: Part[] = [];
  let [start, end] = [0, newSize];
  while (end > oldSize) {
    const middle = start + splitOf(end - start);
    if (oldSize <= middle) {
      parts.push(subtrees(middle, end));
      end = middle;
    } else {
      parts.push(subtrees(start, middle));
      start = middle;
    }
  }
  // From 0 on, what is left is the old tree whole, whose root the verifier holds already.
  if (start > 0) parts.push(subtrees(start, end));
  return parts.toReversed();
}

/** The largest power of two below `count`, where RFC 6962 splits; `count` is 2 or more. */
function splitOf(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

/** The complete subtrees that make up the leaves from `start` to `end`; `start` is a multiple of the widest. */
function subtrees(start: number, end: number): NodeAddress[] {
  const addresses: NodeAddress[] = [];
  for (let from = start; from < end;) {
    let [width, level] = [1, 0];
    while (width * 2 <= end - from) [width, level] = [width * 2, level + 1];
    addresses.push({ level, index: from / width });
    from += width;
  }
  return addresses;
}

function hashParts(parts: readonly Part[], source: readonly Uint8Array[] | NodeLookup): Buffer[] {
  const lookup = typeof source === 'function' ? source : lookupIn(source);
  return parts.map((part) => Buffer.from(foldRight(part.map(lookup)) ?? refuse('a part of a proof is empty')));
}

function lookupIn(leaves: readonly Uint8Array[]): NodeLookup {
  const find = ({ level, index }: NodeAddress): Uint8Array => {
    if (level === 0) return leaves[index] ?? refuse(`there are fewer than ${index + 1} leaves`);
    return nodeHash(find({ level: level - 1, index: index * 2 }), find({ level: level - 1, index: index * 2 + 1 }));
  };
  return find;
}

function foldRight(nodes: readonly Uint8Array[]): Uint8Array | undefined {
  let root = nodes.at(-1);
  for (const node of nodes.slice(0, -1).toReversed()) {
    if (root !== undefined) root = nodeHash(node, root);
  }
  return root;
}

function sha256(bytes: Uint8Array): Buffer {
  // Asking for a string and turning it into a Buffer takes two thirds of the time of asking for a Buffer.
  return Buffer.from(hash('sha256', bytes, 'binary'), 'binary');
}

function isHash(value: Uint8Array): boolean {
  return value.length === HASH_BYTES;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

// Bit operators would cut numbers to 32 bits; a log may grow beyond.
function half(value: number): number {
  return Math.floor(value / 2);
}

function oneBits(value: number): number {
  let count = 0;
  for (let rest = value; rest > 0; rest = half(rest)) count += rest % 2;
  return count;
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `merkle tree: ${reason}`);
}

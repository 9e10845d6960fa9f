import { LRUCache } from 'lru-cache';
import type { PreparedOperation } from './prepared-operation.ts';

/**
 * Operations by their text and name, compiled. They depend on the supergraph alone, on nothing of a tenant, so that one
 * serves all; what a request may do with it is decided anew each time.
 */
export interface KnownOperations {
  get(text: string, operationName: string | null): PreparedOperation | undefined;
  /** Says whether an operation is remembered, which is no use of it. */
  has(text: string, operationName: string | null): boolean;
  set(text: string, operationName: string | null, operation: PreparedOperation): void;
  /** Remembers an operation however many others come; for those that a manifest of the platform names. */
  pin(text: string, operationName: string | null, operation: PreparedOperation): void;
  /** Texts and names of the operations that were used last, the latest first. */
  latest(count: number): readonly (readonly [text: string, operationName: string | null])[];
  readonly size: number;
}

/** A small operation was measured at some 70 kB with all that is compiled for it, so this is about 100 MB. */
const MAX_OPERATIONS = 1_500;
const MAX_TEXT_LENGTH = 2_000_000;
/** Longer texts are rare and dear to keep: they are compiled each time. */
const LONGEST_TEXT = 64 * 1024;
/** Cannot stand in a name. */
const SEPARATOR = '\n#';

/** Returns a memory of operations that forgets the longest unused ones. */
export function newKnownOperations(): KnownOperations {
  const cache = new LRUCache<string, PreparedOperation>({
    max: MAX_OPERATIONS,
    maxSize: MAX_TEXT_LENGTH,
    maxEntrySize: LONGEST_TEXT,
    sizeCalculation: (_operation, key) => key.length,
  });
  const pinned = new Map<string, PreparedOperation>();
  const get = (text: string, operationName: string | null): PreparedOperation | undefined => {
    const key = keyOf(text, operationName);
    const found = cache.get(key) ?? pinned.get(key);
    if (found !== undefined || operationName === null) return found;
    // A document's only operation is the same by its name and without.
    const only = get(text, null);
    return only?.name === operationName ? only : undefined;
  };
  return {
    get,
    has: (text, operationName) => {
      const key = keyOf(text, operationName);
      return cache.has(key) || pinned.has(key);
    },
    pin: (text, operationName, operation) => void pinned.set(keyOf(text, operationName), operation),
    set: (text, operationName, operation) => void cache.set(keyOf(text, operationName), operation),
    latest: (count) => {
      const found: (readonly [string, string | null])[] = [];
      for (const key of cache.keys()) {
        if (found.length === count) break;
        found.push(partsOf(key));
      }
      return found;
    },
    get size() {
      return cache.size;
    },
  };
}

function keyOf(text: string, operationName: string | null): string {
  return operationName === null ? text : `${operationName}${SEPARATOR}${text}`;
}

function partsOf(key: string): readonly [string, string | null] {
  const named = /^(\w+)\n#/.exec(key);
  return named === null ? [key, null] : [key.slice(named[0].length), named[1] ?? null];
}

import { asTenonError } from '#schema/errors.ts';
import type { CellStore, CellStores } from './cell-stores.ts';
import { log } from './log.ts';

/** What a visit found: something to do, something to do later, or nothing. */
export type VisitResult = 'worked' | 'waiting' | 'idle';

/** What a walk is made of. */
export interface StoreWalkOptions {
  readonly stores: CellStores;
  /** What is looked for, for the log. */
  readonly what: string;
  readonly visit: (store: CellStore) => Promise<VisitResult>;
}

/** Visits beside each other, of one walk. */
const AT_ONCE = 4;
/** Also where nothing was written a store is visited so often: for what time asks for. */
const SLOW_MS = 60_000;
/** A store that failed is left alone for so long. */
const FAILED_MS = 10_000;

interface Visited {
  /** As it was before the last visit. */
  readonly stamp: string | null;
  readonly result: VisitResult | 'failed';
  readonly atMs: number;
}

/**
 * Returns the function that visits, each time it is called, the stores in which something may be to do: those that were
 * written to since they were last found idle, those that were not found idle, and each once a minute. So many idle stores
 * cost one statement for all. A store that fails is told of in the log, and holds up no other.
 */
export function newStoreWalk({ stores, what, visit }: StoreWalkOptions): () => Promise<VisitResult> {
  const visited = new Map<string, Visited>();
  const visitOne = async (store: CellStore): Promise<void> => {
    const { name, stamp } = store;
    const result = await visit(store).catch((error: unknown) => {
      log('error', `${what} failed in a store: ${asTenonError(error).message}`, { store: name });
      return 'failed' as const;
    });
    visited.set(name, { stamp, result, atMs: performance.now() });
  };
  return async () => {
    const list = await stores.list();
    const due = list.filter((store) => isDue(store, visited.get(store.name)));
    const queue = due.values();
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (const store of queue) await visitOne(store);
      }),
    );
    return resultOf(
      list.map(({ name }) => visited.get(name)?.result ?? 'idle'),
      due.length > 0,
    );
  };
}

function isDue({ stamp }: CellStore, last: Visited | undefined): boolean {
  if (last === undefined) return true;
  const agoMs = performance.now() - last.atMs;
  if (last.result === 'failed') return agoMs > FAILED_MS;
  return last.result !== 'idle' || last.stamp !== stamp || agoMs > SLOW_MS;
}

/** What was idle at the last visit and was not written to since is idle. */
function resultOf(results: readonly Visited['result'][], wasAny: boolean): VisitResult {
  if (wasAny && results.includes('worked')) return 'worked';
  return results.every((result) => result === 'idle') ? 'idle' : 'waiting';
}

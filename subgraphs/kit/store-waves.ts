import { asTenonError } from '#schema/errors.ts';
import { storeKey } from '#schema/tenant-store.ts';
import { migrateStore, type StoreMaker, type StoreRow } from './store-setup.ts';
import { storeVersion } from './store-admission.ts';

/** How stores are brought to the newest migrations. */
export interface WavePlan {
  /** Short names of tenants whose stores go first, one by one; without any it is the first store, by preference an empty one. */
  readonly canaries: readonly string[];
  /** Stores that are worked on beside each other, after those. */
  readonly atOnce: number;
  /** Stores that may fail before no other is begun. */
  readonly mostFaults: number;
  readonly onProgress: (progress: WaveProgress) => void;
}

/** How far a run is. */
export interface WaveProgress {
  readonly store: StoreRow;
  readonly done: number;
  readonly total: number;
  readonly failed: number;
}

/** What a run did. */
export interface WaveReport {
  /** That were behind, or were not made yet, as the run began. */
  readonly total: number;
  readonly migrated: number;
  readonly failed: readonly { readonly store: StoreRow; readonly fault: string }[];
  /** That were not begun, since a canary or too many others failed. */
  readonly left: number;
}

/**
 * Brings the stores that are behind to the newest migrations: the canaries one after the other, and only where all of them
 * came through, the rest. Each store's version is written down when it is there, so a run that was ended anywhere is
 * taken up by the next; two runs at once do no harm. A store that failed is named, stays as it was before the file that
 * failed, and is tried again by the next run.
 */
export async function migrateStores(maker: StoreMaker, rows: readonly StoreRow[], plan: WavePlan): Promise<WaveReport> {
  const newest = await storeVersion();
  const behind = rows.filter(({ version, fault }) => version < newest || fault !== null);
  const canaries = canariesOf(behind, plan);
  const rest = behind.filter((store) => !canaries.includes(store));
  const state = { done: 0, failed: [] as { store: StoreRow; fault: string }[] };
  const visit = async (store: StoreRow) => {
    try {
      await migrateStore(maker, store);
    } catch (error) {
      state.failed.push({ store, fault: asTenonError(error).message });
    }
    state.done += 1;
    plan.onProgress({ store, done: state.done, total: behind.length, failed: state.failed.length });
  };
  for (const store of canaries) if (state.failed.length === 0) await visit(store);
  const mostFaults = state.failed.length > 0 ? 0 : plan.mostFaults;
  const queue = rest.values();
  const work = async () => {
    while (state.failed.length < mostFaults) {
      const { value: store } = queue.next();
      if (store === undefined) return;
      await visit(store);
    }
  };
  await Promise.all(Array.from({ length: plan.atOnce }, work));
  const { done, failed } = state;
  return { total: behind.length, migrated: done - failed.length, failed, left: behind.length - done };
}

function canariesOf(behind: readonly StoreRow[], { canaries }: WavePlan): readonly StoreRow[] {
  const named = behind.filter(({ slug }) => slug !== null && canaries.includes(slug));
  if (named.length > 0) return named;
  const first = behind.find(({ slug }) => slug === null) ?? behind[0];
  return first === undefined ? [] : [first];
}

/** Returns the text by which a store is told of. */
export function storeName({ cell, name }: Pick<StoreRow, 'cell' | 'name'>): string {
  return storeKey({ cell, store: name });
}

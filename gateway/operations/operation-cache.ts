import { LRUCache } from 'lru-cache';
import type { RegisteredOperation } from './registered-operations.ts';

/** An approved operation and when it ends by itself. */
export interface CachedOperation {
  readonly operation: RegisteredOperation;
  /** In ms since the epoch, or Infinity. */
  readonly untilMs: number;
}

/** Whose operation it is; no key of the cache is without its tenant. */
export interface CacheKey {
  readonly tenant: string;
  readonly client: string;
  readonly key: string;
}

/** What was read of registered operations, by tenant. */
export interface OperationCache {
  /** Changes with every drop: what was being read meanwhile must not be kept. */
  readonly version: number;
  /** Returns what is remembered, with a null row for what is known not to be there, or null. */
  get(tenant: string, client: string, key: string): { readonly row: CachedOperation | null } | null;
  set(of: CacheKey, row: CachedOperation | null): void;
  /** Forgets a tenant's operations, or all. */
  drop(tenant: string | null): void;
}

/** Documents of this many characters in all; beyond it the longest unused ones are read again. */
const MAX_TEXT_LENGTH = 16_000_000;
/** Ids that nobody registered; a flood of them pushes out none that somebody did. */
const MAX_UNKNOWN = 10_000;

/** Returns an empty cache. */
export function newOperationCache(): OperationCache {
  const byTenant = new Map<string, Set<string>>();
  const forget = (key: string) => {
    const tenant = key.slice(0, key.indexOf(' '));
    const keys = byTenant.get(tenant);
    keys?.delete(key);
    if (keys?.size === 0) byTenant.delete(tenant);
  };
  const known = new LRUCache<string, CachedOperation>({
    maxSize: MAX_TEXT_LENGTH,
    sizeCalculation: ({ operation }, key) => key.length + operation.source.length,
    dispose: (_row, key, reason) => reason !== 'set' && forget(key),
  });
  const unknown = new LRUCache<string, true>({
    max: MAX_UNKNOWN,
    dispose: (_row, key, reason) => reason !== 'set' && forget(key),
  });
  let version = 0;
  return {
    get version() {
      return version;
    },
    get(...of) {
      const key = of.join(' ');
      const row = known.get(key);
      if (row !== undefined) return { row };
      return unknown.get(key) === true ? { row: null } : null;
    },
    set({ tenant, client, key: operation }, row) {
      const key = [tenant, client, operation].join(' ');
      const keys = byTenant.get(tenant) ?? new Set();
      byTenant.set(tenant, keys.add(key));
      if (row === null) unknown.set(key, true);
      else known.set(key, row);
    },
    drop(tenant) {
      version += 1;
      for (const owner of tenant === null ? [...byTenant.keys()] : [tenant]) {
        for (const key of byTenant.get(owner) ?? []) {
          known.delete(key);
          unknown.delete(key);
        }
      }
    },
  };
}

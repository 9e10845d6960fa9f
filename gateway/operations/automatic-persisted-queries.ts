import { LRUCache } from 'lru-cache';
import { TenonError } from '#schema/errors.ts';

/** Texts that clients of the platform's own have sent once and name by their hash from then on. */
export interface AutomaticQueries {
  /** Returns the text of a hash that somebody of the same tenant sent, or null. */
  find(tenant: string, hash: string): string | null;
  /** Remembers a text under its hash; whoever calls it has compared them. */
  remember(tenant: string, hash: string, query: string): void;
}

/**
 * Tells an Apollo client to send the text beside the hash: its code, status and exact message are what such clients look
 * for (Apollo's automatic persisted queries).
 */
export class PersistedQueryNotFound extends TenonError {
  constructor() {
    super('PERSISTED_QUERY_NOT_FOUND', 'no text of this hash is remembered');
  }

  override get status(): number {
    return 200;
  }

  override get publicMessage(): string {
    return 'PersistedQueryNotFound';
  }
}

/** A tenant's own share: no flood of hers pushes out a text of another. 128 of them are at most 64 million characters. */
const MAX_TENANT_LENGTH = 500_000;
const MAX_TENANTS = 128;
const LONGEST_QUERY = 64 * 1024;

/** Returns an empty memory; it forgets the longest unused, which costs their clients one more round trip. */
export function newAutomaticQueries(): AutomaticQueries {
  const tenants = new LRUCache<string, LRUCache<string, string>>({ max: MAX_TENANTS });
  return {
    find: (tenant, hash) => tenants.get(tenant)?.get(hash) ?? null,
    remember(tenant, hash, query) {
      if (query.length > LONGEST_QUERY) return;
      const queries = tenants.get(tenant) ?? newShare();
      tenants.set(tenant, queries);
      queries.set(hash, query);
    },
  };
}

function newShare(): LRUCache<string, string> {
  return new LRUCache({ maxSize: MAX_TENANT_LENGTH, sizeCalculation: (query, hash) => query.length + hash.length });
}

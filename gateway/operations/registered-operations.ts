import type { Change } from '#kit/change-feed.ts';
import { inTenantOnce, type Databases } from '#kit/database.ts';
import type { OperationKind } from '#schema/operation-manifest.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import type { StorePlace } from '#schema/tenant-store.ts';
import { newLastUse } from './last-use.ts';
import { newOperationCache, type CachedOperation, type OperationCache } from './operation-cache.ts';
import type { PersistedOperations } from './persisted-operations.ts';

/** An operation that a client's keys may run. */
export interface RegisteredOperation {
  /** The id under which it was found; see operationKey. */
  readonly key: string;
  readonly name: string | null;
  readonly kind: OperationKind;
  readonly source: string;
  /** SHA-256 of the source, in hex. */
  readonly hash: string;
  /** Points that one run may be estimated at; null where the tier alone bounds it. */
  readonly costCeiling: number | null;
}

/** The operations that the keys of each tenant's clients may run: those the tenant registered, and the platform's own. */
export interface RegisteredOperations {
  /**
   * Returns the operation of the caller's tenant and client under a key of operationKey, or null: an unknown one, another
   * tenant's or client's, one that waits for approval, and a revoked or expired one all look the same. At once where it
   * is remembered, else after one statement.
   */
  find(ctx: TenantContext, key: string, now: Date): RegisteredOperation | null | Promise<RegisteredOperation | null>;
  /** Notes that the caller ran an operation of hers; it is written within a minute, or at the close. */
  used(ctx: TenantContext, key: string, now: Date): void;
  /** Writes what is noted, and ends; needs the databases open. */
  close(): Promise<void>;
}

/** News of changes; see ChangeFeed. */
export interface OperationsFeed {
  isLive(place: StorePlace): boolean;
  subscribe(listener: (change: Change) => void): () => void;
}

/** What registered operations are read from. */
export interface OperationSources {
  readonly databases: Databases;
  readonly feed: OperationsFeed;
  /** The platform's own operations, for every tenant's client of that name. */
  readonly platformManifests: () => PersistedOperations;
}

/**
 * Returns the registered operations of all tenants. What is read is remembered until the feed tells of a change of that
 * tenant's operations; while the feed of a cell is not live, every request reads the database.
 */
export function newRegisteredOperations({
  databases,
  feed,
  platformManifests,
}: OperationSources): RegisteredOperations {
  const cache = newOperationCache();
  const lastUse = newLastUse(databases);
  const unsubscribe = feed.subscribe(({ tenant, topic }) => {
    if (topic === 'operations') cache.drop(tenant);
  });
  return {
    find(ctx, key, now) {
      if (ctx.client === null) return null;
      const own = platformManifests().find(ctx.client, key);
      if (own !== null) return { ...own, costCeiling: null };
      const wanted: Wanted = { ctx, client: ctx.client, key };
      // Without news of changes nothing that was read before can be believed, nor what is being read.
      if (!feed.isLive(ctx)) return read(databases, wanted).then((row) => inForce(row, now));
      const known = cache.get(ctx.tenant, ctx.client, key) ?? load(cache, databases, wanted);
      return known instanceof Promise ? known.then((row) => inForce(row, now)) : inForce(known.row, now);
    },
    used(ctx, key, now) {
      if (ctx.client !== null && platformManifests().find(ctx.client, key) === null) lastUse.note(ctx, key, now);
    },
    async close() {
      unsubscribe();
      await lastUse.close();
    },
  };
}

interface Wanted {
  readonly ctx: TenantContext;
  readonly client: string;
  readonly key: string;
}

/** Remembers what it read unless a change came in between. */
async function load(cache: OperationCache, databases: Databases, wanted: Wanted): Promise<CachedOperation | null> {
  const { ctx, client, key } = wanted;
  const { version } = cache;
  const row = await read(databases, wanted);
  if (cache.version === version) cache.set({ tenant: ctx.tenant, client, key }, row);
  return row;
}

interface Row {
  readonly name: string | null;
  readonly kind: OperationKind;
  readonly body: string;
  readonly body_hash: string;
  readonly cost_ceiling: number;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}

async function read(databases: Databases, { ctx, client, key }: Wanted): Promise<CachedOperation | null> {
  const [row] = await inTenantOnce({ tenant: ctx, databases }, (tx) =>
    tx.query<Row>(
      `select name, kind, body, body_hash, cost_ceiling, expires_at, revoked_at
         from registered_operations where client = $1 and key = $2 and state = 'APPROVED'`,
      [client, key],
    ),
  );
  if (row === undefined) return null;
  const { name, kind, body: source, body_hash: hash, cost_ceiling: costCeiling } = row;
  const ends = [row.expires_at, row.revoked_at].flatMap((end) => (end === null ? [] : [end.getTime()]));
  return { operation: { key, name, kind, source, hash, costCeiling }, untilMs: Math.min(Infinity, ...ends) };
}

function inForce(cached: CachedOperation | null, now: Date): RegisteredOperation | null {
  return cached !== null && now.getTime() < cached.untilMs ? cached.operation : null;
}

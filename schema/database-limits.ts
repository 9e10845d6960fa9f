import type { Tier } from './tenant-context.ts';

/** What a transaction is for: an answer that somebody waits for, or rows in bulk, which take what others leave. */
export type DatabaseLane = 'request' | 'bulk';

/** What one tenant may take of the databases that she shares with others. */
export interface DatabaseLimits {
  /** PostgreSQL ends a statement of a request that runs longer: GATEWAY_TIMEOUT. */
  readonly statementTimeoutMs: number;
  /** PostgreSQL ends a statement that waits longer for a lock: SERVICE_UNAVAILABLE. */
  readonly lockTimeoutMs: number;
  /** Part of a pool's connections that she may hold at once, above 0 and at most 1; two at least where there are two. */
  readonly connectionShare: number;
  /** Exports of hers that run at once in one process. */
  readonly bulkAtOnce: number;
}

/** What each tier may take; a process applies the share to each of its own pools. */
export const DATABASE_LIMITS: Readonly<Record<Tier, DatabaseLimits>> = {
  FREE: { statementTimeoutMs: 5_000, lockTimeoutMs: 2_000, connectionShare: 0.25, bulkAtOnce: 1 },
  GROWTH: { statementTimeoutMs: 10_000, lockTimeoutMs: 3_000, connectionShare: 0.375, bulkAtOnce: 1 },
  ENTERPRISE: { statementTimeoutMs: 20_000, lockTimeoutMs: 5_000, connectionShare: 0.5, bulkAtOnce: 2 },
  ENTERPRISE_PLUS: { statementTimeoutMs: 20_000, lockTimeoutMs: 5_000, connectionShare: 0.625, bulkAtOnce: 3 },
};

/** A statement in bulk may run this long, whatever the tier: longer than any healthy one, shorter than a token lives. */
export const BULK_STATEMENT_TIMEOUT_MS = 20_000;

/** Part of a pool's connections that bulk of all tenants together may hold. */
export const BULK_SHARE = 0.25;

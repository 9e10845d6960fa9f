import type { Tier } from '#schema/tenant-context.ts';

/** How long things may take for a tier; beyond it they are given up, down to the statement in the database. */
export interface CallTimes {
  /** One call of one subgraph; longer ones count against its breaker. */
  readonly timeoutMs: number;
  /** A whole request, with every call and retry in it; longer than one call, so that the slow one is the one to blame. */
  readonly deadlineMs: number;
}

/** Many times the p99 that each tier is promised; the larger tiers hold larger tenants, whose honest work takes longer. */
export const CALL_TIMES: Readonly<Record<Tier, CallTimes>> = {
  FREE: { timeoutMs: 5_000, deadlineMs: 10_000 },
  GROWTH: { timeoutMs: 8_000, deadlineMs: 15_000 },
  ENTERPRISE: { timeoutMs: 12_000, deadlineMs: 25_000 },
  ENTERPRISE_PLUS: { timeoutMs: 12_000, deadlineMs: 25_000 },
};

/** Returns how long a request of a tier may take, in milliseconds. */
export function deadlineOf(tier: Tier): number {
  return CALL_TIMES[tier].deadlineMs;
}

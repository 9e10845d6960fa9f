import type { BucketStatus } from './token-bucket.ts';

/** Header names in lower case with their values. */
export type RateLimitHeaders = Readonly<Record<string, string>>;

/** `extensions.cost` of a GraphQL answer. */
export interface CostExtension {
  /** What the operation was estimated at, in points. */
  readonly requestedQueryCost: number;
  /** What it cost; null where it did not run. */
  readonly actualQueryCost: number | null;
  readonly throttleStatus: {
    readonly maximumAvailable: number;
    readonly currentlyAvailable: number;
    /** Points a second. */
    readonly restoreRate: number;
  };
}

/** Name of the only policy, and the unit of its quota (draft-ietf-httpapi-ratelimit-headers-10, sections 3.1 and 3.2). */
const POLICY = 'budget';
const QUOTA_UNIT = 'tenon-cost';

/** The largest integer of a structured field (RFC 9651 section 3.3.1). */
const STRUCTURED_INTEGER_MAX = 999_999_999_999_999;

/**
 * Returns the headers that tell a client its budget: the customary `x-ratelimit-*`, the IETF draft's `ratelimit-policy`
 * and `ratelimit`, and `retry-after` where the operation was refused. All times are seconds from now, all quotas points;
 * `w` is the time in which an empty bucket fills.
 */
export function rateLimitHeaders(status: BucketStatus): RateLimitHeaders {
  const limit = integer(status.limit);
  const remaining = integer(status.remaining);
  const reset = integer(status.resetSeconds);
  const window = integer(Math.ceil(status.limit / status.restorePerSecond));
  return {
    'x-ratelimit-limit': limit,
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': reset,
    'ratelimit-policy': `"${POLICY}";q=${limit};qu="${QUOTA_UNIT}";w=${window}`,
    ratelimit: `"${POLICY}";r=${remaining};t=${reset}`,
    ...(status.allowed ? {} : { 'retry-after': integer(status.retryAfterSeconds) }),
  };
}

/** Returns `extensions.cost` of an answer; `actual` is null for an operation that did not run. */
export function costExtension(status: BucketStatus, cost: { requested: number; actual: number | null }): CostExtension {
  return {
    requestedQueryCost: cost.requested,
    actualQueryCost: cost.actual,
    throttleStatus: {
      maximumAvailable: status.limit,
      currentlyAvailable: status.remaining,
      restoreRate: status.restorePerSecond,
    },
  };
}

function integer(value: number): string {
  return String(Math.min(STRUCTURED_INTEGER_MAX, Math.max(0, Math.floor(value))));
}

import type { BudgetStatus, PolicyStatus, QuotaUnit } from './budgets.ts';

/** Header names in lower case with their values. */
export type BudgetHeaders = Record<string, string>;

/** `extensions.cost` of a GraphQL answer. */
export interface CostExtension {
  /** What the operation was estimated at, in points; null where it was refused before that. */
  readonly requestedQueryCost: number | null;
  /** What it cost; null where it did not run. */
  readonly actualQueryCost: number | null;
  readonly throttleStatus: {
    readonly maximumAvailable: number;
    readonly currentlyAvailable: number;
    /** Points a second. */
    readonly restoreRate: number;
  };
}

/** Units of a quota (draft-ietf-httpapi-ratelimit-headers-10, section 3.1); points are our own, requests the default. */
const QUOTA_UNITS: Readonly<Record<QuotaUnit, string>> = {
  points: ';qu="tenon-cost"',
  requests: '',
  'concurrent-requests': ';qu="concurrent-requests"',
};

/** The largest integer of a structured field (RFC 9651 section 3.3.1). */
const STRUCTURED_INTEGER_MAX = 999_999_999_999_999;

/**
 * Returns the headers that tell a client its budgets: the customary `x-ratelimit-*` about the tenant's points, the IETF
 * draft's `ratelimit-policy` and `ratelimit` about every policy, and `retry-after` where the operation was refused. All
 * times are seconds from now; `w` is the time in which an empty bucket fills.
 */
export function budgetHeaders(status: BudgetStatus, retryAfterSeconds = 0): BudgetHeaders {
  const [points] = status.policies;
  let levels = '';
  for (const { name, remaining, resetSeconds } of status.policies)
    levels += `${levels === '' ? '' : ', '}"${name}";r=${integer(remaining)};t=${integer(resetSeconds)}`;
  const headers: BudgetHeaders = {
    'x-ratelimit-limit': integer(points.limit),
    'x-ratelimit-remaining': integer(points.remaining),
    'x-ratelimit-reset': integer(points.resetSeconds),
    'ratelimit-policy': quotasOf(status),
    ratelimit: levels,
  };
  if (retryAfterSeconds > 0) headers['retry-after'] = integer(Math.ceil(retryAfterSeconds));
  return headers;
}

/** Returns `extensions.cost` of an answer, about the tenant's points; `actual` is null for an operation that did not run. */
export function costExtension(
  { policies: [points] }: BudgetStatus,
  cost: { requested: number | null; actual: number | null },
): CostExtension {
  return {
    requestedQueryCost: cost.requested,
    actualQueryCost: cost.actual,
    throttleStatus: {
      maximumAvailable: points.limit,
      currentlyAvailable: points.remaining,
      restoreRate: points.restorePerSecond,
    },
  };
}

/** What was written of a table of policies: it is the same on every answer until the limits change. */
const written = new WeakMap<object, string>();

function quotasOf({ policies, table }: BudgetStatus): string {
  const known = table === undefined ? undefined : written.get(table);
  if (known !== undefined) return known;
  const quotas = policies.map((policy) => `"${policy.name}"${quotaOf(policy)}`).join(', ');
  if (table !== undefined) written.set(table, quotas);
  return quotas;
}

/** A quota that does not fill over time, as of concurrent requests, has no window. */
function quotaOf({ unit, limit, restorePerSecond }: PolicyStatus): string {
  const quota = `;q=${integer(limit)}${QUOTA_UNITS[unit]}`;
  return unit === 'concurrent-requests' ? quota : `${quota};w=${integer(Math.ceil(limit / restorePerSecond))}`;
}

function integer(value: number): string {
  // Also what is not a number at all: 0 over 0 for a bucket that holds and restores nothing.
  return value > 0 ? String(Math.min(STRUCTURED_INTEGER_MAX, Math.floor(value))) : '0';
}

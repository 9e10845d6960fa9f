import { fail } from '#schema/errors.ts';
import type { Tier } from '#schema/tenant-context.ts';

/** What a tier may spend: the size of its bucket, how fast that fills again, and the dearest single operation. */
export interface TierLimits {
  /** Points in a full bucket. */
  readonly capacity: number;
  readonly restorePerSecond: number;
  /** Points that one operation may be estimated at. */
  readonly maxQueryCost: number;
}

/** The budgets by tier; every bucket refills from empty in 20 seconds. */
export const TIER_LIMITS = {
  FREE: { capacity: 1_000, restorePerSecond: 50, maxQueryCost: 1_000 },
  GROWTH: { capacity: 2_000, restorePerSecond: 100, maxQueryCost: 1_000 },
  ENTERPRISE: { capacity: 10_000, restorePerSecond: 500, maxQueryCost: 5_000 },
  ENTERPRISE_PLUS: { capacity: 20_000, restorePerSecond: 1_000, maxQueryCost: 10_000 },
} as const satisfies Record<Tier, TierLimits>;

/** The state of one bucket; a value, never changed. */
export interface Bucket {
  readonly limits: TierLimits;
  /** Points now; below 0 where operations cost more than they were estimated at. */
  readonly level: number;
  /** When the level was last brought up to date, in ms since the epoch. */
  readonly updatedMs: number;
}

/** What a caller learns of its budget. */
export interface BucketStatus {
  readonly allowed: boolean;
  /** Points in a full bucket. */
  readonly limit: number;
  /** Whole points that can be spent now, never below 0. */
  readonly remaining: number;
  readonly restorePerSecond: number;
  /** Whole seconds until the bucket is full again. */
  readonly resetSeconds: number;
  /** Whole seconds until the refused operation can pass, 0 where it was allowed. */
  readonly retryAfterSeconds: number;
}

/** Returns a full bucket. */
export function newBucket(limits: TierLimits, nowMs: number): Bucket {
  return { limits, level: limits.capacity, updatedMs: nowMs };
}

/**
 * Takes the estimated cost out of a bucket where it holds that much, else takes nothing and says when to retry. A cost
 * above the capacity, which no wait would help, fails with COST_ESTIMATED_TOO_EXPENSIVE. A clock that jumps back adds
 * nothing; the bucket goes on filling from the new time.
 */
export function reserve(bucket: Bucket, cost: number, nowMs: number): { bucket: Bucket; status: BucketStatus } {
  checkAffordable(cost, bucket.limits);
  const filled = refilled(bucket, nowMs);
  const allowed = filled.level >= cost;
  const next = allowed ? { ...filled, level: filled.level - cost } : filled;
  return { bucket: next, status: statusOf(next, allowed ? null : cost) };
}

/** Proves that a full bucket could pay the cost; otherwise fails with COST_ESTIMATED_TOO_EXPENSIVE. */
export function checkAffordable(cost: number, { capacity }: TierLimits): void {
  checkPoints(cost);
  if (cost <= capacity) return;
  fail('COST_ESTIMATED_TOO_EXPENSIVE', `cost ${cost} above capacity ${capacity}`, {
    hint: `It is estimated at ${cost} points; the budget holds ${capacity}.`,
  });
}

/**
 * Puts back what a reservation took above the actual cost, or takes what the operation cost more: then the level may
 * fall below 0, and later operations wait longer. Never fills above the capacity, never owes more than it: what an
 * estimate missed is no reason to shut a tenant out for long.
 */
export function settle(bucket: Bucket, spent: { reserved: number; actual: number }): Bucket {
  checkPoints(spent.reserved);
  checkPoints(spent.actual);
  const { capacity } = bucket.limits;
  const level = bucket.level + spent.reserved - spent.actual;
  return { ...bucket, level: Math.min(capacity, Math.max(-capacity, level)) };
}

/** Returns the bucket at a later time, and under other limits where the tier changed; a change of tier adds no points. */
export function refilled(bucket: Bucket, nowMs: number, limits: TierLimits = bucket.limits): Bucket {
  const elapsedMs = Math.max(0, nowMs - bucket.updatedMs);
  const earned = (elapsedMs * bucket.limits.restorePerSecond) / 1000;
  const level = Math.min(bucket.limits.capacity, bucket.level + earned);
  return { limits, level: Math.min(limits.capacity, level), updatedMs: nowMs };
}

/** Returns what a caller learns of a bucket; `refusedCost` is what it could not pay, null where it could. */
export function statusOf(bucket: Bucket, refusedCost: number | null): BucketStatus {
  const { capacity, restorePerSecond } = bucket.limits;
  return {
    allowed: refusedCost === null,
    limit: capacity,
    remaining: Math.max(0, Math.floor(bucket.level)),
    restorePerSecond,
    resetSeconds: Math.ceil((capacity - bucket.level) / restorePerSecond),
    retryAfterSeconds:
      refusedCost === null ? 0 : Math.max(1, Math.ceil((refusedCost - bucket.level) / restorePerSecond)),
  };
}

/** What one tenant reserved; handed back once to settle it. */
export interface Reservation {
  readonly tenantId: string;
  readonly reserved: number;
  readonly status: BucketStatus;
}

/** What is asked of a tenant's bucket. */
export interface ReserveRequest {
  readonly tenantId: string;
  readonly limits: TierLimits;
  readonly cost: number;
  /** By a clock of this process. */
  readonly nowMs: number;
}

/** The budgets of all tenants, wherever they are kept. */
export interface TenantBudgets {
  /** Reserves like `reserve`, in the tenant's own bucket; a refused reservation holds 0 points. */
  reserve(request: ReserveRequest): Promise<Reservation> | Reservation;
  /** Settles like `settle`, once: again changes nothing. Returns the status after it. */
  settle(reservation: Reservation, actual: number, nowMs: number): Promise<BucketStatus> | BucketStatus;
}

/** Budgets in the memory of this process. */
export interface TenantBuckets extends TenantBudgets {
  reserve(request: ReserveRequest): Reservation;
  settle(reservation: Reservation, actual: number, nowMs: number): BucketStatus;
  /** Tenants held now. */
  readonly size: number;
}

/** Tenants held where nothing else is said: some 15 MB. */
const MAX_TENANTS = 100_000;

/** How many of the longest unused buckets are looked at for one that may go. */
const EVICTION_SCAN = 32;

/**
 * Returns buckets in memory for at most `maxTenants` tenants. To make room the longest unused full bucket goes, which
 * loses nothing since a new one is full as well; a bucket that is still filling stays, so nobody sheds a debt by having
 * it forgotten. Without a full one a further tenant fails with SERVICE_UNAVAILABLE.
 */
export function newTenantBuckets(maxTenants: number = MAX_TENANTS): TenantBuckets {
  const buckets = new Map<string, Bucket>();
  const open = new WeakSet<Reservation>();
  const put = (tenantId: string, bucket: Bucket): void => {
    buckets.delete(tenantId);
    buckets.set(tenantId, bucket);
  };
  return {
    reserve({ tenantId, limits, cost, nowMs }) {
      const known = buckets.get(tenantId);
      if (known === undefined && buckets.size >= maxTenants) makeRoom(buckets, nowMs);
      const before = known === undefined ? newBucket(limits, nowMs) : refilled(known, nowMs, limits);
      const { bucket, status } = reserve(before, cost, nowMs);
      put(tenantId, bucket);
      const reservation = { tenantId, reserved: status.allowed ? cost : 0, status };
      if (status.allowed) open.add(reservation);
      return reservation;
    },
    settle(reservation, actual, nowMs) {
      const known = buckets.get(reservation.tenantId);
      // A bucket that was forgotten meanwhile was full: nothing is left to put back.
      if (known === undefined) return reservation.status;
      const filled = refilled(known, nowMs);
      if (!open.delete(reservation)) return statusOf(filled, null);
      const bucket = settle(filled, { reserved: reservation.reserved, actual });
      put(reservation.tenantId, bucket);
      return statusOf(bucket, null);
    },
    get size() {
      return buckets.size;
    },
  };
}

function makeRoom(buckets: Map<string, Bucket>, nowMs: number): void {
  let examined = 0;
  for (const [tenantId, bucket] of buckets) {
    buckets.delete(tenantId);
    if (refilled(bucket, nowMs).level >= bucket.limits.capacity) return;
    // Behind the others again, so that the next search does not meet the same ones.
    buckets.set(tenantId, bucket);
    examined += 1;
    if (examined === EVICTION_SCAN) break;
  }
  fail('SERVICE_UNAVAILABLE', `no room for another tenant beside ${buckets.size}`);
}

function checkPoints(points: number): void {
  if (!(points >= 0 && points <= Number.MAX_SAFE_INTEGER)) throw new Error(`not a number of points: ${points}`);
}

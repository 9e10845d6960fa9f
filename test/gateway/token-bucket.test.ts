import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { TIERS } from '#schema/tenant-context.ts';
import {
  TIER_LIMITS,
  newBucket,
  newTenantBuckets,
  refilled,
  reserve,
  settle,
  statusOf,
} from '../../gateway/budget/token-bucket.ts';
import type { Bucket, BucketStatus, TierLimits } from '../../gateway/budget/token-bucket.ts';

const FREE = TIER_LIMITS.FREE;
const T0 = Date.UTC(2026, 0, 1);

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof TenonError) return thrown.code;
    throw thrown;
  }
  return 'none';
}

function request(
  tenantId: string,
  cost: number,
  nowMs = T0,
): { tenantId: string; limits: TierLimits; cost: number; nowMs: number } {
  return { tenantId, limits: FREE, cost, nowMs };
}

describe('TIER_LIMITS', () => {
  it('has a budget for every tier, each refilled in 20 seconds and larger than its dearest operation', () => {
    expect(Object.keys(TIER_LIMITS)).toEqual([...TIERS]);
    for (const limits of Object.values(TIER_LIMITS)) {
      expect(limits.capacity / limits.restorePerSecond).toBe(20);
      expect(limits.maxQueryCost).toBeLessThanOrEqual(limits.capacity);
    }
  });
});

describe('reserve', () => {
  it('takes points while there are enough and says what is left', () => {
    const { bucket, status } = reserve(newBucket(FREE, T0), 400, T0);
    expect(status).toEqual({
      allowed: true,
      limit: 1_000,
      remaining: 600,
      restorePerSecond: 50,
      resetSeconds: 8,
      retryAfterSeconds: 0,
    });
    expect(reserve(bucket, 600, T0).status).toMatchObject({ allowed: true, remaining: 0, resetSeconds: 20 });
  });

  it('takes nothing where there are too few, and the time it names is enough and not a second too long', () => {
    const empty = reserve(newBucket(FREE, T0), 1_000, T0).bucket;
    const { bucket, status } = reserve(empty, 120, T0);
    expect(status).toMatchObject({ allowed: false, remaining: 0, retryAfterSeconds: 3 });
    expect(bucket.level).toBe(0);
    expect(reserve(bucket, 120, T0 + 2_000).status.allowed).toBe(false);
    expect(reserve(bucket, 120, T0 + 3_000).status).toMatchObject({ allowed: true, remaining: 30 });
  });

  it('fills by the rate, in parts of a second too, and never above the capacity', () => {
    const empty = reserve(newBucket(FREE, T0), 1_000, T0).bucket;
    expect(refilled(empty, T0 + 30).level).toBe(1.5);
    expect(statusOf(refilled(empty, T0 + 30), null).remaining).toBe(1);
    expect(refilled(empty, T0 + 86_400_000).level).toBe(1_000);
  });

  it('adds nothing where the clock jumps back, and goes on filling from there', () => {
    const empty = reserve(newBucket(FREE, T0), 1_000, T0).bucket;
    const back = reserve(empty, 1, T0 - 3_600_000);
    expect(back.status).toMatchObject({ allowed: false, remaining: 0 });
    expect(reserve(back.bucket, 50, T0 - 3_600_000 + 1_000).status.allowed).toBe(true);
  });

  it('refuses a cost that no wait would help', () => {
    expect(codeOf(() => reserve(newBucket(FREE, T0), 1_001, T0))).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
  });

  it.each([-1, Number.NaN, Infinity, 2 ** 60])('throws on %d points, which no estimate yields', (cost) => {
    expect(() => reserve(newBucket(FREE, T0), cost, T0)).toThrow(/not a number of points/);
  });
});

describe('settle', () => {
  const half = reserve(newBucket(FREE, T0), 500, T0).bucket;

  it('puts back what was reserved above the actual cost', () => {
    expect(settle(half, { reserved: 500, actual: 20 }).level).toBe(980);
  });

  it('never fills above the capacity', () => {
    expect(settle(newBucket(FREE, T0), { reserved: 500, actual: 0 }).level).toBe(1_000);
  });

  it('charges what the operation cost more, so that the next one waits for the debt too', () => {
    const owing = settle(half, { reserved: 500, actual: 1_200 });
    expect(owing.level).toBe(-200);
    expect(reserve(owing, 100, T0).status).toMatchObject({
      allowed: false,
      remaining: 0,
      retryAfterSeconds: 6,
      resetSeconds: 24,
    });
  });

  it('owes at most one bucket', () => {
    expect(settle(half, { reserved: 500, actual: Number.MAX_SAFE_INTEGER }).level).toBe(-1_000);
  });
});

describe('any course of time and spending', () => {
  const step = fc.record({
    moveMs: fc.integer({ min: -5_000, max: 5_000 }),
    cost: fc.integer({ min: 0, max: 1_000 }),
    actual: fc.integer({ min: 0, max: 2_000 }),
  });

  it('keeps the level between the debt limit and the capacity, and allows no more than was there and came in', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        let bucket: Bucket = newBucket(FREE, T0);
        let nowMs = T0;
        let forwardMs = 0;
        let allowed = 0;
        for (const { moveMs, cost } of steps) {
          nowMs += moveMs;
          forwardMs += Math.max(0, moveMs);
          const before = bucket.level;
          const result = reserve(bucket, cost, nowMs);
          if (moveMs <= 0) expect(result.bucket.level).toBeLessThanOrEqual(before);
          if (result.status.allowed) allowed += cost;
          bucket = result.bucket;
        }
        expect(allowed).toBeLessThanOrEqual(FREE.capacity + (forwardMs * FREE.restorePerSecond) / 1_000);
      }),
    );
  });

  it('settles to a level that a status can always tell in whole numbers', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        let bucket: Bucket = newBucket(FREE, T0);
        let nowMs = T0;
        for (const { moveMs, cost, actual } of steps) {
          nowMs += moveMs;
          const result = reserve(bucket, cost, nowMs);
          bucket = result.status.allowed ? settle(result.bucket, { reserved: cost, actual }) : result.bucket;
          expect(bucket.level).toBeGreaterThanOrEqual(-FREE.capacity);
          expect(bucket.level).toBeLessThanOrEqual(FREE.capacity);
          const { allowed, ...numbers }: BucketStatus = statusOf(bucket, null);
          expect(allowed).toBe(true);
          expect(Object.values(numbers).every((number) => Number.isSafeInteger(number) && number >= 0)).toBe(true);
        }
      }),
    );
  });
});

describe('newTenantBuckets', () => {
  it('keeps the tenants apart', () => {
    const buckets = newTenantBuckets();
    expect(buckets.reserve(request('a', 1_000)).status.allowed).toBe(true);
    expect(buckets.reserve(request('a', 1)).status.allowed).toBe(false);
    expect(buckets.reserve(request('b', 1_000)).status.allowed).toBe(true);
    expect(buckets.size).toBe(2);
  });

  it('settles a reservation once, however often it is handed back', () => {
    const buckets = newTenantBuckets();
    const reservation = buckets.reserve(request('a', 600));
    expect(buckets.settle(reservation, 100, T0).remaining).toBe(900);
    expect(buckets.settle(reservation, 100, T0).remaining).toBe(900);
    expect(buckets.settle({ ...reservation }, 0, T0).remaining).toBe(900);
  });

  it('puts nothing back for a refused reservation', () => {
    const buckets = newTenantBuckets();
    buckets.reserve(request('a', 1_000));
    const refused = buckets.reserve(request('a', 500));
    expect(refused.reserved).toBe(0);
    expect(buckets.settle(refused, 0, T0).remaining).toBe(0);
  });

  it('follows a change of tier at once without giving points for it', () => {
    const buckets = newTenantBuckets();
    buckets.reserve(request('a', 900));
    const upgraded = buckets.reserve({ ...request('a', 0), limits: TIER_LIMITS.GROWTH });
    expect(upgraded.status).toMatchObject({ limit: 2_000, remaining: 100, restorePerSecond: 100 });
    const later = buckets.reserve({ ...request('a', 0, T0 + 19_000), limits: TIER_LIMITS.GROWTH });
    expect(later.status.remaining).toBe(2_000);
    expect(buckets.reserve(request('a', 0, T0 + 19_000)).status).toMatchObject({ limit: 1_000, remaining: 1_000 });
  });

  it('forgets the longest unused full bucket to make room', () => {
    const buckets = newTenantBuckets(2);
    buckets.reserve(request('a', 500));
    buckets.reserve(request('b', 1_000));
    expect(buckets.reserve(request('c', 1, T0 + 10_000)).status.allowed).toBe(true);
    expect(buckets.size).toBe(2);
    expect(buckets.reserve(request('b', 0, T0 + 10_000)).status.remaining).toBe(500);
  });

  it('forgets no bucket that is still filling or in debt: a further tenant is refused until one is full', () => {
    const buckets = newTenantBuckets(2);
    buckets.settle(buckets.reserve(request('a', 1_000)), 1_500, T0);
    buckets.reserve(request('b', 1_000));
    expect(codeOf(() => buckets.reserve(request('c', 1, T0 + 19_000)))).toBe('SERVICE_UNAVAILABLE');
    expect(buckets.size).toBe(2);
    expect(buckets.reserve(request('c', 1, T0 + 20_000)).status.allowed).toBe(true);
    expect(buckets.reserve(request('a', 0, T0 + 20_000)).status.remaining).toBe(500);
  });

  it('finds a full bucket behind more than a search full of owing ones, within a few attempts', () => {
    const buckets = newTenantBuckets(41);
    for (let tenant = 0; tenant < 40; tenant++) buckets.reserve(request(`busy-${tenant}`, 1_000));
    buckets.reserve(request('idle', 0));
    expect(codeOf(() => buckets.reserve(request('new', 1)))).toBe('SERVICE_UNAVAILABLE');
    expect(codeOf(() => buckets.reserve(request('new', 1)))).toBe('none');
    expect(buckets.size).toBe(41);
  });

  it('settles quietly where the bucket was forgotten in between', () => {
    const buckets = newTenantBuckets(1);
    const reservation = buckets.reserve(request('a', 100));
    buckets.reserve(request('b', 0, T0 + 20_000));
    expect(buckets.settle(reservation, 50, T0 + 20_000)).toEqual(reservation.status);
    expect(buckets.size).toBe(1);
  });

  it('takes any tenant id as a key', () => {
    const buckets = newTenantBuckets();
    for (const tenantId of ['__proto__', 'constructor', '']) {
      expect(buckets.reserve(request(tenantId, 1)).status.remaining).toBe(999);
    }
    expect(buckets.size).toBe(3);
  });
});

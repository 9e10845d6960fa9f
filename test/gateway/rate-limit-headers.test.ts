import { describe, expect, it } from 'vitest';
import { costExtension, rateLimitHeaders } from '../../gateway/budget/rate-limit-headers.ts';
import { TIER_LIMITS, newBucket, reserve, settle, statusOf } from '../../gateway/budget/token-bucket.ts';

const full = newBucket(TIER_LIMITS.GROWTH, 0);

describe('rateLimitHeaders', () => {
  it('tells the budget in both header families', () => {
    expect(rateLimitHeaders(reserve(full, 750, 0).status)).toEqual({
      'x-ratelimit-limit': '2000',
      'x-ratelimit-remaining': '1250',
      'x-ratelimit-reset': '8',
      'ratelimit-policy': '"budget";q=2000;qu="tenon-cost";w=20',
      ratelimit: '"budget";r=1250;t=8',
    });
  });

  it('adds retry-after where the operation was refused', () => {
    const empty = reserve(full, 2_000, 0).bucket;
    expect(rateLimitHeaders(reserve(empty, 150, 0).status)).toMatchObject({
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '20',
      'retry-after': '2',
    });
  });

  it('writes only integers that structured fields allow, in debt too and for absurd numbers', () => {
    const owing = settle(reserve(full, 2_000, 0).bucket, { reserved: 2_000, actual: 9_000 });
    expect(rateLimitHeaders(statusOf(owing, 100))).toMatchObject({
      ratelimit: '"budget";r=0;t=40',
      'retry-after': '21',
    });
    const absurd = {
      allowed: false,
      limit: Number.MAX_SAFE_INTEGER,
      remaining: -3,
      restorePerSecond: 1,
      resetSeconds: Infinity,
      retryAfterSeconds: 1.5,
    };
    expect(rateLimitHeaders(absurd)).toEqual({
      'x-ratelimit-limit': '999999999999999',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '999999999999999',
      'ratelimit-policy': '"budget";q=999999999999999;qu="tenon-cost";w=999999999999999',
      ratelimit: '"budget";r=0;t=999999999999999',
      'retry-after': '1',
    });
  });
});

describe('costExtension', () => {
  it('has the members of the contract', () => {
    expect(costExtension(reserve(full, 750, 0).status, { requested: 750, actual: 12 })).toEqual({
      requestedQueryCost: 750,
      actualQueryCost: 12,
      throttleStatus: { maximumAvailable: 2_000, currentlyAvailable: 1_250, restoreRate: 100 },
    });
  });

  it('has no actual cost for an operation that did not run', () => {
    expect(costExtension(reserve(full, 750, 0).status, { requested: 750, actual: null }).actualQueryCost).toBeNull();
  });
});

import { describe, expect, it } from 'vitest';
import { TIER_LIMITS } from '#schema/budget-limits.ts';
import { budgetHeaders, costExtension } from '../../gateway/budget/budget-headers.ts';
import type { BudgetRequest, PolicyStatus } from '../../gateway/budget/budgets.ts';
import { newMemoryBudgets } from '../../gateway/budget/memory-budgets.ts';
import { throttledExtensions } from '../../gateway/budget/problem-details.ts';

const REQUEST: BudgetRequest = {
  tenantId: 'tnt_a',
  client: null,
  user: 'usr_1',
  operationClass: 'query',
  limits: TIER_LIMITS.GROWTH,
  cost: 750,
  nowMs: 0,
};
const NOW = new Date('2026-03-01T12:00:00Z');

describe('budgetHeaders', () => {
  it('tells the tenant in the customary headers and every policy in those of the IETF', () => {
    expect(budgetHeaders(newMemoryBudgets().reserve(REQUEST).status)).toEqual({
      'x-ratelimit-limit': '2000',
      'x-ratelimit-remaining': '1250',
      'x-ratelimit-reset': '8',
      'ratelimit-policy':
        '"tenant-query";q=2000;qu="tenon-cost";w=20, "tenant-requests";q=1000;w=20, ' +
        '"user-query";q=1000;qu="tenon-cost";w=20, "user-requests";q=500;w=20',
      ratelimit:
        '"tenant-query";r=1250;t=8, "tenant-requests";r=999;t=1, "user-query";r=250;t=15, "user-requests";r=499;t=1',
    });
  });

  it('adds retry-after where the operation was refused', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(REQUEST);
    const refused = budgets.reserve(REQUEST);
    expect(budgetHeaders(refused.status, refused.retryAfterSeconds)).toMatchObject({ 'retry-after': '10' });
  });

  it('writes only integers that structured fields allow, for absurd numbers too', () => {
    const absurd: PolicyStatus = {
      name: 'tenant-query',
      unit: 'points',
      limit: Number.MAX_SAFE_INTEGER,
      remaining: -3,
      restorePerSecond: 0,
      resetSeconds: Infinity,
    };
    const nothing: PolicyStatus = { ...absurd, name: 'tenant-requests', unit: 'requests', limit: 0 };
    expect(budgetHeaders({ policies: [absurd, nothing] }, 1.5)).toEqual({
      'x-ratelimit-limit': '999999999999999',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '999999999999999',
      'ratelimit-policy':
        '"tenant-query";q=999999999999999;qu="tenon-cost";w=999999999999999, "tenant-requests";q=0;w=0',
      ratelimit: '"tenant-query";r=0;t=999999999999999, "tenant-requests";r=0;t=999999999999999',
      'retry-after': '2',
    });
  });

  it('names a share of concurrent requests without a window', () => {
    const share: PolicyStatus = {
      name: 'tenant-concurrency',
      unit: 'concurrent-requests',
      limit: 8,
      remaining: 0,
      restorePerSecond: 0,
      resetSeconds: 1,
    };
    expect(budgetHeaders({ policies: [share] })).toMatchObject({
      'ratelimit-policy': '"tenant-concurrency";q=8;qu="concurrent-requests"',
      ratelimit: '"tenant-concurrency";r=0;t=1',
    });
  });
});

describe('costExtension', () => {
  it('has the members of the contract', () => {
    const { status } = newMemoryBudgets().reserve(REQUEST);
    expect(costExtension(status, { requested: 750, actual: 12 })).toEqual({
      requestedQueryCost: 750,
      actualQueryCost: 12,
      throttleStatus: { maximumAvailable: 2_000, currentlyAvailable: 1_250, restoreRate: 100 },
    });
    expect(costExtension(status, { requested: 750, actual: null }).actualQueryCost).toBeNull();
  });
});

describe('throttledExtensions', () => {
  it('says in problem details which policies refused, and when to come back', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve({ ...REQUEST, cost: 1_000 });
    budgets.reserve({ ...REQUEST, user: 'usr_2', cost: 1_000 });
    const refused = budgets.reserve({ ...REQUEST, cost: 100 });
    expect(throttledExtensions(refused, { requestId: 'req_1', now: NOW })).toEqual({
      code: 'THROTTLED',
      requestId: 'req_1',
      problem: {
        type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        title: 'Request cannot be satisfied as assigned quota has been exceeded',
        status: 429,
        detail: 'The budget user-query is used up; it lets this operation pass in 2 s.',
        'violated-policies': ['user-query', 'tenant-query'],
        'retry-after': 2,
        'retry-at': '2026-03-01T12:00:02.000Z',
        policies: [
          { name: 'user-query', unit: 'points', limit: 1_000, remaining: 0, restorePerSecond: 50 },
          { name: 'tenant-query', unit: 'points', limit: 2_000, remaining: 0, restorePerSecond: 100 },
        ],
        'request-id': 'req_1',
      },
    });
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TIER_LIMITS, type BudgetLimits, type Rate, type SubjectLimits } from '#schema/budget-limits.ts';
import { TenonError } from '#schema/errors.ts';
import type { BudgetRequest, BudgetStatus, PolicyName } from '../../gateway/budget/budgets.ts';
import { newMemoryBudgets } from '../../gateway/budget/memory-budgets.ts';
import { operationClassOf } from '../../gateway/budget/operation-class.ts';

const T0 = 1_000_000;

const rate = (capacity: number, restorePerSecond = capacity / 20): Rate => ({ capacity, restorePerSecond });
const subject = (query: number, requests = 1_000): SubjectLimits => ({
  points: { query: rate(query), mutation: rate(query / 2), bulk: rate(query / 4) },
  requests: rate(requests),
});
const LIMITS: BudgetLimits = {
  maxQueryCost: 1_000,
  concurrency: 8,
  tenant: subject(1_000),
  client: subject(600),
  user: subject(400),
};

function ask(over: Partial<BudgetRequest> = {}): BudgetRequest {
  return {
    tenantId: 'tnt_a',
    client: null,
    user: null,
    operationClass: 'query',
    limits: LIMITS,
    cost: 100,
    nowMs: T0,
    ...over,
  };
}

function remainingOf(status: BudgetStatus): Record<string, number> {
  return Object.fromEntries(status.policies.map(({ name, remaining }) => [name, remaining]));
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof TenonError) return thrown.code;
    throw thrown;
  }
  return 'none';
}

describe('reserve', () => {
  it('takes the cost and one request at every level, the tenant first', () => {
    const { allowed, refusedBy, retryAfterSeconds, status } = newMemoryBudgets().reserve(
      ask({ client: 'erp', user: 'usr_1' }),
    );
    expect({ allowed, refusedBy, retryAfterSeconds }).toEqual({ allowed: true, refusedBy: null, retryAfterSeconds: 0 });
    expect(status.policies[0]).toEqual({
      name: 'tenant-query',
      unit: 'points',
      limit: 1_000,
      remaining: 900,
      restorePerSecond: 50,
      resetSeconds: 2,
    });
    expect(remainingOf(status)).toEqual({
      'tenant-query': 900,
      'tenant-requests': 999,
      'client-query': 500,
      'client-requests': 999,
      'user-query': 300,
      'user-requests': 999,
    });
  });

  it('names the policy that refuses and the time after which it passes, not a second more', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ user: 'usr_1', cost: 400 }));
    const refused = budgets.reserve(ask({ user: 'usr_1', cost: 100 }));
    expect(refused).toMatchObject({
      allowed: false,
      refusedBy: 'user-query',
      violated: ['user-query'],
      retryAfterSeconds: 5,
    });
    expect(budgets.reserve(ask({ user: 'usr_1', nowMs: T0 + 4_900 })).allowed).toBe(false);
    expect(budgets.reserve(ask({ user: 'usr_1', nowMs: T0 + 5_000 })).allowed).toBe(true);
  });

  it('names the one that lets wait longest where several refuse', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ client: 'erp', cost: 600 }));
    budgets.reserve(ask({ cost: 400 }));
    const refused = budgets.reserve(ask({ client: 'erp', cost: 150 }));
    expect(refused).toMatchObject({ refusedBy: 'client-query', violated: ['tenant-query', 'client-query'] });
    expect(refused.retryAfterSeconds).toBe(5);
    budgets.reserve(ask({ client: 'shop', cost: 600, nowMs: T0 + 20_000 }));
    budgets.settle(budgets.reserve(ask({ cost: 400, nowMs: T0 + 20_000 })), 1_400, T0 + 20_000);
    const owing = budgets.reserve(ask({ client: 'shop', cost: 150, nowMs: T0 + 20_000 }));
    expect(owing).toMatchObject({ refusedBy: 'tenant-query', retryAfterSeconds: 23 });
    expect(owing.violated).toEqual(['tenant-query', 'client-query']);
  });

  it('takes nothing at any level where one refuses', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ user: 'usr_1', client: 'erp', cost: 400 }));
    const before = remainingOf(budgets.reserve(ask({ user: 'usr_2', client: 'erp', cost: 0 })).status);
    expect(budgets.reserve(ask({ user: 'usr_2', client: 'erp', cost: 201 })).allowed).toBe(false);
    const after = remainingOf(budgets.reserve(ask({ user: 'usr_2', client: 'erp', cost: 0 })).status);
    expect(after).toMatchObject({
      'tenant-query': before['tenant-query'],
      'client-query': before['client-query'],
      'user-query': before['user-query'],
    });
    expect(after['tenant-requests']).toBe((before['tenant-requests'] ?? 0) - 1);
  });

  it('counts requests beside points', () => {
    const limits = { ...LIMITS, user: { ...LIMITS.user, requests: rate(2, 1) } };
    const budgets = newMemoryBudgets();
    const request = ask({ limits, user: 'usr_1', cost: 0 });
    expect([budgets.reserve(request).allowed, budgets.reserve(request).allowed]).toEqual([true, true]);
    expect(budgets.reserve(request)).toMatchObject({
      allowed: false,
      refusedBy: 'user-requests',
      retryAfterSeconds: 1,
    });
    expect(budgets.reserve({ ...request, nowMs: T0 + 1_000 }).allowed).toBe(true);
  });

  it('keeps classes, tenants, clients and users apart', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ cost: 1_000 }));
    expect(budgets.reserve(ask()).allowed).toBe(false);
    expect(budgets.reserve(ask({ operationClass: 'mutation', cost: 500 })).allowed).toBe(true);
    expect(budgets.reserve(ask({ operationClass: 'bulk', cost: 250 })).allowed).toBe(true);
    for (const tenantId of ['tnt_b', '__proto__', 'constructor', '']) {
      expect(budgets.reserve(ask({ tenantId, user: 'same', client: 'same', cost: 400 })).allowed).toBe(true);
    }
    expect(budgets.reserve(ask({ tenantId: 'tnt_b', user: 'other', client: 'other', cost: 400 })).allowed).toBe(true);
  });

  it('refuses a cost that no wait would help, at whichever level, before anything is taken', () => {
    const budgets = newMemoryBudgets();
    expect(codeOf(() => budgets.reserve(ask({ cost: 1_001 })))).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
    expect(codeOf(() => budgets.reserve(ask({ user: 'usr_1', cost: 401 })))).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
    const closed = { ...LIMITS, client: { ...LIMITS.client, requests: rate(0, 1) } };
    expect(codeOf(() => budgets.reserve(ask({ limits: closed, client: 'erp' })))).toBe('THROTTLED');
    expect(budgets.reserve(ask({ cost: 1_000 })).allowed).toBe(true);
  });

  it.each([-1, Number.NaN, Infinity, 2 ** 60])('throws on %d points, which no estimate yields', (cost) => {
    expect(() => newMemoryBudgets().reserve(ask({ cost }))).toThrow(/not a number of points/);
  });

  it('follows a change of limits at once without giving points for it', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ limits: TIER_LIMITS.FREE, cost: 900 }));
    const up = budgets.reserve(ask({ limits: TIER_LIMITS.GROWTH, cost: 0 }));
    expect(up.status.policies[0]).toMatchObject({ limit: 2_000, remaining: 100, restorePerSecond: 100 });
    const later = budgets.reserve(ask({ limits: TIER_LIMITS.GROWTH, cost: 0, nowMs: T0 + 19_000 }));
    expect(later.status.policies[0].remaining).toBe(2_000);
    const down = budgets.reserve(ask({ limits: TIER_LIMITS.FREE, cost: 0, nowMs: T0 + 19_000 }));
    expect(down.status.policies[0]).toMatchObject({ limit: 1_000, remaining: 1_000 });
  });

  it('adds nothing where the clock jumps back, and goes on filling from there', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ cost: 1_000 }));
    expect(budgets.reserve(ask({ cost: 1, nowMs: T0 - 900_000 })).allowed).toBe(false);
    expect(budgets.reserve(ask({ cost: 50, nowMs: T0 - 899_000 })).allowed).toBe(true);
  });

  it('gives a part of every budget, and a full one pays for what it could pay in full', () => {
    const budgets = newMemoryBudgets({ share: 0.5 });
    const dear = budgets.reserve(ask({ user: 'usr_1', cost: 400 }));
    expect(dear.allowed).toBe(true);
    expect(remainingOf(dear.status)).toMatchObject({ 'tenant-query': 100, 'user-query': 0 });
    expect(remainingOf(budgets.settle(dear, 400, T0))).toMatchObject({ 'tenant-query': 100, 'user-query': 0 });
    expect(budgets.reserve(ask({ user: 'usr_1', cost: 1 })).refusedBy).toBe('user-query');
  });
});

describe('settle', () => {
  it('puts back at every level what was not spent, and only once', () => {
    const budgets = newMemoryBudgets();
    const reservation = budgets.reserve(ask({ client: 'erp', user: 'usr_1', cost: 300 }));
    const left = { 'tenant-query': 980, 'client-query': 580, 'user-query': 380, 'user-requests': 999 };
    expect(remainingOf(budgets.settle(reservation, 20, T0))).toMatchObject(left);
    expect(remainingOf(budgets.settle(reservation, 0, T0))).toMatchObject(left);
    const copied = { ...reservation, status: reservation.status };
    expect(budgets.settle(copied, 0, T0)).toBe(copied.status);
    expect(remainingOf(budgets.reserve(ask({ cost: 0 })).status)).toMatchObject({ 'tenant-query': 980 });
  });

  it('charges what the operation cost more, at most a full bucket of debt', () => {
    const budgets = newMemoryBudgets();
    budgets.settle(budgets.reserve(ask({ cost: 10 })), Number.MAX_SAFE_INTEGER, T0);
    expect(budgets.reserve(ask({ cost: 100 }))).toMatchObject({ allowed: false, retryAfterSeconds: 22 });
  });

  it('puts nothing back for a refused reservation', () => {
    const budgets = newMemoryBudgets();
    budgets.reserve(ask({ cost: 1_000 }));
    const refused = budgets.reserve(ask({ cost: 500 }));
    expect(remainingOf(budgets.settle(refused, 0, T0))['tenant-query']).toBe(0);
  });
});

describe('memory', () => {
  it('forgets a full subject to make room, and the tenant only after her users', () => {
    const budgets = newMemoryBudgets({ maxSubjects: 3 });
    budgets.reserve(ask({ user: 'usr_1', cost: 400 }));
    budgets.reserve(ask({ user: 'usr_2', cost: 300 }));
    const later = T0 + 15_000;
    expect(budgets.reserve(ask({ user: 'usr_3', cost: 400, nowMs: later })).allowed).toBe(true);
    expect(budgets.size).toBe(3);
    expect(remainingOf(budgets.reserve(ask({ user: 'usr_1', cost: 0, nowMs: later })).status)).toMatchObject({
      'tenant-query': 600,
      'user-query': 300,
    });
  });

  it('forgets nobody who is still filling: a further subject is refused until one is full', () => {
    const budgets = newMemoryBudgets({ maxSubjects: 2 });
    budgets.settle(budgets.reserve(ask({ tenantId: 'a', cost: 1_000 })), 1_500, T0);
    budgets.reserve(ask({ tenantId: 'b', cost: 1_000 }));
    const third = ask({ tenantId: 'c' });
    expect(codeOf(() => budgets.reserve({ ...third, nowMs: T0 + 19_000 }))).toBe('SERVICE_UNAVAILABLE');
    expect(budgets.reserve({ ...third, nowMs: T0 + 20_000 }).allowed).toBe(true);
    expect(budgets.size).toBe(2);
    const first = budgets.reserve(ask({ tenantId: 'a', cost: 0, nowMs: T0 + 20_000 }));
    expect(first.status.policies[0].remaining).toBe(500);
  });

  it('never has a subject go that the same request is paid from', () => {
    const budgets = newMemoryBudgets({ maxSubjects: 3 });
    const request = ask({ client: 'erp', user: 'usr_1', cost: 100 });
    budgets.reserve(ask({ tenantId: 'b', cost: 0 }));
    budgets.reserve({ ...request, nowMs: T0 + 20_000 });
    expect(budgets.size).toBe(3);
    const again = budgets.reserve({ ...request, nowMs: T0 + 20_000 });
    expect(remainingOf(again.status)).toMatchObject({ 'tenant-query': 800, 'client-query': 400, 'user-query': 200 });
  });
});

describe('any course of requests, settlements and time', () => {
  const step = fc.record({
    moveMs: fc.integer({ min: -500, max: 3_000 }),
    client: fc.constantFrom(null, 'erp', 'shop'),
    user: fc.constantFrom(null, 'usr_1', 'usr_2'),
    operationClass: fc.constantFrom('query' as const, 'mutation' as const),
    cost: fc.integer({ min: 0, max: 200 }),
    /** Null leaves the reservation open. */
    actual: fc.option(fc.integer({ min: 0, max: 250 })),
  });

  it('spends at no level more than was there and came in, takes all or nothing, and never fills above the limit', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const limits = { ...LIMITS, user: { ...LIMITS.user, requests: rate(8, 1) } };
        const budgets = newMemoryBudgets();
        const spent = new Map<string, number>();
        let nowMs = T0;
        let forwardMs = 0;
        for (const { moveMs, actual, ...asked } of steps) {
          nowMs += moveMs;
          forwardMs += Math.max(0, moveMs);
          const request = ask({ ...asked, limits, nowMs });
          const before = budgets.reserve({ ...request, cost: 0 });
          const reservation = budgets.reserve(request);
          const left = reservation.allowed && actual !== null ? budgets.settle(reservation, actual, nowMs) : null;
          for (const [index, policy] of reservation.status.policies.entries()) {
            const whose = policy.name.startsWith('user')
              ? asked.user
              : policy.name.startsWith('client')
                ? asked.client
                : '';
            const key = `${policy.name} ${whose}`;
            const isPoints = policy.unit === 'points';
            const taken =
              (isPoints ? 0 : Number(before.allowed)) + (reservation.allowed ? (isPoints ? asked.cost : 1) : 0);
            const settled = left === null || !isPoints ? taken : (actual ?? 0);
            // What is put back is spent again; what cost more than it was estimated at is not refused in time.
            spent.set(key, (spent.get(key) ?? 0) + Math.min(taken, settled));
            expect(spent.get(key)).toBeLessThanOrEqual(
              policy.limit + (forwardMs * policy.restorePerSecond) / 1_000 + 1e-6,
            );
            const was = before.status.policies[index]?.remaining ?? 0;
            if (!reservation.allowed && isPoints) expect(policy.remaining).toBe(was);
            expect(left?.policies[index]?.remaining ?? 0).toBeLessThanOrEqual(policy.limit);
            for (const value of [policy.remaining, policy.resetSeconds]) {
              expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
            }
          }
          expect(reservation.allowed).toBe(reservation.violated.length === 0);
        }
      }),
    );
  });

  it('refuses exactly where a level holds too little', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const budgets = newMemoryBudgets();
        let nowMs = T0;
        for (const { moveMs, actual: _, ...asked } of steps) {
          nowMs += moveMs;
          const before = budgets.reserve(ask({ ...asked, cost: 0, nowMs }));
          const short = before.status.policies
            .filter(({ unit, remaining }) => remaining < (unit === 'points' ? asked.cost : 1))
            .map(({ name }): PolicyName => name);
          expect(budgets.reserve(ask({ ...asked, nowMs })).violated).toEqual(short);
        }
      }),
    );
  });
});

describe('operationClassOf', () => {
  const read = { kind: 'query', cost: 10, maxQueryCost: 1_000, isBatched: false } as const;

  it('calls a small read a query, and one above half of what is allowed, or in a batch, bulk', () => {
    expect(operationClassOf(read)).toBe('query');
    expect(operationClassOf({ ...read, cost: 500 })).toBe('query');
    expect(operationClassOf({ ...read, cost: 501 })).toBe('bulk');
    expect(operationClassOf({ ...read, isBatched: true })).toBe('bulk');
  });

  it('calls every write a mutation', () => {
    expect(operationClassOf({ ...read, kind: 'mutation', cost: 900, isBatched: true })).toBe('mutation');
  });
});

describe('status', () => {
  it('tells what is left, refilled until now, and neither takes anything nor remembers who asked', () => {
    const budgets = newMemoryBudgets();
    expect(remainingOf(budgets.status(ask({ user: 'usr_1' })))).toMatchObject({
      'tenant-query': 1_000,
      'user-query': 400,
    });
    expect(budgets.size).toBe(0);
    budgets.reserve(ask({ user: 'usr_1', cost: 400 }));
    const left = () => remainingOf(budgets.status(ask({ user: 'usr_1', nowMs: T0 + 1_000 })));
    expect(left()).toMatchObject({ 'tenant-query': 650, 'user-query': 20 });
    expect(left()).toMatchObject({ 'tenant-query': 650, 'user-query': 20 });
    expect(remainingOf(budgets.status(ask({ user: 'usr_2' })))).toMatchObject({
      'tenant-query': 600,
      'user-query': 400,
    });
  });
});

import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { TIER_LIMITS, type BudgetLimits, type SubjectLimits } from '#schema/budget-limits.ts';
import type { BudgetRequest, Budgets, BudgetStatus, Reservation } from '../../gateway/budget/budgets.ts';
import { newMemoryBudgets } from '../../gateway/budget/memory-budgets.ts';
import { newRedisBudgets, type RedisBudgetsOptions } from '../../gateway/budget/redis-budgets.ts';
import { isInstalled } from '../support/programs.ts';
import { REDIS_PROGRAMS, startRedis, type RedisServer } from '../support/redis.ts';

const subject = (capacity: number, restorePerSecond: number): SubjectLimits => {
  const points = { capacity, restorePerSecond };
  return {
    points: { query: points, mutation: points, bulk: points },
    requests: { capacity: 100_000, restorePerSecond },
  };
};
const limitsOf = (capacity: number, restorePerSecond: number): BudgetLimits => ({
  maxQueryCost: capacity,
  concurrency: 8,
  tenant: subject(capacity, restorePerSecond),
  client: subject(capacity * 0.6, restorePerSecond),
  user: subject(capacity * 0.4, restorePerSecond),
});
/** So slow to fill that a test sees nothing of it. */
const STILL = limitsOf(1_000, 0.001);
/** Longer than any test: settlements travel with requests alone. */
const NEVER_MS = 600_000;

describe.skipIf(!isInstalled(REDIS_PROGRAMS, 'budgets in Redis against a real server'))('budgets in Redis', () => {
  let redis: RedisServer;
  let admin: Redis;
  let changes: boolean[];
  let lines: string[];
  let gateways: Budgets[];
  let tenants = 0;
  let tenantId: string;

  beforeAll(async () => {
    redis = await startRedis();
    admin = new Redis(redis.url);
    admin.on('error', () => undefined);
  });
  afterAll(async () => {
    admin?.disconnect();
    await redis?.stop();
  });
  beforeEach(() => {
    changes = [];
    lines = [];
    gateways = [];
    tenantId = `00000000-0000-7000-8000-${String(++tenants).padStart(12, '0')}`;
    const write = process.stderr.write.bind(process.stderr);
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      const line = String(text);
      return line.includes('budget') ? lines.push(line) > 0 : write(line);
    });
  });
  afterEach(async () => {
    for (const gateway of gateways) await gateway.close();
    vi.restoreAllMocks();
  });

  const until = (condition: () => boolean) =>
    vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 5 });
  const openAway = (over: Partial<RedisBudgetsOptions> = {}): Budgets => {
    // Patient, so that a machine under load makes no difference to what is counted.
    const base = { url: redis.url, answerTimeoutMs: 5_000, onChange: (away: boolean) => void changes.push(away) };
    const budgets = newRedisBudgets({ ...base, ...over });
    gateways.push(budgets);
    return budgets;
  };
  const open = async (over: Partial<RedisBudgetsOptions> = {}): Promise<Budgets> => {
    const before = changes.length;
    const budgets = openAway(over);
    await until(() => changes.length > before && changes.at(-1) === false);
    return budgets;
  };
  const ask = (over: Partial<BudgetRequest> = {}): BudgetRequest => ({
    tenantId,
    client: null,
    user: null,
    operationClass: 'query',
    limits: STILL,
    cost: 10,
    nowMs: performance.now(),
    ...over,
  });
  const reserve = async (budgets: Budgets, cost: number, over: Partial<BudgetRequest> = {}): Promise<Reservation> =>
    budgets.reserve(ask({ cost, ...over }));
  const settle = (budgets: Budgets, reservation: Reservation, actual: number): BudgetStatus =>
    budgets.settle(reservation, actual, performance.now());
  const remainingOf = ({ policies }: BudgetStatus) => policies.map(({ name, remaining }) => `${name} ${remaining}`);
  const allowedOf = (reservations: readonly Reservation[]) => reservations.filter(({ allowed }) => allowed).length;
  const callsOf = async (command: string): Promise<number> =>
    Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(await admin.info('commandstats'))?.[1] ?? 0);

  it('tell what is left without asking, as far as this gateway was told: of the tenant by anybody, of a user by her own', async () => {
    const shared = await open({ settleIntervalMs: NEVER_MS });
    const nowMs = performance.now();
    const status = (over: Partial<BudgetRequest>) => remainingOf(shared.status(ask({ nowMs, ...over })));
    const full = ['tenant-query 1000', 'tenant-requests 100000', 'user-query 400', 'user-requests 100000'];
    expect(status({ user: 'usr_1' })).toEqual(full);
    await shared.reserve(ask({ user: 'usr_1', cost: 300, nowMs }));
    const settled = await shared.reserve(ask({ user: 'usr_2', cost: 50, nowMs }));
    shared.settle(settled, 20, nowMs);
    const calls = await callsOf('evalsha');
    expect(status({ user: 'usr_1' })).toEqual([
      'tenant-query 680',
      'tenant-requests 99998',
      'user-query 100',
      'user-requests 99999',
    ]);
    expect(status({ user: 'usr_3' })).toEqual([
      'tenant-query 680',
      'tenant-requests 99998',
      'user-query 400',
      'user-requests 100000',
    ]);
    expect(status({ user: 'usr_1', operationClass: 'mutation' })).toEqual(
      full.map((line) => line.replace('query', 'mutation')),
    );
    expect(status({ user: 'usr_1', limits: limitsOf(500, 0.001) })[0]).toBe('tenant-query 500');
    expect(await callsOf('evalsha')).toBe(calls);
  });

  it('say the same as budgets in memory at every level, operation by operation', async () => {
    const [shared, local] = [await open({ settleIntervalMs: NEVER_MS }), newMemoryBudgets()];
    const nowMs = performance.now();
    for (const [cost, actual, user] of [
      [400, 100, 'usr_1'],
      [400, 400, 'usr_1'],
      [300, 0, 'usr_2'],
      [200, 5_000, null],
      [1, 1, 'usr_2'],
      [0, 0, null],
    ] as const) {
      const asked = ask({ cost, user, client: 'erp', nowMs });
      const [one, other] = [await shared.reserve(asked), local.reserve(asked)];
      expect({ ...one, status: remainingOf(one.status) }).toMatchObject({
        allowed: other.allowed,
        refusedBy: other.refusedBy,
        violated: other.violated,
        status: remainingOf(other.status),
      });
      const [after, otherAfter] = [shared.settle(one, actual, nowMs), local.settle(other, actual, nowMs)];
      expect(remainingOf(after)).toEqual(remainingOf(otherAfter));
    }
    await expect(reserve(shared, 1_001)).rejects.toMatchObject({ code: 'COST_ESTIMATED_TOO_EXPENSIVE' });
  });

  it('give what one bucket holds to 200 reservations at once over two gateways, and not one more', async () => {
    const [one, other] = [await open(), await open()];
    const reservations = await Promise.all(
      Array.from({ length: 200 }, (_, index) => reserve(index % 2 === 0 ? one : other, 10)),
    );
    expect(allowedOf(reservations)).toBe(100);
    expect(changes).toEqual([false, false]);
  });

  it('take nothing from the tenant where a user of hers is refused', async () => {
    const budgets = await open();
    await reserve(budgets, 400, { user: 'usr_1' });
    const refused = await reserve(budgets, 10, { user: 'usr_1' });
    expect(refused).toMatchObject({ allowed: false, refusedBy: 'user-query', violated: ['user-query'] });
    expect((await reserve(budgets, 0)).status.policies[0].remaining).toBe(600);
  });

  it('let two gateways spend capacity and refill of one bucket within 1 %, settlements included', async () => {
    const limits = limitsOf(4_000, 4_000);
    const [one, other] = [await open(), await open()];
    const dueSince = (fromMs: number) => 4_000 + (4_000 * (performance.now() - fromMs)) / 1_000;
    const started = performance.now();
    // A start that is slow by a quarter of a second earns nothing above a full bucket.
    let spent = settled(await reserve(one, 1_000, { limits }), 1_000);
    const first = performance.now();
    function settled(reservation: Reservation, actual: number): number {
      return reservation.allowed ? actual : 0;
    }
    const spend = async (budgets: Budgets) => {
      while (performance.now() - started < 1_500) {
        const reservation = await reserve(budgets, 20, { limits });
        settle(budgets, reservation, 15);
        spent += settled(reservation, 15);
      }
    };
    await Promise.all([spend(one), spend(other), spend(one), spend(other)]);
    let least = 0;
    for (let isMore = true; isMore;) {
      least = dueSince(first);
      const reservation = await reserve(other, 20, { limits });
      spent += settled(reservation, 20);
      isMore = reservation.allowed;
    }
    expect(spent).toBeLessThanOrEqual(dueSince(started) * 1.01);
    // Whatever is not there yet is what refunds on their way may hold back.
    expect(spent).toBeGreaterThanOrEqual((least - 20) * 0.95);
    expect(changes).toEqual([false, false]);
  });

  it('make one round trip a request, with the settlement of the one before', async () => {
    const budgets = await open({ settleIntervalMs: NEVER_MS });
    settle(budgets, await reserve(budgets, 5), 5);
    const before = { evalsha: await callsOf('evalsha'), all: await totalCalls() };
    for (let count = 0; count < 300; count++) {
      settle(budgets, await reserve(budgets, 100, { user: `usr_${count % 3}`, client: 'erp' }), 1);
    }
    expect((await callsOf('evalsha')) - before.evalsha).toBe(300);
    // Each of the two looks at the figures is one more, and so is the ping of the connection's own health check.
    expect((await totalCalls()) - before.all).toBeLessThanOrEqual(300 + 3);
    expect((await reserve(budgets, 0)).status.policies[0].remaining).toBe(1_000 - 5 - 300);
  });

  /** Commands that came in over a connection, without those that the script ran. */
  async function totalCalls(): Promise<number> {
    const inside = new Set(['time', 'hget', 'hset', 'pttl', 'pexpire']);
    const commands = (await admin.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
    return [...commands].reduce((sum, [, name = '', calls]) => sum + (inside.has(name) ? 0 : Number(calls)), 0);
  }

  it('send settlements that no request carries in one batch after a while, on whichever gateway they are seen', async () => {
    const [one, other] = [await open({ settleIntervalMs: 20 }), await open()];
    const reservation = await reserve(one, 800);
    expect((await reserve(other, 300)).allowed).toBe(false);
    expect(settle(one, reservation, 100).policies[0].remaining).toBe(900);
    settle(one, reservation, 0);
    const left = async () => (await reserve(other, 0)).status.policies[0].remaining;
    await vi.waitFor(async () => expect(await left()).toBe(900), { timeout: 5_000, interval: 10 });
  });

  it('send what is left to settle when they close', async () => {
    const [one, other] = [await open({ settleIntervalMs: NEVER_MS }), await open()];
    settle(one, await reserve(one, 800), 100);
    await one.close();
    expect((await reserve(other, 0)).status.policies[0].remaining).toBe(900);
  });

  it('owe what an operation cost more, never more than a full bucket', async () => {
    const budgets = await open();
    const limits = limitsOf(1_000, 100);
    settle(budgets, await reserve(budgets, 10, { limits }), 90_000);
    const { allowed, retryAfterSeconds } = await reserve(budgets, 10, { limits });
    expect(allowed).toBe(false);
    expect(retryAfterSeconds).toBeGreaterThanOrEqual(10);
    expect(retryAfterSeconds).toBeLessThanOrEqual(11);
  });

  it('keep tenants apart under one hash tag each, and go by themselves once they are full', async () => {
    const budgets = await open();
    const limits = TIER_LIMITS.FREE;
    await reserve(budgets, 500, { limits, user: 'usr_1', client: 'erp' });
    const key = `tenon:budget:{${tenantId}}`;
    expect((await admin.keys(`${key}*`)).toSorted()).toEqual([key, `${key}:client:erp`, `${key}:user:usr_1`]);
    const lifetimeMs = await admin.pttl(key);
    expect(lifetimeMs).toBeGreaterThan(8_000);
    expect(lifetimeMs).toBeLessThanOrEqual(10_001);
    await reserve(budgets, 1, { limits, operationClass: 'mutation' });
    expect(await admin.pttl(key)).toBeGreaterThan(7_000);
    const other = await reserve(budgets, 1_000, { tenantId: `${tenantId}0`, limits });
    expect(other.allowed).toBe(true);
  });

  it('take other limits over without giving points', async () => {
    const budgets = await open({ settleIntervalMs: NEVER_MS });
    const open900 = await reserve(budgets, 900);
    const up = await reserve(budgets, 200, { limits: limitsOf(10_000, 0.001) });
    expect(up).toMatchObject({ allowed: false });
    expect(up.status.policies[0]).toMatchObject({ limit: 10_000, remaining: 100 });
    settle(budgets, open900, 0);
    const down = await reserve(budgets, 10, { limits: limitsOf(50, 0.001) });
    expect(down.status.policies[0]).toMatchObject({ limit: 50, remaining: 40 });
  });

  it('survive a store that forgot its scripts', async () => {
    const budgets = await open();
    await reserve(budgets, 10);
    await admin.script('FLUSH');
    expect((await reserve(budgets, 10)).status.policies[0].remaining).toBe(980);
    expect(changes).toEqual([false]);
  });

  it('come by half out of each gateway while the store is gone, and are shared again when it is back', async () => {
    const budgets = await open({ settleIntervalMs: NEVER_MS });
    const before = await reserve(budgets, 100);
    await redis.end();
    const reservations: Reservation[] = [];
    for (let count = 0; count < 60; count++) reservations.push(await reserve(budgets, 10));
    expect(allowedOf(reservations)).toBe(50);
    expect(reservations.at(-1)).toMatchObject({ allowed: false, refusedBy: 'tenant-query' });
    expect(reservations.at(-1)?.status.policies[0]).toMatchObject({ limit: 500, remaining: 0 });
    settle(budgets, before, 0);
    settle(budgets, reservations[0] as Reservation, 0);
    expect((await reserve(budgets, 10)).allowed).toBe(true);
    await redis.start();
    await until(() => changes.length === 3);
    expect((await reserve(budgets, 700)).status.policies[0]).toMatchObject({ limit: 1_000, remaining: 300 });
    expect(changes).toEqual([false, true, false]);
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(['info', 'warn', 'info']);
  });

  it('let even the dearest operation through on half a budget, and none that a whole one could not pay', async () => {
    const budgets = await open();
    await redis.end();
    expect(await reserve(budgets, 1_000)).toMatchObject({ allowed: true });
    expect((await reserve(budgets, 1_000)).allowed).toBe(false);
    await expect(reserve(budgets, 1_001)).rejects.toMatchObject({ code: 'COST_ESTIMATED_TOO_EXPENSIVE' });
    await redis.start();
  });

  it('wait for a store that hangs as long as they may, once, and find it again', async () => {
    const budgets = await open({ answerTimeoutMs: 200 });
    redis.halt();
    const started = performance.now();
    await reserve(budgets, 10);
    const firstMs = performance.now() - started;
    for (let count = 0; count < 20; count++) await reserve(budgets, 10);
    expect(firstMs).toBeGreaterThanOrEqual(195);
    expect(performance.now() - started - firstMs).toBeLessThan(10 * 200);
    redis.resume();
    await until(() => changes.at(-1) === false);
    expect((await reserve(budgets, 10)).status.policies[0].limit).toBe(1_000);
  });

  it('start with the store away, say so, and share once it is there', async () => {
    await redis.end();
    const budgets = openAway();
    expect((await reserve(budgets, 10)).status.policies[0].limit).toBe(500);
    await until(() => changes.length === 1);
    await redis.start();
    await until(() => changes.length === 2);
    expect(changes).toEqual([true, false]);
    expect((await reserve(budgets, 10)).status.policies[0].limit).toBe(1_000);
  });

  it('take an answer that lay unread while this process was busy', async () => {
    const budgets = await open({ answerTimeoutMs: 200 });
    await reserve(budgets, 10);
    const reservation = reserve(budgets, 10);
    await new Promise((resolve) => setImmediate(resolve));
    for (const busyUntil = performance.now() + 400; performance.now() < busyUntil;);
    expect((await reservation).status.policies[0]).toMatchObject({ limit: 1_000, remaining: 980 });
    expect(changes).toEqual([false]);
  });
});

import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { newRedisBuckets, type RedisBuckets } from '../../gateway/budget/redis-buckets.ts';
import {
  newTenantBuckets,
  TIER_LIMITS,
  type BucketStatus,
  type Reservation,
  type TierLimits,
} from '../../gateway/budget/token-bucket.ts';
import { isInstalled } from '../support/programs.ts';
import { REDIS_PROGRAMS, startRedis, type RedisServer } from '../support/redis.ts';

const FREE = TIER_LIMITS.FREE;
/** So slow to fill that a test sees nothing of it. */
const STILL: TierLimits = { capacity: 1_000, restorePerSecond: 0.001, maxQueryCost: 1_000 };

describe.skipIf(!isInstalled(REDIS_PROGRAMS, 'budgets in Redis against a real server'))('budgets in Redis', () => {
  let redis: RedisServer;
  let admin: Redis;
  let changes: boolean[];
  let lines: string[];
  let gateways: RedisBuckets[];
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
  beforeEach(async () => {
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
  afterEach(() => {
    for (const gateway of gateways) gateway.close();
    vi.restoreAllMocks();
  });

  const until = (condition: () => boolean) =>
    vi.waitFor(() => expect(condition()).toBe(true), { timeout: 10_000, interval: 5 });
  /** Patient, so that a machine under load makes no difference to what is counted. */
  const open = async (answerTimeoutMs = 5_000): Promise<RedisBuckets> => {
    let away: boolean | null = null;
    const buckets = newRedisBuckets({
      url: redis.url,
      answerTimeoutMs,
      onChange: (to) => {
        away = to;
        changes.push(to);
      },
    });
    gateways.push(buckets);
    await until(() => away === false);
    return buckets;
  };
  const reserve = async (buckets: RedisBuckets, cost: number, limits: TierLimits = STILL): Promise<Reservation> =>
    buckets.reserve({ tenantId, limits, cost, nowMs: performance.now() });
  const settle = async (buckets: RedisBuckets, reservation: Reservation, actual: number): Promise<BucketStatus> =>
    buckets.settle(reservation, actual, performance.now());
  const allowedOf = (reservations: readonly Reservation[]) =>
    reservations.filter(({ status }) => status.allowed).length;

  it('say the same as budgets in memory, operation by operation', async () => {
    const [shared, local] = [await open(), newTenantBuckets()];
    const nowMs = performance.now();
    for (const [cost, actual] of [
      [400, 100],
      [900, 900],
      [300, 0],
      [200, 5_000],
      [1, 1],
      [0, 0],
    ] as const) {
      const [one, other] = [await reserve(shared, cost), local.reserve({ tenantId, limits: STILL, cost, nowMs })];
      expect(one.status).toEqual({
        ...other.status,
        retryAfterSeconds: expect.closeTo(other.status.retryAfterSeconds, -2),
        resetSeconds: expect.closeTo(other.status.resetSeconds, -2),
      });
      expect(one.reserved).toBe(other.reserved);
      const [after, otherAfter] = [await settle(shared, one, actual), local.settle(other, actual, nowMs)];
      expect(after.remaining).toBe(otherAfter.remaining);
    }
    await expect(reserve(shared, 1_001)).rejects.toMatchObject({ code: 'COST_ESTIMATED_TOO_EXPENSIVE' });
  });

  it('give what one bucket holds to 200 reservations at once over two gateways, and not one more', async () => {
    const [one, other] = [await open(), await open()];
    const reservations = await Promise.all(
      Array.from({ length: 200 }, (_, index) => reserve(index % 2 === 0 ? one : other, 10)),
    );
    expect(allowedOf(reservations)).toBe(100);
    expect(reservations.filter(({ status, reserved }) => !status.allowed && reserved !== 0)).toEqual([]);
    expect(changes).toEqual([false, false]);
  });

  it('let two gateways spend capacity and refill of one bucket within 1 %', async () => {
    const limits: TierLimits = { capacity: 4_000, restorePerSecond: 4_000, maxQueryCost: 1_000 };
    const [one, other] = [await open(), await open()];
    const dueSince = (fromMs: number) =>
      limits.capacity + (limits.restorePerSecond * (performance.now() - fromMs)) / 1000;
    const started = performance.now();
    // A start that is slow by a quarter of a second earns nothing above a full bucket.
    let spent = (await reserve(one, 1_000, limits)).reserved;
    const first = performance.now();
    const spend = async (buckets: RedisBuckets) => {
      while (performance.now() - started < 1_500) {
        const { reserved } = await reserve(buckets, 20, limits);
        spent += reserved;
      }
    };
    await Promise.all([spend(one), spend(other), spend(one), spend(other)]);
    let least = 0;
    for (let reserved = 20; reserved > 0; spent += reserved) {
      least = dueSince(first);
      ({ reserved } = await reserve(other, 20, limits));
    }
    expect(spent).toBeLessThanOrEqual(dueSince(started) * 1.01);
    expect(spent).toBeGreaterThanOrEqual((least - 20) * 0.99);
    expect(changes).toEqual([false, false]);
  });

  it('put back what was not spent, on whichever gateway, and only once', async () => {
    const [one, other] = [await open(), await open()];
    const reservation = await reserve(one, 800);
    expect((await reserve(other, 300)).status).toMatchObject({ allowed: false, remaining: 200 });
    expect(await settle(one, reservation, 100)).toMatchObject({ remaining: 900 });
    await settle(one, reservation, 0);
    expect((await reserve(other, 300)).status).toMatchObject({ allowed: true, remaining: 600 });
  });

  it('owe what an operation cost more, never more than a full bucket', async () => {
    const buckets = await open();
    const limits: TierLimits = { ...STILL, restorePerSecond: 100 };
    await settle(buckets, await reserve(buckets, 10, limits), 90_000);
    const { status } = await reserve(buckets, 10, limits);
    expect(status.allowed).toBe(false);
    expect(status.retryAfterSeconds).toBeGreaterThanOrEqual(10);
    expect(status.retryAfterSeconds).toBeLessThanOrEqual(11);
  });

  it('keep tenants apart and go by themselves once they are full', async () => {
    const buckets = await open();
    await reserve(buckets, 500, FREE);
    const key = `tenon:budget:{${tenantId}}`;
    const lifetimeMs = await admin.pttl(key);
    expect(lifetimeMs).toBeGreaterThan(8_000);
    expect(lifetimeMs).toBeLessThanOrEqual(10_001);
    const other = await buckets.reserve({ tenantId: `${tenantId}0`, limits: FREE, cost: 1_000, nowMs: 0 });
    expect(other.status.allowed).toBe(true);
    expect(await admin.keys('tenon:budget:*')).toContain(key);
  });

  it('take another tier over without giving points', async () => {
    const buckets = await open();
    await reserve(buckets, 900);
    expect((await reserve(buckets, 200, { ...STILL, capacity: 10_000 })).status).toMatchObject({
      allowed: false,
      limit: 10_000,
      remaining: 100,
    });
    expect((await reserve(buckets, 10, { ...STILL, capacity: 50 })).status).toMatchObject({
      allowed: true,
      limit: 50,
      remaining: 40,
    });
  });

  it('survive a store that forgot its scripts', async () => {
    const buckets = await open();
    await reserve(buckets, 10);
    await admin.script('FLUSH');
    expect((await reserve(buckets, 10)).status).toMatchObject({ allowed: true, remaining: 980 });
    expect(changes).toEqual([false]);
  });

  it('come by half out of each gateway while the store is gone, and are shared again when it is back', async () => {
    const buckets = await open();
    const before = await reserve(buckets, 100);
    await redis.end();
    const reservations: Reservation[] = [];
    for (let count = 0; count < 60; count++) reservations.push(await reserve(buckets, 10));
    expect(allowedOf(reservations)).toBe(50);
    expect(reservations.at(-1)?.status).toMatchObject({ allowed: false, limit: 500, remaining: 0 });
    expect(await settle(buckets, before, 0)).toEqual(before.status);
    await settle(buckets, reservations[0] as Reservation, 0);
    expect((await reserve(buckets, 10)).status.allowed).toBe(true);
    await redis.start();
    await until(() => changes.length === 3);
    expect((await reserve(buckets, 700)).status).toMatchObject({ allowed: true, limit: 1_000, remaining: 300 });
    expect(changes).toEqual([false, true, false]);
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(['info', 'warn', 'info']);
  });

  it('let even the dearest operation through on half a budget', async () => {
    const buckets = await open();
    await redis.end();
    expect((await reserve(buckets, 1_000)).status).toMatchObject({ allowed: true, remaining: 0 });
    expect((await reserve(buckets, 1_000)).status.allowed).toBe(false);
    await redis.start();
  });

  it('wait for a store that hangs as long as they may, once, and find it again', async () => {
    const buckets = await open(200);
    redis.halt();
    const started = performance.now();
    await reserve(buckets, 10);
    const firstMs = performance.now() - started;
    for (let count = 0; count < 20; count++) await reserve(buckets, 10);
    expect(firstMs).toBeGreaterThanOrEqual(195);
    expect(performance.now() - started - firstMs).toBeLessThan(10 * 200);
    redis.resume();
    await until(() => changes.at(-1) === false);
    expect((await reserve(buckets, 10)).status.limit).toBe(1_000);
  });

  it('start with the store away, say so, and share once it is there', async () => {
    await redis.end();
    const buckets = newRedisBuckets({ url: redis.url, answerTimeoutMs: 5_000, onChange: (away) => changes.push(away) });
    gateways.push(buckets);
    expect((await reserve(buckets, 10)).status).toMatchObject({ allowed: true, limit: 500 });
    await until(() => changes.length === 1);
    await redis.start();
    await until(() => changes.length === 2);
    expect(changes).toEqual([true, false]);
    expect((await reserve(buckets, 10)).status.limit).toBe(1_000);
  });

  it('take an answer that lay unread while this process was busy', async () => {
    const buckets = await open(200);
    await reserve(buckets, 10);
    const reservation = reserve(buckets, 10);
    await new Promise((resolve) => setImmediate(resolve));
    for (const busyUntil = performance.now() + 400; performance.now() < busyUntil;);
    expect((await reservation).status).toMatchObject({ limit: 1_000, remaining: 980 });
    expect(changes).toEqual([false]);
  });
});

import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { newFairQueue, type FairQueue, type FairQueueOptions, type Leave } from '../../gateway/budget/fair-queue.ts';
import { newCrowding, type Asked } from '../../gateway/budget/loop-headroom.ts';
import { newRefusalPace } from '../../gateway/budget/refusal-pace.ts';
import { ThrottledError } from '../../gateway/budget/throttled-error.ts';

/** Room for all the load there is, so that only places and turns are seen. */
const ANY_LOAD = { maxLoad: 1, maxRunningCrowding: 1_000, maxWaitMs: 60_000 };
const LIMITS = { concurrency: 100 };

const inside: Leave[] = [];
afterEach(() => {
  for (const leave of inside.splice(0)) leave();
});

/** Enters and notes the order in which the tenants come in. */
function enter(queue: FairQueue, tenant: string, order: string[] = [], signal?: AbortSignal): Promise<Leave> {
  const entered = queue.enter(tenant, LIMITS, signal);
  const noted = (leave: Leave) => {
    order.push(tenant);
    inside.push(leave);
    return leave;
  };
  return entered instanceof Promise ? entered.then(noted) : Promise.resolve(noted(entered));
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 5_000; !condition(); await pause(1)) {
    if (performance.now() > deadline) throw new Error('it does not happen');
  }
}

function newQueue(options: FairQueueOptions = {}): FairQueue {
  return newFairQueue({ ...ANY_LOAD, ...options });
}

describe('a fair queue', () => {
  it('lets in at once, without a promise, where there is room, and gives a place back once', () => {
    const queue = newQueue();
    const leave = queue.enter('a', LIMITS);
    expect(leave).toBeTypeOf('function');
    expect(queue.running).toBe(1);
    (leave as Leave)();
    (leave as Leave)();
    expect(queue.running).toBe(0);
  });

  it('runs no more of a tenant than her concurrency, and the next when one leaves', async () => {
    const queue = newQueue();
    const first = queue.enter('a', { concurrency: 2 }) as Leave;
    inside.push(queue.enter('a', { concurrency: 2 }) as Leave);
    const third = queue.enter('a', { concurrency: 2 });
    expect(third).toBeInstanceOf(Promise);
    await nextTurn();
    expect([queue.running, queue.waiting]).toEqual([2, 1]);
    first();
    inside.push(await third);
    expect([queue.running, queue.waiting]).toEqual([2, 0]);
  });

  it('keeps a quarter of all places from any one tenant', async () => {
    const queue = newQueue({ maxRunning: 8 });
    for (let count = 0; count < 20; count++) void enter(queue, 'flood');
    await until(() => queue.running === 6);
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect([queue.running, queue.waiting]).toEqual([6, 14]);
    expect(queue.enter('other', LIMITS)).toBeTypeOf('function');
  });

  it('serves who waits in turns of tenants, however many of one there are', async () => {
    const queue = newQueue({ maxRunning: 4 });
    const order: string[] = [];
    const full = ['x', 'y', 'z', 'v'].map((tenant) => queue.enter(tenant, LIMITS) as Leave);
    for (let count = 0; count < 6; count++) void enter(queue, 'flood', order);
    void enter(queue, 'b', order);
    void enter(queue, 'c', order);
    for (const leave of full) {
      const seen = order.length;
      leave();
      await until(() => order.length > seen);
    }
    expect(order).toEqual(['flood', 'b', 'c', 'flood']);
  });

  it('lets a tenant who floods start little more than what is free to her while the loop is busy and another is there', async () => {
    const nowMs = 1_000;
    const queue = newFairQueue({ ...ANY_LOAD, maxLoad: 0, nowMs: () => nowMs });
    inside.push(queue.enter('other', LIMITS) as Leave);
    for (let count = 0; count < 50; count++) void enter(queue, 'flood');
    await nextTurn();
    // Two before they are a crowd.
    expect(queue.running).toBe(1 + 2);
    expect(queue.enter('third', LIMITS)).toBeTypeOf('function');
  });

  it('lets her go on with ten that are free, one after the other, and then no more', async () => {
    const queue = newFairQueue({ ...ANY_LOAD, maxLoad: 0, nowMs: () => 1_000 });
    (queue.enter('other', LIMITS) as Leave)();
    let started = 0;
    const visit = async () => {
      const leave = await queue.enter('flood', LIMITS);
      started += 1;
      setImmediate(leave);
    };
    for (let count = 0; count < 50; count++) void visit();
    await until(() => started === 2 + 10);
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect([started, queue.running]).toEqual([12, 0]);
  });

  it('takes a handful at once beside others for the beginning of a flood', async () => {
    const queue = newFairQueue({ ...ANY_LOAD, maxLoad: 0, nowMs: () => 1_000 });
    for (let count = 0; count < 10; count++) (queue.enter('other', LIMITS) as Leave)();
    for (let count = 0; count < 10; count++) void enter(queue, 'flood');
    await nextTurn();
    expect(queue.running).toBe(3);
  });

  it('holds nobody up while there is nobody else, unless the loop has no time for more than a handful', async () => {
    const options = { ...ANY_LOAD, maxLoad: 0, maxRunningCrowding: 1, nowMs: () => 1_000 };
    const idle = newFairQueue(options);
    for (let count = 0; count < 30; count++) void enter(idle, 'only');
    await until(() => idle.running === 30);
    const busy = newFairQueue({ ...options, maxLoadAlone: 0 });
    for (let count = 0; count < 30; count++) void enter(busy, 'only');
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect(busy.running).toBe(4);
  });

  it('runs few at once of each tenant while there is another, and all of them when that one is long gone', async () => {
    let nowMs = 1_000;
    const queue = newFairQueue({ ...ANY_LOAD, maxRunningCrowding: 3, nowMs: () => nowMs });
    (queue.enter('other', LIMITS) as Leave)();
    for (let count = 0; count < 20; count++) void enter(queue, 'flood');
    await until(() => queue.running === 3);
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect([queue.running, queue.waiting]).toEqual([3, 17]);
    nowMs += 1_000;
    await until(() => queue.running === 20);
  });

  it('refuses with the policy and a time where too many wait, of one tenant or of all', async () => {
    const queue = newQueue({ maxRunning: 1, maxWaitingPerTenant: 2, maxWaiting: 3 });
    inside.push(queue.enter('x', LIMITS) as Leave);
    void enter(queue, 'a');
    void enter(queue, 'a');
    expect(() => queue.enter('a', LIMITS)).toThrow(ThrottledError);
    void enter(queue, 'b');
    const refused = await Promise.resolve()
      .then(() => queue.enter('c', { concurrency: 7 }))
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: 'THROTTLED',
      refusal: {
        refusedBy: 'tenant-concurrency',
        retryAfterSeconds: 1,
        status: { policies: [{ name: 'tenant-concurrency', unit: 'concurrent-requests', limit: 7, remaining: 0 }] },
      },
    });
    expect(queue.waiting).toBe(3);
  });

  it('refuses who waited too long, and no longer counts her', async () => {
    const queue = newQueue({ maxRunning: 1, maxWaitMs: 20 });
    const leave = queue.enter('x', LIMITS) as Leave;
    await expect(queue.enter('a', LIMITS)).rejects.toMatchObject({ code: 'THROTTLED' });
    expect(queue.waiting).toBe(0);
    leave();
    await nextTurn();
    expect(queue.running).toBe(0);
  });

  it('lets go of who is aborted, before and while she waits', async () => {
    const queue = newQueue({ maxRunning: 1 });
    const gone = new AbortController();
    const leave = queue.enter('x', LIMITS) as Leave;
    const waiting = queue.enter('a', LIMITS, gone.signal);
    const behind = enter(queue, 'b');
    gone.abort(new Error('the client hung up'));
    await expect(waiting).rejects.toThrow('the client hung up');
    expect(queue.waiting).toBe(1);
    expect(() => queue.enter('a', LIMITS, gone.signal)).toThrow('the client hung up');
    leave();
    await behind;
    expect([queue.running, queue.waiting]).toEqual([1, 0]);
  });

  it('forgets tenants who have nothing in it', () => {
    const queue = newQueue();
    for (let count = 0; count < 25_000; count++) (queue.enter(`t${count}`, LIMITS) as Leave)();
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });
});

describe('crowding', () => {
  const asked = () => ({ count: 0, atMs: 0 });
  const share = (of: Asked, [running, others] = [0, 0]) => ({ asked: of, running, others });

  it('is asking for more than twice as much as all others together, while they are there', () => {
    const crowding = newCrowding();
    const [flood, quiet] = [asked(), asked()];
    for (let count = 0; count < 5; count++) crowding.note(flood, 0);
    expect(crowding.crowds(share(flood), 0)).toBe(false);
    crowding.note(quiet, 0);
    crowding.note(quiet, 0);
    expect([crowding.crowds(share(flood), 0), crowding.crowds(share(quiet), 0)]).toEqual([true, false]);
    crowding.note(quiet, 0);
    expect(crowding.crowds(share(flood), 0)).toBe(false);
  });

  it('is having three times as much under way as all others, from a handful on, whatever was asked for before', () => {
    const crowding = newCrowding();
    const [flood, quiet] = [asked(), asked()];
    for (let count = 0; count < 9; count++) crowding.note(quiet, 0);
    crowding.note(flood, 0);
    const crowds = (running: number, others: number) => crowding.crowds(share(flood, [running, others]), 0);
    expect([crowds(2, 0), crowds(3, 0), crowds(6, 3), crowds(7, 3)]).toEqual([false, true, false, true]);
  });

  it('is over when the others are long gone', () => {
    const crowding = newCrowding();
    const [flood, quiet] = [asked(), asked()];
    crowding.note(quiet, 0);
    for (let nowMs = 0; nowMs <= 800; nowMs += 10) crowding.note(flood, nowMs);
    expect([crowding.crowds(share(flood), 800), crowding.crowds(share(flood), 900)]).toEqual([true, false]);
  });

  it('is nobody among equals, however many and however busy they are', () => {
    const crowding = newCrowding();
    const tenants = Array.from({ length: 10 }, asked);
    for (let count = 0; count < 1_000; count++) for (const tenant of tenants) crowding.note(tenant, count);
    expect(tenants.some((tenant) => crowding.crowds(share(tenant), 1_000))).toBe(false);
  });
});

describe('the pace of refusals', () => {
  it('answers now and then at once, a flood at its pace, and nobody later than the longest delay', async () => {
    let nowMs = 0;
    const pace = newRefusalPace({ perSecond: 100, maxDelayMs: 40, nowMs: () => nowMs });
    for (let count = 0; count < 5; count++, nowMs += 10) expect(pace.hold('calm')).toBeUndefined();
    const started = performance.now();
    const held = Array.from({ length: 30 }, () => pace.hold('flood'));
    expect(held.filter((one) => one === undefined).length).toBe(1);
    expect(pace.hold('other')).toBeUndefined();
    await Promise.all(held.map((one) => Promise.resolve(one)));
    expect(performance.now() - started).toBeGreaterThanOrEqual(35);
  });

  it('ends at once when the client is gone', async () => {
    const pace = newRefusalPace({ perSecond: 1, maxDelayMs: 600_000 });
    const gone = new AbortController();
    expect(pace.hold('a')).toBeUndefined();
    const held = pace.hold('a', gone.signal);
    expect(held).toBeInstanceOf(Promise);
    gone.abort();
    await held;
  });
});

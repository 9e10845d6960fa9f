import { afterEach, describe, expect, it, vi } from 'vitest';
import { newConnectionShares, type ConnectionShares, type GiveBack } from '#kit/connection-shares.ts';
import { RequestEnding } from '#kit/request-ending.ts';
import type { DatabaseLane } from '#schema/database-limits.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { Tier } from '#schema/tenant-context.ts';

const [a, b, c] = [mintId('tnt'), mintId('tnt'), mintId('tnt')];

afterEach(() => vi.useRealTimers());

function ask(shares: ConnectionShares, tenant: Id<'tnt'>, lane: DatabaseLane = 'request', tier: Tier = 'ENTERPRISE') {
  return shares.enter({ tenant: { tenant, tier }, lane });
}

/** Takes a connection that is free. */
function taken(answer: GiveBack | Promise<GiveBack>): GiveBack {
  if (answer instanceof Promise) expect.fail('no connection was free');
  return answer;
}

/** The names in the order in which they got their connection; each gives it back at once. */
function order(waiting: readonly (readonly [string, GiveBack | Promise<GiveBack>])[]) {
  const names: string[] = [];
  const all = waiting.map(async ([name, answer]) => {
    const giveBack = await answer;
    names.push(name);
    giveBack();
  });
  return { names, all: Promise.all(all) };
}

async function refusal(answer: () => GiveBack | Promise<GiveBack>): Promise<TenonError> {
  const thrown: unknown = await Promise.resolve()
    .then(answer)
    .then(
      () => null,
      (error: unknown) => error,
    );
  if (!(thrown instanceof TenonError)) expect.fail('a connection was given');
  return thrown;
}

describe('the connections of a pool', () => {
  it('are given to one tenant as far as the share of her tier goes, and to another one at once', () => {
    const shares = newConnectionShares(16);
    const held = (tenant: Id<'tnt'>, tier: Tier) => {
      let count = 0;
      for (; count < 16; count++) if (ask(shares, tenant, 'request', tier) instanceof Promise) break;
      return count;
    };
    expect([held(a, 'FREE'), held(b, 'ENTERPRISE')]).toEqual([4, 8]);
    expect(shares.use()).toEqual({ size: 16, held: 12, bulk: 0, waiting: 2, requests: 14, refused: 0 });
  });

  it('are given two to whoever has the smallest share of a small pool, and one of a pool of one', () => {
    const small = newConnectionShares(3);
    taken(ask(small, a, 'request', 'FREE'));
    taken(ask(small, a, 'request', 'FREE'));
    expect(ask(small, a, 'request', 'FREE')).toBeInstanceOf(Promise);
    const single = newConnectionShares(1);
    taken(ask(single, a));
    expect(ask(single, a)).toBeInstanceOf(Promise);
  });

  it('are all hers where the pool is of a store of her own, but for what bulk may hold', () => {
    const own = newConnectionShares(3);
    const enter = (lane: DatabaseLane) =>
      own.enter({ tenant: { tenant: a, tier: 'FREE' }, lane, isAlone: true }) instanceof Promise;
    expect([enter('bulk'), enter('bulk'), enter('request'), enter('request'), enter('request')]).toEqual([
      false,
      true,
      false,
      false,
      true,
    ]);
  });

  it('go by turns of tenants: whoever asks once is not behind the crowd of another', async () => {
    const shares = newConnectionShares(1);
    const first = taken(ask(shares, a));
    const crowd = [1, 2, 3].map((nth) => [`a${nth}`, ask(shares, a)] as const);
    const { names, all } = order([...crowd, ['b', ask(shares, b)], ['c', ask(shares, c)]]);
    first();
    await all;
    expect(names).toEqual(['a1', 'b', 'c', 'a2', 'a3']);
    expect(shares.use()).toMatchObject({ held: 0, waiting: 0 });
  });

  it('go to bulk of all tenants together for a quarter at most, and to requests of the same tenant first', async () => {
    const shares = newConnectionShares(8);
    const bulk = [taken(ask(shares, a, 'bulk')), taken(ask(shares, b, 'bulk'))];
    const later = ask(shares, c, 'bulk');
    expect(later).toBeInstanceOf(Promise);
    taken(ask(shares, c));
    bulk[0]?.();
    await later;
    expect(shares.use()).toMatchObject({ held: 3, bulk: 2 });
    const single = newConnectionShares(1);
    const held = taken(ask(single, a));
    const { names, all } = order([
      ['bulk', ask(single, a, 'bulk')],
      ['request', ask(single, a)],
    ]);
    held();
    await all;
    expect(names).toEqual(['request', 'bulk']);
  });

  it('are given back once, however often that is said', () => {
    const shares = newConnectionShares(2);
    const one = taken(ask(shares, a));
    taken(ask(shares, a));
    one();
    one();
    expect(shares.use().held).toBe(1);
  });

  it('are refused with a time to retry after to whoever waits too long, or behind too many', async () => {
    vi.useFakeTimers();
    const shares = newConnectionShares(1, { maxWaitMs: 100, maxWaitingPerTenant: 2, maxWaiting: 3 });
    taken(ask(shares, a));
    const late = refusal(() => ask(shares, a));
    const waiting = [ask(shares, a), ask(shares, b)].map((answer) => Promise.resolve(answer).catch(() => 'late'));
    expect(await refusal(() => ask(shares, a))).toMatchObject({ code: 'SERVICE_UNAVAILABLE', retryAfterSeconds: 1 });
    expect((await refusal(() => ask(shares, c))).code).toBe('SERVICE_UNAVAILABLE');
    expect(shares.use()).toMatchObject({ waiting: 3, refused: 2 });
    vi.advanceTimersByTime(100);
    expect(await late).toMatchObject({ code: 'SERVICE_UNAVAILABLE', retryAfterSeconds: 1 });
    expect(await Promise.all(waiting)).toEqual(['late', 'late']);
    expect(shares.use()).toMatchObject({ held: 1, waiting: 0, refused: 5 });
  });

  it('are not given to whoever went away', async () => {
    const shares = newConnectionShares(1);
    const held = taken(ask(shares, a));
    const signal = new RequestEnding();
    const gone = refusal(() => shares.enter({ tenant: { tenant: b, tier: 'FREE' }, lane: 'request', signal }));
    await Promise.resolve();
    signal.abort(new Error('gone'));
    expect((await gone).code).toBe('GATEWAY_TIMEOUT');
    held();
    expect(shares.use()).toMatchObject({ held: 0, waiting: 0 });
    expect(
      (await refusal(() => shares.enter({ tenant: { tenant: b, tier: 'FREE' }, lane: 'request', signal }))).code,
    ).toBe('GATEWAY_TIMEOUT');
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TIERS } from '#schema/tenant-context.ts';
import { CALL_TIMES, deadlineOf } from '../../../gateway/links/call-times.ts';
import { failedResult, type Exchange, type Fault } from '../../../gateway/links/exchange.ts';
import { newResilientLinks, type BreakerReport } from '../../../gateway/links/resilience.ts';
import { callOf, requestOf, scripted } from './a-call.ts';

const QUERY = requestOf('{ users { name } }');
const MUTATION = requestOf('mutation { rename(name: "x") { name } }');
const GOOD: Exchange = { result: { data: {} }, fault: null };
const bad = (fault: Fault): Exchange => ({ result: failedResult(fault), fault });
const REJECTED = { errors: [expect.objectContaining({ extensions: { code: 'SUBGRAPH_CIRCUIT_BREAKER_REJECTED' } })] };
let reports: BreakerReport[];

beforeEach(() => {
  reports = [];
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const newLinks = () => newResilientLinks({ onState: (report) => reports.push(report) });
const settled = async <T>(work: Promise<T>): Promise<T> => {
  await vi.runAllTimersAsync();
  return work;
};
const times = async (count: number, work: () => Promise<unknown>) => {
  for (let done = 0; done < count; done += 1) await settled(work());
};

describe('a call that could not reach its subgraph', () => {
  it('is tried again, twice at most, if it is a query', async () => {
    const transport = scripted((count) => (count === 3 ? GOOD : bad('away')));
    const link = newLinks().link('people', transport);
    expect(await settled(link.send(QUERY, callOf()))).toEqual(GOOD.result);
    const never = scripted(() => bad('away'));
    expect(await settled(newLinks().link('people', never).send(QUERY, callOf()))).toEqual(failedResult('away'));
    expect(never.calls).toHaveLength(3);
  });

  it('is not tried again if it is a mutation, which may have happened', async () => {
    const transport = scripted(() => bad('away'));
    expect(await settled(newLinks().link('people', transport).send(MUTATION, callOf()))).toEqual(failedResult('away'));
    expect(transport.calls).toHaveLength(1);
  });

  it.each(['slow', 'wrong', 'refused', 'given up'] as const)('is tried once where it is %s', async (fault) => {
    const transport = scripted(() => bad(fault));
    expect(await settled(newLinks().link('people', transport).send(QUERY, callOf()))).toEqual(failedResult(fault));
    expect(transport.calls).toHaveLength(1);
  });

  it('waits a different while each time', async () => {
    const waits = new Set<number>();
    for (let round = 0; round < 20; round += 1) {
      const seen: number[] = [];
      const transport = scripted(() => {
        seen.push(Date.now());
        return bad('away');
      });
      await settled(newLinks().link('people', transport).send(QUERY, callOf()));
      waits.add((seen[1] ?? 0) - (seen[0] ?? 0));
    }
    expect(waits.size).toBeGreaterThan(5);
    expect(Math.max(...waits)).toBeLessThanOrEqual(250);
  });

  it('is not tried again once its caller is gone', async () => {
    const caller = new AbortController();
    const transport = scripted(() => {
      caller.abort();
      return bad('away');
    });
    await settled(newLinks().link('people', transport).send(QUERY, callOf({}, caller.signal)));
    expect(transport.calls).toHaveLength(1);
  });
});

describe('the time of a call', () => {
  it.each(TIERS)('is that of the tier %s, and ends before the request does', async (tier) => {
    const transport = scripted(() => GOOD);
    const caller = new AbortController();
    await newLinks().link('people', transport).send(QUERY, callOf({ tier }, caller.signal));
    expect(transport.calls).toEqual([{ timeoutMs: CALL_TIMES[tier].timeoutMs, signal: caller.signal }]);
    expect(deadlineOf(tier)).toBeGreaterThan(CALL_TIMES[tier].timeoutMs);
  });
});

describe('a breaker', () => {
  it.each(['slow', 'away', 'wrong'] as const)('opens when most calls are %s, for that tier alone', async (fault) => {
    const transport = scripted((_count, call) => (call.request.tenant.tier === 'FREE' ? bad(fault) : GOOD));
    const links = newLinks();
    const link = links.link('people', transport);
    await times(20, () => link.send(MUTATION, callOf({ tier: 'FREE' })));
    expect(links.state('people', 'FREE')).toBe('open');
    const calls = transport.calls.length;
    expect(await link.send(QUERY, callOf({ tier: 'FREE' }))).toEqual(REJECTED);
    expect(transport.calls).toHaveLength(calls);
    expect(await link.send(QUERY, callOf({ tier: 'GROWTH' }))).toEqual(GOOD.result);
    expect(links.state('people', 'GROWTH')).toBe('closed');
    expect(links.state('billing', 'FREE')).toBe('closed');
    expect(reports).toEqual([{ subgraph: 'people', tier: 'FREE', state: 'open' }]);
  });

  it('stays closed below twenty calls and up to half of them', async () => {
    const few = scripted(() => bad('away'));
    const links = newLinks();
    await times(19, () => links.link('few', few).send(MUTATION, callOf()));
    expect(links.state('few', 'GROWTH')).toBe('closed');
    const half = scripted((count) => (count % 2 === 0 ? bad('away') : GOOD));
    await times(60, () => links.link('half', half).send(MUTATION, callOf()));
    expect(links.state('half', 'GROWTH')).toBe('closed');
  });

  it('takes errors that the subgraph answers with for answers', async () => {
    const result = { data: null, errors: [{ message: 'no', extensions: { code: 'SERVICE_UNAVAILABLE' } }] };
    const links = newLinks();
    const link = links.link(
      'people',
      scripted(() => ({ result, fault: null })),
    );
    await times(60, async () => expect(await link.send(QUERY, callOf())).toEqual(result));
    expect(links.state('people', 'GROWTH')).toBe('closed');
  });

  it.each(['given up', 'refused'] as const)(
    'is not moved by calls that are %s, in neither direction',
    async (fault) => {
      const links = newLinks();
      const link = links.link(
        'people',
        scripted((count) => bad(count <= 100 ? fault : 'away')),
      );
      await times(100, () => link.send(QUERY, callOf()));
      expect(links.state('people', 'GROWTH')).toBe('closed');
      await times(20, () => link.send(MUTATION, callOf()));
      expect(links.state('people', 'GROWTH')).toBe('open');
    },
  );

  it('lets one call try after a while, none beside it, and closes when that one succeeds', async () => {
    let answer: (exchange: Exchange) => void = () => undefined;
    const transport = scripted((count) =>
      count <= 20 ? bad('away') : count === 21 ? new Promise((resolve) => (answer = resolve)) : GOOD,
    );
    const links = newLinks();
    const link = links.link('people', transport);
    await times(20, () => link.send(MUTATION, callOf()));
    await vi.advanceTimersByTimeAsync(5_000);
    const trying = link.send(QUERY, callOf());
    expect(links.state('people', 'GROWTH')).toBe('half_open');
    expect(await link.send(QUERY, callOf())).toEqual(REJECTED);
    answer(GOOD);
    expect(await trying).toEqual(GOOD.result);
    expect(await link.send(QUERY, callOf())).toEqual(GOOD.result);
    expect(reports.map(({ state }) => state)).toEqual(['open', 'half_open', 'closed']);
  });

  it.each(['away', 'slow', 'given up'] as const)('stays open for longer when that one is %s', async (fault) => {
    const links = newLinks();
    const link = links.link(
      'people',
      scripted((count) => bad(count <= 20 ? 'away' : fault)),
    );
    await times(20, () => link.send(MUTATION, callOf()));
    await vi.advanceTimersByTimeAsync(5_000);
    await settled(link.send(MUTATION, callOf()));
    expect(links.state('people', 'GROWTH')).toBe('open');
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await link.send(QUERY, callOf())).toEqual(REJECTED);
  });

  it('ends the tries of a query when it opens under them', async () => {
    const links = newLinks();
    const transport = scripted(() => bad('away'));
    const link = links.link('people', transport);
    await times(19, () => link.send(MUTATION, callOf()));
    expect(await settled(link.send(QUERY, callOf()))).toEqual(REJECTED);
    expect(transport.calls).toHaveLength(20);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import {
  addCounts,
  availabilityOf,
  BURN_ALERTS,
  BURN_WINDOWS,
  burnRates,
  errorBudget,
  isMet,
  NO_REQUESTS,
  OBJECTIVES,
  PLATFORM_ID,
  type LevelCounts,
} from '#schema/service-levels.ts';

const GROWTH = OBJECTIVES.GROWTH;
const anyCounts = fc
  .tuple(fc.nat(10_000), fc.nat(10_000), fc.nat(10_000))
  .map(([good, failures, slow]) => ({ requests: good + failures + slow, failures, slow }));
const everywhere = (counts: LevelCounts) => new Map(BURN_WINDOWS.map((minutes) => [minutes, counts]));
const firing = (windows: ReadonlyMap<number, LevelCounts>) =>
  burnRates(windows, GROWTH)
    .filter((rate) => rate.firing)
    .map(({ indicator, factor }) => `${indicator} ${factor}`);

describe('burn rates', () => {
  it('are those of the workbook: 14.4, 6, 3 and 1 times over 1 h, 6 h, 1 d and 3 d', () => {
    expect(
      BURN_ALERTS.map(({ severity, factor, longMinutes, shortMinutes }) => [
        severity,
        factor,
        longMinutes,
        shortMinutes,
      ]),
    ).toEqual([
      ['page', 14.4, 60, 5],
      ['page', 6, 360, 30],
      ['ticket', 3, 1440, 120],
      ['ticket', 1, 4320, 360],
    ]);
    expect(BURN_WINDOWS).toEqual([5, 30, 60, 120, 360, 1440, 4320]);
  });

  it('are the bad share over the share that may be bad', () => {
    const rates = burnRates(everywhere({ requests: 10_000, failures: 25, slow: 300 }), GROWTH);
    expect(new Set(rates.map(({ indicator, longRate, shortRate }) => `${indicator} ${longRate} ${shortRate}`))).toEqual(
      new Set(['availability 2.5 2.5', 'latency 3 3']),
    );
    expect(rates.filter((rate) => rate.firing).map(({ indicator, factor }) => [indicator, factor])).toEqual([
      ['availability', 1],
      ['latency', 1],
    ]);
  });

  it('fire only while the short window burns as well as the long one', () => {
    const bad = { requests: 1000, failures: 20, slow: 0 };
    const good = { requests: 1000, failures: 0, slow: 0 };
    expect(firing(everywhere(bad))).toEqual([
      'availability 14.4',
      'availability 6',
      'availability 3',
      'availability 1',
    ]);
    expect(firing(new Map([...everywhere(bad), [5, good]]))).toEqual([
      'availability 6',
      'availability 3',
      'availability 1',
    ]);
    expect(firing(new Map([...everywhere(good), [5, bad], [30, bad]]))).toEqual([]);
  });

  it('are 0 without requests', () => {
    expect(burnRates(new Map(), GROWTH).every((rate) => rate.longRate === 0 && !rate.firing)).toBe(true);
  });
});

describe('an objective', () => {
  it('is kept exactly when no error budget is used up more than it may', () => {
    fc.assert(
      fc.property(anyCounts, (counts) => {
        const rates = burnRates(everywhere(counts), GROWTH);
        expect(isMet(counts, GROWTH)).toBe(rates.every(({ longRate }) => longRate <= 1));
      }),
    );
  });

  it('is kept to the last request: one in a hundred may be slow, one in a thousand may fail', () => {
    expect(isMet({ requests: 1000, failures: 1, slow: 10 }, GROWTH)).toBe(true);
    expect(isMet({ requests: 1000, failures: 2, slow: 0 }, GROWTH)).toBe(false);
    expect(isMet({ requests: 1000, failures: 0, slow: 11 }, GROWTH)).toBe(false);
    expect(isMet(NO_REQUESTS, GROWTH)).toBe(true);
  });

  it('leaves a budget without the dust of floating point', () => {
    expect(errorBudget('availability', OBJECTIVES.ENTERPRISE_PLUS)).toBe(0.0001);
    expect(errorBudget('latency', OBJECTIVES.FREE)).toBe(0.01);
  });
});

describe('counts', () => {
  it('add up', () => {
    fc.assert(
      fc.property(anyCounts, anyCounts, (left, right) => {
        const sum = addCounts(left, right);
        expect(sum.requests).toBe(left.requests + right.requests);
        expect((availabilityOf(sum) ?? 1) * sum.requests).toBeCloseTo(sum.requests - left.failures - right.failures);
      }),
    );
    expect(availabilityOf(NO_REQUESTS)).toBeNull();
  });

  it('of the platform belong to an id that no tenant is given', () => {
    expect(uuidOf('tnt', PLATFORM_ID)).toBe('00000000-0000-7000-8000-000000000000');
  });
});

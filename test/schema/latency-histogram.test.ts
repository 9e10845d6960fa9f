import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addBuckets,
  BUCKET_COUNT,
  bucketOf,
  LONGEST_SECONDS,
  quantileSeconds,
  RELATIVE_ERROR,
  SHORTEST_SECONDS,
  trimBuckets,
} from '#schema/latency-histogram.ts';

const anyTime = fc
  .double({ min: Math.log(SHORTEST_SECONDS), max: Math.log(LONGEST_SECONDS), noNaN: true })
  .map((log) => Math.min(Math.exp(log), LONGEST_SECONDS * 0.999_999));
const anyTimes = fc.array(anyTime, { minLength: 1, maxLength: 400 });

function histogramOf(times: readonly number[]): number[] {
  const buckets = Array.from({ length: BUCKET_COUNT }, () => 0);
  for (const time of times) buckets[bucketOf(time)] = (buckets[bucketOf(time)] ?? 0) + 1;
  return buckets;
}

describe('a latency histogram', () => {
  it('gives every quantile within its error of the exact one', () => {
    fc.assert(
      fc.property(anyTimes, fc.double({ min: 0, max: 1, noNaN: true }), (times, quantile) => {
        const exact = times.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(quantile * times.length)) - 1] ?? 0;
        const read = quantileSeconds(histogramOf(times), quantile) ?? 0;
        expect(Math.abs(read - exact) / exact).toBeLessThanOrEqual(RELATIVE_ERROR + 1e-9);
      }),
      { numRuns: 500 },
    );
  });

  it('is the same whether requests are counted together or added up', () => {
    fc.assert(
      fc.property(anyTimes, anyTimes, (left, right) => {
        const together = trimBuckets(histogramOf([...left, ...right]));
        const added = addBuckets(trimBuckets(histogramOf(left)), trimBuckets(histogramOf(right)));
        expect(added).toEqual(together);
        expect(quantileSeconds(added, 0.99)).toBe(quantileSeconds(histogramOf([...left, ...right]), 0.99));
      }),
    );
  });

  it('never lets a longer time into a lower bucket', () => {
    fc.assert(
      fc.property(anyTime, anyTime, (one, other) => {
        const [shorter, longer] = [Math.min(one, other), Math.max(one, other)];
        expect(bucketOf(shorter)).toBeLessThanOrEqual(bucketOf(longer));
      }),
    );
  });

  it.each([
    [0, 0],
    [-1, 0],
    [Number.NaN, 0],
    [SHORTEST_SECONDS, 0],
    [SHORTEST_SECONDS * 1.01, 1],
    [3600, BUCKET_COUNT - 1],
    [Infinity, BUCKET_COUNT - 1],
  ])('takes %d seconds into bucket %d', (seconds, bucket) => {
    expect(bucketOf(seconds)).toBe(bucket);
  });

  it('has no quantile where nothing was counted', () => {
    expect(quantileSeconds([], 0.99)).toBeNull();
    expect(quantileSeconds([0, 0], 0.5)).toBeNull();
  });
});

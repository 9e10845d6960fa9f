/** Every quantile read from a histogram is within this share of the true one, for times within its range. */
export const RELATIVE_ERROR = 0.05;
/** Times up to this one, in seconds, are one bucket: the gateway answers nothing faster that matters. */
export const SHORTEST_SECONDS = 0.0001;
/** Buckets of a histogram; the last bound is about 110 s, longer than any request may run. */
export const BUCKET_COUNT = 140;

const GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR);
const PER_LOG = 1 / Math.log(GROWTH);

/** The longest time that the histogram tells from longer ones, in seconds. */
export const LONGEST_SECONDS = SHORTEST_SECONDS * GROWTH ** (BUCKET_COUNT - 1);

/** How many times fell into each bucket; a shorter list stands for zeros behind its end. */
export type Buckets = ArrayLike<number>;

/**
 * Returns the bucket of a time: bucket 0 holds up to `SHORTEST_SECONDS`, bucket i what is above the bound of i-1 and up
 * to its own, each bound being the one before times 1.105. What is no time, or below zero, counts as the shortest.
 */
export function bucketOf(seconds: number): number {
  if (!(seconds > SHORTEST_SECONDS)) return 0;
  const bucket = Math.ceil(Math.log(seconds / SHORTEST_SECONDS) * PER_LOG);
  return bucket < BUCKET_COUNT ? bucket : BUCKET_COUNT - 1;
}

/** Returns the sum of two histograms; neither is changed. */
export function addBuckets(left: Buckets, right: Buckets): number[] {
  return Array.from(
    { length: Math.max(left.length, right.length) },
    (_, bucket) => (left[bucket] ?? 0) + (right[bucket] ?? 0),
  );
}

/** Returns the histogram without the zeros at its end, as it is stored. */
export function trimBuckets(buckets: Buckets): number[] {
  let length = buckets.length;
  while (length > 0 && (buckets[length - 1] ?? 0) === 0) length -= 1;
  return Array.from({ length }, (_, bucket) => buckets[bucket] ?? 0);
}

/**
 * Returns the quantile in seconds by nearest rank (the smallest time that at least the share `quantile` of all does not
 * exceed), within `RELATIVE_ERROR` between `SHORTEST_SECONDS` and `LONGEST_SECONDS`; null where nothing was counted.
 */
export function quantileSeconds(buckets: Buckets, quantile: number): number | null {
  const counts = Array.from(buckets);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = Math.max(1, Math.ceil(quantile * total));
  let passed = 0;
  for (const [bucket, count] of counts.entries()) {
    passed += count;
    if (passed >= rank) return middleOf(bucket);
  }
  return middleOf(counts.length - 1);
}

/** The time that is equally far, relatively, from both ends of a bucket. */
function middleOf(bucket: number): number {
  return bucket === 0 ? SHORTEST_SECONDS : (SHORTEST_SECONDS * GROWTH ** bucket * 2) / (1 + GROWTH);
}

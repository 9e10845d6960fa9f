/** Entries of a whole block; block n of an epoch begins at n times this. */
export const BLOCK_SIZE = 4096;

/** Entries of a run: a search that finds a word in a block is led to the runs that hold it. */
export const RUN_SIZE = 32;

/** Partitions that the words of a block are spread over by the first bits of their hashes. */
export const PART_COUNT = 64;

const RUN_COUNT = BLOCK_SIZE / RUN_SIZE;
const RUN_BITS = 8;
/** Of the 32 bits of a hash six choose the partition, two are dropped and 24 stand in the posting. */
const PART_SHIFT = 26;
const KEY_MASK = 0xffffff;
const POSTING_BYTES = 4;

/** Runs of a block as bits, the first run lowest. */
export type RunMask = bigint;

/** The mask of all runs. */
export const ALL_RUNS: RunMask = (1n << BigInt(RUN_COUNT)) - 1n;

/** Gathers the words of one block, entry by entry. */
export interface BlockWords {
  /** Adds the words of the entry at this place within the block. */
  add(place: number, words: Iterable<number>): void;
  /** Returns the postings of every partition that has any. */
  parts(): { readonly part: number; readonly postings: Buffer }[];
}

/** Returns the partition of a word's hash. */
export function partOf(word: number): number {
  return word >>> PART_SHIFT;
}

/** Returns what the postings of a word begin with: 24 bits of its hash, big-endian. */
export function postingKey(word: number): Buffer {
  const key = word & KEY_MASK;
  return Buffer.from([key >>> 16, (key >>> 8) & 0xff, key & 0xff]);
}

/** Begins a block without words. */
export function blockWords(): BlockWords {
  const parts = Array.from({ length: PART_COUNT }, (): number[] => []);
  /** The words of the run that is being filled: in one run a word counts once. */
  let [run, seen] = [0, new Set<number>()];
  return {
    add: (place, words) => {
      if (Math.floor(place / RUN_SIZE) !== run) [run, seen] = [Math.floor(place / RUN_SIZE), new Set()];
      for (const word of words) {
        if (seen.has(word)) continue;
        seen.add(word);
        parts[partOf(word)]?.push((((word & KEY_MASK) << RUN_BITS) | run) >>> 0);
      }
    },
    parts: () =>
      parts.flatMap((postings, part) => (postings.length === 0 ? [] : [{ part, postings: encode(postings) }])),
  };
}

/** Returns the runs in which a word stands, by the postings of its partition. */
export function runsOf(postings: Buffer, word: number): RunMask {
  const first = ((word & KEY_MASK) << RUN_BITS) >>> 0;
  let mask = 0n;
  for (let at = lowerBound(postings, first); at < postings.length; at += POSTING_BYTES) {
    const posting = postings.readUInt32BE(at);
    if (posting >>> RUN_BITS !== first >>> RUN_BITS) break;
    mask |= 1n << BigInt(posting & (RUN_COUNT - 1));
  }
  return mask;
}

/** Returns the offset of the first posting that is not less. */
function lowerBound(postings: Buffer, posting: number): number {
  let [low, high] = [0, Math.floor(postings.length / POSTING_BYTES)];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (postings.readUInt32BE(middle * POSTING_BYTES) < posting) low = middle + 1;
    else high = middle;
  }
  return low * POSTING_BYTES;
}

function encode(postings: readonly number[]): Buffer {
  const bytes = Buffer.alloc(postings.length * POSTING_BYTES);
  Uint32Array.from(postings)
    .sort()
    .forEach((posting, index) => void bytes.writeUInt32BE(posting, index * POSTING_BYTES));
  return bytes;
}

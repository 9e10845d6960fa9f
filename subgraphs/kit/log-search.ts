import { ALL_RUNS, BLOCK_SIZE, partOf, postingKey, RUN_SIZE, runsOf, type RunMask } from '#schema/search-block.ts';
import type { TenantTransaction } from './database.ts';

/** What entries have to hold to be worth reading. What is found may fit; what is not found does not. */
export interface WordQuery {
  /** Each of them has to be there; those that few entries hold are best first. */
  readonly groups: readonly WordGroup[];
  /** The earliest time and the time before which it happened. */
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
}

/** One of these sets of words, by their hashes: an entry holds all words of one set at least. */
export type WordGroup = readonly (readonly number[])[];

/** Entries with `low <= seq < high`. */
export interface SeqRange {
  readonly low: number;
  readonly high: number;
}

/** Where in an epoch to look, and from which end. */
export interface SearchSpan extends SeqRange {
  readonly epoch: number;
  readonly order: 'asc' | 'desc';
}

/** A step of a search. */
export interface SearchStep {
  /** What is worth reading, in the order of the search; none overlap. */
  readonly ranges: readonly SeqRange[];
  /** Up to here the span has been looked at: entries beyond this edge, in the order of the search, have not. */
  readonly edge: number;
}

/** The part of a transaction that searching needs. */
type Reader = Pick<TenantTransaction, 'query'>;

/** Blocks looked at in the first step, and at most in one: a page that fills soon asks for little. */
const FIRST_STEP = 8;
const STEP_GROWTH = 8;
const MOST_IN_STEP = 512;

/**
 * Yields, step by step and in the order of the span, the ranges of a tenant's log in which a query may find entries:
 * runs of indexed blocks, and all that no block holds yet. Every entry of the span that fits lies in one of them, and one
 * that is appended meanwhile too where it was there when the search began.
 */
export async function* searchSteps(tx: Reader, span: SearchSpan, query: WordQuery): AsyncGenerator<SearchStep> {
  const { indexed, size } = await readExtent(tx, span.epoch);
  const [low, high] = [Math.max(span.low, 0), Math.min(span.high, size)];
  const tail = { low: Math.max(low, indexed), high };
  const inBlocks = { ...span, low, high: Math.min(high, indexed) };
  if (span.order === 'desc') yield* tailStep(tail, tail.low);
  yield* blockSteps(tx, inBlocks, query);
  if (span.order === 'asc') yield* tailStep(tail, tail.high);
}

function* tailStep(tail: SeqRange, edge: number): Generator<SearchStep> {
  if (tail.high > tail.low) yield { ranges: [tail], edge };
}

async function* blockSteps(tx: Reader, span: SearchSpan, query: WordQuery): AsyncGenerator<SearchStep> {
  if (span.high <= span.low) return;
  const [first, last] = [Math.floor(span.low / BLOCK_SIZE), Math.floor((span.high - 1) / BLOCK_SIZE)];
  const isDescending = span.order === 'desc';
  let count = FIRST_STEP;
  for (let done = 0; done <= last - first; done += count, count = Math.min(count * STEP_GROWTH, MOST_IN_STEP)) {
    const low = isDescending ? Math.max(first, last - done - count + 1) : first + done;
    const high = isDescending ? last - done : Math.min(last, first + done + count - 1);
    const masks = await candidateRuns(tx, { epoch: span.epoch, low, high }, query);
    const ranges = rangesOf(masks)
      .map((range) => ({ low: Math.max(range.low, span.low), high: Math.min(range.high, span.high) }))
      .filter((range) => range.high > range.low);
    yield {
      ranges: isDescending ? ranges.toReversed() : ranges,
      edge: isDescending ? Math.max(low * BLOCK_SIZE, span.low) : Math.min((high + 1) * BLOCK_SIZE, span.high),
    };
  }
}

interface BlockSpan {
  readonly epoch: number;
  /** First and last block, both included. */
  readonly low: number;
  readonly high: number;
}

type BlockRuns = Map<number, RunMask>;

async function candidateRuns(tx: Reader, span: BlockSpan, { groups, from, to }: WordQuery): Promise<BlockRuns> {
  let candidates: BlockRuns =
    from == null && to == null
      ? new Map(Array.from({ length: span.high - span.low + 1 }, (_, index) => [span.low + index, ALL_RUNS]))
      : await blocksOfWindow(tx, span, { from, to });
  for (const group of groups) {
    if (candidates.size === 0) break;
    const found = await readRuns(tx, { epoch: span.epoch, blocks: [...candidates.keys()] }, group);
    candidates = narrowed(candidates, group, found);
  }
  return candidates;
}

/** By word and block. */
type WordRuns = ReadonlyMap<number, BlockRuns>;

function narrowed(candidates: BlockRuns, group: WordGroup, found: WordRuns): BlockRuns {
  const left: BlockRuns = new Map();
  for (const [block, runs] of candidates) {
    const any = group.reduce(
      (sum, words) => sum | words.reduce((all, word) => all & (found.get(word)?.get(block) ?? 0n), runs),
      0n,
    );
    if (any !== 0n) left.set(block, any);
  }
  return left;
}

// The limits make the planner go to the primary key for every word or window: it knows nothing of how many blocks a
// tenant has, and may not use any other condition under row security.

async function blocksOfWindow(
  tx: Reader,
  { epoch, low, high }: BlockSpan,
  { from, to }: Pick<WordQuery, 'from' | 'to'>,
): Promise<BlockRuns> {
  const rows = await tx.query<{ block: number }>(
    `select block from (
       select block, min_ts, max_ts from log_search_blocks
        where epoch = $1 and block between $2 and $3 order by block limit ${MOST_IN_STEP}
     ) as b where max_ts >= $4 and min_ts < $5 order by block`,
    [epoch, low, high, from ?? '-infinity', to ?? 'infinity'],
  );
  return new Map(rows.map(({ block }) => [block, ALL_RUNS]));
}

async function readRuns(
  tx: Reader,
  { epoch, blocks }: { epoch: number; blocks: readonly number[] },
  group: WordGroup,
): Promise<WordRuns> {
  const words = [...new Set(group.flat())];
  const rows = await tx.query<{ place: number; block: number; postings: Buffer }>(
    `select place::integer, block, postings
       from unnest($2::smallint[], $3::bytea[]) with ordinality as w (word_part, key, place), lateral (
         select block, postings from log_search_words
          where part = word_part and epoch = $1 and block = any($4::integer[]) order by block limit ${MOST_IN_STEP}
       ) as b
      where position(key in postings) > 0`,
    [epoch, words.map(partOf), words.map(postingKey), blocks],
  );
  const found = new Map(words.map((word): [number, BlockRuns] => [word, new Map()]));
  for (const { place, block, postings } of rows) {
    const word = words[place - 1] ?? 0;
    found.get(word)?.set(block, runsOf(postings, word));
  }
  return found;
}

/** Returns the runs as ranges in the order of the log, those that touch as one. */
function rangesOf(candidates: BlockRuns): SeqRange[] {
  const ranges: { low: number; high: number }[] = [];
  for (const block of [...candidates.keys()].sort((a, b) => a - b)) {
    const mask = candidates.get(block) ?? 0n;
    for (let run = 0; mask >> BigInt(run) !== 0n; run++) {
      if (((mask >> BigInt(run)) & 1n) === 0n) continue;
      const low = block * BLOCK_SIZE + run * RUN_SIZE;
      const last = ranges.at(-1);
      if (last?.high === low) last.high = low + RUN_SIZE;
      else ranges.push({ low, high: low + RUN_SIZE });
    }
  }
  return ranges;
}

/** Returns how far an epoch goes, and how far blocks hold its entries. */
async function readExtent(tx: Reader, epoch: number): Promise<{ indexed: number; size: number }> {
  const [row] = await tx.query<{ indexed: string; size: string }>(
    `select coalesce((select last_seq + 1 from log_search_blocks where epoch = $1 order by block desc limit 1), 0) as indexed,
            coalesce((select seq + 1 from log_entries where epoch = $1 order by seq desc limit 1), 0) as size`,
    [epoch],
  );
  return { indexed: Number(row?.indexed ?? 0), size: Number(row?.size ?? 0) };
}

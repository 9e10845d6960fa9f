import {
  addPlaces,
  BLOCK_SIZE,
  noPlaces,
  partOf,
  postingKey,
  SPAN_SIZE,
  type Level,
  type Places,
} from '#schema/search-block.ts';
import type { TenantTransaction } from './database.ts';
import { boundsOfWindow, MOST_IN_STEP, placesInWindow, readExtent, type TimeWindow } from './log-window.ts';
import { placeRanges, type SeqRange } from './place-ranges.ts';

export type { SeqRange } from './place-ranges.ts';

/** What entries have to hold to be worth reading. What is found may fit; what is not found does not. */
export interface WordQuery extends TimeWindow {
  /** Each of them has to be there; those that few entries hold are best first. */
  readonly groups: readonly WordGroup[];
}

/** One of these sets of words, by their hashes: an entry holds all words of one set at least. */
export type WordGroup = readonly (readonly number[])[];

/** Where in an epoch to look, and from which end. */
export interface SearchSpan extends SeqRange {
  readonly epoch: number;
  readonly order: 'asc' | 'desc';
}

/** A step of a search. */
export interface SearchStep {
  /** What is worth reading, in the order of the search; none overlap. Made as they are asked for: they can be many. */
  readonly ranges: Iterable<SeqRange>;
  /** Up to here the span has been looked at: entries beyond this edge, in the order of the search, have not. */
  readonly edge: number;
}

/** The part of a transaction that searching needs. */
type Reader = Pick<TenantTransaction, 'query'>;

/** Blocks looked at before any span: a page that fills soon asks for little. */
const FIRST_BLOCKS = 8;
/** Spans looked at in the first step that takes any, and at most in one. */
const FIRST_SPANS = 4;
const STEP_GROWTH = 4;

/**
 * Yields, step by step and in the order of the span, the ranges of a tenant's log in which a query may find entries: the
 * places of its words in blocks and spans, and all that no block holds yet. Every entry of the span that fits lies in one
 * of them, and one that is appended meanwhile too where it was there when the search began.
 */
export async function* searchSteps(tx: Reader, span: SearchSpan, query: WordQuery): AsyncGenerator<SearchStep> {
  const extent = await readExtent(tx, span.epoch);
  const [low, high] = [Math.max(span.low, 0), Math.min(span.high, extent.size)];
  const tail = { low: Math.max(low, extent.indexed), high };
  if (span.order === 'desc') yield* tailStep(tail, tail.low);
  const bounds = await boundsOfWindow(tx, extent, query);
  const inBlocks = { ...span, low: Math.max(low, bounds.low), high: Math.min(high, bounds.high) };
  const steps = stepsOf([...unitsOf(inBlocks, extent.spans)]);
  for (const units of steps) yield await lookInto(tx, { ...span, units }, query);
  if (span.order === 'asc') yield* tailStep(tail, tail.high);
}

/** A block or a span, or the part of one that is looked at. */
interface Unit extends SeqRange {
  readonly level: Level;
  readonly block: number;
  /** Its first entry, which may lie before `low`. */
  readonly base: number;
}

interface Step extends Pick<SearchSpan, 'epoch' | 'order'> {
  /** All of one level, in the order of the search. */
  readonly units: readonly Unit[];
}

function* tailStep(tail: SeqRange, edge: number): Generator<SearchStep> {
  if (tail.high > tail.low) yield { ranges: [tail], edge };
}

/** Cuts what is indexed of a log: blocks first, then as many spans as there are, then blocks. */
function* unitsOf({ low, high, order }: SearchSpan, spans: number): Generator<Unit> {
  let [left, right, count] = [low, high, 0];
  while (right > left) {
    const seq = order === 'desc' ? right - 1 : left;
    const level: Level = count >= FIRST_BLOCKS && seq < spans * SPAN_SIZE ? 1 : 0;
    const size = level === 0 ? BLOCK_SIZE : SPAN_SIZE;
    const block = Math.floor(seq / size);
    const base = block * size;
    const unit = { level, block, base, low: Math.max(left, base), high: Math.min(right, base + size) };
    yield unit;
    count += 1;
    if (order === 'desc') right = unit.low;
    else left = unit.high;
  }
}

/** Cuts units into steps of one level each, small ones first. */
function* stepsOf(units: readonly Unit[]): Generator<readonly Unit[]> {
  const most: [number, number] = [FIRST_BLOCKS, FIRST_SPANS];
  for (let at = 0; at < units.length;) {
    const { level } = units[at] ?? { level: 0 };
    const rest = units.slice(at, at + most[level]);
    const other = rest.findIndex((unit) => unit.level !== level);
    const step = other === -1 ? rest : rest.slice(0, other);
    most[level] = Math.min(most[level] * STEP_GROWTH, MOST_IN_STEP);
    at += step.length;
    yield step;
  }
}

/** Places that are left of a unit; null are all. */
interface Candidates {
  readonly unit: Unit;
  readonly places: Places | null;
}

async function lookInto(tx: Reader, step: Step, query: WordQuery): Promise<SearchStep> {
  let candidates = await inWindow(tx, step, query);
  for (const group of query.groups) {
    if (candidates.length === 0) break;
    candidates = await narrowed(tx, { epoch: step.epoch, candidates }, group);
  }
  const last = step.units.at(-1);
  return {
    ranges: rangesOf(candidates, step.order),
    edge: (step.order === 'desc' ? last?.low : last?.high) ?? 0,
  };
}

async function inWindow(tx: Reader, { units, epoch }: Step, query: WordQuery): Promise<Candidates[]> {
  const blocks = { epoch, level: units[0]?.level ?? 0, blocks: units.map(({ block }) => block) };
  const found = await placesInWindow(tx, blocks, query);
  return units.flatMap((unit) => {
    const places = found.get(unit.block);
    return places === undefined ? [] : [{ unit, places }];
  });
}

function* rangesOf(candidates: readonly Candidates[], order: SearchSpan['order']): Generator<SeqRange> {
  for (const { unit, places } of candidates) {
    if (places === null) yield { low: unit.low, high: unit.high };
    else yield* placeRanges(places, { ...unit, order });
  }
}

async function narrowed(
  tx: Reader,
  { epoch, candidates }: { epoch: number; candidates: readonly Candidates[] },
  group: WordGroup,
): Promise<Candidates[]> {
  const found = await readPostings(tx, { epoch, units: candidates.map(({ unit }) => unit) }, group);
  return candidates.flatMap(({ unit, places }) => {
    const holding = group.flatMap((words) => placesOfAll(unit, words, found) ?? []);
    const any = holding.reduce<Places | null>((sum, each) => (sum === null ? each : joined(sum, each)), null);
    if (any === null) return [];
    const left = places === null ? any : met(any, places);
    return left.some((bits) => bits !== 0) ? [{ unit, places: left }] : [];
  });
}

/** By word and block. */
type Postings = ReadonlyMap<number, ReadonlyMap<number, Buffer>>;

/** The places at which all words stand; null where a word stands nowhere in the unit. */
function placesOfAll({ level, block }: Unit, words: readonly number[], found: Postings): Places | null {
  let all: Places | null = null;
  const postings = words.map((word) => ({ word, bytes: found.get(word)?.get(block) }));
  if (postings.some(({ bytes }) => bytes === undefined)) return null;
  for (const { word, bytes } of postings) {
    const places = noPlaces(level);
    if (bytes !== undefined) addPlaces(places, bytes, word);
    all = all === null ? places : met(all, places);
  }
  return all;
}

function joined(one: Places, other: Places): Places {
  for (let at = 0; at < one.length; at++) one[at] = (one[at] ?? 0) | (other[at] ?? 0);
  return one;
}

function met(one: Places, other: Places): Places {
  for (let at = 0; at < one.length; at++) one[at] = (one[at] ?? 0) & (other[at] ?? 0);
  return one;
}

// The limit makes the planner go to the primary key for every word: it knows nothing of how many blocks a tenant has, and
// may not use any other condition under row security.
async function readPostings(
  tx: Reader,
  { epoch, units }: { epoch: number; units: readonly Unit[] },
  group: WordGroup,
): Promise<Postings> {
  const level = units[0]?.level ?? 0;
  const words = [...new Set(group.flat())];
  const rows = await tx.query<{ place: number; block: number; postings: Buffer }>(
    `select place::integer, block, postings
       from unnest($3::smallint[], $4::bytea[]) with ordinality as w (word_part, key, place), lateral (
         select block, postings from log_search_words
          where level = $1 and part = word_part and epoch = $2 and block = any($5::integer[])
          order by block limit ${MOST_IN_STEP}
       ) as b
      where position(key in postings) > 0`,
    [level, epoch, words.map((word) => partOf(word, level)), words.map(postingKey), units.map(({ block }) => block)],
  );
  const found = new Map(words.map((word): [number, Map<number, Buffer>] => [word, new Map()]));
  for (const { place, block, postings } of rows) found.get(words[place - 1] ?? 0)?.set(block, postings);
  return found;
}

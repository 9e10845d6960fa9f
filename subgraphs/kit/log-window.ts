import { BLOCK_SIZE, noPlaces, RUN_SIZE, SPAN_BLOCKS, type Level, type Places } from '#schema/search-block.ts';
import type { TenantTransaction } from './database.ts';
import type { SeqRange } from './place-ranges.ts';

/** The earliest time and the time before which it happened; null is no bound. */
export interface TimeWindow {
  readonly from?: Date | null | undefined;
  readonly to?: Date | null | undefined;
}

/** How far an epoch goes, how far blocks hold its entries, and how many spans are merged. */
export interface LogExtent {
  readonly epoch: number;
  readonly indexed: number;
  readonly spans: number;
  readonly size: number;
}

/** Blocks of one level by their numbers. */
export interface AskedBlocks {
  readonly epoch: number;
  readonly level: Level;
  readonly blocks: readonly number[];
}

/** Blocks or spans looked at in one step of a search, at most. */
export const MOST_IN_STEP = 64;

const PLACES_PER_NUMBER = 32;

type Reader = Pick<TenantTransaction, 'query'>;

/** Returns how far an epoch of the tenant's log goes. */
export async function readExtent(tx: Reader, epoch: number): Promise<LogExtent> {
  const [row] = await tx.query<{ indexed: string; spans: string; size: string }>(
    `select coalesce((select last_seq + 1 from log_search_blocks where level = 0 and epoch = $1 order by block desc limit 1), 0) as indexed,
            coalesce((select block + 1 from log_search_blocks where level = 1 and epoch = $1 order by block desc limit 1), 0) as spans,
            coalesce((select seq + 1 from log_entries where epoch = $1 order by seq desc limit 1), 0) as size`,
    [epoch],
  );
  return { epoch, indexed: Number(row?.indexed ?? 0), spans: Number(row?.spans ?? 0), size: Number(row?.size ?? 0) };
}

/**
 * Returns from where to where blocks have entries of the window, found by the spans: whatever of an extent lies outside
 * has none, whether times follow the order of the log or not.
 */
export async function boundsOfWindow(tx: Reader, extent: LogExtent, window: TimeWindow): Promise<SeqRange> {
  const { epoch, indexed } = extent;
  if (isOpen(window)) return { low: 0, high: indexed };
  const blocks = 'from log_search_blocks where level = 0 and epoch = $1';
  const spans = 'from log_search_blocks where level = 1 and epoch = $1';
  const [row] = await tx.query<{ low: string | null; high: string | null }>(
    `select (select first_seq ${blocks} and block >= coalesce(first * ${SPAN_BLOCKS}, $2) and max_ts >= $3 order by block limit 1) as low,
            coalesce(
              (select last_seq + 1 ${blocks} and block >= $2 and min_ts < $4 order by block desc limit 1),
              (select last_seq + 1 ${blocks} and block < (last + 1) * ${SPAN_BLOCKS} and min_ts < $4 order by block desc limit 1)
            ) as high
       from (select
              (select block ${spans} and max_ts >= $3 order by block limit 1) as first,
              (select block ${spans} and min_ts < $4 order by block desc limit 1) as last
       ) as touched`,
    [epoch, extent.spans * SPAN_BLOCKS, ...boundsOf(window)],
  );
  return { low: Number(row?.low ?? indexed), high: Number(row?.high ?? 0) };
}

/**
 * Returns those of the blocks that have entries of the window. Where they have others too it says by their runs, and of a
 * span by its blocks and theirs, which places are worth looking at; null are all.
 */
export async function placesInWindow(
  tx: Reader,
  asked: AskedBlocks,
  window: TimeWindow,
): Promise<Map<number, Places | null>> {
  if (isOpen(window)) return new Map(asked.blocks.map((block) => [block, null]));
  const touched = await readTouched(tx, asked, window);
  const inSpans = asked.level === 0 ? touched : await blocksOfSpans(tx, { asked, touched }, window);
  const found = [...touched].map(([block, { inside }]): [number, Places | null] => [
    block,
    inside ? null : placesOf(block, asked.level, inSpans),
  ]);
  return new Map(found.filter(([, places]) => places === null || places.some((bits) => bits !== 0)));
}

/** What of a block or a span lies in a window. */
interface TouchedBlock {
  /** All of it. */
  readonly inside: boolean;
  /** The runs with entries that do, where not all of a block does. */
  readonly runs: readonly number[] | null;
}

type TouchedBlocks = ReadonlyMap<number, TouchedBlock>;

async function blocksOfSpans(
  tx: Reader,
  { asked, touched }: { readonly asked: AskedBlocks; readonly touched: TouchedBlocks },
  window: TimeWindow,
): Promise<TouchedBlocks> {
  const partly = asked.blocks.filter((span) => touched.get(span)?.inside === false);
  if (partly.length === 0) return touched;
  const blocks = partly.flatMap((span) => Array.from({ length: SPAN_BLOCKS }, (_, at) => span * SPAN_BLOCKS + at));
  return readTouched(tx, { epoch: asked.epoch, level: 0, blocks }, window);
}

function placesOf(block: number, level: Level, touched: TouchedBlocks): Places {
  const places = noPlaces(level);
  const count = level === 0 ? 1 : SPAN_BLOCKS;
  for (let at = 0; at < count; at++) {
    const found = touched.get(block * count + at);
    if (found?.inside === true) addRange(places, at * BLOCK_SIZE, BLOCK_SIZE);
    for (const run of found?.runs ?? []) addRange(places, at * BLOCK_SIZE + run * RUN_SIZE, RUN_SIZE);
  }
  return places;
}

/** First and length are multiples of the 32 places of a number. */
function addRange(places: Places, first: number, length: number): void {
  places.fill(0xffffffff, first / PLACES_PER_NUMBER, (first + length) / PLACES_PER_NUMBER);
}

// The limit makes the planner go to the primary key: it knows nothing of how many blocks a tenant has.
async function readTouched(
  tx: Reader,
  { epoch, level, blocks }: AskedBlocks,
  window: TimeWindow,
): Promise<Map<number, TouchedBlock>> {
  const rows = await tx.query<TouchedBlock & { readonly block: number }>(
    `select block, inside, case when not inside and level = 0 then array(
              select run::integer - 1 from unnest(run_min_ts, run_max_ts) with ordinality as t (min_ts, max_ts, run)
               where t.max_ts >= $4 and t.min_ts < $5) end as runs
       from (
         select level, block, min_ts, max_ts, run_min_ts, run_max_ts, min_ts >= $4 and max_ts < $5 as inside
           from log_search_blocks where level = $1 and epoch = $2 and block = any($3::integer[])
          order by block limit ${MOST_IN_STEP * SPAN_BLOCKS}
       ) as b where max_ts >= $4 and min_ts < $5`,
    [level, epoch, blocks, ...boundsOf(window)],
  );
  return new Map(rows.map(({ block, inside, runs }) => [block, { inside, runs }]));
}

function isOpen({ from, to }: TimeWindow): boolean {
  return from == null && to == null;
}

function boundsOf({ from, to }: TimeWindow): [Date | string, Date | string] {
  return [from ?? '-infinity', to ?? 'infinity'];
}

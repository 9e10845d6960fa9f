import type { AuditEntry, AuditEvent } from '#schema/audit-event.ts';
import { searchSteps, type SeqRange } from '#kit/log-search.ts';
import { readRanges, type EntryPlace, type EntryRow, type Reader } from './entries.ts';
import { holdsPhrases, type EntryQuery } from './search-terms.ts';

/** Which entries to find, and from which end. */
export interface EntrySearch {
  readonly query: EntryQuery;
  readonly order: 'asc' | 'desc';
  /** Begin behind this place in the order of the search; null begins at the end of the logs. */
  readonly behind: EntryPlace | null;
  /** Look at nothing from this place on; for searches in the order of the log. */
  readonly until?: EntryPlace;
  readonly limit: number;
}

/** What a search found, in its order. */
export interface FoundEntries {
  readonly rows: readonly EntryRow[];
  /**
   * Where it stopped before it had found enough or come to its end, because it had looked at as much as one request may:
   * go on behind this place. Null where it did not.
   */
  readonly stoppedAt: EntryPlace | null;
}

/**
 * What one search may do, in units of some 3 us: an entry compared by its fields alone is one. Its text costs more, and so
 * does going to a place for it; passing over what is indexed costs little, for each word that is looked up.
 */
const MOST_WORK = 24_000;
const TEXT_UNITS = 3;
const PLACE_UNITS = 3;
const PASSED_PER_UNIT = 32_768;
const EPOCH_UNITS = 64;
/** Entries read by one statement at first, by the size of the page, and at most: one that fills soon reads little. */
const FIRST_READ = 2;
const READ_GROWTH = 4;
const MOST_READ = 4096;

/**
 * Finds entries in order through all epochs. It reads those alone in whose run every word that is asked for stands, and
 * ends in time however rare or frequent they are: the work of one call is bounded, and a later call goes on.
 */
export async function searchEntries(tx: Reader, search: EntrySearch): Promise<FoundEntries> {
  const run: SearchRun = { search, rows: [], work: 0, readSize: search.limit * FIRST_READ };
  for (const epoch of await epochsOf(tx, search)) {
    const stoppedAt = await searchEpoch(tx, epoch, run);
    if (stoppedAt !== null) return { rows: run.rows, stoppedAt };
    if (isFull(run)) break;
    run.work += EPOCH_UNITS;
  }
  return { rows: run.rows, stoppedAt: null };
}

/** A search on its way. */
interface SearchRun {
  readonly search: EntrySearch;
  readonly rows: EntryRow[];
  work: number;
  readSize: number;
}

async function epochsOf(tx: Reader, { order, behind, until }: EntrySearch): Promise<number[]> {
  const [head] = await tx.query<{ epoch: number }>('select epoch from log_heads');
  const newest = Math.min(until?.epoch ?? Number.MAX_SAFE_INTEGER, head?.epoch ?? 0);
  const epochs = Array.from({ length: newest }, (_, index) => index + 1);
  if (order === 'asc') return epochs.filter((epoch) => epoch >= (behind?.epoch ?? 1));
  return epochs.filter((epoch) => epoch <= (behind?.epoch ?? newest)).toReversed();
}

async function searchEpoch(tx: Reader, epoch: number, run: SearchRun): Promise<EntryPlace | null> {
  const { order, query } = run.search;
  const span = { epoch, order, ...spanOf(run.search, epoch) };
  const words = Math.max(1, query.words.groups.flat(2).length);
  let passed: number | null = null;
  for await (const { ranges, edge } of searchSteps(tx, span, query.words)) {
    for (const pieces of readings(ranges, run)) {
      const stoppedAt = await readPieces(tx, { epoch, pieces }, run);
      if (isFull(run) || stoppedAt !== null) return stoppedAt;
    }
    run.work += 1 + Math.ceil((Math.abs((passed ?? edge) - edge) * words) / PASSED_PER_UNIT);
    passed = edge;
    if (run.work >= MOST_WORK && edge > 0) return placeAt(epoch, edge, order);
  }
  return null;
}

/** The entries of an epoch that lie behind where the search begins, and before where it is to end. */
function spanOf({ order, behind, until }: EntrySearch, epoch: number): SeqRange {
  const begin = behind?.epoch === epoch ? behind.seq : null;
  const high = until?.epoch === epoch ? until.seq : Number.MAX_SAFE_INTEGER;
  return order === 'desc' ? { low: 0, high: Math.min(begin ?? high, high) } : { low: (begin ?? -1) + 1, high };
}

/** Cuts ranges into what one statement each reads; the next is asked for when the one before was read. */
function* readings(ranges: Iterable<SeqRange>, run: SearchRun): Generator<SeqRange[]> {
  let pieces: SeqRange[] = [];
  let size = 0;
  for (const range of ranges) {
    let { low, high } = range;
    while (high > low) {
      const count = Math.min(high - low, run.readSize - size);
      const piece = run.search.order === 'desc' ? { low: high - count, high } : { low, high: low + count };
      pieces.push(piece);
      size += count;
      if (run.search.order === 'desc') high -= count;
      else low += count;
      if (size < run.readSize) continue;
      yield pieces;
      [pieces, size] = [[], 0];
      run.readSize = Math.min(run.readSize * READ_GROWTH, MOST_READ);
    }
  }
  if (pieces.length > 0) yield pieces;
}

/** Reads what fits of some ranges, and returns where the search has to stop, or null where it may go on. */
async function readPieces(
  tx: Reader,
  { epoch, pieces }: { epoch: number; pieces: readonly SeqRange[] },
  run: SearchRun,
): Promise<EntryPlace | null> {
  const { query, order, limit } = run.search;
  const { terms, phrases } = query;
  // A row that the conditions let through may still not hold the phrases: then more of the same range are wanted.
  const limitEach = phrases.length === 0 ? limit - run.rows.length : MOST_READ;
  const rows = await readRanges(tx, { epoch, ranges: pieces, order, terms, limitEach });
  const entryUnits = phrases.length === 0 ? 1 : TEXT_UNITS;
  run.work += pieces.reduce((sum, { low, high }) => sum + PLACE_UNITS + (high - low) * entryUnits, rows.length);
  const fitting = phrases.length === 0 ? rows : rows.filter((row) => holdsPhrases(storedEvent(row), phrases));
  run.rows.push(...fitting.slice(0, limit - run.rows.length));
  const last = pieces.at(-1);
  return run.work < MOST_WORK || last === undefined || isFull(run)
    ? null
    : placeAt(epoch, order === 'desc' ? last.low : last.high, order);
}

/** The sequencer has proved what stands in the log; proving it again costs ten times as much as reading it. */
function storedEvent({ entry }: EntryRow): AuditEvent {
  return (JSON.parse(entry) as AuditEntry).event;
}

function isFull({ rows, search }: SearchRun): boolean {
  return rows.length >= search.limit;
}

/** The place behind which lies what is beyond an edge. */
function placeAt(epoch: number, edge: number, order: 'asc' | 'desc'): EntryPlace {
  return { epoch, seq: order === 'desc' ? edge : edge - 1 };
}

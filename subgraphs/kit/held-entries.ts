import type { TenantTransaction } from './database.ts';
import { searchSteps, type SeqRange, type WordQuery } from './log-search.ts';

/** A statement over the entries of a tenant's log that hold words. */
export interface HeldEntries {
  /** Where the entries can be; the statement says itself what they are. */
  readonly words: WordQuery;
  /** Expressions over the columns of `log_entries`, none of them an aggregate. */
  readonly select: string;
  /** A condition over the same columns; `$1` is the first of the values. */
  readonly where: string;
  readonly values: readonly unknown[];
}

/** Ranges read by one statement. */
const RANGES_AT_ONCE = 1000;
/** Parameters of our own stand behind those of the caller. */
const OWN_PARAMETERS = ['low', 'high', 'epoch'] as const;

/**
 * Yields the rows of a statement in pieces, in the order of the log and through all epochs. It reads the entries that the
 * search index leads to and those that are not indexed yet, never the whole log: what it costs grows with what it finds.
 */
export async function* entriesHolding<Row extends object>(
  tx: Pick<TenantTransaction, 'query'>,
  { words, select, where, values }: HeldEntries,
): AsyncGenerator<Row[]> {
  const [low, high, epoch] = OWN_PARAMETERS.map((_, index) => `$${values.length + index + 1}`);
  // The limit makes the planner go to the primary key once a range.
  const sql = `select ${select}
     from unnest(${low}::bigint[], ${high}::bigint[]) as range (low, high), lateral (
       select * from log_entries where epoch = ${epoch} and seq >= low and seq < high order by seq limit 1000000
     ) as found where ${where} order by seq`;
  const [head] = await tx.query<{ epoch: number }>('select epoch from log_heads');
  for (let number = 1; number <= (head?.epoch ?? 0); number++) {
    for await (const ranges of rangesHolding(tx, number, words)) {
      const lows = ranges.map((range) => range.low);
      yield await tx.query<Row>(sql, [...values, lows, ranges.map((range) => range.high), number]);
    }
  }
}

async function* rangesHolding(
  tx: Pick<TenantTransaction, 'query'>,
  epoch: number,
  words: WordQuery,
): AsyncGenerator<SeqRange[]> {
  const span = { epoch, order: 'asc', low: 0, high: Number.MAX_SAFE_INTEGER } as const;
  for await (const step of searchSteps(tx, span, words)) {
    let ranges: SeqRange[] = [];
    for (const range of step.ranges) {
      ranges.push(range);
      if (ranges.length < RANGES_AT_ONCE) continue;
      yield ranges;
      ranges = [];
    }
    if (ranges.length > 0) yield ranges;
  }
}

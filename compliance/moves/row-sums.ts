import { isDeepStrictEqual } from 'node:util';
import { fail } from '#schema/errors.ts';
import type { MoveEnd, MoveTransaction } from './end.ts';
import { identifier, tablesOf, type RowPath } from './row-copy.ts';
import type { ChangedRows, Follower } from './row-follower.ts';

/** What a table held of the tenant. */
export interface TableSum {
  readonly store: RowPath['store'];
  readonly table: string;
  readonly rows: number;
  /** Lower-case hex: SHA-256 over the sorted SHA-256 of the rows' texts. */
  readonly sha256: string;
}

/** Rows compared in one statement. */
const COMPARED_TOGETHER = 5_000;
/** A snapshot is taken again where commits fall together; that is rare. */
const MOST_SNAPSHOTS = 20;

/**
 * Compares all rows of both ends while the tenant works: the source as a snapshot shows it, and the copy brought to the
 * same point. INTERNAL_SERVER_ERROR where they differ. What changes from then on is noted by the follower.
 */
export async function compareWhole(path: RowPath, follower: Follower): Promise<void> {
  const tables = await tablesOf(path.source);
  for (let tries = 0; tries < MOST_SNAPSHOTS; tries += 1) {
    const isCompared = await path.source.inContext(
      async (tx) => {
        const [at] = await tx.query<{ snapshot: string }>('select pg_current_snapshot()::text as snapshot');
        if (!(await follower.matchSnapshot(at?.snapshot ?? ''))) return false;
        const [source, target] = await Promise.all([
          sumTables(tx, tables),
          path.target.inContext((copy) => sumTables(copy, tables)),
        ]);
        requireEqual(source, target);
        return true;
      },
      { isSnapshot: true },
    );
    if (isCompared) return;
  }
  fail('SERVICE_UNAVAILABLE', 'no moment was found at which both copies can be compared');
}

/** Compares the rows that have changed since the whole was compared, at both ends at once; returns how many they are. */
export async function compareChanged({ source, target }: RowPath, changed: ChangedRows): Promise<number> {
  let count = 0;
  for (const [table, keys] of changed) {
    const all = [...keys];
    count += all.length;
    for (let from = 0; from < all.length; from += COMPARED_TOGETHER) {
      const some = all.slice(from, from + COMPARED_TOGETHER);
      const sumOf = (end: MoveEnd) => end.inContext((tx) => sumRows(tx, { table, keys: some }));
      const [one, other] = await Promise.all([sumOf(source), sumOf(target)]);
      requireEqual([{ table, ...one }], [{ table, ...other }]);
    }
  }
  return count;
}

/** Returns what every table of a copy holds that does not change any more. */
export async function sumsOf(end: MoveEnd, store: RowPath['store']): Promise<TableSum[]> {
  const tables = await tablesOf(end);
  const sums = await end.inContext((tx) => sumTables(tx, tables));
  return sums.map(({ table, rows, sha256 }) => ({ store, table, rows, sha256 }));
}

type RowsSum = Pick<TableSum, 'rows' | 'sha256'>;

async function sumTables(tx: MoveTransaction, tables: readonly string[]): Promise<(RowsSum & { table: string })[]> {
  const sums = [];
  for (const table of tables) sums.push({ table, ...(await sumRows(tx, { table, keys: null })) });
  return sums;
}

async function sumRows(
  tx: MoveTransaction,
  { table, keys }: { readonly table: string; readonly keys: readonly string[] | null },
): Promise<RowsSum> {
  const relation = `app.${identifier(table)}`;
  const rows =
    keys === null
      ? `${relation} t`
      : `${relation} t join unnest($1::text[]::${relation}[]) k using (${await keyOf(tx, table)})`;
  const [sum] = await tx.query<{ rows: string; sha256: string }>(
    `select count(*) as rows, encode(sha256(coalesce(string_agg(h, ''::bytea order by h), ''::bytea)), 'hex') as sha256
       from (select sha256(convert_to(t::text, 'UTF8')) as h from ${rows}) each_row`,
    keys === null ? [] : [keys],
  );
  return { rows: Number(sum?.rows), sha256: sum?.sha256 ?? '' };
}

async function keyOf(tx: MoveTransaction, table: string): Promise<string> {
  const [row] = await tx.query<{ key: string[] }>(
    `select tenon.key_columns(format('app.%I', $1::text)::regclass)::text[] as key`,
    [table],
  );
  return (row?.key ?? []).map(identifier).join(', ');
}

function requireEqual<Sum extends { readonly table: string }>(source: readonly Sum[], target: readonly Sum[]): void {
  const different = source.filter((sum, index) => !isDeepStrictEqual(sum, target[index])).map(({ table }) => table);
  if (different.length > 0) fail('INTERNAL_SERVER_ERROR', `the copy differs in ${different.join(', ')}`);
}

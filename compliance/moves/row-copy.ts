import type { MoveEnd, MoveTransaction } from './end.ts';

/** Where rows come from and where they go, for one kind of database. */
export interface RowPath {
  /** `cell` or `audit`. */
  readonly store: 'cell' | 'audit';
  readonly source: MoveEnd;
  readonly target: MoveEnd;
}

/** So much text is on its way at a time. */
const BATCH_BYTES = 4 * 1024 * 1024;
const MOST_ROWS = 2_000;
/** Rows of a copy that is given up are removed so many at a time. */
const REMOVED_AT_ONCE = 20_000;

/** Returns the tables of an end that hold rows of tenants, in the order of their names. */
export async function tablesOf(end: MoveEnd): Promise<string[]> {
  const rows = await end.inContext((tx) => tx.query<{ name: string }>('select tenon.moved_tables() as name'));
  return rows.map(({ name }) => name);
}

/** Returns the columns of every such table in the order of its row type. */
export async function columnsOf(end: MoveEnd): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await end.inContext((tx) =>
    tx.query<{ table: string; columns: string[] }>(
      `select t as table, array(select attname::text from pg_attribute
                                where attrelid = format('app.%I', t)::regclass and attnum > 0 and not attisdropped
                                order by attnum) as columns
         from tenon.moved_tables() t`,
    ),
  );
  return new Map(rows.map(({ table, columns }) => [table, columns]));
}

/**
 * Copies all rows of the tenant as they are at one moment, and notes at the target which transactions that was after.
 * Changes from then on have to be kept already. Broken off, it is begun again from nothing.
 */
export async function copyRows({ source, target }: RowPath, report: (rows: number) => Promise<void>): Promise<void> {
  const tables = await tablesOf(source);
  await source.inContext(
    async (tx) => {
      const [at] = await tx.query<{ snapshot: string }>('select pg_current_snapshot()::text as snapshot');
      for (const table of tables) await copyTable({ tx, target, table, report });
      await target.inContext((copy) => copy.query('select tenon.note_snapshot($1::pg_snapshot)', [at?.snapshot]));
    },
    { isSnapshot: true },
  );
}

interface TableCopy {
  readonly tx: MoveTransaction;
  readonly target: MoveEnd;
  readonly table: string;
  readonly report: (rows: number) => Promise<void>;
}

/** The rows at a time follow from how long the last ones were: a table may hold small ones or megabytes. */
async function copyTable({ tx, target, table, report }: TableCopy): Promise<void> {
  await tx.query(`declare moved no scroll cursor for select t::text as row from app.${identifier(table)} t`);
  for (let count = 16; ;) {
    const rows = (await tx.query<{ row: string }>(`fetch ${count} from moved`)).map(({ row }) => row);
    if (rows.length > 0) {
      await target.inContext((copy) => copy.query('select tenon.copy_rows($1, $2)', [table, rows]));
      await report(rows.length);
    }
    if (rows.length < count) break;
    const bytes = rows.reduce((sum, row) => sum + row.length, 0);
    count = Math.max(1, Math.min(MOST_ROWS, count * 4, Math.floor((BATCH_BYTES * rows.length) / bytes)));
  }
  await tx.query('close moved');
}

/** Removes all rows of a copy that counts nowhere, and returns how many there were. */
export async function removeRows(end: MoveEnd, report?: (rows: number) => Promise<void>): Promise<number> {
  let sum = 0;
  for (const table of await tablesOf(end)) {
    for (let removed = REMOVED_AT_ONCE; removed === REMOVED_AT_ONCE;) {
      const [row] = await end.inContext((tx) =>
        tx.query<{ removed: string }>('select tenon.remove_copy($1, $2) as removed', [table, REMOVED_AT_ONCE]),
      );
      removed = Number(row?.removed);
      sum += removed;
      if (removed > 0) await report?.(removed);
    }
  }
  return sum;
}

/** Returns about how many rows the tenant has. */
export async function countRows(end: MoveEnd): Promise<number> {
  const tables = await tablesOf(end);
  return end.inContext(async (tx) => {
    let sum = 0;
    for (const table of tables) {
      const [row] = await tx.query<{ rows: string }>(`select count(*) as rows from app.${identifier(table)}`);
      sum += Number(row?.rows);
    }
    return sum;
  });
}

/** A name of the catalog as a statement takes it. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

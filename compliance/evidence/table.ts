import { stringify } from 'csv-stringify/sync';
import { canonicalJson, type JsonValue } from '#schema/canonical-json.ts';
import type { PackFiles } from './pack-files.ts';

/** One row of a table, by the names of its columns. */
export type Row = Readonly<Record<string, JsonValue>>;

/** A table to write. */
export interface Table {
  /** Path without its ending. */
  readonly stem: string;
  /** In the order of the CSV file; JSON has every field of a row, listed or not. */
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<Row> | Iterable<Row>;
}

/** Rows turned into text at a time. */
const BATCH_SIZE = 500;

/**
 * Writes a table twice, as `<stem>.csv` (RFC 4180, UTF-8, formulas disarmed) and as `<stem>.ndjson` (RFC 8785 objects,
 * one a line), each row under its number from 1, and returns how many rows there were. One batch is in memory at a time.
 */
export async function writeTable(files: PackFiles, { stem, columns, rows }: Table): Promise<number> {
  const csv = files.begin(`${stem}.csv`);
  const ndjson = files.begin(`${stem}.ndjson`);
  await csv.write(csvLines([['row', ...columns]]));
  let count = 0;
  let batch: Row[] = [];
  const flush = async (): Promise<void> => {
    const numbered = batch.map((row) => ({ row: (count += 1), ...row }));
    await csv.write(csvLines(numbered.map((row) => [row.row, ...columns.map((column) => cellOf(row, column))])));
    await ndjson.write(numbered.map((row) => `${canonicalJson(row)}\n`).join(''));
    batch = [];
  };
  for await (const row of rows) {
    batch.push(row);
    if (batch.length === BATCH_SIZE) await flush();
  }
  await flush();
  await csv.end(count);
  await ndjson.end(count);
  return count;
}

/** Returns records as lines of RFC 4180; a cell that a spreadsheet would run as a formula is led by an apostrophe. */
export function csvLines(records: readonly (readonly (string | number)[])[]): string {
  return stringify([...records], { escape_formulas: true, record_delimiter: '\r\n', quoted_match: /[\r\n]/ });
}

/** Returns a value as the text of a cell: empty for null, JSON for lists and objects. */
export function cellText(value: JsonValue | undefined): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : canonicalJson(value);
}

function cellOf(row: Row, column: string): string {
  return cellText(Object.hasOwn(row, column) ? row[column] : null);
}

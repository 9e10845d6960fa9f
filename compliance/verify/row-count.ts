/** Counts the data rows of a table that comes in pieces. */
export interface RowCount {
  add(piece: Buffer): void;
  /** Rows so far; the header of a CSV file is none. */
  count(): number;
}

const LF = 0x0a;
const QUOTE = 0x22;

/** Starts counting: by lines, or for a name that ends in `.csv` by the records of RFC 4180, whose fields may hold line breaks. */
export function countRows(name: string): RowCount {
  const isCsv = name.endsWith('.csv');
  let records = 0;
  let quoted = false;
  let ended = true;
  return {
    add: (piece) => {
      for (const byte of piece) {
        if (byte === QUOTE && isCsv) quoted = !quoted;
        ended = byte === LF && !quoted;
        if (ended) records += 1;
      }
    },
    count: () => Math.max(0, records + (ended ? 0 : 1) - (isCsv ? 1 : 0)),
  };
}

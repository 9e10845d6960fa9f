import { fail } from '#schema/errors.ts';

/** A line of an NDJSON export, or a record of a CSV export by the names of its header. */
export type ExportRecord =
  | { readonly kind: 'ndjson'; readonly line: string }
  | { readonly kind: 'csv'; readonly cells: Readonly<Record<string, string>> };

/** An entry and its readable copy, a proof and a checkpoint. */
const MAX_RECORD_CHARACTERS = 2_000_000;
const FIELD = /(?:([^",\r\n]*)|"((?:[^"]|"")*)")(,|\r?\n$|$)/gy;

/**
 * Yields the records of an export that comes in pieces, CSV where it does not begin with a brace. Hostile input enters
 * here: bytes that are no UTF-8, and records beyond 2,000,000 characters or against RFC 4180, are BAD_USER_INPUT.
 */
export async function* exportRecords(pieces: AsyncIterable<Buffer>): AsyncGenerator<ExportRecord> {
  let names: readonly string[] | null = null;
  let isCsv: boolean | null = null;
  for await (const record of rawRecords(pieces)) {
    isCsv ??= !record.startsWith('{');
    if (!isCsv) yield { kind: 'ndjson', line: record.replace(/\r?\n$/, '') };
    else if (names === null) names = fieldsOf(record);
    else yield { kind: 'csv', cells: cellsOf(names, fieldsOf(record)) };
  }
}

/** Records end at line breaks outside of quotes; NDJSON has no raw line break within a text, but quotes in pairs. */
async function* rawRecords(pieces: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let rest = '';
  let scanned = 0;
  let isQuoted = false;
  let isJson: boolean | null = null;
  for await (const piece of pieces) {
    rest += decode(decoder, piece);
    isJson ??= rest === '' ? null : rest.startsWith('{');
    let start = 0;
    for (; scanned < rest.length; scanned++) {
      const code = rest.charCodeAt(scanned);
      if (code === 0x22 && isJson === false) isQuoted = !isQuoted;
      if (code !== 0x0a || isQuoted) continue;
      if (scanned > start) yield rest.slice(start, scanned + 1);
      start = scanned + 1;
    }
    rest = rest.slice(start);
    scanned -= start;
    if (rest.length > MAX_RECORD_CHARACTERS) refuse('a row is longer than any of ours');
  }
  if (isQuoted) refuse('it ends within a cell');
  if (rest !== '') yield rest;
}

function fieldsOf(record: string): string[] {
  const fields: string[] = [];
  FIELD.lastIndex = 0;
  for (;;) {
    const [, plain = '', quoted, end] = FIELD.exec(record) ?? refuse('a row is not in the form of RFC 4180');
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ',') return fields;
  }
}

function cellsOf(names: readonly string[], fields: readonly string[]): Record<string, string> {
  if (fields.length !== names.length) refuse('a row has another number of cells than the header');
  return Object.fromEntries(names.map((name, index) => [name, fields[index] ?? '']));
}

function decode(decoder: TextDecoder, piece: Buffer): string {
  try {
    return decoder.decode(piece, { stream: true });
  } catch (cause) {
    return fail('BAD_USER_INPUT', 'export: it is no UTF-8', { cause });
  }
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', `export: ${reason}`);
}

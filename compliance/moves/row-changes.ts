import { fail } from '#schema/errors.ts';

/** One message of the decoded write-ahead log that matters to a copy. */
export type ChangeMessage =
  | { readonly kind: 'begin'; readonly transactionId: number; readonly commitAt: bigint }
  | { readonly kind: 'commit'; readonly endAt: bigint }
  | RowChange;

/** What became of a row, which is in the text of its table's row type; columns that are not named in `columns` are void. */
export interface RowChange {
  readonly kind: 'write' | 'change' | 'remove';
  readonly table: string;
  readonly row: string;
  /** Of a `change`: the columns that came with it; the others stay as they are. */
  readonly columns: readonly string[];
  /** The row with nothing but its key: the same text for the same row. */
  readonly key: string;
}

interface Relation {
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly isKey: boolean }[];
}

/** A value, null, or undefined where the change left it out because it is big and stayed the same. */
type Values = (string | null | undefined)[];

/**
 * Returns the function that reads messages of pgoutput, protocol version 1, in their order, and returns null for those
 * that say nothing of a row. `columnsOf` names the columns of a table's row type in their order.
 */
export function newChangeReader(
  columnsOf: (table: string) => readonly string[],
): (message: Buffer) => ChangeMessage | null {
  const relations = new Map<number, Relation>();
  return (message) => {
    const bytes = newCursor(message);
    const type = bytes.char();
    if (type === 'B') {
      const commitAt = bytes.int64();
      bytes.int64();
      return { kind: 'begin', transactionId: bytes.int32(), commitAt };
    }
    if (type === 'C') {
      bytes.int8();
      bytes.int64();
      return { kind: 'commit', endAt: bytes.int64() };
    }
    if (type === 'R') {
      const id = bytes.int32();
      relations.set(id, readRelation(bytes));
      return null;
    }
    if (type !== 'I' && type !== 'U' && type !== 'D') return null;
    const relation = relations.get(bytes.int32());
    if (relation === undefined) return fail('INTERNAL_SERVER_ERROR', 'a change of a table that was not described');
    return readChange(type, { bytes, relation, order: columnsOf(relation.table) });
  };
}

interface ChangeText {
  readonly bytes: Cursor;
  readonly relation: Relation;
  readonly order: readonly string[];
}

function readChange(type: 'I' | 'U' | 'D', { bytes, relation, order }: ChangeText): RowChange {
  let part = bytes.char();
  let values = readTuple(bytes);
  // Keys hold the tenant and do not change, so what a row was before is of no use.
  if (type === 'U' && part !== 'N') {
    part = bytes.char();
    values = readTuple(bytes);
  }
  const named = new Map(relation.columns.map(({ name }, index) => [name, values[index]]));
  const isPartial = type === 'U' && values.includes(undefined);
  const { table, columns } = relation;
  const keys = new Set(columns.flatMap(({ name, isKey }) => (isKey ? [name] : [])));
  return {
    kind: type === 'D' ? 'remove' : isPartial ? 'change' : 'write',
    table,
    row: rowText(order.map((name) => named.get(name) ?? null)),
    columns: isPartial ? [...named].flatMap(([name, value]) => (value === undefined ? [] : [name])) : [],
    key: rowText(order.map((name) => (keys.has(name) ? (named.get(name) ?? null) : null))),
  };
}

/** The text of a row value as PostgreSQL reads it. */
function rowText(values: readonly (string | null)[]): string {
  const texts = values.map((value) => (value === null ? '' : `"${value.replaceAll(/["\\]/g, '$&$&')}"`));
  return `(${texts.join(',')})`;
}

function readRelation(bytes: Cursor): Relation {
  bytes.text();
  const table = bytes.text();
  bytes.int8();
  const columns = Array.from({ length: bytes.int16() }, () => {
    const isKey = (bytes.int8() & 1) === 1;
    const name = bytes.text();
    bytes.int32();
    bytes.int32();
    return { name, isKey };
  });
  return { table, columns };
}

function readTuple(bytes: Cursor): Values {
  return Array.from({ length: bytes.int16() }, () => {
    const kind = bytes.char();
    if (kind === 'n') return null;
    if (kind === 'u') return undefined;
    return bytes.take(bytes.int32());
  });
}

interface Cursor {
  char(): string;
  int8(): number;
  int16(): number;
  int32(): number;
  int64(): bigint;
  text(): string;
  take(length: number): string;
}

/** Reads on from the beginning; a message that ends too early is a RangeError of Buffer. */
function newCursor(bytes: Buffer): Cursor {
  let at = 0;
  const step = (length: number) => (at += length) - length;
  return {
    char: () => String.fromCodePoint(bytes.readUInt8(step(1))),
    int8: () => bytes.readUInt8(step(1)),
    int16: () => bytes.readUInt16BE(step(2)),
    int32: () => bytes.readUInt32BE(step(4)),
    int64: () => bytes.readBigUInt64BE(step(8)),
    text: () => {
      const end = bytes.indexOf(0, at);
      const text = bytes.toString('utf8', at, end);
      at = end + 1;
      return text;
    },
    take: (length) => {
      const from = step(length);
      return bytes.toString('utf8', from, at);
    },
  };
}

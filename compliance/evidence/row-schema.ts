import type { JsonValue } from '#schema/canonical-json.ts';
import type { Row } from './table.ts';

type Schema = { readonly [keyword: string]: JsonValue };

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

/**
 * Returns the JSON Schema (2020-12) of the rows of one store as they were handed out: every field with the types that its
 * values have.
 */
export function schemaOfRows(store: string, columns: readonly string[], rows: readonly Row[]): Schema {
  const properties = columns.map(
    (column) => [column, schemaOfValues(rows.map((row) => valueOf(row, column)))] as const,
  );
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: store,
    type: 'object',
    properties: Object.fromEntries(properties),
    required: columns.filter((column) => rows.every((row) => Object.hasOwn(row, column))),
    additionalProperties: false,
  };
}

function schemaOfValues(values: readonly JsonValue[]): Schema {
  const types = [...new Set(values.map(typeOf))].toSorted();
  const texts = values.filter((value) => typeof value === 'string');
  const isTime = texts.length > 0 && texts.every((text) => TIME.test(text));
  const [only, ...others] = types;
  const type = only === undefined || others.length > 0 ? types : only;
  return { ...(types.length === 0 ? {} : { type }), ...(isTime ? { format: 'date-time' } : {}) };
}

function valueOf(row: Row, column: string): JsonValue {
  return Object.hasOwn(row, column) ? (row[column] ?? null) : null;
}

function typeOf(value: JsonValue): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

import { isObject } from '#schema/json-object.ts';
import type { Field, Fields, FieldType } from './field.ts';

/**
 * What is wrong with a value, as the rest of a sentence that begins with its path: ` is no text`, `.to is no text`; null
 * where nothing is. No text repeats a value. Paths are put together where there is a fault alone, for there seldom is.
 */
export type Fault = string | null;

/** Texts that stand for ids, times and hashes, for the checker and for JSON Schema alike. */
export const PATTERNS = {
  id: (prefixes: readonly string[]) => `^(?:${prefixes.join('|')})_[0-7][0-9a-hjkmnp-tv-z]{25}$`,
  time: String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`,
  hash: '^[0-9a-f]{64}$',
} as const;

const TIME = new RegExp(PATTERNS.time);
const HASH = new RegExp(PATTERNS.hash);
const KEY = /^[a-z][a-z0-9_]{0,39}$/;

/** Returns the first fault of an object that has to have exactly these fields. */
export function objectFault(fields: Fields, value: unknown): Fault {
  if (!isObject(value)) return ' is no object';
  for (const key in value) {
    if (!Object.hasOwn(fields, key)) return ` has no field ${KEY.test(key) ? key : 'of such a name'}`;
  }
  for (const { name, field } of namedFields(fields)) {
    if (Object.hasOwn(value, name)) {
      const fault = fieldFault(field, value[name]);
      if (fault !== null) return `.${name}${fault}`;
    } else if (field.optional !== true) return ` lacks ${name}`;
  }
  return null;
}

interface NamedField {
  readonly name: string;
  readonly field: Field;
}

const NAMED = new WeakMap<Fields, readonly NamedField[]>();

function namedFields(fields: Fields): readonly NamedField[] {
  const known = NAMED.get(fields);
  if (known !== undefined) return known;
  const named = Object.entries(fields).map(([name, field]) => ({ name, field }));
  NAMED.set(fields, named);
  return named;
}

function fieldFault(field: Field, value: unknown): Fault {
  return value === null && field.nullable === true ? null : typeFault(field, value);
}

function typeFault(field: FieldType, value: unknown): Fault {
  switch (field.type) {
    case 'text':
      return textFault(field.maxLength, value);
    case 'list':
      return listFault(field, value);
    case 'object':
      return objectFault(field.fields, value);
    case 'flag':
      return typeof value === 'boolean' ? null : ' is neither true nor false';
    case 'count':
      return Number.isSafeInteger(value) && Number(value) >= 0 ? null : ' is no count';
    case 'number':
      return Number.isFinite(value) && Number(value) >= 0 ? null : ' is no number of 0 or more';
    default:
      return wordFault(field, value);
  }
}

type Word = Extract<FieldType, { type: 'id' | 'choice' | 'time' | 'hash' }>;

function wordFault(field: Word, value: unknown): Fault {
  if (typeof value !== 'string') return ' is no text';
  if (field.type === 'id')
    return idPattern(field.prefixes).test(value) ? null : ` is no id of ${field.prefixes.join(' or ')}_`;
  if (field.type === 'choice') return field.values.includes(value) ? null : ` is none of ${field.values.join(', ')}`;
  if (field.type === 'time') return TIME.test(value) ? null : ' is no RFC 3339 time in UTC to the millisecond';
  return HASH.test(value) ? null : ' is not 64 lower-case hex digits';
}

const ID_PATTERNS = new WeakMap<readonly string[], RegExp>();

function idPattern(prefixes: readonly string[]): RegExp {
  const known = ID_PATTERNS.get(prefixes);
  if (known !== undefined) return known;
  const pattern = new RegExp(PATTERNS.id(prefixes));
  ID_PATTERNS.set(prefixes, pattern);
  return pattern;
}

/** Code points are counted only where the UTF-16 units, of which there are never fewer, are too many. */
function textFault(maxLength: number, value: unknown): Fault {
  if (typeof value !== 'string') return ' is no text';
  if (value.length <= maxLength) return null;
  // Two units a code point at most, so a text beyond that is not walked through.
  if (value.length <= 2 * maxLength && Array.from(value).length <= maxLength) return null;
  return ` is longer than ${maxLength} characters`;
}

function listFault({ of, maxItems }: { readonly of: FieldType; readonly maxItems: number }, value: unknown): Fault {
  if (!Array.isArray(value)) return ' is no list';
  const items: readonly unknown[] = value;
  if (items.length > maxItems) return ` has more than ${maxItems} values`;
  for (const [index, item] of items.entries()) {
    const fault = typeFault(of, item);
    if (fault !== null) return `[${index}]${fault}`;
  }
  return null;
}

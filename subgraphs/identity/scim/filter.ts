import { fail } from '#schema/errors.ts';
import { attributeNamed, findAttribute, findSchema, pathOf, valueOf } from './schema.ts';
import type { AttributeReference, ResourceType, Schema } from './schema.ts';
import { instantOf, isStorable, numberOf } from './value.ts';

/** The comparing operators of RFC 7644 section 3.4.2.2. */
export type CompareOperator = 'eq' | 'ne' | 'co' | 'sw' | 'ew' | 'gt' | 'ge' | 'lt' | 'le';

/**
 * A filter whose names are resolved and whose literals have the type of their attribute: a boolean for boolean
 * attributes, a number for numbers, an ISO 8601 instant in UTC for dateTime, text for the rest. `element` holds for a resource where one
 * element of a multi-valued attribute fulfils `term`; the targets inside are sub-attributes of that attribute.
 */
export type Filter =
  | { readonly kind: 'and' | 'or'; readonly terms: readonly Filter[] }
  | { readonly kind: 'not'; readonly term: Filter }
  | { readonly kind: 'present'; readonly target: AttributeReference }
  | {
      readonly kind: 'compare';
      readonly target: AttributeReference;
      readonly operator: CompareOperator;
      readonly value: string | number | boolean;
    }
  | { readonly kind: 'element'; readonly target: AttributeReference; readonly term: Filter };

/** What a PATCH path names: a whole schema, or an attribute, of whose elements `filter` may select some. */
export type PatchPath =
  | { readonly kind: 'schema'; readonly schema: Schema }
  | { readonly kind: 'attribute'; readonly target: AttributeReference; readonly filter?: Filter };

/** Bounds of a filter or path: they keep parsing linear and the SQL that comes out of it small. */
export const FILTER_LIMITS = { characters: 4096, depth: 32, terms: 64 } as const;

/**
 * Parses a filter of RFC 7644 section 3.4.2.2, and the form `emails[type eq "work"].value eq "x"` that Entra sends.
 * Hostile input enters here. A fault, an unknown attribute or a passed bound is INVALID_FILTER, so that a filter
 * nobody understands never turns into an unfiltered answer; an attribute that is never shown is SENSITIVE. Takes time linear in the length.
 */
export function parseFilter(text: string, type: ResourceType): Filter {
  const cursor = open(text, type, 'INVALID_FILTER');
  const filter = readOr(cursor);
  skipSpaces(cursor);
  if (cursor.position < text.length) refuse(cursor, 'The end of the filter is expected.');
  return filter;
}

/**
 * Parses the path of a PATCH operation (RFC 7644 section 3.5.2): an attribute, a sub-attribute or elements selected by
 * a filter, each with or without its URN; or the URN of a schema alone. A fault is INVALID_PATH. Hostile input enters
 * here, under the bounds of a filter.
 */
export function parsePath(text: string, type: ResourceType): PatchPath {
  const schema = findSchema(type, text);
  if (schema !== undefined) return { kind: 'schema', schema };
  const cursor = open(text, type, 'INVALID_PATH');
  const name = readName(cursor);
  const path: PatchPath =
    peek(cursor) === '[' ? readSelection(cursor, name) : { kind: 'attribute', target: resolve(cursor, name) };
  skipSpaces(cursor);
  if (cursor.position < text.length) refuse(cursor, 'The end of the path is expected.');
  return path;
}

/** Returns the text of a filter, which parses to the same filter again. */
export function printFilter(filter: Filter): string {
  return print(filter, pathOf);
}

interface Cursor {
  readonly text: string;
  readonly type: ResourceType;
  readonly code: 'INVALID_FILTER' | 'INVALID_PATH';
  position: number;
  depth: number;
  terms: number;
  /** The multi-valued attribute whose brackets surround the cursor. */
  scope?: AttributeReference | undefined;
}

const COMPARE_OPERATORS: ReadonlySet<string> = new Set(['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le']);
const TEXT_OPERATORS: ReadonlySet<string> = new Set(['co', 'sw', 'ew']);
const NAME_CHARACTER = /[A-Za-z0-9_$:.-]/;
const LITERAL_END = /[\s()[\]]/;

function open(text: string, type: ResourceType, code: Cursor['code']): Cursor {
  const cursor: Cursor = { text, type, code, position: 0, depth: 0, terms: 0 };
  if (text.length > FILTER_LIMITS.characters)
    refuse(cursor, `At most ${FILTER_LIMITS.characters} characters are taken.`);
  skipSpaces(cursor);
  return cursor;
}

function refuse(cursor: Cursor, hint: string): never {
  fail(cursor.code, `SCIM ${cursor.code} at ${cursor.position}`, {
    hint: `At character ${cursor.position + 1}: ${hint}`,
  });
}

function readOr(cursor: Cursor): Filter {
  return readJoined(cursor, 'or', readAnd);
}

function readAnd(cursor: Cursor): Filter {
  return readJoined(cursor, 'and', readTerm);
}

function readJoined(cursor: Cursor, kind: 'and' | 'or', read: (cursor: Cursor) => Filter): Filter {
  const first = read(cursor);
  const terms = [first];
  while (takeJoin(cursor, kind)) terms.push(read(cursor));
  return terms.length === 1 ? first : { kind, terms };
}

function takeJoin(cursor: Cursor, word: string): boolean {
  const before = cursor.position;
  skipSpaces(cursor);
  const end = cursor.position + word.length;
  const after = cursor.text.charAt(end);
  const found =
    cursor.position > before &&
    cursor.text.slice(cursor.position, end).toLowerCase() === word &&
    (after === ' ' || after === '(');
  cursor.position = found ? end : before;
  if (found) skipSpaces(cursor);
  return found;
}

function readTerm(cursor: Cursor): Filter {
  if (peek(cursor) === '(') return readGroup(cursor);
  const name = readName(cursor);
  if (name.toLowerCase() === 'not') {
    skipSpaces(cursor);
    return { kind: 'not', term: readGroup(cursor) };
  }
  if (peek(cursor) === '[') return readElement(cursor, name);
  return readComparison(cursor, resolve(cursor, name));
}

function readGroup(cursor: Cursor): Filter {
  return readEnclosed(cursor, '(', ')');
}

function readEnclosed(cursor: Cursor, opening: string, closing: string): Filter {
  expect(cursor, opening);
  if (++cursor.depth > FILTER_LIMITS.depth) refuse(cursor, `At most ${FILTER_LIMITS.depth} levels are taken.`);
  skipSpaces(cursor);
  const filter = readOr(cursor);
  skipSpaces(cursor);
  expect(cursor, closing);
  cursor.depth--;
  return filter;
}

function readElement(cursor: Cursor, name: string): Filter {
  const { target, filter, sub } = readBrackets(cursor, name);
  if (sub === undefined) return { kind: 'element', target, term: filter };
  const compare = readComparison(cursor, sub);
  return { kind: 'element', target, term: { kind: 'and', terms: [filter, compare] } };
}

function readSelection(cursor: Cursor, name: string): PatchPath {
  const { target, filter, sub } = readBrackets(cursor, name);
  return { kind: 'attribute', target: sub ?? target, filter };
}

interface Brackets {
  readonly target: AttributeReference;
  readonly filter: Filter;
  readonly sub: AttributeReference | undefined;
}

function readBrackets(cursor: Cursor, name: string): Brackets {
  const target = resolve(cursor, name);
  if (cursor.scope !== undefined || !target.attribute.multiValued || target.sub || !target.attribute.subAttributes) {
    refuse(cursor, `"${name}" has no elements to select from.`);
  }
  cursor.scope = target;
  const filter = readEnclosed(cursor, '[', ']');
  const sub = peek(cursor) === '.' ? readSubAttribute(cursor) : undefined;
  cursor.scope = undefined;
  return { target, filter, sub };
}

function readSubAttribute(cursor: Cursor): AttributeReference {
  expect(cursor, '.');
  return resolve(cursor, readName(cursor));
}

function readComparison(cursor: Cursor, target: AttributeReference): Filter {
  if (++cursor.terms > FILTER_LIMITS.terms) refuse(cursor, `At most ${FILTER_LIMITS.terms} comparisons are taken.`);
  if (target.attribute.returned === 'never') fail('SENSITIVE', `SCIM filter over ${pathOf(target)}`);
  expect(cursor, ' ');
  skipSpaces(cursor);
  const operator = readName(cursor).toLowerCase();
  if (operator === 'pr') return { kind: 'present', target };
  if (!isCompareOperator(operator)) refuse(cursor, 'An operator is expected: eq ne co sw ew gt ge lt le pr.');
  expect(cursor, ' ');
  skipSpaces(cursor);
  return bind(cursor, { target: comparable(cursor, target), operator, value: readLiteral(cursor) });
}

function isCompareOperator(word: string): word is CompareOperator {
  return COMPARE_OPERATORS.has(word);
}

/** A complex attribute is compared by its sub-attribute `value`: Ping sends `emails eq "x"`, Entra `members eq "x"`. */
function comparable(cursor: Cursor, target: AttributeReference): AttributeReference {
  const { attribute, sub } = target;
  if (sub !== undefined || (attribute.type !== 'complex' && !attribute.multiValued)) return target;
  const value = valueOf(attribute);
  return value === undefined
    ? refuse(cursor, `"${attribute.name}" cannot be compared as a whole.`)
    : { ...target, sub: value };
}

interface RawComparison {
  readonly target: AttributeReference;
  readonly operator: CompareOperator;
  readonly value: string | number | boolean | null;
}

function bind(cursor: Cursor, { target, operator, value }: RawComparison): Filter {
  if (value !== null) return { kind: 'compare', target, operator, value: typed(cursor, { target, operator, value }) };
  const present: Filter = { kind: 'present', target };
  if (operator === 'ne') return present;
  return operator === 'eq'
    ? { kind: 'not', term: present }
    : refuse(cursor, 'null can only be compared with eq and ne.');
}

/** Gives the literal the type of its attribute and refuses operators that the type does not know. */
function typed(cursor: Cursor, comparison: RawComparison): string | number | boolean {
  const { type, name } = comparison.target.sub ?? comparison.target.attribute;
  if (type === 'boolean') return typedBoolean(cursor, name, comparison);
  const { operator, value } = comparison;
  const isNumber = type === 'integer' || type === 'decimal';
  if ((isNumber || type === 'dateTime') && TEXT_OPERATORS.has(operator)) refuse(cursor, `"${name}" is no text.`);
  if (isNumber) return numberOf(value) ?? refuse(cursor, `"${name}" is compared with a number.`);
  if (typeof value !== 'string') return refuse(cursor, `"${name}" is compared with text in double quotes.`);
  if (type !== 'dateTime') return value;
  return instantOf(value) ?? refuse(cursor, 'A date and time such as "2026-01-31T12:00:00Z" is expected.');
}

function typedBoolean(cursor: Cursor, name: string, { operator, value }: RawComparison): boolean {
  if (operator !== 'eq' && operator !== 'ne') refuse(cursor, `"${name}" can only be compared with eq and ne.`);
  const text = String(value).toLowerCase();
  return text === 'true' || text === 'false'
    ? text === 'true'
    : refuse(cursor, `"${name}" is compared with true or false.`);
}

function readLiteral(cursor: Cursor): string | number | boolean | null {
  if (peek(cursor) === '"') return readString(cursor);
  const start = cursor.position;
  while (cursor.position < cursor.text.length && !LITERAL_END.test(peek(cursor))) cursor.position++;
  const word = cursor.text.slice(start, cursor.position).toLowerCase();
  if (word === 'true' || word === 'false') return word === 'true';
  if (word === 'null') return null;
  const number = numberOf(word);
  if (number !== undefined) return number;
  cursor.position = start;
  return refuse(cursor, 'A value is expected: text in double quotes, a number, true, false or null.');
}

function readString(cursor: Cursor): string {
  const start = cursor.position;
  let end = start + 1;
  while (end < cursor.text.length && cursor.text.charAt(end) !== '"') end += cursor.text.charAt(end) === '\\' ? 2 : 1;
  if (end >= cursor.text.length) refuse(cursor, 'The closing double quote is missing.');
  const value = unquote(cursor.text.slice(start, end + 1));
  if (value === undefined) refuse(cursor, 'The text in double quotes is not a JSON string.');
  if (!isStorable(value)) refuse(cursor, 'The text holds a character that no value can hold.');
  cursor.position = end + 1;
  return value;
}

function unquote(json: string): string | undefined {
  try {
    return String(JSON.parse(json));
  } catch {
    return undefined;
  }
}

function readName(cursor: Cursor): string {
  const start = cursor.position;
  while (NAME_CHARACTER.test(peek(cursor))) cursor.position++;
  if (cursor.position === start) refuse(cursor, 'A name is expected.');
  return cursor.text.slice(start, cursor.position);
}

function resolve(cursor: Cursor, name: string): AttributeReference {
  const { scope } = cursor;
  const shown = name.slice(0, 100);
  if (scope === undefined)
    return findAttribute(cursor.type, name) ?? refuse(cursor, `There is no attribute "${shown}".`);
  const sub = attributeNamed(scope.attribute.subAttributes, name);
  return sub === undefined ? refuse(cursor, `"${scope.attribute.name}" has no "${shown}".`) : { ...scope, sub };
}

function peek(cursor: Cursor): string {
  return cursor.text.charAt(cursor.position);
}

function expect(cursor: Cursor, character: string): void {
  if (peek(cursor) !== character)
    refuse(cursor, character === ' ' ? 'A space is expected.' : `"${character}" is expected.`);
  cursor.position++;
}

function skipSpaces(cursor: Cursor): void {
  while (peek(cursor) === ' ') cursor.position++;
}

function print(filter: Filter, name: (target: AttributeReference) => string): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.terms.map((term) => printTerm(term, name)).join(` ${filter.kind} `);
    case 'not':
      return `not (${print(filter.term, name)})`;
    case 'present':
      return `${name(filter.target)} pr`;
    case 'compare':
      return `${name(filter.target)} ${filter.operator} ${JSON.stringify(filter.value)}`;
    default:
      return `${name(filter.target)}[${print(filter.term, ({ sub }) => sub?.name ?? '')}]`;
  }
}

function printTerm(term: Filter, name: (target: AttributeReference) => string): string {
  return term.kind === 'and' || term.kind === 'or' ? `(${print(term, name)})` : print(term, name);
}

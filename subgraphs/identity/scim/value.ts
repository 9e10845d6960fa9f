import { fail } from '#schema/errors.ts';
import { attributeNamed, valueOf } from './schema.ts';
import type { Attribute, ScimObject, ScimValue } from './schema.ts';

/** Bounds of what one request may carry. */
export const VALUE_LIMITS = {
  /** Of one text, in UTF-16 code units. */
  characters: 1024,
  /** Of a certificate in base 64. */
  binaryCharacters: 8192,
  /** Of one multi-valued attribute. */
  elements: 100,
  /** Of the members that one request adds, removes or sets. */
  members: 10_000,
  /** Of nesting in a body; what the schemas allow needs 8 in a PATCH. */
  depth: 12,
  /** Of all values in a body: 10,000 members with four sub-attributes each, and room. */
  values: 100_000,
} as const;

const FORBIDDEN_NAMES = /(?:^|[.:])(?:__proto__|constructor|prototype)(?:$|[.:[])/;
const NUMBER = /^-?\d{1,20}(?:\.\d{1,20})?$/;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;
/** PostgreSQL knows no year 0. */
const FIRST_INSTANT_MS = Date.parse('0001-01-01T00:00:00Z');
const UNSTORABLE = /\0|\p{Surrogate}/u;

/** Tells whether a value is a JSON object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Tells whether a name, or a part of one, could reach a prototype. */
export function isReservedName(name: string): boolean {
  return FORBIDDEN_NAMES.test(name);
}

/** Tells whether PostgreSQL can hold the text: neither a NUL nor half a surrogate pair is in it. */
export function isStorable(text: string): boolean {
  return !UNSTORABLE.test(text);
}

/** Returns the member of an object by its name, whose case does not matter, or undefined. */
export function memberOf(object: Readonly<Record<string, unknown>>, name: string): unknown {
  const wanted = name.toLowerCase();
  return Object.entries(object).find(([key]) => key.toLowerCase() === wanted)?.[1];
}

/**
 * Returns the body as an object once its nesting, its number of values and its names are within bounds; else
 * BAD_USER_INPUT, or BAD_REQUEST for what is no object. Hostile input enters here: a name that reaches a prototype is
 * refused at any depth, and the walk does not recurse.
 */
export function boundedBody(body: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(body)) return fail('BAD_REQUEST', 'SCIM body is no object', { hint: 'A JSON object is expected.' });
  const waiting: { value: unknown; depth: number }[] = [{ value: body, depth: 1 }];
  let count = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (typeof next.value !== 'object' || next.value === null) continue;
    if (next.depth > VALUE_LIMITS.depth) refuse(`The body is nested deeper than ${VALUE_LIMITS.depth} levels.`);
    for (const [name, value] of Object.entries(next.value)) {
      if (++count > VALUE_LIMITS.values) refuse(`The body holds more than ${VALUE_LIMITS.values} values.`);
      if (isReservedName(name)) refuse('The body holds a name that no attribute can have.');
      waiting.push({ value, depth: next.depth + 1 });
    }
  }
  return body;
}

/**
 * Returns a value in the form that its attribute prescribes, or undefined where it is unassigned (RFC 7643 section
 * 2.5: null or an empty array). Unambiguous deviations are set right: "True" for a boolean, a bare text for a complex
 * value, an array of one for a single one, names in another case. Unknown and readOnly sub-attributes are dropped.
 * A value of the wrong type or size is BAD_USER_INPUT that names `path`.
 */
export function readValue(attribute: Attribute, value: unknown, path: string): ScimValue | undefined {
  if (value === undefined || value === null) return undefined;
  if (attribute.multiValued) {
    const elements = readElements(attribute, value, path);
    return elements.length > 0 ? elements : undefined;
  }
  const single = unwrapOne(value, path);
  if (single === undefined || single === null) return undefined;
  if (attribute.type === 'complex') return readComplex(attribute, single, path);
  return readSimple(attribute, single, path);
}

/** Returns a simple value as readValue does, also out of [{"value": "x"}], in which older Entra tenants wrap it. */
export function readScalar(attribute: Attribute, value: unknown, path: string): ScimValue | undefined {
  const one = unwrapOne(value, path);
  return readValue(attribute, isObject(one) ? (memberOf(one, 'value') ?? one) : one, path);
}

/** Returns the assigned elements of a multi-valued attribute, of which at most one is primary. */
export function readElements(attribute: Attribute, value: unknown, path: string): ScimObject[] {
  const raw = listOf(value);
  if (raw.length > VALUE_LIMITS.elements) refuse(`"${path}" takes at most ${VALUE_LIMITS.elements} elements.`);
  const elements = raw
    .filter((element) => element !== null)
    .map((element) => readComplex(attribute, element, path))
    .filter((element) => element !== undefined);
  if (elements.filter(isPrimary).length > 1) refuse(`"${path}" has more than one primary element.`);
  return elements;
}

/** Returns the value as a list: null is empty, and what is no array is the only element. */
export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

/** Returns the one value that an array holds, since Entra wraps single values so; more than one is BAD_USER_INPUT. */
export function unwrapOne(value: unknown, path: string): unknown {
  if (!Array.isArray(value)) return value;
  if (value.length > 1) refuse(`"${path}" takes one value.`);
  return value[0];
}

/** Tells whether an element is the preferred one. */
export function isPrimary(element: ScimObject): boolean {
  return element['primary'] === true;
}

/** Returns the number that a JSON number or a text of digits stands for, or undefined. */
export function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && NUMBER.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}

/** Returns a date and time of RFC 7643 section 2.3.5 in UTC and milliseconds, or undefined. */
export function instantOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || !DATE_TIME.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) || ms < FIRST_INSTANT_MS ? undefined : new Date(ms).toISOString();
}

/** Refuses the input with BAD_USER_INPUT; the hint is read by the caller and speaks of her own values alone. */
export function refuse(hint: string): never {
  fail('BAD_USER_INPUT', 'SCIM value refused', { hint });
}

function readComplex(attribute: Attribute, value: unknown, path: string): ScimObject | undefined {
  const principal = valueOf(attribute);
  if (typeof value === 'string' && principal !== undefined) return readComplex(attribute, { value }, path);
  if (!isObject(value)) return refuse(`"${path}" takes an object.`);
  const parts = readParts(attribute, value, path);
  // Without what it stands for, the rest of the element means nothing: Entra unassigns a manager by "".
  if (principal !== undefined && parts.has(principal) && (parts.get(principal) ?? '') === '') return undefined;
  const result: ScimObject = {};
  for (const [{ name }, part] of parts) if (part !== undefined) result[name] = part;
  if (Object.keys(result).length === 0) return undefined;
  return attribute.name === 'roles' ? unpackRole(attribute, result, path) : result;
}

function readParts(
  attribute: Attribute,
  value: Readonly<Record<string, unknown>>,
  path: string,
): Map<Attribute, ScimValue | undefined> {
  const parts = new Map<Attribute, ScimValue | undefined>();
  for (const [name, part] of Object.entries(value)) {
    const sub = attributeNamed(attribute.subAttributes, name);
    if (sub === undefined || sub.mutability === 'readOnly') continue;
    if (parts.has(sub)) refuse(`"${path}.${sub.name}" is there twice.`);
    parts.set(sub, readValue(sub, part, `${path}.${sub.name}`));
  }
  return parts;
}

/** Entra puts an app role as JSON text into `value`: {"id","value","displayName"}. */
function unpackRole(roles: Attribute, role: ScimObject, path: string): ScimObject {
  const packed = parsedObject(role['value']);
  if (packed === undefined || typeof packed['value'] !== 'string') return role;
  const { value, displayName } = packed;
  const plain = readComplex(roles, { value, display: typeof displayName === 'string' ? displayName : null }, path);
  return { ...role, ...plain };
}

function parsedObject(text: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof text !== 'string' || !text.startsWith('{')) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function readSimple(attribute: Attribute, value: unknown, path: string): ScimValue {
  switch (attribute.type) {
    case 'boolean':
      return readBoolean(value, path);
    case 'integer':
    case 'decimal':
      return readNumber(attribute, value, path);
    case 'dateTime':
      return instantOf(value) ?? refuse(`"${path}" takes a date and time such as "2026-01-31T12:00:00Z".`);
    default:
      return readText(attribute, value, path);
  }
}

function readNumber({ type }: Attribute, value: unknown, path: string): number {
  const number = numberOf(value);
  const isWhole = type === 'decimal' || Number.isSafeInteger(number);
  return number !== undefined && isWhole ? number : refuse(`"${path}" takes a ${type} number.`);
}

function readBoolean(value: unknown, path: string): boolean {
  if (typeof value === 'boolean') return value;
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  return word === 'true' || word === 'false' ? word === 'true' : refuse(`"${path}" takes true or false.`);
}

function readText(attribute: Attribute, value: unknown, path: string): string {
  if (typeof value !== 'string') return refuse(`"${path}" takes text.`);
  const limit = attribute.type === 'binary' ? VALUE_LIMITS.binaryCharacters : VALUE_LIMITS.characters;
  if (value.length > limit) refuse(`"${path}" takes at most ${limit} characters.`);
  return isStorable(value) ? value : refuse(`"${path}" holds a character that cannot be stored.`);
}

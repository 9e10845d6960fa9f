import { fail } from './errors.ts';

/** A value that JSON can carry. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** Arrays and objects inside one another; far above any value of ours, far below what recursion bears. */
const MAX_DEPTH = 64;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** ASCII that JSON writes as it is: most texts and nearly all keys; it spares them the slow way. */
const PLAIN_ASCII = /^[ !#-[\]-~]*$/;

/**
 * Returns the one text of RFC 8785 (JSON Canonicalization Scheme) that stands for the value.
 * Nothing is dropped or converted: undefined, functions, symbols, bigints, NaN, infinities, lone surrogates, holes,
 * hidden properties, objects with a class (dates, maps, buffers) and nesting beyond 64 fail with BAD_USER_INPUT.
 * Objects without a prototype count as plain.
 */
export function canonicalJson(value: JsonValue): string {
  return encode(value, 0);
}

/** Returns the UTF-8 bytes of `canonicalJson`: what is hashed and signed. */
export function canonicalBytes(value: JsonValue): Buffer {
  return Buffer.from(encode(value, 0), 'utf8');
}

/**
 * Returns the value inside canonical bytes, having proved that they are canonical: the value is written again and must
 * give the same bytes, which also refuses duplicate keys, white space, a byte order mark and other spellings of numbers.
 * Hostile input enters here; all faults are BAD_USER_INPUT. The caller bounds the length.
 */
export function parseCanonical(bytes: Uint8Array): JsonValue {
  const text = decode(bytes);
  const value = parse(text);
  // What JSON.parse has made is plain, and JSON.stringify writes it in the order in which it stood, so nothing but that
  // order and the surrogates is left to see. Keys that look like numbers change their places and take the slow way.
  const isCanonical = isInOrder(value, 0) && JSON.stringify(value) === text;
  if (!isCanonical && canonicalJson(value) !== text) refuse('the bytes are not in the canonical form of RFC 8785');
  return value;
}

/** Tells of a value from JSON.parse whether all keys rise and all texts are well-formed; deep nesting is false. */
function isInOrder(value: JsonValue, depth: number): boolean {
  if (typeof value === 'string') return PLAIN_ASCII.test(value) || !LONE_SURROGATE.test(value);
  if (typeof value !== 'object' || value === null) return true;
  if (depth >= MAX_DEPTH) return false;
  if (isList(value)) return value.every((item) => isInOrder(item, depth + 1));
  let before = '';
  let isFirst = true;
  for (const [key, item] of Object.entries(value)) {
    if (!isFirst && key <= before) return false;
    if (!PLAIN_ASCII.test(key) && LONE_SURROGATE.test(key)) return false;
    if (!isInOrder(item, depth + 1)) return false;
    before = key;
    isFirst = false;
  }
  return true;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function encode(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return encodeString(value);
    case 'number':
      // ECMAScript's own number form is the one that RFC 8785 section 3.2.2.3 asks for, with 0 for minus zero.
      return Number.isFinite(value) ? String(value) : refuse('a number is not finite');
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_DEPTH) return refuse(`the nesting is deeper than ${MAX_DEPTH}`);
      return Array.isArray(value) ? encodeArray(value, depth + 1) : encodeObject(value, depth + 1);
    default:
      return refuse(`JSON cannot carry a value of type ${typeof value}`);
  }
}

function encodeString(value: string): string {
  if (PLAIN_ASCII.test(value)) return `"${value}"`;
  if (LONE_SURROGATE.test(value)) refuse('a text holds half of a surrogate pair');
  return JSON.stringify(value);
}

function encodeArray(value: readonly unknown[], depth: number): string {
  // Its own keys are the indices and `length`; any more would be lost, and a hole is refused as undefined below.
  if (Reflect.ownKeys(value).length !== value.length + 1) refuse('an array has holes or named properties');
  let text = '[';
  for (let index = 0; index < value.length; index++) {
    text += (index === 0 ? '' : ',') + encode(value[index], depth);
  }
  return `${text}]`;
}

function isRising(keys: readonly string[]): boolean {
  let before = '';
  for (const key of keys) {
    if (key < before) return false;
    before = key;
  }
  return true;
}

function encodeObject(value: object, depth: number): string {
  if (!isPlain(value)) return refuse('an object has a class');
  const keys = Object.keys(value);
  if (Reflect.ownKeys(value).length !== keys.length) refuse('an object has symbols or hidden properties');
  // The default order of sort is by UTF-16 code units, as RFC 8785 section 3.2.3 wants it.
  if (!isRising(keys)) keys.sort();
  let text = '{';
  for (const key of keys) {
    text += `${text.length === 1 ? '' : ','}${encodeString(key)}:${encode(value[key], depth)}`;
  }
  return `${text}}`;
}

function isPlain(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return refuse('the bytes are not UTF-8', cause);
  }
}

function parse(text: string): JsonValue {
  try {
    const value: JsonValue = JSON.parse(text);
    return value;
  } catch (cause) {
    return refuse('the text is not JSON', cause);
  }
}

function refuse(reason: string, cause?: unknown): never {
  return fail('BAD_USER_INPUT', `canonical JSON: ${reason}`, { hint: `As JSON: ${reason}.`, cause });
}

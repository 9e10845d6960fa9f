import { isIP } from 'node:net';
import {
  ACTOR_TYPES,
  MAX_ACTION_VERSION,
  MAX_ENTRY_BYTES,
  OUTCOMES,
  ZERO_PREV,
  type AuditActor,
} from './audit-event.ts';

/** Where an entry stands, and what an entry at that place has to say of itself. */
export interface EntryPosition {
  /** Of its first byte, and of the LF behind its last. */
  readonly start: number;
  readonly end: number;
  readonly seq: number;
  /** Leaf hash of the entry before, lower-case hex. */
  readonly prev: string;
}

/** Tells of bytes that are UTF-8 whether an entry stands at a place in them. */
export type EntryScan = (bytes: Buffer, position: EntryPosition) => boolean;

const NO = -1;
const LF = 0x0a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACE = 0x7b;
const MAX_TEXT_BYTES = 4096;
const MAX_KEYS = 50;
const MAX_KEY_BYTES = 40;
const MAX_CONTEXT_DEPTH = 8;
const ID_CHARACTERS = 25;

const PLAIN = tableOf(/[ !#-[\]-\xff]/);
const SHORT_ESCAPE = tableOf(/["\\bfnrt]/);
/** Last digit of an escaped control between \u0001 and \u000f that has no short form. */
const LONG_ESCAPE = tableOf(/[1-7bef]/);
const HEX = tableOf(/[0-9a-f]/);
const DIGIT = tableOf(/[0-9]/);
const NUMBER = tableOf(/[-+.0-9eE]/);
const LETTER = tableOf(/[a-z]/);
const BASE64URL = tableOf(/[-A-Za-z0-9_]/);
const NAME = tableOf(/[a-z0-9_]/);
const ID_FIRST = tableOf(/[0-7]/);
const ID_REST = tableOf(/[0-9a-hjkmnp-tv-z]/);

const SECONDS = bytesOf('0000-00-00T00:00:00Z');
const MILLISECONDS = bytesOf('0000-00-00T00:00:00.000Z');

const literals = {
  actionVersion: bytesOf('{"action_version":'),
  action: bytesOf(',"event":{"action":"'),
  actor: bytesOf('","actor":{"id":'),
  ip: bytesOf(',"ip":'),
  type: bytesOf(',"type":'),
  ua: bytesOf(',"ua":'),
  context: bytesOf('},"context":'),
  id: bytesOf(',"id":"aud_'),
  requestId: bytesOf('","request_id":'),
  resource: bytesOf(',"resource":{"id":'),
  name: bytesOf(',"name":'),
  resourceType: bytesOf(',"type":"'),
  sessionId: bytesOf('"},"session_id":'),
  ts: bytesOf(',"ts":"'),
  outcome: bytesOf('"},"outcome":'),
  prev: bytesOf(',"prev":"'),
  seq: bytesOf('","seq":'),
  end: bytesOf(',"v":1}'),
  sealed: bytesOf('{"$enc":{"c":"'),
  sealedNonce: bytesOf('","i":"'),
  sealedKey: bytesOf('","k":"'),
  sealedEnd: bytesOf('"}}'),
  null: bytesOf('null'),
  true: bytesOf('true'),
  false: bytesOf('false'),
};
const outcomes = OUTCOMES.map((outcome) => bytesOf(JSON.stringify(outcome)));
const actorTypes = ACTOR_TYPES.map((type) => bytesOf(JSON.stringify(type)));
const anonymous = bytesOf(JSON.stringify('anonymous' satisfies AuditActor['type']));

/**
 * Returns a scan for the entries of one tenant. It reads each byte once and makes nothing of them: true proves that the
 * bytes are the canonical form of RFC 8785, that `parseEntry` takes them, and that tenant, `seq` and `prev` are those
 * of the place. False proves nothing: rare spellings and every fault are left to `parseEntry`, which tells them apart.
 */
export function entryScan(tenant: string): EntryScan {
  const tenantId = bytesOf(`,"tenant_id":${JSON.stringify(tenant)}`);
  return (bytes, { start, end, seq, prev }) => {
    // No text, number or name goes on over an LF, so nothing below reads beyond the end.
    if (bytes[end] !== LF || end - start > MAX_ENTRY_BYTES || (seq === 0) !== (prev === ZERO_PREV)) return false;
    let at = actionVersion(bytes, literal(bytes, start, literals.actionVersion));
    at = action(bytes, literal(bytes, at, literals.action));
    at = actor(bytes, literal(bytes, at, literals.actor));
    at = context(bytes, literal(bytes, at, literals.context), 1);
    at = idCharacters(bytes, literal(bytes, at, literals.id));
    at = textOrNull(bytes, literal(bytes, at, literals.requestId), 1);
    at = text(bytes, literal(bytes, at, literals.resource), 1);
    at = personal(bytes, literal(bytes, at, literals.name));
    at = name(bytes, literal(bytes, at, literals.resourceType));
    at = textOrNull(bytes, literal(bytes, at, literals.sessionId), 1);
    at = literal(bytes, at, tenantId);
    at = time(bytes, literal(bytes, at, literals.ts));
    at = oneOf(bytes, literal(bytes, at, literals.outcome), outcomes);
    at = ascii(bytes, literal(bytes, at, literals.prev), prev);
    at = ascii(bytes, literal(bytes, at, literals.seq), String(seq));
    return literal(bytes, at, literals.end) === end;
  };
}

// Each function below returns the place behind what it found at `at`, or NO; from NO it returns NO.

function literal(bytes: Buffer, at: number, expected: Uint8Array): number {
  if (at < 0) return NO;
  for (let index = 0; index < expected.length; index++) if (bytes[at + index] !== expected[index]) return NO;
  return at + expected.length;
}

function ascii(bytes: Buffer, at: number, expected: string): number {
  if (at < 0) return NO;
  for (let index = 0; index < expected.length; index++) {
    if (bytes[at + index] !== expected.charCodeAt(index)) return NO;
  }
  return at + expected.length;
}

function oneOf(bytes: Buffer, at: number, expected: readonly Uint8Array[]): number {
  for (const words of expected) {
    const next = literal(bytes, at, words);
    if (next !== NO) return next;
  }
  return NO;
}

function actionVersion(bytes: Buffer, at: number): number {
  const next = digits(bytes, at);
  if (next === NO || next - at > 10 || bytes[at] === 0x30) return NO;
  return Number(bytes.toString('latin1', at, next)) <= MAX_ACTION_VERSION ? next : NO;
}

function action(bytes: Buffer, at: number): number {
  let next = name(bytes, at);
  let words = 1;
  for (; next !== NO && bytes[next] === 0x2e; words++) next = name(bytes, next + 1);
  return words >= 2 && words <= 4 ? next : NO;
}

function actor(bytes: Buffer, at: number): number {
  if (at < 0) return NO;
  const isNameless = bytes[at] !== QUOTE;
  let next = textOrNull(bytes, at, 1);
  next = address(bytes, literal(bytes, next, literals.ip));
  next = literal(bytes, next, literals.type);
  const behind = oneOf(bytes, next, actorTypes);
  if (behind === NO || isNameless !== (literal(bytes, next, anonymous) !== NO)) return NO;
  return personal(bytes, literal(bytes, behind, literals.ua));
}

function address(bytes: Buffer, at: number): number {
  if (at < 0 || bytes[at] !== QUOTE) return personal(bytes, at);
  const next = text(bytes, at, 1);
  return next !== NO && isIP(bytes.toString('latin1', at + 1, next - 1)) !== 0 ? next : NO;
}

/** A text, null, or a sealed field. */
function personal(bytes: Buffer, at: number): number {
  if (at < 0) return NO;
  if (bytes[at] === QUOTE) return text(bytes, at, 0);
  return bytes[at] === BRACE ? sealed(bytes, at) : literal(bytes, at, literals.null);
}

/** A sealed field: ciphertext with its tag, nonce and name of the key. */
function sealed(bytes: Buffer, at: number): number {
  const next = base64url(bytes, literal(bytes, at, literals.sealed), { least: 23, most: MAX_ENTRY_BYTES });
  const key = base64url(bytes, literal(bytes, next, literals.sealedNonce), { least: 16, most: 16 });
  const end = base64url(bytes, literal(bytes, key, literals.sealedKey), { least: 22, most: 22 });
  return literal(bytes, end, literals.sealedEnd);
}

function base64url(bytes: Buffer, at: number, { least, most }: { least: number; most: number }): number {
  if (at < 0) return NO;
  let next = at;
  while (BASE64URL[bytes[next] ?? 0] === 1) next += 1;
  return next - at >= least && next - at <= most ? next : NO;
}

function textOrNull(bytes: Buffer, at: number, least: number): number {
  if (at < 0) return NO;
  return bytes[at] === QUOTE ? text(bytes, at, least) : literal(bytes, at, literals.null);
}

/** A text of so many bytes as have for certain no more UTF-16 units than a text may have. */
function text(bytes: Buffer, at: number, least: number): number {
  if (at < 0 || bytes[at] !== QUOTE) return NO;
  let next = at + 1;
  for (;;) {
    while (PLAIN[bytes[next] ?? 0] === 1) next += 1;
    if (bytes[next] !== BACKSLASH) break;
    next = escape(bytes, next + 1);
    if (next === NO) return NO;
  }
  const length = next - at - 1;
  return bytes[next] === QUOTE && length >= least && length <= MAX_TEXT_BYTES ? next + 1 : NO;
}

/** RFC 8785 section 3.2.2.2: short forms where there are any, else \u00 and lower case; the null character is refused. */
function escape(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (SHORT_ESCAPE[first] === 1) return at + 1;
  if (first !== 0x75 || bytes[at + 1] !== 0x30 || bytes[at + 2] !== 0x30) return NO;
  const [high, low] = [bytes[at + 3] ?? 0, bytes[at + 4] ?? 0];
  const isLong = high === 0x30 ? LONG_ESCAPE[low] === 1 : high === 0x31 && HEX[low] === 1;
  return isLong ? at + 5 : NO;
}

function name(bytes: Buffer, at: number): number {
  if (at < 0 || LETTER[bytes[at] ?? 0] !== 1) return NO;
  let next = at + 1;
  while (NAME[bytes[next] ?? 0] === 1) next += 1;
  return next - at <= MAX_KEY_BYTES ? next : NO;
}

function digits(bytes: Buffer, at: number): number {
  if (at < 0) return NO;
  let next = at;
  while (DIGIT[bytes[next] ?? 0] === 1) next += 1;
  return next === at ? NO : next;
}

function idCharacters(bytes: Buffer, at: number): number {
  if (at < 0 || ID_FIRST[bytes[at] ?? 0] !== 1) return NO;
  for (let index = 1; index <= ID_CHARACTERS; index++) if (ID_REST[bytes[at + index] ?? 0] !== 1) return NO;
  return at + 1 + ID_CHARACTERS;
}

/** The context and the objects within: names in rising order, which for ASCII is that of UTF-16 units. */
function context(bytes: Buffer, at: number, depth: number): number {
  if (at < 0 || bytes[at] !== BRACE) return NO;
  if (bytes[at + 1] === 0x7d) return at + 2;
  let next = at;
  let [before, beforeEnd] = [0, 0];
  for (let keys = 0; keys < MAX_KEYS; keys++) {
    const start = next + 2;
    if (bytes[next + 1] !== QUOTE) return NO;
    const end = name(bytes, start);
    if (end === NO || bytes[end] !== QUOTE || bytes[end + 1] !== COLON) return NO;
    if (keys > 0 && !isRising(bytes, { before, beforeEnd, start, end })) return NO;
    [before, beforeEnd] = [start, end];
    next = value(bytes, end + 2, depth);
    if (next === NO) return NO;
    if (bytes[next] === 0x7d) return next + 1;
    if (bytes[next] !== COMMA) return NO;
  }
  return NO;
}

function isRising(
  bytes: Buffer,
  { before, beforeEnd, start, end }: { before: number; beforeEnd: number; start: number; end: number },
): boolean {
  const shorter = Math.min(beforeEnd - before, end - start);
  for (let index = 0; index < shorter; index++) {
    const difference = (bytes[start + index] ?? 0) - (bytes[before + index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return end - start > beforeEnd - before;
}

function value(bytes: Buffer, at: number, depth: number): number {
  switch (bytes[at]) {
    case QUOTE:
      return text(bytes, at, 0);
    case BRACE:
      if (literal(bytes, at, literals.sealed) !== NO) return sealed(bytes, at);
      return depth >= MAX_CONTEXT_DEPTH ? NO : context(bytes, at, depth + 1);
    case 0x5b:
      return depth >= MAX_CONTEXT_DEPTH ? NO : list(bytes, at, depth + 1);
    case 0x6e:
      return literal(bytes, at, literals.null);
    case 0x74:
      return literal(bytes, at, literals.true);
    case 0x66:
      return literal(bytes, at, literals.false);
    default:
      return number(bytes, at);
  }
}

function list(bytes: Buffer, at: number, depth: number): number {
  if (bytes[at + 1] === 0x5d) return at + 2;
  for (let next = at; ;) {
    next = value(bytes, next + 1, depth);
    if (next === NO || bytes[next] === 0x5d) return next === NO ? NO : next + 1;
    if (bytes[next] !== COMMA) return NO;
  }
}

/** The form that ECMAScript writes; no other spelling of a number gives the same text again. */
function number(bytes: Buffer, at: number): number {
  let next = at;
  while (NUMBER[bytes[next] ?? 0] === 1) next += 1;
  const written = bytes.toString('latin1', at, next);
  const found = Number(written);
  return next > at && Number.isFinite(found) && String(found) === written ? next : NO;
}

/** RFC 3339 in UTC to the second or the millisecond, with its closing quote. */
function time(bytes: Buffer, at: number): number {
  if (at < 0) return NO;
  const form = bytes[at + SECONDS.length - 1] === 0x5a ? SECONDS : MILLISECONDS;
  for (let index = 0; index < form.length; index++) {
    const byte = bytes[at + index] ?? 0;
    if (form[index] === 0x30 ? DIGIT[byte] !== 1 : form[index] !== byte) return NO;
  }
  const [month, day] = [pair(bytes, at + 5), pair(bytes, at + 8)];
  if (month < 1 || month > 12 || day < 1 || day > daysOf(pair(bytes, at) * 100 + pair(bytes, at + 2), month)) return NO;
  return pair(bytes, at + 11) <= 23 && pair(bytes, at + 14) <= 59 && pair(bytes, at + 17) <= 59 ? at + form.length : NO;
}

function pair(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) - 0x30) * 10 + (bytes[at + 1] ?? 0) - 0x30;
}

function daysOf(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function tableOf(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (pattern.test(String.fromCharCode(code)) ? 1 : 0));
}

function bytesOf(words: string): Uint8Array {
  return Uint8Array.from(Buffer.from(words));
}

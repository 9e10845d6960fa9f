import { randomNonce } from './random.ts';
import { fail } from './errors.ts';

/** The prefixes of public ids; each names one kind of thing. */
export const ID_PREFIXES = [
  'tnt',
  'usr',
  'grp',
  'rol',
  'ses',
  'key',
  'scm',
  'lnk',
  'prj',
  'doc',
  'shr',
  'ofr',
  'evt',
  'pln',
  'inv',
  'lin',
  'aud',
  'evd',
  'req',
  'seg',
  'mov',
  'opr',
  'con',
  'dom',
  'fct',
  'rcv',
  'dlv',
  'scr',
  'rvk',
  'vew',
  'hld',
  'str',
  'job',
  'sup',
  'prq',
] as const;

/** One of the prefixes. */
export type IdPrefix = (typeof ID_PREFIXES)[number];

/** A public id: prefix, underscore and 26 characters of Crockford base 32 that hold a UUID (RFC 9562). */
export type Id<P extends IdPrefix = IdPrefix> = `${P}_${string}`;

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
/** The value of each character of the alphabet, by its code. */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, ALPHABET.indexOf(String.fromCharCode(code))));
const ID_SHAPE = /^([a-z]{3})_([0-7][0-9a-hjkmnp-tv-z]{25})$/;

let lastMs = 0;
let sequence = 0;

/**
 * Returns a new UUIDv7 (RFC 9562 section 5.7) that sorts after every one this process made before, also when the
 * clock jumps back: the 12 bits behind the time count within a millisecond, and the time never runs backwards.
 */
export function uuidv7(nowMs: number = Date.now()): string {
  if (nowMs > lastMs) {
    lastMs = nowMs;
    sequence = 0;
  } else if (++sequence > 0xfff) {
    lastMs += 1;
    sequence = 0;
  }
  const bytes = randomNonce(16);
  bytes.writeUIntBE(lastMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | sequence, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return uuidText(bytes.toString('hex'));
}

/** Returns a new public id of the kind. */
export function mintId<P extends IdPrefix>(prefix: P): Id<P> {
  return idOf(prefix, uuidv7());
}

/** Returns the public id that stands for a UUID. */
export function idOf<P extends IdPrefix>(prefix: P, uuid: string): Id<P> {
  const hex = uuid.replaceAll('-', '');
  // 130 bits hold 128: two characters for the first byte, then four for every five hexadecimal digits.
  const first = Number.parseInt(hex.slice(0, 2), 16);
  let text = `${prefix}_${ALPHABET.charAt(first >> 5)}${ALPHABET.charAt(first & 31)}`;
  for (let at = 2; at < 32; at += 5) {
    const bits = Number.parseInt(hex.slice(at, at + 5), 16);
    text +=
      ALPHABET.charAt(bits >> 15) +
      ALPHABET.charAt((bits >> 10) & 31) +
      ALPHABET.charAt((bits >> 5) & 31) +
      ALPHABET.charAt(bits & 31);
  }
  return text as Id<P>;
}

/** Returns the UUID inside a public id; an id of another kind or shape is NOT_FOUND, since it can name nothing. */
export function uuidOf(prefix: IdPrefix, id: string): string {
  const uuid = uuidOrNull(prefix, id);
  return uuid ?? fail('NOT_FOUND', `not an id of kind ${prefix}`);
}

/** Returns the UUID inside a public id, or null where the text is no id of that kind. */
export function uuidOrNull(prefix: IdPrefix, id: string): string | null {
  const match = ID_SHAPE.exec(id);
  if (match === null || match[1] !== prefix) return null;
  const text = match[2] ?? '';
  let hex = ((digitOf(text, 0) << 5) | digitOf(text, 1)).toString(16).padStart(2, '0');
  for (let at = 2; at < 26; at += 4) {
    const high = (digitOf(text, at) << 5) | digitOf(text, at + 1);
    const low = (digitOf(text, at + 2) << 5) | digitOf(text, at + 3);
    hex += ((high << 10) | low).toString(16).padStart(5, '0');
  }
  return uuidText(hex);
}

/** Tells whether a text is a public id of the kind; cheaper than `uuidOrNull` where the UUID is not wanted. */
export function isId<P extends IdPrefix>(prefix: P, text: string): text is Id<P> {
  return ID_SHAPE.exec(text)?.[1] === prefix;
}

function digitOf(text: string, at: number): number {
  return DIGITS[text.charCodeAt(at)] ?? 0;
}

function uuidText(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

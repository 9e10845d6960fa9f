import { createHmac, hkdfSync } from 'node:crypto';
import { isIP } from 'node:net';
import type { JsonValue } from './canonical-json.ts';

/** What of a sealed value can be looked for: whole addresses and words; nobody can read a token back. */
const TOKEN_BYTES = 16;
/** Words of one value that get a token; a longer text is found by its first ones. */
const MAX_WORDS = 12;
const MAX_WORD_LENGTH = 64;
/** Letters, digits and what holds an e-mail address or a file name together. */
const BETWEEN_WORDS = /[^\p{L}\p{N}@._+-]+/u;

/** Returns the key of a tenant's blind index, made of her tenant key: it ends with it. */
export function indexKeyOf(tenantKey: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', tenantKey, '', 'tenon blind index v1', 32));
}

/**
 * Returns the tokens under which a sealed value is found: HMAC-SHA-256, cut to 16 bytes, over `ip:` and the address or
 * `text:` and each word (NFKC, small letters). The same person's same word is the same token, in one tenant alone.
 */
export function indexTokens(indexKey: Buffer, value: JsonValue): Buffer[] {
  return [...new Set(textsIn(value).flatMap(termsOf))].map((term) => tokenOf(indexKey, term));
}

/** Returns whether an opened value holds the text in small or capital letters: tokens tell of words, this of the text. */
export function holdsText(value: JsonValue, text: string): boolean {
  const wanted = normalised(text);
  return textsIn(value).some((held) => normalised(held).includes(wanted));
}

function termsOf(text: string): string[] {
  const whole = normalised(text);
  if (isIP(whole) !== 0) return [`ip:${whole}`];
  const words = whole.split(BETWEEN_WORDS).filter((word) => word.length > 1);
  return words.slice(0, MAX_WORDS).map((word) => `text:${word.slice(0, MAX_WORD_LENGTH)}`);
}

function tokenOf(indexKey: Buffer, term: string): Buffer {
  return createHmac('sha256', indexKey).update(term).digest().subarray(0, TOKEN_BYTES);
}

function normalised(text: string): string {
  return text.normalize('NFKC').toLowerCase().trim();
}

function textsIn(value: JsonValue): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}

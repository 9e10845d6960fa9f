import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { canonicalBytes, parseCanonical, type JsonValue } from './canonical-json.ts';
import { randomNonce } from './random.ts';

/**
 * A personal value as it stands in an audit event: `k` names the key, `i` is the nonce, `c` ciphertext and tag, each in
 * base64url without padding. What is hashed is this, so a log keeps its proofs when the key is destroyed.
 */
export type SealedField = {
  readonly $enc: { readonly k: string; readonly i: string; readonly c: string };
};

/** Where a value stands: what was sealed for one place cannot be opened in another. */
export interface FieldPlace {
  /** `tnt_` id. */
  readonly tenant: string;
  /** `aud_` id. */
  readonly event: string;
  /** Such as `actor.ip`, `resource.name` or `context.email`. */
  readonly path: string;
}

/** A key with the name that sealed values call it by. */
export interface FieldKey {
  /** 22 characters of base64url: 128 random bits. */
  readonly kid: string;
  /** 32 bytes. */
  readonly secret: Buffer;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KID = /^[A-Za-z0-9_-]{22}$/;
const NONCE = /^[A-Za-z0-9_-]{16}$/;
/** A tag and at least one byte; the entry bounds the rest. */
const CIPHERTEXT = /^[A-Za-z0-9_-]{23,}$/;

/** Returns a new name of a key. */
export function mintKid(): string {
  return randomBytes(16).toString('base64url');
}

/**
 * Returns a value (as its RFC 8785 text) sealed with AES-256-GCM (NIST SP 800-38D) under a random nonce, bound to its
 * place by the additional data `tenant|event|path`.
 */
export function sealField({ kid, secret }: FieldKey, place: FieldPlace, value: JsonValue): SealedField {
  const nonce = randomNonce(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', secret, nonce).setAAD(boundTo(place));
  const sealed = Buffer.concat([cipher.update(canonicalBytes(value)), cipher.final(), cipher.getAuthTag()]);
  return { $enc: { k: kid, i: nonce.toString('base64url'), c: sealed.toString('base64url') } };
}

/** Returns the value that was sealed for this place under this key, or null where it was not. */
export function openField(
  secret: Buffer,
  place: FieldPlace,
  { $enc: { i, c } }: SealedField,
): { value: JsonValue } | null {
  const sealed = Buffer.from(c, 'base64url');
  try {
    const decipher = createDecipheriv('aes-256-gcm', secret, Buffer.from(i, 'base64url'), { authTagLength: TAG_BYTES });
    decipher.setAAD(boundTo(place)).setAuthTag(sealed.subarray(-TAG_BYTES));
    const text = Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]);
    return { value: parseCanonical(text) };
  } catch {
    return null;
  }
}

/** Tells whether a value has exactly the shape of a sealed field; whether it can be opened is another question. */
export function isSealedField(value: unknown): value is SealedField {
  if (!hasKeys(value, ['$enc'])) return false;
  const parts = value['$enc'];
  return (
    hasKeys(parts, ['k', 'i', 'c']) &&
    isText(parts['k'], KID) &&
    isText(parts['i'], NONCE) &&
    isText(parts['c'], CIPHERTEXT)
  );
}

function isText(value: unknown, pattern: RegExp): boolean {
  return typeof value === 'string' && pattern.test(value);
}

function hasKeys(value: unknown, keys: readonly string[]): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key));
}

function boundTo({ tenant, event, path }: FieldPlace): Buffer {
  return Buffer.from(`${tenant}|${event}|${path}`);
}

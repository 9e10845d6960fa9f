import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { fail } from '#schema/errors.ts';
import { deriveKey, type ContextKey, type ContextKeys } from '#schema/tenant-context.ts';

/** What somebody who signs up asks for; it travels in the link to her and lies nowhere else until she opens it. */
export interface SignUpRequest {
  readonly slug: string;
  readonly name: string;
  readonly region: string;
  readonly email: string;
  readonly adminName: string;
}

const LIFETIME_MS = 24 * 3_600_000;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_LENGTH = 4096;

/** Returns the request as `s1.kid.<nonce, ciphertext and tag>` (AES-256-GCM), good for a day: nobody reads or changes it. */
export function sealSignUp(request: SignUpRequest, keys: ContextKeys, nowMs: number): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(keys.signing), nonce);
  const text = JSON.stringify({ ...request, expiresMs: nowMs + LIFETIME_MS });
  const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `s1.${keys.signing.kid}.${sealed.toString('base64url')}`;
}

/** Returns the request inside a link; one that is forged, altered or a day old is UNAUTHENTICATED. */
export function openSignUp(token: string, keys: ContextKeys, nowMs: number): SignUpRequest {
  const [version, kid, text = '', ...rest] = token.length > MAX_LENGTH ? [] : token.split('.');
  const key = keys.all.find((known) => known.kid === kid);
  const bytes = Buffer.from(text, 'base64url');
  if (version !== 's1' || key === undefined || rest.length > 0 || bytes.length <= NONCE_BYTES + TAG_BYTES) {
    return fail('UNAUTHENTICATED', 'the link of a sign-up has no known form or key');
  }
  const { expiresMs, ...request } = decrypt(bytes, key);
  return expiresMs > nowMs ? request : fail('UNAUTHENTICATED', 'the link of a sign-up has expired');
}

/** Returns what stands for an address, or a place that requests come from, where its tries are counted. */
export function subjectOf(keys: ContextKeys, what: string): Buffer {
  return createHmac('sha256', deriveKey(keys.signing, 'tenon sign-up subject v1')).update(what).digest();
}

function decrypt(bytes: Buffer, key: ContextKey): SignUpRequest & { readonly expiresMs: number } {
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(key), bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    }).setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
    return JSON.parse(opened.toString('utf8')) as SignUpRequest & { expiresMs: number };
  } catch (cause) {
    return fail('UNAUTHENTICATED', 'the link of a sign-up is not sealed by us', { cause });
  }
}

function keyOf(key: ContextKey): Buffer {
  return deriveKey(key, 'tenon sign-up v1');
}

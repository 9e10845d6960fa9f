import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { uuidOf, type Id } from './ids.ts';
import type { ContextKey, ContextKeys } from './tenant-context.ts';

/** Whose secret it is and what for: what was sealed for one place cannot be opened in another. */
export interface SecretPlace {
  readonly tenant: Id<'tnt'>;
  /** What it is used for, such as `oidc client secret`. */
  readonly purpose: string;
  /** The row that it stands in. */
  readonly id: string;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Returns a secret as it may be stored where it has to be read again, such as the client secret of a connection:
 * `v1.kid.<base64url of nonce, ciphertext and tag>`, AES-256-GCM (NIST SP 800-38D) under a key of the signing context
 * key and the tenant (HKDF, RFC 5869), bound to its place. What need not be read again is stored as a hash instead.
 */
export function sealSecret(keys: ContextKeys, place: SecretPlace, secret: string): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(keys.signing, place), nonce).setAAD(boundTo(place));
  const sealed = Buffer.concat([nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `v1.${keys.signing.kid}.${sealed.toString('base64url')}`;
}

/** Returns a secret that `sealSecret` sealed for the same place; any other text throws, since no caller can cause it. */
export function openSecret(keys: ContextKeys, place: SecretPlace, sealed: string): string {
  const [version, kid, text = ''] = sealed.split('.');
  const key = keys.all.find((known) => known.kid === kid);
  if (version !== 'v1' || key === undefined) throw new Error('a stored secret has no known form or key');
  const bytes = Buffer.from(text, 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', keyOf(key, place), bytes.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(boundTo(place)).setAuthTag(bytes.subarray(-TAG_BYTES));
  const opened = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  return Buffer.concat([opened, decipher.final()]).toString('utf8');
}

function keyOf(key: ContextKey, { tenant }: SecretPlace): Buffer {
  return Buffer.from(hkdfSync('sha256', key.secret, uuidOf('tnt', tenant), 'tenon stored secret v1', 32));
}

function boundTo({ purpose, id }: SecretPlace): Buffer {
  return Buffer.from(`${purpose}\n${id}`);
}

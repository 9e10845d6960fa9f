import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Returns 256 random bits in base64url: nothing to guess, so that a fast hash is enough to store them. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** Returns what is stored of a secret that need not be read again: its SHA-256. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** Tells whether a secret is the one that was stored as a hash, in constant time. */
export function isSecretOf(stored: Buffer, secret: string): boolean {
  return timingSafeEqual(stored, hashSecret(secret));
}

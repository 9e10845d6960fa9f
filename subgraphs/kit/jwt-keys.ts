import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { ContextKey, ContextKeys } from '#schema/tenant-context.ts';

/** A key that signs tokens of one kind, and the name that their header says. */
export interface JwtKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
}

/** The keys of one kind of token. */
export interface JwtKeys {
  /** Returns the key that belongs to a context key. */
  readonly of: (key: ContextKey) => JwtKey;
  /** Returns the public keys as JWKs (RFC 7517); the signing one is the first. */
  readonly published: (keys: ContextKeys) => readonly object[];
}

/**
 * Returns keys that are derived from the context keys, so that they are the same in every process and rotate with them.
 * Each is made once; its name is the start of the hash of its public half.
 */
export function jwtKeys(alg: 'EdDSA' | 'ES256', privateKeyOf: (key: ContextKey) => KeyObject): JwtKeys {
  const made = new WeakMap<ContextKey, JwtKey>();
  const keyOf = (contextKey: ContextKey): JwtKey => {
    const known = made.get(contextKey) ?? named(privateKeyOf(contextKey));
    made.set(contextKey, known);
    return known;
  };
  return {
    of: keyOf,
    published: ({ signing, all }) =>
      [signing, ...all.filter((key) => key !== signing)]
        .map(keyOf)
        .map(({ kid, publicKey }) => Object.assign(publicKey.export({ format: 'jwk' }), { kid, use: 'sig', alg })),
  };
}

function named(key: KeyObject): JwtKey {
  const publicKey = createPublicKey(key);
  const kid = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64url');
  return { kid: kid.slice(0, 22), key, publicKey };
}

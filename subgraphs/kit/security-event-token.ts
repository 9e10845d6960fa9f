import { createECDH, createPrivateKey, type JsonWebKey } from 'node:crypto';
import { SignJWT, type JWTPayload } from 'jose';
import { deriveKey, type ContextKey, type ContextKeys } from '#schema/tenant-context.ts';
import { jwtKeys } from './jwt-keys.ts';

/** What a token is, as its header says: RFC 8417 section 2.3, OpenID Connect Back-Channel Logout 1.0 section 2.4. */
export type SecurityEventType = 'secevent+jwt' | 'logout+jwt';

/** Signs a token about something that happened (RFC 8417); ES256, which every receiver of the kind knows. */
export async function signSecurityEvent(
  keys: ContextKeys,
  type: SecurityEventType,
  claims: JWTPayload,
): Promise<string> {
  const { kid, key } = KEYS.of(keys.signing);
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: type, kid }).sign(key);
}

/** Returns the public keys that such tokens are verified with, as JWKs (RFC 7517); the signing one is the first. */
export function securityEventKeys(keys: ContextKeys): readonly object[] {
  return KEYS.published(keys);
}

const KEYS = jwtKeys('ES256', (contextKey) => createPrivateKey({ key: privateJwkOf(contextKey), format: 'jwk' }));

function privateJwkOf(contextKey: ContextKey): JsonWebKey {
  const pair = createECDH('prime256v1');
  const scalar = deriveKey(contextKey, 'tenon security event v1');
  // One of four thousand million secrets yields a number beyond the order of the curve, and throws at the start.
  pair.setPrivateKey(scalar);
  const point = pair.getPublicKey();
  const [d, x, y] = [scalar, point.subarray(1, 33), point.subarray(33)].map((bytes) => bytes.toString('base64url'));
  return { kty: 'EC', crv: 'P-256', d, x, y };
}

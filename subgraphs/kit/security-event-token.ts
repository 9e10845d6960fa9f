import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { SignJWT, type JWTPayload } from 'jose';
import type { ContextKey, ContextKeys } from '#schema/tenant-context.ts';

/** What a token is, as its header says: RFC 8417 section 2.3, OpenID Connect Back-Channel Logout 1.0 section 2.4. */
export type SecurityEventType = 'secevent+jwt' | 'logout+jwt';

/** Signs a token about something that happened (RFC 8417); ES256, which every receiver of the kind knows. */
export async function signSecurityEvent(
  keys: ContextKeys,
  type: SecurityEventType,
  claims: JWTPayload,
): Promise<string> {
  const { kid, key } = signingKeyOf(keys.signing);
  return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: type, kid }).sign(key);
}

/** Returns the public keys that such tokens are verified with, as JWKs (RFC 7517); the signing one is the first. */
export function securityEventKeys(keys: ContextKeys): readonly object[] {
  const ordered = [keys.signing, ...keys.all.filter((key) => key !== keys.signing)].map(signingKeyOf);
  return ordered.map(({ kid, publicKey }) =>
    Object.assign(publicKey.export({ format: 'jwk' }), { kid, use: 'sig', alg: 'ES256' }),
  );
}

interface SigningKey {
  readonly kid: string;
  readonly key: KeyObject;
  readonly publicKey: KeyObject;
}

const signingKeys = new WeakMap<ContextKey, SigningKey>();

/** Derived from the context key (HKDF, RFC 5869), so that it is the same in every process and rotates with it. */
function signingKeyOf(contextKey: ContextKey): SigningKey {
  const known = signingKeys.get(contextKey);
  if (known !== undefined) return known;
  const key = createPrivateKey({ key: privateJwkOf(contextKey), format: 'jwk' });
  const publicKey = createPublicKey(key);
  const kid = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('base64url');
  const made = { kid: kid.slice(0, 22), key, publicKey };
  signingKeys.set(contextKey, made);
  return made;
}

function privateJwkOf({ secret }: ContextKey): JsonWebKey {
  const pair = createECDH('prime256v1');
  const scalar = Buffer.from(hkdfSync('sha256', secret, '', 'tenon security event v1', 32));
  // One of four thousand million secrets yields a number beyond the order of the curve, and throws at the start.
  pair.setPrivateKey(scalar);
  const point = pair.getPublicKey();
  const [d, x, y] = [scalar, point.subarray(1, 33), point.subarray(33)].map((bytes) => bytes.toString('base64url'));
  return { kty: 'EC', crv: 'P-256', d, x, y };
}

import { createPrivateKey, randomUUID } from 'node:crypto';
import { decodeProtectedHeader, errors, jwtVerify, SignJWT } from 'jose';
import { fail } from '#schema/errors.ts';
import { isId, uuidOrNull, type Id } from '#schema/ids.ts';
import { deriveKey, type ContextKeys } from '#schema/tenant-context.ts';
import { jwtKeys } from './jwt-keys.ts';

/** What an access token says: whose session it stands for, and in which epochs it was signed; never her rights. */
export interface AccessClaims {
  readonly tenant: Id<'tnt'>;
  readonly user: Id<'usr'>;
  readonly session: Id<'ses'>;
  readonly userEpoch: number;
  readonly tenantEpoch: number;
}

/** What was verified of an access token. */
export interface VerifiedAccess extends AccessClaims {
  readonly expiresAtMs: number;
}

/** How long an access token is good for at most; the session behind it may end at any moment before. */
export const ACCESS_TOKEN_SECONDS = 300;

/** Signs the access token of a session (RFC 9068 shape, EdDSA); it never outlives `expiresAt`. */
export async function signAccessToken(
  keys: ContextKeys,
  claims: AccessClaims,
  { issuer, now, expiresAt }: { readonly issuer: string; readonly now: Date; readonly expiresAt: Date },
): Promise<{ token: string; expiresInSeconds: number }> {
  const issuedAt = Math.floor(now.getTime() / 1000);
  const expiry = Math.min(issuedAt + ACCESS_TOKEN_SECONDS, Math.floor(expiresAt.getTime() / 1000));
  const { kid, key } = KEYS.of(keys.signing);
  const token = await new SignJWT({
    sid: claims.session,
    tid: claims.tenant,
    uep: claims.userEpoch,
    tep: claims.tenantEpoch,
  })
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid })
    .setIssuer(issuer)
    .setAudience(issuer)
    .setSubject(claims.user)
    .setJti(randomUUID())
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiry)
    .sign(key);
  return { token, expiresInSeconds: Math.max(0, expiry - issuedAt) };
}

/** Tells whether a bearer token has the form of a JWT; none of our other tokens has. */
export function isJwt(token: string): boolean {
  return token.startsWith('eyJ') && token.split('.').length === 3;
}

/**
 * Returns what an access token of this deployment says. A token that is forged, expired, of another kind or of a key that
 * is gone is UNAUTHENTICATED. Whether its session still lives is the caller's to find out.
 */
export async function verifyAccessToken(keys: ContextKeys, token: string, now: Date): Promise<VerifiedAccess> {
  try {
    const { kid } = decodeProtectedHeader(token);
    const known = keys.all.map(KEYS.of).find((one) => one.kid === kid);
    if (known === undefined) return fail('UNAUTHENTICATED', 'the JWT is of no key of ours');
    // Each key signs access tokens and nothing else, so that the issuer says no more than the signature.
    const { payload } = await jwtVerify(token, known.publicKey, {
      algorithms: ['EdDSA'],
      typ: 'at+jwt',
      currentDate: now,
      requiredClaims: ['iss', 'exp', 'iat', 'sub', 'sid', 'tid', 'uep', 'tep', 'jti'],
    });
    return claimsIn(payload);
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError)
      return fail('UNAUTHENTICATED', 'the JWT is not valid', { cause: error });
    throw error;
  }
}

/** Returns the public keys that access tokens are verified with, as a JWK set (RFC 7517); the signing one is the first. */
export function accessTokenKeys(keys: ContextKeys): { readonly keys: readonly object[] } {
  return { keys: KEYS.published(keys) };
}

/** The bytes before the seed in the PKCS #8 form of an Ed25519 key (RFC 8410 section 7). */
const ED25519_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

const KEYS = jwtKeys('EdDSA', (contextKey) => {
  const seed = deriveKey(contextKey, 'tenon access token v1');
  return createPrivateKey({ key: Buffer.concat([ED25519_PREFIX, seed]), format: 'der', type: 'pkcs8' });
});

function claimsIn({ tid, sub, sid, uep, tep, exp }: Readonly<Record<string, unknown>>): VerifiedAccess {
  if (!isText(tid) || !isId('tnt', tid) || !isText(sub) || !isText(sid)) return malformed();
  if (uuidOrNull('usr', sub) === null || uuidOrNull('ses', sid) === null) return malformed();
  if (!Number.isSafeInteger(uep) || !Number.isSafeInteger(tep)) return malformed();
  return {
    tenant: tid,
    user: sub as Id<'usr'>,
    session: sid as Id<'ses'>,
    userEpoch: uep as number,
    tenantEpoch: tep as number,
    expiresAtMs: (exp as number) * 1000,
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function malformed(): never {
  return fail('UNAUTHENTICATED', 'the JWT lacks claims of ours');
}

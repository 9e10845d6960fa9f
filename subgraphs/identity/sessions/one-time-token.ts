import { createHash } from 'node:crypto';
import { hashSecret, newSecret } from '#kit/secret.ts';
import { isId, uuidv7, type Id } from '#schema/ids.ts';

/**
 * Tokens that are used once and never are a bearer's: authorization codes, refresh tokens, first factors and
 * sign-ins that have left for an identity provider, which are told from these by where they are looked up.
 */
export type OneTimeKind = 'tnc' | 'tnr' | 'tnf';

/** A token's parts; it carries the tenant in clear, so that any gateway can route it. */
export interface OneTimeToken {
  readonly tenant: Id<'tnt'>;
  readonly uuid: string;
  readonly secret: string;
}

/** A new token, and what is stored of it. */
export interface NewOneTimeToken {
  readonly token: string;
  readonly uuid: string;
  readonly secretHash: Buffer;
}

const SHAPE = /^(tn[crf])_([0-9a-z]{26})\.([0-9a-f]{32})\.([\w-]{43})$/;

/** Makes a token of 256 random bits. */
export function newOneTimeToken(kind: OneTimeKind, tenant: Id<'tnt'>): NewOneTimeToken {
  const uuid = uuidv7();
  const secret = newSecret();
  const token = `${kind}_${tenant.slice(4)}.${uuid.replaceAll('-', '')}.${secret}`;
  return { token, uuid, secretHash: hashSecret(secret) };
}

/** Returns the parts of a token, or null for a text that is none of the kind. */
export function parseOneTimeToken(kind: OneTimeKind, token: string): OneTimeToken | null {
  const [, found, place = '', hex = '', secret = ''] = SHAPE.exec(token) ?? [];
  const tenant = `tnt_${place}` as const;
  if (found !== kind || !isId('tnt', tenant)) return null;
  const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  return { tenant, uuid, secret };
}

/** Returns the SHA-256 of a text in base64url, as the S256 challenge of a verifier is (RFC 7636 section 4.2). */
export function s256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { canonicalBytes, type JsonValue } from './canonical-json.ts';
import { fail } from './errors.ts';
import type { Id } from './ids.ts';
import { deriveKey, type Actor, type ContextKey, type ContextKeys } from './tenant-context.ts';

/** What a job is signed for: this work, for this tenant, with this input, on behalf of this actor, and nothing else. */
export interface JobClaims {
  readonly tenant: Id<'tnt'>;
  readonly job: Id<'job'>;
  readonly kind: string;
  /** Of the canonical bytes of the input, in hex. */
  readonly inputHash: string;
  /** Who asked for it; from where does not travel. */
  readonly actor: Pick<Actor, 'type' | 'id'>;
  readonly sessionId: string | null;
  readonly requestId: string;
}

/** Where a token was found, which has to be what it was signed for. */
export type JobPlace = Pick<JobClaims, 'tenant' | 'job' | 'kind' | 'inputHash'>;

/** A job waits and is retried for days; one that lay for longer is asked for again. */
const LIFETIME_MS = 30 * 24 * 3_600_000;
const MAX_LENGTH = 4096;

/** Returns the hash of an input by which a token knows it. */
export function hashInput(input: JsonValue): string {
  return createHash('sha256').update(canonicalBytes(input)).digest('hex');
}

/** Returns the claims as `j1.kid.expiry.payload.mac`, good for 30 days as long as its key is among the keys. */
export function sealJob(claims: JobClaims, keys: ContextKeys, nowMs: number): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const body = `j1.${keys.signing.kid}.${nowMs + LIFETIME_MS}.${payload}`;
  return `${body}.${macOf(keys.signing, body)}`;
}

/**
 * Returns the claims inside a token. One that is forged, altered, expired, signed by an unknown key, or signed for another
 * tenant, job, kind or input than it was found with, is UNAUTHENTICATED.
 */
export function openJob(token: string, found: JobPlace, at: { keys: ContextKeys; nowMs: number }): JobClaims {
  if (token.length > MAX_LENGTH) fail('UNAUTHENTICATED', 'the token of a job is too long');
  const [version, kid, expiry, payload, mac, ...rest] = token.split('.');
  const key = at.keys.all.find((known) => known.kid === kid);
  if (version !== 'j1' || key === undefined || payload === undefined || mac === undefined || rest.length > 0) {
    return fail('UNAUTHENTICATED', 'the token of a job has no known form or key');
  }
  if (!isSame(mac, macOf(key, `j1.${key.kid}.${expiry}.${payload}`))) {
    fail('UNAUTHENTICATED', 'the token of a job is not signed by us');
  }
  if (!(Number(expiry) > at.nowMs)) fail('UNAUTHENTICATED', 'the token of a job has expired');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as JobClaims;
  for (const name of ['tenant', 'job', 'kind', 'inputHash'] as const) {
    if (claims[name] !== found[name]) fail('UNAUTHENTICATED', `the token is of another ${name}`);
  }
  return claims;
}

/** A key of its own: neither an envelope nor a database token can be made of it. */
function macOf(key: ContextKey, body: string): string {
  return createHmac('sha256', deriveKey(key, 'tenon job v1')).update(body).digest('base64url');
}

function isSame(left: string, right: string): boolean {
  const a = Buffer.from(left);
  const b = Buffer.from(right);
  return a.length === b.length && timingSafeEqual(a, b);
}

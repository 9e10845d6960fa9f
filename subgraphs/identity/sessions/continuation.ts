import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import type { Config } from '#schema/config.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { newOneTimeToken } from './one-time-token.ts';

/** Where a browser goes on after a sign-in: the app that sent it here, and what the app checks the return against. */
export interface Continuation {
  /** One of TENON_REDIRECT_URIS, to the letter. */
  readonly redirectUri: string;
  /** Comes back as it was sent; null where none was. */
  readonly state: string | null;
  /** S256 of the app's verifier (RFC 7636). */
  readonly codeChallenge: string;
}

/** Long enough for a redirect, too short to be found in a log. */
const CODE_LIFETIME_MS = 60_000;
const MAX_STATE_LENGTH = 1024;
const CHALLENGE_SHAPE = /^[\w-]{43}$/;

/**
 * Reads `redirect_uri`, `state`, `code_challenge` and `code_challenge_method` of a request; null without a redirect_uri.
 * One that the settings do not name, and a challenge that is missing or not S256, is BAD_REQUEST, and nobody is ever sent
 * there.
 */
export function readContinuation(
  { redirectUris }: Pick<Config, 'redirectUris'>,
  query: RouteRequest['query'],
): Continuation | null {
  const text = (name: string) => (typeof query[name] === 'string' ? query[name] : null);
  const redirectUri = text('redirect_uri');
  if (redirectUri === null) return null;
  const state = text('state');
  const codeChallenge = text('code_challenge') ?? '';
  const method = text('code_challenge_method') ?? 'S256';
  if (!redirectUris.includes(redirectUri))
    fail('BAD_REQUEST', 'unknown redirect URI', { hint: 'This redirect_uri is not one of this deployment.' });
  if (!CHALLENGE_SHAPE.test(codeChallenge) || method !== 'S256')
    fail('BAD_REQUEST', 'no S256 challenge', { hint: 'A code_challenge of the method S256 is needed (RFC 7636).' });
  if (state !== null && state.length > MAX_STATE_LENGTH)
    fail('BAD_REQUEST', 'the state is too long', { hint: `state has at most ${MAX_STATE_LENGTH} characters.` });
  return { redirectUri, state, codeChallenge };
}

/** Returns the continuation as the parameters that `readContinuation` reads, for a link or a form; empty for none. */
export function continuationParameters(continuation: Continuation | null): URLSearchParams {
  const parameters = new URLSearchParams();
  if (continuation === null) return parameters;
  parameters.set('redirect_uri', continuation.redirectUri);
  if (continuation.state !== null) parameters.set('state', continuation.state);
  parameters.set('code_challenge', continuation.codeChallenge);
  return parameters;
}

/** Stores a one-time code for the app and returns the address that carries it there, in the transaction of the session. */
export async function issueCode(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { session, continuation }: { readonly session: Id<'ses'>; readonly continuation: Continuation },
): Promise<string> {
  const { token, uuid, secretHash } = newOneTimeToken('tnc', ctx.tenant.tenant);
  await tx.query(
    `insert into authorization_codes (id, session_id, secret_hash, redirect_uri, code_challenge, expires_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [
      uuid,
      uuidOf('ses', session),
      secretHash,
      continuation.redirectUri,
      continuation.codeChallenge,
      new Date(ctx.clock().getTime() + CODE_LIFETIME_MS),
    ],
  );
  const address = new URL(continuation.redirectUri);
  address.searchParams.set('code', token);
  if (continuation.state !== null) address.searchParams.set('state', continuation.state);
  // RFC 9207: the app that has several servers learns which one answered.
  address.searchParams.set('iss', ctx.platform.publicUrl);
  return address.href;
}

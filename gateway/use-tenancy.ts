import type { IncomingHttpHeaders } from 'node:http';
import type { Authenticated, CredentialCache } from '#kit/credential-cache.ts';
import type { RequestOrigin } from '#kit/credential.ts';
import type { Clock } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';

/** Longer than any token of ours, short enough to cost nothing. */
const MAX_TOKEN_LENGTH = 2048;
const SCHEME = 'bearer ';

/** What turns a bearer token into a tenant. */
export interface Tenancy {
  readonly credentials: CredentialCache;
  readonly clock: Clock;
}

/**
 * First step: the bearer token becomes the tenant context, with the limits that hold for the caller. Nothing else that a
 * client sends is believed; a tenant header of its own is not even read. Returns at once for a token that is known.
 */
export function useTenancy(
  { credentials, clock }: Tenancy,
  headers: IncomingHttpHeaders,
  origin: RequestOrigin,
): Authenticated | Promise<Authenticated> {
  const { requestId, ip, ua } = origin;
  return credentials.authenticate(bearerToken(headers.authorization), { requestId, ip, ua, now: clock() });
}

function bearerToken(header: string | undefined): string {
  const scheme = header?.slice(0, SCHEME.length).toLowerCase();
  const token = header?.slice(SCHEME.length) ?? '';
  if (scheme !== SCHEME || token === '' || token.includes(' ')) return fail('UNAUTHENTICATED', 'no bearer token');
  return token.length <= MAX_TOKEN_LENGTH ? token : fail('UNAUTHENTICATED', 'the token is too long');
}

import type { FastifyRequest } from 'fastify';
import { authenticate, type RequestOrigin } from '#kit/credential.ts';
import { requestContext, type Platform, type RequestContext } from '#kit/request-context.ts';
import { traceTenant } from '#kit/tenant-trace.ts';
import { fail } from '#schema/errors.ts';

/** Longer than any token of ours, short enough to cost nothing. */
const MAX_TOKEN_LENGTH = 2048;

/**
 * First step: the bearer token becomes the tenant context. Nothing else that a client sends is believed; a tenant header
 * of its own is not even read.
 */
export async function useTenancy(
  platform: Platform,
  req: FastifyRequest,
  origin: RequestOrigin,
): Promise<RequestContext> {
  const token = bearerToken(req.headers.authorization);
  const now = platform.clock();
  const tenant = await authenticate(platform.databases, token, { ...origin, now });
  traceTenant(tenant);
  return requestContext(platform, tenant);
}

function bearerToken(header: string | undefined): string {
  const [scheme, token, ...rest] = (header ?? '').slice(0, MAX_TOKEN_LENGTH + 8).split(' ');
  if (scheme?.toLowerCase() !== 'bearer' || token === undefined || token === '' || rest.length > 0) {
    fail('UNAUTHENTICATED', 'no bearer token');
  }
  return token.length <= MAX_TOKEN_LENGTH ? token : fail('UNAUTHENTICATED', 'the token is too long');
}

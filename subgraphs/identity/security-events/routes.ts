import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { mediaTypeOf } from '#kit/route-body.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { isId } from '#schema/ids.ts';
import { anonymousContext } from '../sessions/session.ts';
import { takeSecurityEvent } from './event-receiver.ts';
import { revokeEverything } from './token-revocation.ts';

/** What identity providers tell us beside a sign-in, and where ours is found by those whom we tell. */
export const securityEventRoutes: readonly Route[] = [
  { method: 'POST', path: '/sso/token-revocation/:tenant/:connection', scope: null, handle: revoke },
  { method: 'POST', path: '/sso/events/:tenant/:connection', scope: null, handle: receive },
  { method: 'GET', path: '/.well-known/ssf-configuration', scope: null, handle: configuration },
];

/** Section 2 of Okta's Universal Logout: 204, or why not. */
async function revoke(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const [, token = ''] = /^Bearer ([\w.-]+)$/i.exec(headerOf(req, 'authorization')) ?? [];
  const ctx = await contextOf(platform, req, origin);
  requireType(req, 'application/json');
  const answer = await revokeEverything(ctx, {
    ...addressOf(platform, req, 'token-revocation'),
    token,
    body: bodyOf(req),
  });
  if (answer.status === 204) return { status: 204, headers: NOT_STORED };
  return json(answer.status, { error: REVOCATION_ERRORS[answer.status], error_description: answer.detail });
}

const REVOCATION_ERRORS = {
  400: 'invalid_request',
  401: 'invalid_token',
  403: 'forbidden',
  404: 'not_found',
  422: 'unprocessable',
} as const;

/** RFC 8935 section 2: 202 where it is taken, 400 with a code where it is not. */
async function receive(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  try {
    requireType(req, 'application/secevent+jwt');
    const ctx = await contextOf(platform, req, origin);
    await takeSecurityEvent(ctx, { ...addressOf(platform, req, 'events'), token: bodyOf(req).trim() });
    return { status: 202, headers: NOT_STORED };
  } catch (thrown) {
    const { code } = asTenonError(thrown);
    if (code === 'UNAUTHENTICATED')
      return json(400, { err: 'authentication_failed', description: 'It is no valid token of this connection.' });
    if (code === 'UNSUPPORTED_MEDIA_TYPE')
      return json(400, { err: 'invalid_request', description: 'It takes application/secevent+jwt.' });
    throw thrown;
  }
}

/** SSF 1.0 section 7.1, as far as it goes: receivers are registered by an administrator and not by themselves. */
async function configuration({ publicUrl }: Platform): Promise<RouteResponse> {
  const document = {
    spec_version: '1_0',
    issuer: publicUrl,
    jwks_uri: `${publicUrl}/.well-known/jwks.json`,
    delivery_methods_supported: ['urn:ietf:rfc:8935'],
    default_subjects: 'ALL',
  };
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' },
    body: JSON.stringify(document),
  };
}

const NOT_STORED = { 'cache-control': 'no-store' } as const;

function addressOf(
  { publicUrl }: Platform,
  { params }: RouteRequest,
  door: string,
): { readonly connection: string; readonly address: string } {
  const { tenant = '', connection = '' } = params;
  return { connection, address: `${publicUrl}/sso/${door}/${tenant}/${connection}` };
}

async function contextOf(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RequestContext> {
  const tenant = req.params['tenant'] ?? '';
  return isId('tnt', tenant)
    ? anonymousContext(platform, tenant, origin)
    : fail('UNAUTHENTICATED', 'no tenant of that id');
}

function requireType(req: RouteRequest, type: string): void {
  if (mediaTypeOf(req) !== type) fail('UNSUPPORTED_MEDIA_TYPE', 'another type', { hint: `It takes ${type}.` });
}

function headerOf({ headers }: RouteRequest, name: string): string {
  const value = headers[name];
  return typeof value === 'string' ? value : '';
}

function bodyOf({ body }: RouteRequest): string {
  return body.toString('utf8');
}

function json(status: number, body: object): RouteResponse {
  return { status, headers: { 'content-type': 'application/json', ...NOT_STORED }, body: JSON.stringify(body) };
}

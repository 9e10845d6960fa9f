import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { formOf } from '#kit/route-body.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { isId } from '#schema/ids.ts';
import { readContinuation } from '../sessions/continuation.ts';
import { anonymousContext, signedInResponse } from '../sessions/session.ts';
import { endSessionsByLogoutToken } from './logout.ts';
import { finishOidcSignIn, startOidcSignIn } from './sign-in.ts';

const BASE = '/sso/oidc/:tenant/:connection';

/** Sign-in over OpenID Connect: the way to the identity provider, the way back, and its word that a session has ended. */
export const oidcRoutes: readonly Route[] = [
  { method: 'GET', path: `${BASE}/start`, scope: null, handle: start },
  { method: 'GET', path: `${BASE}/callback`, scope: null, handle: finish },
  { method: 'POST', path: `${BASE}/logout`, scope: null, handle: logout },
];

async function start(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  const { location, cookie } = await startOidcSignIn(ctx, {
    connection: req.params['connection'] ?? '',
    loginHint: shortText(req.query['login_hint'], 320),
    continuation: readContinuation(platform.config, req.query),
  });
  return { status: 302, headers: { location, 'set-cookie': cookie, ...NOT_STORED } };
}

async function finish(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  return signedInResponse(await finishOidcSignIn(ctx, { connection: req.params['connection'] ?? '', req }));
}

/** Section 2.8: 200 where the sessions have ended, also where there were none; 400 where the token is refused. */
async function logout(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  const token = formOf(req).get('logout_token') ?? '';
  await endSessionsByLogoutToken(ctx, { connection: req.params['connection'] ?? '', token });
  return { status: 200, headers: NOT_STORED };
}

const NOT_STORED = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' } as const;

async function contextOf(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RequestContext> {
  const tenant = req.params['tenant'] ?? '';
  return isId('tnt', tenant)
    ? anonymousContext(platform, tenant, origin)
    : fail('UNAUTHENTICATED', 'no tenant of that id');
}

function shortText(value: string | string[] | undefined, most: number): string | null {
  return typeof value === 'string' && value !== '' && value.length <= most ? value : null;
}

import type { RequestOrigin } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { formOf } from '#kit/route-body.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { isId } from '#schema/ids.ts';
import { requireConnection } from '../connections/connection.ts';
import { ConnectionKind } from '../connections/model.ts';
import { readContinuation } from '../sessions/continuation.ts';
import { anonymousContext, signedInResponse } from '../sessions/session.ts';
import { serviceProvider } from './service-provider.ts';
import { samlSettings } from './settings.ts';
import { finishSamlSignIn, startSamlSignIn } from './sign-in.ts';
import { spMetadata } from './sp-metadata.ts';

const BASE = '/sso/saml/:tenant/:connection';

/** Sign-in over SAML 2.0: the way to the identity provider, the way back, and what it has to know of us. */
export const samlRoutes: readonly Route[] = [
  { method: 'GET', path: `${BASE}/start`, scope: null, handle: start },
  { method: 'POST', path: `${BASE}/acs`, scope: null, handle: finish },
  { method: 'GET', path: `${BASE}/metadata`, scope: null, handle: metadata },
];

async function start(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  const { location, cookie } = await startSamlSignIn(ctx, {
    connection: req.params['connection'] ?? '',
    forceAuthn: req.query['force'] === 'true',
    continuation: readContinuation(platform.config, req.query),
  });
  return { status: 302, headers: { location, 'set-cookie': cookie, ...NOT_STORED } };
}

async function finish(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  const connection = req.params['connection'] ?? '';
  return signedInResponse(await finishSamlSignIn(ctx, { connection, message: messageIn(req), req }));
}

/** An identity provider reads it, or whoever configures one; a draft has it too, since that comes first. */
async function metadata(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const ctx = await contextOf(platform, req, origin);
  const connection = await inTenant(ctx, (tx) => requireConnection(tx, req.params['connection'] ?? ''));
  if (connection.kind !== ConnectionKind.SAML) fail('NOT_FOUND', 'a connection of another kind');
  return {
    status: 200,
    headers: { 'content-type': 'application/samlmetadata+xml', 'cache-control': 'no-store' },
    body: Buffer.from(spMetadata(serviceProvider(ctx, connection), samlSettings(connection.settings))),
  };
}

const NOT_STORED = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' } as const;

/** Hostile input enters here; the server has bounded its size. A parameter that comes twice is none. */
function messageIn(req: RouteRequest): string {
  const messages = formOf(req).getAll('SAMLResponse');
  return messages.length === 1 ? (messages[0] ?? '') : '';
}

async function contextOf(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RequestContext> {
  const tenant = req.params['tenant'] ?? '';
  return isId('tnt', tenant)
    ? anonymousContext(platform, tenant, origin)
    : fail('UNAUTHENTICATED', 'no tenant of that id');
}

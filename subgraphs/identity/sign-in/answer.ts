import type { PublicRoute, RouteRequest, RouteResponse } from '#kit/route.ts';
import { signedInResponse, type OpenedSession } from '../sessions/session.ts';
import { LockedOutError } from './attempts.ts';
import { sendsJson } from './body.ts';
import { escapeHtml, json, page } from './page.ts';

/**
 * Returns the answer that completes a sign-in: a form of a page is sent on, a program is told where to go on, since it
 * would follow a redirect itself. Recovery codes of an enrolment on the way are shown before that, since they are this once.
 */
export function completed(
  req: RouteRequest,
  opened: OpenedSession,
  recoveryCodes: readonly string[] = [],
): RouteResponse {
  const { token, expiresAt, userId, location } = opened;
  const codes = recoveryCodes.length === 0 ? {} : { recoveryCodes };
  if (location === null)
    return json(200, { token, expiresAt: expiresAt.toISOString(), user: { id: userId }, ...codes });
  if (sendsJson(req)) return json(200, { location, ...codes });
  return recoveryCodes.length === 0 ? signedInResponse(opened) : codesPage(recoveryCodes, location);
}

function codesPage(recoveryCodes: readonly string[], location: string): RouteResponse {
  const list = recoveryCodes.map((code) => `<li><code>${code}</code></li>`).join('');
  return page(
    200,
    `<p>Keep these recovery codes; each signs you in once if you lose your device.</p><ul>${list}</ul><p><a href="${escapeHtml(location)}">Continue within a minute</a></p>`,
  );
}

/** Adds to a door of the sign-in the answer to whoever has failed too often: 429 with Retry-After, as problem details. */
export function withLockout(handle: PublicRoute['handle']): PublicRoute['handle'] {
  return async (platform, req, origin) => {
    try {
      return await handle(platform, req, origin);
    } catch (error) {
      if (!(error instanceof LockedOutError)) throw error;
      const { status, code, publicMessage: title } = error;
      const problem = { type: 'about:blank', title, status, code, requestId: origin.requestId };
      const headers = { 'content-type': 'application/problem+json', 'retry-after': String(error.retryAfterSeconds) };
      return { status, headers: { ...headers, 'cache-control': 'no-store' }, body: JSON.stringify(problem) };
    }
  };
}

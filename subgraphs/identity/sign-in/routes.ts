import { parseToken, type RequestOrigin } from '#kit/credential.ts';
import { logError } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { atEvenPace, findSignInUrl } from '../connections/discovery.ts';
import { continuationParameters, readContinuation, type Continuation } from '../sessions/continuation.ts';
import { completed } from './answer.ts';
import { parametersIn } from './body.ts';
import { escapeHtml, json, page, wantsPage } from './page.ts';
import { passkeyRoutes } from './passkey-routes.ts';
import { secondFactorAsked, secondFactorRoutes } from './second-factor-routes.ts';
import { followSignInLink, mailSignInLink, readAddress } from './sign-in-link.ts';

/** Sign-in by a one-time link (asking for one, opening it, and using it up), by a passkey, and the second step. */
export const signInRoutes: readonly Route[] = [
  { method: 'GET', path: '/sso', scope: null, handle: beginSignIn },
  { method: 'GET', path: '/sso/link', scope: null, handle: showLink },
  { method: 'POST', path: '/sso/link', scope: null, handle: followLink },
  ...passkeyRoutes,
  ...secondFactorRoutes,
];

/** Requests for a link that may be worked on at once; more than people make, few enough to leave the stores to others. */
const MAX_UNDER_WAY = 32;

const SENT = 'If the address belongs to an account here, a sign-in link is on its way to it.';

let underWay = 0;

/**
 * Sends her to the identity provider of her domain, or a link to her mailbox. With `method=link` it is the link in any case,
 * for whoever may break the glass.
 */
async function beginSignIn(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const address = readAddress(single(req.query['email']));
  const continuation = readContinuation(platform.config, req.query);
  if (req.query['method'] === 'link') return requestLink(platform, req, { address, continuation, origin });
  const url = await atEvenPace(() => signInUrl(platform, address, origin));
  if (url === null) return requestLink(platform, req, { address, continuation, origin });
  for (const [name, value] of continuationParameters(continuation)) url.searchParams.set(name, value);
  if (!wantsPage(req)) return json(200, { url: url.href });
  return {
    status: 302,
    headers: { location: url.href, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
  };
}

/** A fault is for the log alone: she gets the answer that everybody gets. */
async function signInUrl(platform: Platform, address: string, origin: RequestOrigin): Promise<URL | null> {
  try {
    const url = await findSignInUrl(platform, address, origin);
    return url === null ? null : new URL(url);
  } catch (error) {
    logFault(error, origin);
    return null;
  }
}

interface LinkRequest {
  readonly address: string;
  readonly continuation: Continuation | null;
  readonly origin: RequestOrigin;
}

/**
 * Answers before it looks anybody up, so that neither answer nor time tells whether the address is known; faults of the
 * work behind it go to the log alone.
 */
async function requestLink(
  platform: Platform,
  req: RouteRequest,
  { address, continuation, origin }: LinkRequest,
): Promise<RouteResponse> {
  if (underWay >= MAX_UNDER_WAY) fail('SERVICE_UNAVAILABLE', 'too many sign-in links are asked for');
  underWay += 1;
  void mailSignInLink(platform, address, { ...origin, continuation })
    .catch((error: unknown) => logFault(error, origin))
    .finally(() => (underWay -= 1));
  if (wantsPage(req)) return page(202, `<p>${SENT}</p>`);
  return json(202, { message: SENT });
}

/** Opening the link changes nothing: programs that look into mail open it too. The button does. */
async function showLink(platform: Platform, req: RouteRequest): Promise<RouteResponse> {
  const token = linkToken(single(req.query['token']));
  const continuation = readContinuation(platform.config, req.query);
  const fields = [['token', token], ...continuationParameters(continuation)]
    .map(([name = '', value = '']) => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`)
    .join('');
  const form = `<form method="post" action="/sso/link">${fields}<button>Sign in</button></form>`;
  return page(200, form, continuation === null ? [] : [continuation.redirectUri]);
}

async function followLink(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const parameters = parametersIn(req);
  const link = {
    token: linkToken(parameters.get('token') ?? ''),
    continuation: readContinuation(platform.config, Object.fromEntries(parameters)),
  };
  const followed = await followSignInLink(platform, link, origin);
  if ('owed' in followed) return secondFactorAsked(req, followed.owed, link.continuation);
  return completed(req, followed.opened);
}

/** Returns the token of a link; its shape leaves no character that means anything in HTML. */
function linkToken(text: string): string {
  return parseToken(text)?.kind === 'sign_in_link' ? text : fail('UNAUTHENTICATED', 'no sign-in link');
}

function single(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** As with an answer: what somebody outside can bring about at will is no line of the log. */
function logFault(thrown: unknown, { requestId }: RequestOrigin): void {
  const error = asTenonError(thrown);
  if (error.status >= 500) logError(error, requestId);
}

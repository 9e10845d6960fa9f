import { parseToken, type RequestOrigin } from '#kit/credential.ts';
import { logError } from '#kit/log.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import { json, page, wantsPage } from './page.ts';
import { followSignInLink, mailSignInLink, readAddress } from './sign-in-link.ts';

/** Sign-in by a one-time link: asking for one, opening it, and using it up. */
export const signInRoutes: readonly Route[] = [
  { method: 'GET', path: '/sso', scope: null, handle: requestLink },
  { method: 'GET', path: '/sso/link', scope: null, handle: showLink },
  { method: 'POST', path: '/sso/link', scope: null, handle: followLink },
];

/** Requests for a link that may be worked on at once; more than people make, few enough to leave the stores to others. */
const MAX_UNDER_WAY = 32;

const SENT = 'If the address belongs to an account here, a sign-in link is on its way to it.';

let underWay = 0;

/**
 * Answers before it looks anything up, so that neither answer nor time tells whether the address is known; faults of
 * the work behind it go to the log alone.
 */
async function requestLink(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const address = readAddress(single(req.query['email']));
  if (underWay >= MAX_UNDER_WAY) fail('SERVICE_UNAVAILABLE', 'too many sign-in links are asked for');
  underWay += 1;
  void mailSignInLink(platform, address, origin)
    .catch((error: unknown) => logFault(error, origin))
    .finally(() => (underWay -= 1));
  if (wantsPage(req)) return page(202, `<p>${SENT}</p>`);
  return json(202, { message: SENT });
}

/** Opening the link changes nothing: programs that look into mail open it too. The button does. */
async function showLink(_platform: Platform, req: RouteRequest): Promise<RouteResponse> {
  const token = linkToken(single(req.query['token']));
  return page(
    200,
    `<form method="post" action="/sso/link"><input type="hidden" name="token" value="${token}"><button>Sign in</button></form>`,
  );
}

async function followLink(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const { token, expiresAt, userId } = await followSignInLink(platform, linkToken(tokenIn(req)), origin);
  return json(200, { token, expiresAt: expiresAt.toISOString(), user: { id: userId } });
}

/** Returns the token of a link; its shape leaves no character that means anything in HTML. */
function linkToken(text: string): string {
  return parseToken(text)?.kind === 'sign_in_link' ? text : fail('UNAUTHENTICATED', 'no sign-in link');
}

/** Hostile input enters here; the server has bounded its size. */
function tokenIn({ headers, body }: RouteRequest): string {
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]
    ?.trim()
    .toLowerCase();
  const text = body.toString('utf8');
  if (type === 'application/x-www-form-urlencoded') return new URLSearchParams(text).get('token') ?? '';
  if (type === 'application/json') return tokenInJson(text);
  return fail('UNSUPPORTED_MEDIA_TYPE', 'neither JSON nor a form', {
    hint: 'It takes application/json and application/x-www-form-urlencoded.',
  });
}

function tokenInJson(text: string): string {
  try {
    const { token } = JSON.parse(text) as { token?: unknown };
    return typeof token === 'string' ? token : '';
  } catch (cause) {
    return fail('BAD_REQUEST', 'the body is not a JSON object', {
      hint: 'A JSON object with "token" is expected.',
      cause,
    });
  }
}

function single(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** As with an answer: what somebody outside can bring about at will is no line of the log. */
function logFault(thrown: unknown, { requestId }: RequestOrigin): void {
  const error = asTenonError(thrown);
  if (error.status >= 500) logError(error, requestId);
}

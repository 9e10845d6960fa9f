import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform } from '#kit/request-context.ts';
import { FORM, mediaTypeOf } from '#kit/route-body.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { confirmSignUp, requestSignUp } from './sign-up.ts';

/** Sign-up without a credential; each is NOT_FOUND unless the settings open it. */
export const signUpRoutes: readonly Route[] = [
  { method: 'POST', path: '/v1/sign-up', scope: null, handle: ask },
  { method: 'GET', path: '/v1/sign-up/confirm', scope: null, handle: showConfirmation },
  { method: 'POST', path: '/v1/sign-up/confirm', scope: null, handle: confirm },
];

const PRIVATE = { 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' };
const FIELDS = ['slug', 'name', 'region', 'email', 'adminName'] as const;

async function ask(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const fields = valuesOf(req);
  const request = Object.fromEntries(FIELDS.map((name) => [name, textOf(fields, name)])) as Record<
    (typeof FIELDS)[number],
    string
  >;
  await requestSignUp(platform, request, origin);
  return json(202, { status: 'If nothing stands against it, a link is on its way to the address.' });
}

/** A programme that follows links in mails makes nothing: only the button does. */
async function showConfirmation(platform: Platform, { query }: RouteRequest): Promise<RouteResponse> {
  if (platform.config.signUp !== 'open') fail('NOT_FOUND', 'the platform takes no sign-ups');
  const token = /^[\w.-]{1,4096}$/.exec(String(query['token'] ?? ''))?.[0] ?? '';
  const body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Confirm your address</title>
<form method="post" action="/v1/sign-up/confirm"><input type="hidden" name="token" value="${token}">
<button>Confirm my address and make the tenant</button></form></html>`;
  const policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'";
  const headers = { ...PRIVATE, 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy };
  return { status: 200, headers, body };
}

async function confirm(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const { tenant, adminSignInUrl } = await confirmSignUp(platform, textOf(valuesOf(req), 'token'), origin);
  if (mediaTypeOf(req) === FORM) return { status: 303, headers: { ...PRIVATE, location: adminSignInUrl } };
  const { id, slug, state, region } = tenant;
  return json(201, { tenant: { id, slug, state, region }, adminSignInUrl });
}

/** Of a form or of JSON; hostile until each is checked. */
function valuesOf(req: RouteRequest): Map<string, unknown> {
  const text = req.body.toString('utf8');
  const type = mediaTypeOf(req);
  if (type === FORM) return new Map(new URLSearchParams(text));
  if (type !== 'application/json') {
    return fail('UNSUPPORTED_MEDIA_TYPE', 'no form', { hint: `It takes application/json or ${FORM}.` });
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as object));
  } catch (cause) {
    return fail('BAD_USER_INPUT', 'no JSON', { cause, hint: 'The body is no JSON object.' });
  }
}

function textOf(values: Map<string, unknown>, name: string): string {
  const value = values.get(name);
  return typeof value === 'string'
    ? value
    : fail('BAD_USER_INPUT', `${name} is no text`, { hint: `"${name}" takes text.` });
}

function json(status: number, value: object): RouteResponse {
  return { status, headers: { ...PRIVATE, 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import type { Continuation } from '../sessions/continuation.ts';
import { completed, withLockout } from './answer.ts';
import { parametersIn, sendsJson } from './body.ts';
import { escapeHtml, json, page } from './page.ts';
import {
  completeByRecoveryCode,
  completeByTotp,
  enrolOnSignIn,
  type OwedFactor,
  type SecondFactorMethod,
} from './second-factor.ts';

/** The second step of a sign-in, for whoever holds the token of the first. */
export const secondFactorRoutes: readonly Route[] = [
  { method: 'POST', path: '/sso/totp', scope: null, handle: withLockout(byTotp) },
  { method: 'POST', path: '/sso/totp/enrolment', scope: null, handle: enrol },
  { method: 'POST', path: '/sso/recovery', scope: null, handle: withLockout(byRecoveryCode) },
];

/** Answers a first factor that is one alone: 202 with the token of the second step, or a page that asks for it. */
export function secondFactorAsked(
  req: RouteRequest,
  { token, expiresAt, methods }: OwedFactor,
  continuation: Continuation | null,
): RouteResponse {
  if (sendsJson(req)) return json(202, { secondFactor: { token, expiresAt: expiresAt.toISOString(), methods } });
  const forms = methods.map((method) => formOf(method, token)).join('');
  return page(200, forms, addressOf(continuation));
}

const MAX_CODE = 64;

async function byTotp(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  return orAskAgain(req, 'totp', async (sent) => {
    const { opened, recoveryCodes } = await completeByTotp(platform, sent, origin);
    return completed(req, opened, recoveryCodes);
  });
}

async function byRecoveryCode(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  return orAskAgain(req, 'recovery_code', async (sent) => {
    const { opened } = await completeByRecoveryCode(platform, sent, origin);
    return completed(req, opened);
  });
}

interface SentCode {
  readonly token: string;
  readonly code: string;
}

/** Whoever mistypes a code in a page is asked again; a program reads the error. */
async function orAskAgain(
  req: RouteRequest,
  method: SecondFactorMethod,
  complete: (sent: SentCode) => Promise<RouteResponse>,
): Promise<RouteResponse> {
  const sent = sentIn(req);
  try {
    return await complete(sent);
  } catch (error) {
    if (sendsJson(req) || asTenonError(error).code !== 'UNAUTHENTICATED') throw error;
    return page(401, `<p>That code is not right, or too much time has passed.</p>${formOf(method, sent.token)}`);
  }
}

/** In a page the seed stands as text: no image of it is made, so that no other program gets to see it. */
async function enrol(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  const token = parametersIn(req).get('token') ?? '';
  const { enrolment, continuation } = await enrolOnSignIn(platform, token, origin);
  const { uri, secret } = enrolment;
  if (sendsJson(req)) return json(200, { uri, secret });
  const seed = `<p>Key for the authenticator application: <code>${secret}</code></p><p><a href="${escapeHtml(uri)}">Open the application</a></p>`;
  return page(200, `${seed}${formOf('totp', token)}`, addressOf(continuation));
}

function addressOf(continuation: Continuation | null): string[] {
  return continuation === null ? [] : [continuation.redirectUri];
}

/** Whatever was typed between the digits is no part of the code. */
function sentIn(req: RouteRequest): SentCode {
  const parameters = parametersIn(req);
  const code = (parameters.get('code') ?? '').replaceAll(/\s/g, '');
  if (code === '' || code.length > MAX_CODE)
    fail('BAD_USER_INPUT', 'no code', { hint: '"code" takes a one-time code or a recovery code.' });
  return { token: parameters.get('token') ?? '', code };
}

const FORMS: Readonly<Record<SecondFactorMethod, { action: string; label: string; asksForCode: boolean }>> = {
  totp: { action: '/sso/totp', label: 'Code of your authenticator application', asksForCode: true },
  recovery_code: { action: '/sso/recovery', label: 'Or a recovery code', asksForCode: true },
  totp_enrolment: { action: '/sso/totp/enrolment', label: 'Set up an authenticator application', asksForCode: false },
};

function formOf(method: SecondFactorMethod, token: string): string {
  const { action, label, asksForCode } = FORMS[method];
  const input = asksForCode ? `<label>${label} <input name="code" autocomplete="one-time-code" required></label>` : '';
  const button = asksForCode ? 'Sign in' : label;
  return `<form method="post" action="${action}"><input type="hidden" name="token" value="${escapeHtml(token)}">${input}<button>${button}</button></form>`;
}

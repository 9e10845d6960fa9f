import type { RequestOrigin } from '#kit/credential.ts';
import type { Platform } from '#kit/request-context.ts';
import { formOf } from '#kit/route-body.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { securityEventKeys } from '#kit/security-event-token.ts';
import { accessTokenKeys } from '#kit/session-jwt.ts';
import { asTenonError, fail, type ErrorCode } from '#schema/errors.ts';
import { tokensForCode, tokensForRefresh, tokensForSession, type TokenPair, type TokenRequest } from './tokens.ts';

/** Where apps exchange what they hold for tokens, and what those are verified with. */
export const sessionRoutes: readonly Route[] = [
  { method: 'POST', path: '/sso/token', scope: null, handle: token },
  { method: 'GET', path: '/.well-known/jwks.json', scope: null, handle: keys },
];

/** A new key is published before it signs; until then what is cached serves. */
const KEYS_MAX_AGE_SECONDS = 300;

async function keys({ databases }: Platform): Promise<RouteResponse> {
  return {
    status: 200,
    headers: { 'content-type': 'application/jwk-set+json', 'cache-control': `public, max-age=${KEYS_MAX_AGE_SECONDS}` },
    // As bytes: to a text the server would add a charset, which this type does not have (RFC 7517 section 8.5).
    body: Buffer.from(
      JSON.stringify({ keys: [...accessTokenKeys(databases.keys).keys, ...securityEventKeys(databases.keys)] }),
    ),
  };
}

/** The token endpoint of RFC 6749 section 3.2, with its errors (section 5.2). */
async function token(platform: Platform, req: RouteRequest, origin: RequestOrigin): Promise<RouteResponse> {
  try {
    const pair = await exchange({ platform, origin }, formOf(req));
    return answer(200, {
      access_token: pair.accessToken,
      token_type: 'Bearer',
      expires_in: pair.expiresInSeconds,
      refresh_token: pair.refreshToken,
    });
  } catch (thrown) {
    const error = asTenonError(thrown);
    const code = OAUTH_ERRORS[error.code];
    if (code === undefined) throw error;
    return answer(400, { error: code, error_description: error.publicMessage });
  }
}

const OAUTH_ERRORS: Partial<Record<ErrorCode, string>> = {
  UNAUTHENTICATED: 'invalid_grant',
  NOT_FOUND: 'invalid_grant',
  TENANT_SUSPENDED: 'invalid_grant',
  BAD_REQUEST: 'invalid_request',
  UNSUPPORTED_MEDIA_TYPE: 'invalid_request',
  NOT_IMPLEMENTED: 'unsupported_grant_type',
};

/** Hostile input enters here; the server has bounded its size. */
function exchange(request: TokenRequest, form: URLSearchParams): Promise<TokenPair> {
  const grant = parameter(form, 'grant_type');
  if (grant === 'authorization_code')
    return tokensForCode(request, {
      code: parameter(form, 'code'),
      redirectUri: parameter(form, 'redirect_uri'),
      codeVerifier: verifier(form),
    });
  if (grant === 'refresh_token') return tokensForRefresh(request, parameter(form, 'refresh_token'));
  if (grant === 'session') return tokensForSession(request, parameter(form, 'session_token'));
  return fail('NOT_IMPLEMENTED', 'unknown grant type', {
    hint: 'grant_type is authorization_code, refresh_token or session.',
  });
}

/** RFC 6749 section 3.2: no parameter comes twice, and one without a value is as good as none. */
function parameter(form: URLSearchParams, name: string): string {
  const [value = '', ...more] = form.getAll(name);
  if (value === '' || more.length > 0)
    fail('BAD_REQUEST', `no single ${name}`, { hint: `The parameter ${name} is needed, once.` });
  return value;
}

/** RFC 7636 section 4.1. */
function verifier(form: URLSearchParams): string {
  const value = parameter(form, 'code_verifier');
  return /^[A-Za-z0-9._~-]{43,128}$/.test(value)
    ? value
    : fail('BAD_REQUEST', 'no code verifier', { hint: 'code_verifier has 43 to 128 unreserved characters.' });
}

function answer(status: number, body: object): RouteResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify(body),
  };
}

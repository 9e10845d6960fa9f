import { errors as joseErrors, type JWTPayload } from 'jose';
import {
  authorizationCodeGrant,
  AuthorizationResponseError,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  fetchUserInfo,
  randomNonce,
  randomPKCECodeVerifier,
  ResponseBodyError,
} from 'openid-client';
import { inTenant } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { TenonError } from '#schema/errors.ts';
import { admitUser, type AssertedPerson } from '../connections/admission.ts';
import { activeConnection, connectionUrl } from '../connections/connection.ts';
import { consumeFlow, startFlow } from '../connections/flow.ts';
import { ConnectionKind, type IdentityConnection } from '../connections/model.ts';
import { inSignIn, recordingRefusals, refuseSignIn, SignInRefusal, type Refusal } from '../connections/refusal.ts';
import type { Continuation } from '../sessions/continuation.ts';
import { openSession, type OpenedSession } from '../sessions/session.ts';
import { assertedPerson, isIncomplete, type Claims } from './claims.ts';
import { oidcProvider, verifySigned, type OidcProvider } from './provider.ts';

/** What a sign-in is begun with. */
export interface SignInStart {
  readonly connection: string;
  /** The address that she typed, for the form of her identity provider; null where nobody typed one. */
  readonly loginHint: string | null;
  /** The app that waits for her; null where none does. */
  readonly continuation: Continuation | null;
}

/**
 * Begins a sign-in by the authorization code flow with PKCE (S256), state and nonce; returns where the browser goes and
 * the cookie that it comes back with. A connection that is not active is UNAUTHENTICATED, an identity provider that does
 * not answer SERVICE_UNAVAILABLE.
 */
export async function startOidcSignIn(
  ctx: RequestContext,
  start: SignInStart,
): Promise<{ readonly location: string; readonly cookie: string }> {
  const connection = await inTenant(ctx, (tx) =>
    activeConnection(tx, { id: start.connection, kind: ConnectionKind.OIDC }),
  );
  const { settings, configuration } = await providerOf(ctx, connection);
  const content: FlowContent = {
    nonce: randomNonce(),
    codeVerifier: randomPKCECodeVerifier(),
    continuation: start.continuation,
  };
  const { state, cookie } = await inTenant(ctx, (tx) =>
    startFlow(tx, ctx, { connection, content: JSON.stringify(content) }),
  );
  const location = buildAuthorizationUrl(configuration, {
    ...settings.authorizationParameters,
    ...(start.loginHint === null ? {} : { login_hint: start.loginHint }),
    response_type: 'code',
    redirect_uri: redirectUri(ctx, connection),
    scope: settings.scopes.join(' '),
    state,
    nonce: content.nonce,
    code_challenge: await calculatePKCECodeChallenge(content.codeVerifier),
    code_challenge_method: 'S256',
  });
  return { location: location.href, cookie };
}

/**
 * Ends a sign-in that came back to its connection: uses up the flow, exchanges the code, checks what the identity provider
 * signed, and opens the session of whom it stands for. Anything else is refused, with an audit event that says why.
 */
export async function finishOidcSignIn(
  ctx: RequestContext,
  { connection: id, req }: { readonly connection: string; readonly req: RouteRequest },
): Promise<OpenedSession> {
  const { connection, flow } = await inSignIn(ctx, async (tx) => {
    const active = await activeConnection(tx, { id, kind: ConnectionKind.OIDC });
    const content = await consumeFlow(tx, ctx, { connection: active, state: single(req.query['state']), req });
    return { connection: active, flow: JSON.parse(content) as FlowContent };
  });
  const identity = await recordingRefusals(ctx, () => exchange(ctx, { connection, flow, req }));
  return inSignIn(ctx, async (tx) => {
    // It may have been disabled while she was away.
    const active = await activeConnection(tx, { id, kind: ConnectionKind.OIDC });
    const userId = await admitUser(tx, ctx, { ...identity.person, connection: active });
    return openSession(tx, ctx, {
      userId,
      method: 'oidc',
      amr: identity.amr,
      identityProvider: { connection: active.id, subject: identity.person.subject, sessionId: identity.sessionId },
      context: {},
      continuation: flow.continuation,
    });
  });
}

/** Returns the one address that the identity provider of a connection may send people back to. */
export function redirectUri(ctx: RequestContext, connection: Pick<IdentityConnection, 'id' | 'kind'>): string {
  return `${connectionUrl(ctx, connection)}/callback`;
}

interface FlowContent {
  readonly nonce: string;
  readonly codeVerifier: string;
  readonly continuation: Continuation | null;
}

interface Return {
  readonly connection: IdentityConnection;
  readonly flow: FlowContent;
  readonly req: RouteRequest;
}

interface VerifiedIdentity {
  readonly person: AssertedPerson;
  readonly amr: readonly string[];
  readonly sessionId: string | null;
}

async function exchange(ctx: RequestContext, { connection, flow, req }: Return): Promise<VerifiedIdentity> {
  const provider = await providerOf(ctx, connection);
  try {
    const tokens = await authorizationCodeGrant(provider.configuration, returnUrl(ctx, connection, req), {
      expectedNonce: flow.nonce,
      expectedState: single(req.query['state']),
      pkceCodeVerifier: flow.codeVerifier,
      idTokenExpected: true,
    });
    // openid-client has checked what the token says; who signed it is checked here, at the platform's own time.
    const { claims } = await verifySigned(ctx, provider, { token: tokens.id_token ?? '', isTrusted: true });
    const userinfo = await userinfoOf(provider, { connection, claims, accessToken: tokens.access_token });
    return {
      person: assertedPerson(connection, provider.settings, { idToken: claims, userinfo }),
      amr: amrOf(claims['amr']),
      sessionId: typeof claims['sid'] === 'string' ? claims['sid'].slice(0, MAX_SESSION_ID_LENGTH) : null,
    };
  } catch (error) {
    return refuseSignIn(refusalOf(connection, error), { cause: error });
  }
}

const MAX_SESSION_ID_LENGTH = 1024;

interface UserinfoRequest {
  readonly connection: IdentityConnection;
  readonly claims: JWTPayload;
  readonly accessToken: string;
}

async function userinfoOf(
  { configuration, settings, metadata }: OidcProvider,
  { connection, claims, accessToken }: UserinfoRequest,
): Promise<Claims | null> {
  if (metadata.userinfo_endpoint === undefined || !isIncomplete(connection, settings, claims)) return null;
  return fetchUserInfo(configuration, accessToken, claims.sub ?? '');
}

/** Of an identity provider that is down or misconfigured the browser learns no more than that. */
async function providerOf(ctx: RequestContext, connection: IdentityConnection): Promise<OidcProvider> {
  return recordingRefusals(ctx, async () => {
    try {
      return await oidcProvider(ctx, connection);
    } catch (error) {
      return refuseSignIn(
        { reason: 'provider_unavailable', connection, context: { step: 'discovery' } },
        { cause: error, hint: 'The identity provider cannot be reached; try again later.' },
      );
    }
  });
}

/** What the log of an administrator says of a fault; texts of the other side are kept to the codes of the protocol. */
function refusalOf(connection: IdentityConnection, thrown: unknown): Refusal {
  if (thrown instanceof SignInRefusal) return thrown.refusal;
  if (thrown instanceof AuthorizationResponseError)
    return {
      reason: 'provider_refused',
      connection,
      context: { step: 'authorization', error: codeText(thrown.error) },
    };
  if (thrown instanceof ResponseBodyError)
    return { reason: 'provider_refused', connection, context: { step: 'token', error: codeText(thrown.error) } };
  if (causes(thrown).some((error) => error instanceof TenonError && error.code === 'SERVICE_UNAVAILABLE'))
    return { reason: 'provider_unavailable', connection, context: { step: 'token' } };
  return { reason: 'invalid_assertion', connection, context: { rule: ruleOf(thrown) } };
}

/** The claim that failed, or the code of the library, such as `OAUTH_JWT_TIMESTAMP_CHECK_FAILED`. */
function ruleOf(thrown: unknown): string {
  for (const error of causes(thrown)) {
    if (error instanceof joseErrors.JWTClaimValidationFailed || error instanceof joseErrors.JWTExpired)
      return error.claim;
    const claim = (error as { cause?: { claim?: unknown } }).cause?.claim;
    if (typeof claim === 'string') return codeText(claim);
  }
  const code = causes(thrown)
    .map((error) => (error as { code?: unknown }).code)
    .find((each) => typeof each === 'string');
  return codeText(code ?? 'unknown');
}

function causes(thrown: unknown): unknown[] {
  const found: unknown[] = [];
  for (let error = thrown; error !== undefined && error !== null && found.length < 8; error = (error as Error).cause)
    found.push(error);
  return found;
}

function codeText(text: unknown): string {
  return typeof text === 'string' && /^[\w.:/-]{1,100}$/.test(text) ? text : 'unknown';
}

function amrOf(value: unknown): string[] {
  return Array.isArray(value)
    ? value.filter((word) => typeof word === 'string' && /^[\w.:/-]{1,40}$/.test(word)).slice(0, 10)
    : [];
}

/** The address as we are known by, whatever host the request names; a parameter that comes twice is refused below. */
function returnUrl(ctx: RequestContext, connection: IdentityConnection, { query }: RouteRequest): URL {
  const url = new URL(redirectUri(ctx, connection));
  for (const [name, value] of Object.entries(query))
    for (const each of [value ?? []].flat()) url.searchParams.append(name, each);
  return url;
}

function single(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

import { decodeProtectedHeader, jwtVerify, type JWTPayload } from 'jose';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { activeConnection } from '../connections/connection.ts';
import { ConnectionKind, type IdentityConnection } from '../connections/model.ts';
import { useOnce } from '../connections/used-assertion.ts';
import { CLOCK_TOLERANCE_S, oidcProvider } from '../oidc/provider.ts';
import type { OidcSettings } from '../oidc/settings.ts';

/** What the identity provider of a connection signed for us. */
export interface ProviderToken {
  readonly connection: IdentityConnection;
  readonly settings: OidcSettings;
  readonly claims: JWTPayload;
  /** From when on its age alone has it refused. */
  readonly expiresAt: Date;
}

/** What is asked of such a token. */
export interface ProviderTokenRules {
  /** The connection's public id, as the address names it. */
  readonly connection: string;
  readonly token: string;
  /** The `typ` of its header. */
  readonly type: string;
  /** Any of these may be its `aud`; the client id of the connection may as well where `isForClient` says so. */
  readonly audience: string;
  readonly isForClient: boolean;
  readonly requiredClaims: readonly string[];
}

const MAX_TOKEN_LENGTH = 16_384;
/** Older ones are refused, whatever their own expiry says, so that their ids need not be remembered any longer. */
const MAX_AGE_S = 300;

/**
 * Returns a token that the identity provider of an active OpenID Connect connection signed for us within the last five
 * minutes, in the algorithm of the connection; any other, and a connection that there is not, is UNAUTHENTICATED. That it is
 * used once is `useTokenOnce`'s to say.
 */
export async function readProviderToken(ctx: RequestContext, rules: ProviderTokenRules): Promise<ProviderToken> {
  const { token } = rules;
  if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) refuse('its length');
  const connection = await inTenant(ctx, (tx) =>
    activeConnection(tx, { id: rules.connection, kind: ConnectionKind.OIDC }),
  );
  // Before anybody is asked for keys: what is no such token costs nobody anything.
  if (typeOf(token) !== rules.type) refuse('its type');
  const { settings, keys } = await oidcProvider(ctx, connection);
  const { payload } = await jwtVerify(token, keys, {
    issuer: settings.issuer,
    audience: rules.isForClient ? [rules.audience, settings.clientId] : rules.audience,
    algorithms: [settings.idTokenAlg],
    typ: rules.type,
    clockTolerance: CLOCK_TOLERANCE_S,
    currentDate: ctx.clock(),
    requiredClaims: [...rules.requiredClaims],
  }).catch((cause: unknown) => refuse('signature, issuer, audience or time', cause));
  const { iat, exp } = payload;
  const nowS = ctx.clock().getTime() / 1000;
  if (typeof iat !== 'number' || Math.abs(nowS - iat) > MAX_AGE_S + CLOCK_TOLERANCE_S) refuse('its age');
  if (typeof exp === 'number' && exp - iat > MAX_AGE_S + CLOCK_TOLERANCE_S) refuse('how long it is good for');
  const expiresAt = new Date((iat + MAX_AGE_S + 2 * CLOCK_TOLERANCE_S) * 1000);
  return { connection, settings, claims: payload, expiresAt };
}

/** Uses a token up in the transaction that does what it asks for; false where it was used before. */
export async function useTokenOnce(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { connection, claims, expiresAt }: ProviderToken,
): Promise<boolean> {
  return useOnce(tx, { connection: connection.id, id: claims.jti ?? '', expiresAt }, ctx.clock());
}

/** Hostile input enters here. */
function typeOf(token: string): string | null {
  try {
    return (decodeProtectedHeader(token).typ ?? '').toLowerCase().replace(/^application\//, '');
  } catch {
    return null;
  }
}

function refuse(what: string, cause?: unknown): never {
  return fail('UNAUTHENTICATED', `a token of an identity provider is refused: ${what}`, { cause });
}

import type { JWTPayload } from 'jose';
import { inTenant } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { activeConnection } from '../connections/connection.ts';
import { ConnectionKind, type IdentityConnection } from '../connections/model.ts';
import { endSession } from '../sessions/session.ts';
import { useOnce } from '../connections/used-assertion.ts';
import { CLOCK_TOLERANCE_S, oidcProvider, verifySigned } from './provider.ts';

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
/** Identity providers that write a type write this one; older ones write none, or the one of every token. */
const TOKEN_TYPES: ReadonlySet<string> = new Set(['logout+jwt', 'application/logout+jwt', 'jwt']);
/** Longer than the retries of any identity provider; the specification recommends two minutes. */
const MAX_AGE_S = 300;
const MAX_TOKEN_LENGTH = 8192;

/**
 * Ends the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0): the one of its `sid`, or all of its
 * subject, so far as they were opened over this connection. Returns how many ended. A token that is not the identity
 * provider's, is older than five minutes, was used before or is no logout token is BAD_REQUEST, and nothing ends.
 */
export async function endSessionsByLogoutToken(
  ctx: RequestContext,
  { connection: id, token }: { readonly connection: string; readonly token: string },
): Promise<number> {
  if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) refuse('its length');
  const connection = await inTenant(ctx, (tx) => activeConnection(tx, { id, kind: ConnectionKind.OIDC }));
  const logout = await readLogoutToken(ctx, connection, token);
  return inTenant(ctx, async (tx) => {
    const once = { connection: connection.id, id: logout.id, expiresAt: logout.expiresAt };
    if (!(await useOnce(tx, once, ctx.clock()))) refuse('it was used before');
    const named = await tx.query<{ id: string }>(SESSIONS_NAMED, [
      uuidOf('con', connection.id),
      logout.subject,
      logout.sessionId,
    ]);
    const context = { cause: 'back_channel_logout', connection: connection.id };
    for (const { id: session } of named)
      await endSession(tx, ctx, { id: idOf('ses', session), action: 'session.end', context });
    return named.length;
  });
}

/** A session of which the identity provider named no `sid` ends with any of its subject's. */
const SESSIONS_NAMED = `
  select c.id from sessions s join credentials c on c.id = s.id
   where s.connection_id = $1 and c.revoked_at is null
     and (s.subject = $2 or $2::text is null)
     and (s.provider_session = $3 or $3::text is null or (s.provider_session is null and $2::text is not null))
   order by c.id`;

interface LogoutToken {
  readonly id: string;
  readonly subject: string | null;
  readonly sessionId: string | null;
  readonly expiresAt: Date;
}

async function readLogoutToken(
  ctx: RequestContext,
  connection: IdentityConnection,
  token: string,
): Promise<LogoutToken> {
  const provider = await oidcProvider(ctx, connection);
  const { claims, type } = await verifySigned(ctx, provider, { token, isTrusted: false }).catch((cause: unknown) =>
    refuse('signature, issuer, audience or time', cause),
  );
  if (type !== undefined && !TOKEN_TYPES.has(type.toLowerCase())) refuse('its type');
  const nowS = ctx.clock().getTime() / 1000;
  const { iat, jti, nonce } = claims as JWTPayload & { nonce?: unknown };
  if (typeof iat !== 'number' || Math.abs(nowS - iat) > MAX_AGE_S + CLOCK_TOLERANCE_S) refuse('its age');
  if (typeof jti !== 'string' || jti.length === 0) refuse('it has no id');
  if (nonce !== undefined) refuse('it has a nonce, as an ID token has');
  if (!isLogoutEvent(claims['events'])) refuse('it tells of no logout');
  const subject = textOf(claims.sub);
  const sessionId = textOf(claims['sid']);
  if (subject === null && sessionId === null) refuse('it names neither subject nor session');
  const expiresAt = new Date((iat + MAX_AGE_S + 2 * CLOCK_TOLERANCE_S) * 1000);
  return { id: jti, subject, sessionId, expiresAt };
}

function isLogoutEvent(events: unknown): boolean {
  if (typeof events !== 'object' || events === null || !Object.hasOwn(events, LOGOUT_EVENT)) return false;
  const event = (events as Record<string, unknown>)[LOGOUT_EVENT];
  return typeof event === 'object' && event !== null && !Array.isArray(event);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.length > 0 ? value : null;
}

function refuse(what: string, cause?: unknown): never {
  return fail('BAD_REQUEST', `a logout token is refused: ${what}`, cause === undefined ? {} : { cause });
}

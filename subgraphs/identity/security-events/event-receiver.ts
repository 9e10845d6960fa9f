import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { isObject } from '#schema/json-object.ts';
import { endSession } from '../sessions/session.ts';
import { SESSION_REVOKED } from './event-types.ts';
import { findSubject, readSubject, type ProviderSubject } from './provider-subject.ts';
import { readProviderToken, useTokenOnce, type ProviderToken } from './provider-token.ts';

/** A security event token that an identity provider pushed (RFC 8935). */
export interface PushedEvent {
  readonly connection: string;
  /** The address that it came to. */
  readonly address: string;
  readonly token: string;
}

/** Whose sessions have ended there: one of them, or all. */
interface RevokedSession {
  readonly user: ProviderSubject | null;
  readonly session: string | null;
}

/**
 * Takes a security event token of the identity provider of a connection. CAEP `session-revoked` ends the sessions that were
 * opened over the connection: the named one, or all of the person; returns how many. Other events are taken and mean
 * nothing here. A token that proves nothing throws UNAUTHENTICATED; one that came before ends nothing again.
 */
export async function takeSecurityEvent(ctx: RequestContext, event: PushedEvent): Promise<number> {
  const token = await readProviderToken(ctx, {
    ...event,
    type: 'secevent+jwt',
    audience: event.address,
    isForClient: true,
    requiredClaims: ['iss', 'aud', 'jti', 'iat', 'events'],
  });
  const revoked = revokedSession(token);
  if (revoked === null) return 0;
  return inTenant(ctx, async (tx) => {
    // RFC 8935 section 2: whoever did not hear our answer sends it again.
    if (!(await useTokenOnce(tx, ctx, token))) return 0;
    return endSessions(tx, ctx, { token, revoked });
  });
}

function revokedSession({ claims }: ProviderToken): RevokedSession | null {
  const events = objectOf(claims['events']);
  const event = Object.hasOwn(events, SESSION_REVOKED) ? objectOf(events[SESSION_REVOKED]) : null;
  if (event === null) return null;
  // Transmitters older than SSF 1.0 name the subject inside the event.
  const named = objectOf(claims['sub_id'] ?? event['subject']);
  const isComplex = named['format'] === 'complex' || named['user'] !== undefined || named['session'] !== undefined;
  const user = readSubject(isComplex ? named['user'] : named);
  const session = isComplex ? sessionIn(named['session']) : null;
  return user === null && session === null ? null : { user, session };
}

async function endSessions(
  tx: TenantTransaction,
  ctx: RequestContext,
  { token, revoked }: { readonly token: ProviderToken; readonly revoked: RevokedSession },
): Promise<number> {
  const found = revoked.user === null ? null : await findSubject(tx, ctx, { ...token, subject: revoked.user });
  if (found === 'foreign issuer') return 0;
  const named = await tx.query<{ id: string }>(
    `select c.id from sessions s join credentials c on c.id = s.id
      where s.connection_id = $1 and c.revoked_at is null
        and (s.user_id = any($2::uuid[]) or $2::uuid[] is null)
        and (s.provider_session = $3 or $3::text is null)
      order by c.id`,
    [uuidOf('con', token.connection.id), found, revoked.session],
  );
  const context = { cause: 'caep_session_revoked', connection: token.connection.id };
  for (const { id } of named) await endSession(tx, ctx, { id: idOf('ses', id), action: 'session.end', context });
  return named.length;
}

function sessionIn(value: unknown): string | null {
  const { format, id } = objectOf(value);
  return format === 'opaque' && typeof id === 'string' && id.length > 0 && id.length <= 1024 ? id : null;
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

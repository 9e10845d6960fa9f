import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOrNull } from '#schema/ids.ts';
import type { Session } from './model.ts';
import { endSession } from './session.ts';

/** More sessions than anybody has at once. */
const MOST_SESSIONS = 100;

/** Returns the sessions of a person that still work, newest first; at most 100. */
export async function sessionsOf(ctx: RequestContext, userId: string): Promise<Session[]> {
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<SessionRow>(
      `select c.id, c.created_at, c.expires_at, c.last_used_at, s.method, s.amr, s.connection_id, s.ip, s.user_agent
         from credentials c join users u on u.id = c.user_id left join sessions s on s.id = c.id
        where c.user_id = $1 and c.kind = 'session' and c.revoked_at is null and c.expires_at > $2
          and u.active and u.epoch = c.epoch
        order by c.id desc limit ${MOST_SESSIONS}`,
      [uuidOrNull('usr', userId), ctx.clock()],
    ),
  );
  return rows.map((row) => sessionOf(ctx, row));
}

/** Ends a session of anybody in the tenant; false where it had ended before. What is no session here is NOT_FOUND. */
export async function revokeSession(ctx: RequestContext, id: string): Promise<boolean> {
  return inTenant(ctx, async (tx) => {
    const { user } = await requireSession(tx, id);
    const ended = await endSession(tx, ctx, { id, action: 'session.revoke', context: { user } });
    if (!ended) await appendUnchanged(tx, ctx, 'session.revoke');
    return ended;
  });
}

/**
 * Ends the session that asks, or another one of the same person; false where a key or token asks, or it had ended before.
 * A session of somebody else is NOT_FOUND.
 */
export async function signOut(ctx: RequestContext, id: string | null): Promise<boolean> {
  const { sessionId, actor } = ctx.tenant;
  return inTenant(ctx, async (tx) => {
    if (sessionId === null) {
      await appendUnchanged(tx, ctx, 'session.end');
      return false;
    }
    if (id !== null && (await requireSession(tx, id)).user !== actor.id)
      fail('NOT_FOUND', 'a session of somebody else');
    const ended = await endSession(tx, ctx, {
      id: id ?? sessionId,
      action: 'session.end',
      context: { cause: 'sign_out' },
    });
    if (!ended) await appendUnchanged(tx, ctx, 'session.end');
    return ended;
  });
}

interface SessionRow {
  readonly id: string;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly last_used_at: Date | null;
  readonly method: string | null;
  readonly amr: string[] | null;
  readonly connection_id: string | null;
  readonly ip: string | null;
  readonly user_agent: string | null;
}

/** Of a session that was opened without a sign-in, nothing is known but that it is there. */
function sessionOf(ctx: RequestContext, row: SessionRow): Session {
  const id = idOf('ses', row.id);
  return {
    id,
    method: row.method ?? 'unknown',
    amr: row.amr ?? [],
    connectionId: row.connection_id === null ? null : idOf('con', row.connection_id),
    ip: row.ip,
    userAgent: row.user_agent,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    expiresAt: row.expires_at,
    current: id === ctx.tenant.sessionId,
  };
}

async function requireSession(tx: Pick<TenantTransaction, 'query'>, id: string): Promise<{ user: string }> {
  const [row] = await tx.query<{ user_id: string }>(
    `select user_id from credentials where id = $1 and kind = 'session'`,
    [uuidOrNull('ses', id)],
  );
  return row === undefined ? fail('NOT_FOUND', 'no such session in this tenant') : { user: idOf('usr', row.user_id) };
}

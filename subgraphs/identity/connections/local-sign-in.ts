import type { TenantTransaction } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { refuseSignIn } from './refusal.ts';

/**
 * Passes a sign-in by a method of our own: of anybody whose domain is not held to single sign-on, and of a person for
 * break-glass, which is recorded as `break_glass.use` and logged. All others are refused.
 */
export async function requireLocalSignIn(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { userId, method }: { readonly userId: Id<'usr'>; readonly method: string },
): Promise<void> {
  const { held, named } = await standingOf(tx, userId);
  if (!held) return;
  if (!named) refuseSignIn({ reason: 'sso_enforced', connection: null, userId, context: { method } });
  await appendAudit(tx, ctx, {
    action: 'break_glass.use',
    resource: { type: 'user', id: userId, name: null },
    context: { method },
  });
  log('warn', 'a person for break-glass signs in', {
    tenant: ctx.tenant.tenant,
    requestId: ctx.tenant.requestId,
    method,
  });
}

/**
 * Tells whether somebody may sign in without an identity provider at all: not where her e-mail domain is one whose
 * people have to come over single sign-on, unless she is one of those who may break the glass.
 */
export async function localSignInAllowed(tx: Pick<TenantTransaction, 'query'>, userId: Id<'usr'>): Promise<boolean> {
  const { held, named } = await standingOf(tx, userId);
  return !held || named;
}

/** Somebody unknown is held, and not named. */
async function standingOf(
  tx: Pick<TenantTransaction, 'query'>,
  userId: Id<'usr'>,
): Promise<{ readonly held: boolean; readonly named: boolean }> {
  const [found] = await tx.query<{ held: boolean; named: boolean }>(
    `select exists (select from domain_proofs p where p.sso_enforced and p.verified_at is not null and p.domain =
              split_part(coalesce(u.email_folded, u.user_name_folded), '@', -1)) as held,
            exists (select from break_glass_users b where b.user_id = u.id) as named
       from users u where u.id = $1`,
    [uuidOf('usr', userId)],
  );
  return found ?? { held: true, named: false };
}

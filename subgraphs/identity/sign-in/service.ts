import { inTenant } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import { heldScopes, rolesOf } from '../access/roles.ts';
import type { User } from '../model.ts';
import { findUsers, requireUser } from '../service.ts';
import { endSession } from '../sessions/session.ts';
import { unlockAccount } from './attempts.ts';
import { askingPerson } from './factor.ts';
import { notify } from './notice.ts';
import { ownerOf } from './owner.ts';
import { endPendingSignIns } from './pending-sign-in.ts';
import { recoveryCodesLeft, removeRecoveryCodes, renewRecoveryCodes } from './recovery-codes.ts';
import { enrolTotp, type TotpEnrolment } from './totp.ts';

/** Begins with an authenticator application for the person who asks; a code confirms it. */
export async function enrolTotpOfAsker(ctx: RequestContext, name: string): Promise<TotpEnrolment> {
  const userId = askingPerson(ctx);
  return inTenant(ctx, async (tx) => enrolTotp(tx, ctx, { ...(await ownerOf(tx, userId)), name }));
}

/** Gives the person who asks new recovery codes; without an authenticator application there is nothing to recover (CONFLICT). */
export async function renewRecoveryCodesOfAsker(ctx: RequestContext): Promise<string[]> {
  const userId = askingPerson(ctx);
  const codes = await inTenant(ctx, async (tx) => {
    await ownerOf(tx, userId);
    const held = await tx.query(
      `select id from sign_in_factors where user_id = $1 and kind = 'totp' and confirmed_at is not null`,
      [uuidOf('usr', userId)],
    );
    if (held.length === 0)
      fail('CONFLICT', 'she has no second factor', { hint: 'There is no authenticator application to recover.' });
    return renewRecoveryCodes(tx, ctx, userId);
  });
  notify(ctx, { userId, event: 'recovery_codes_renewed' });
  return codes;
}

/** Returns how many recovery codes a person has left. */
export async function recoveryCodesLeftOf(ctx: RequestContext, userId: Id<'usr'>): Promise<number> {
  return inTenant(ctx, (tx) => recoveryCodesLeft(tx, userId));
}

/**
 * Takes every factor from somebody who has lost hers, and ends her sessions: she starts again with a link. Of a person with
 * rights that the asker does not hold herself it is FORBIDDEN. Where she has none of all that, nothing is written.
 */
export async function resetFactors(ctx: RequestContext, id: string): Promise<User> {
  const [target] = await findUsers(ctx, [id]);
  if (target === undefined) return fail('NOT_FOUND', 'no such user in this tenant');
  for (const role of await rolesOf(ctx, target)) heldScopes(ctx, role.scopes);
  const userId = idOf('usr', uuidOf('usr', id));
  const { user, changed } = await inTenant(ctx, async (tx) => {
    const found = await requireUser(tx, id);
    await tx.query('select id from users where id = $1 for no key update', [uuidOf('usr', id)]);
    const factors = await tx.query('delete from sign_in_factors where user_id = $1 returning id', [uuidOf('usr', id)]);
    await removeRecoveryCodes(tx, userId);
    await endPendingSignIns(tx, userId);
    const live = await tx.query<{ id: string }>(
      `select id from credentials where user_id = $1 and kind = 'session' and revoked_at is null and expires_at > $2`,
      [uuidOf('usr', id), ctx.clock()],
    );
    const context = { user: userId, reason: 'factors_reset' };
    for (const session of live)
      await endSession(tx, ctx, { id: idOf('ses', session.id), action: 'session.revoke', context });
    if (factors.length + live.length === 0) {
      await appendUnchanged(tx, ctx, 'factors.reset');
      return { user: found, changed: false };
    }
    await appendAudit(tx, ctx, {
      action: 'factors.reset',
      resource: { type: 'user', id: userId, name: found.displayName },
      context: { factors: factors.length, sessions: live.length },
    });
    return { user: found, changed: true };
  });
  if (changed) notify(ctx, { userId, event: 'factors_reset' });
  return user;
}

/** Lets somebody try again at once who has failed too often; where she may anyway, nothing is changed. */
export async function unlockSignIn(ctx: RequestContext, id: string): Promise<User> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, id);
    const userId = idOf('usr', uuidOf('usr', id));
    if (!(await unlockAccount(tx, userId, ctx.clock()))) await appendUnchanged(tx, ctx, 'sign_in.unlock');
    else
      await appendAudit(tx, ctx, {
        action: 'sign_in.unlock',
        resource: { type: 'user', id: userId, name: user.displayName },
      });
    return user;
  });
}

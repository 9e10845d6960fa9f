import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, uuidOrNull, type Id } from '#schema/ids.ts';
import { FactorKind, SignInFactor } from './model.ts';
import { removeRecoveryCodes } from './recovery-codes.ts';

/** A factor of hers. */
export interface OwnFactor {
  readonly userId: Id<'usr'>;
  readonly factorId: string;
}

/** More than anybody holds. */
const MAX_FACTORS = 20;

/** Returns the person who asks in a session of her own; a key or a token is FORBIDDEN: it has no factors. */
export function askingPerson({ tenant }: RequestContext): Id<'usr'> {
  const { actor, sessionId } = tenant;
  if (actor.type !== 'user' || sessionId === null)
    return fail('FORBIDDEN', 'no person asks', { hint: 'It takes a session of a person.' });
  uuidOf('usr', actor.id);
  return actor.id as Id<'usr'>;
}

/** Returns the factors that count for a person, oldest first. */
export async function factorsOf(ctx: RequestContext, userId: string): Promise<SignInFactor[]> {
  return inTenant(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(SignInFactor, 'row')
      .where('row.userId = :user and row.confirmedAt is not null', { user: uuidOrNull('usr', userId) })
      .orderBy('row.id')
      .limit(MAX_FACTORS)
      .getMany(),
  );
}

/** Returns a factor of hers inside a transaction; nobody's, or somebody else's, is NOT_FOUND. */
export async function requireFactor(
  tx: Pick<TenantTransaction, 'manager'>,
  { userId, factorId }: OwnFactor,
): Promise<SignInFactor> {
  if (uuidOrNull('fct', factorId) === null) return fail('NOT_FOUND', 'not an id of a factor');
  const found = await tx.manager.findOneBy(SignInFactor, { id: factorId, userId });
  return found ?? fail('NOT_FOUND', 'no such factor of hers');
}

/** Passes a person who may hold one more; with MAX_FACTORS she has enough (CONFLICT). Her row is locked already. */
export async function requireRoom(tx: Pick<TenantTransaction, 'query'>, userId: Id<'usr'>): Promise<void> {
  const [row] = await tx.query<{ factors: number }>(
    'select count(*)::int as factors from sign_in_factors where user_id = $1 and confirmed_at is not null',
    [uuidOf('usr', userId)],
  );
  if ((row?.factors ?? 0) >= MAX_FACTORS)
    fail('CONFLICT', 'she has too many factors', { hint: `A person holds at most ${MAX_FACTORS} factors.` });
}

/** Gives a factor of hers another name; the same name writes nothing. */
export async function renameFactor(ctx: RequestContext, own: OwnFactor, name: string): Promise<SignInFactor> {
  return inTenant(ctx, async (tx) => {
    const factor = await requireFactor(tx, own);
    if (factor.name === name) return factor;
    await tx.query('update sign_in_factors set name = $2 where id = $1', [uuidOf('fct', factor.id), name]);
    const renamed = await requireFactor(tx, own);
    await auditFactor(tx, ctx, { action: 'factor.rename', factor: renamed });
    return renamed;
  });
}

/** Removes a factor of hers; with her authenticator application her recovery codes go too. */
export async function removeFactor(ctx: RequestContext, own: OwnFactor): Promise<SignInFactor> {
  return inTenant(ctx, async (tx) => {
    const factor = await requireFactor(tx, own);
    const removed = await tx.query('delete from sign_in_factors where id = $1 returning id', [
      uuidOf('fct', factor.id),
    ]);
    if (removed.length === 0) return fail('NOT_FOUND', 'it was removed at the same moment');
    if (factor.kind === FactorKind.TOTP && factor.confirmedAt !== null) await removeRecoveryCodes(tx, own.userId);
    await auditFactor(tx, ctx, { action: 'factor.remove', factor });
    return factor;
  });
}

async function auditFactor(
  tx: Pick<TenantTransaction, 'query'>,
  ctx: RequestContext,
  { action, factor }: { action: string; factor: SignInFactor },
): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'factor', id: factor.id, name: factor.name },
    context: { user: factor.userId, kind: factor.kind },
  });
}

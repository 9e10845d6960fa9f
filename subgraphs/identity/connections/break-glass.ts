import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { requireUser } from '../service.ts';
import type { BreakGlassUser } from './inputs.ts';

/** Few, so that it stays an exception. */
const MAX_PEOPLE = 10;

type Query = Pick<TenantTransaction, 'query'>;

/** Returns who may sign in without the identity provider when all others must not, in the order they were named. */
export async function listBreakGlassUsers(ctx: RequestContext): Promise<BreakGlassUser[]> {
  return inTenantOnce(ctx, readPeople);
}

/** Names a person for break-glass; again is no error. */
export async function addBreakGlassUser(ctx: RequestContext, userId: string): Promise<BreakGlassUser[]> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, userId);
    const named = await tx.query(
      `insert into break_glass_users (user_id, named_by, named_at) values ($1, $2, $3) on conflict do nothing returning user_id`,
      [uuidOf('usr', user.id), ctx.tenant.actor.id, ctx.clock()],
    );
    if (named.length === 0) await appendUnchanged(tx, ctx, 'break_glass.add');
    else
      await appendAudit(tx, ctx, {
        action: 'break_glass.add',
        resource: { type: 'user', id: user.id, name: user.displayName },
      });
    const people = await readPeople(tx);
    if (people.length > MAX_PEOPLE)
      fail('TOO_MANY', 'too many people for break-glass', { hint: `At most ${MAX_PEOPLE} people can be named.` });
    return people;
  });
}

/**
 * Takes a person out of break-glass. The last one stays (CONFLICT) while people of a domain may sign in over a connection
 * alone. Somebody who is not named is NOT_FOUND.
 */
export async function removeBreakGlassUser(ctx: RequestContext, userId: string): Promise<BreakGlassUser[]> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, userId);
    const removed = await tx.query('delete from break_glass_users where user_id = $1 returning user_id', [
      uuidOf('usr', user.id),
    ]);
    if (removed.length === 0) fail('NOT_FOUND', 'the person is not named for break-glass');
    const people = await readPeople(tx);
    const [enforced] = await tx.query('select id from domain_proofs where sso_enforced limit 1');
    if (people.length === 0 && enforced !== undefined)
      fail('CONFLICT', 'the last person for break-glass', {
        hint: 'People of a domain may sign in over a connection alone; somebody must be able to sign in without one.',
      });
    await appendAudit(tx, ctx, {
      action: 'break_glass.remove',
      resource: { type: 'user', id: user.id, name: user.displayName },
    });
    return people;
  });
}

interface PersonRow {
  readonly user_id: string;
  readonly named_by: string;
  readonly named_at: Date;
}

async function readPeople(tx: Query): Promise<BreakGlassUser[]> {
  const rows = await tx.query<PersonRow>(
    'select user_id, named_by, named_at from break_glass_users order by named_at, user_id',
  );
  return rows.map((row) => ({ userId: idOf('usr', row.user_id), namedBy: row.named_by, namedAt: row.named_at }));
}

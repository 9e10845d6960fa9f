import { In } from 'typeorm';
import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidOrNull } from '#schema/ids.ts';
import { deactivateUser as deactivate, reactivateUser as reactivate } from './revocation/deactivation.ts';
import type { CreateUserInput } from './inputs.ts';
import { Group, User, type Viewer } from './model.ts';
import { requireNotEndedByClient } from './provisioning/attribute-owner.ts';

/** Returns who asks. */
export async function viewer(ctx: RequestContext): Promise<Viewer> {
  const { actor, scopes } = ctx.tenant;
  const user = actor.type === 'user' ? ((await findUsers(ctx, [actor.id]))[0] ?? null) : null;
  return { user, scopes: [...scopes] };
}

/** Returns the tenant's people among the ids. */
export async function findUsers(ctx: RequestContext, ids: readonly string[]): Promise<User[]> {
  const known = ids.filter((id) => uuidOrNull('usr', id) !== null);
  return inTenantOnce(ctx, ({ manager }) => manager.findBy(User, { id: In(known) }));
}

/** Returns the tenant's groups among the ids. */
export async function findGroups(ctx: RequestContext, ids: readonly string[]): Promise<Group[]> {
  const known = ids.filter((id) => uuidOrNull('grp', id) !== null);
  return inTenantOnce(ctx, ({ manager }) => manager.findBy(Group, { id: In(known) }));
}

/** Returns a page of the tenant's people, newest first; inactive ones too. */
export async function listUsers(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<User>> {
  const request = pageRequest(args);
  return pageOf(
    await inTenantOnce(ctx, ({ manager }) =>
      newestFirst(manager.createQueryBuilder(User, 'row'), request, 'usr').getMany(),
    ),
    request,
  );
}

/** Returns a page of the tenant's groups, newest first. */
export async function listGroups(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<Group>> {
  const request = pageRequest(args);
  return pageOf(
    await inTenantOnce(ctx, ({ manager }) =>
      newestFirst(manager.createQueryBuilder(Group, 'row'), request, 'grp').getMany(),
    ),
    request,
  );
}

/** Returns a page of a group's members. */
export async function listMembers(ctx: RequestContext, group: Group, args: ConnectionArgs): Promise<Connection<User>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(User, 'row'), request, 'usr')
      .andWhere('row.id in (select user_id from group_members where group_id = :group)', {
        group: uuidOf('grp', group.id),
      })
      .getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the groups that a person is in, by name. */
export async function groupsOf(ctx: RequestContext, user: User): Promise<Group[]> {
  return inTenantOnce(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(Group, 'row')
      .where('row.id in (select group_id from group_members where user_id = :user)', { user: uuidOf('usr', user.id) })
      .orderBy('row.displayName')
      .limit(100)
      .getMany(),
  );
}

/** Creates a person by hand; a name that is taken, in whatever case, is UNIQUENESS. */
export async function createUser(ctx: RequestContext, input: CreateUserInput): Promise<User> {
  const id = mintId('usr');
  return inTenant(ctx, async (tx) => {
    await tx.query('insert into users (id, user_name, display_name, email) values ($1, $2, $3, $4)', [
      uuidOf('usr', id),
      input.userName,
      input.displayName,
      input.email,
    ]);
    await auditUser(tx, ctx, { action: 'user.create', id, name: input.displayName, context: { source: 'graphql' } });
    return requireUser(tx, id);
  });
}

/** Ends all access of a person; again is no error. */
export async function deactivateUser(ctx: RequestContext, id: string): Promise<User> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, id);
    const ended = await deactivate(tx, uuidOf('usr', id), ctx.clock());
    if (ended === null) await appendUnchanged(tx, ctx, 'user.deactivate');
    else
      await auditUser(tx, ctx, {
        action: 'user.deactivate',
        id,
        name: user.displayName,
        context: { sessions: ended.sessions, api_keys: ended.apiKeys },
      });
    return requireUser(tx, id);
  });
}

/** Lets a person in again, with nothing that she had before. */
export async function reactivateUser(ctx: RequestContext, id: string): Promise<User> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, id);
    await requireNotEndedByClient(tx, uuidOf('usr', id));
    const changed = await reactivate(tx, uuidOf('usr', id), ctx.clock());
    if (changed) await auditUser(tx, ctx, { action: 'user.reactivate', id, name: user.displayName });
    else await appendUnchanged(tx, ctx, 'user.reactivate');
    return requireUser(tx, id);
  });
}

/** Returns a person of the tenant inside a transaction; nobody of that id, or somebody of another tenant, is NOT_FOUND. */
export async function requireUser(tx: Pick<TenantTransaction, 'manager'>, id: string): Promise<User> {
  return (await tx.manager.findOneBy(User, { id })) ?? fail('NOT_FOUND', 'no such user in this tenant');
}

interface UserNote {
  readonly action: string;
  readonly id: string;
  readonly name: string | null;
  readonly context?: Record<string, string | number>;
}

async function auditUser(tx: TenantTransaction, ctx: RequestContext, note: UserNote): Promise<void> {
  await appendAudit(tx, ctx, {
    action: note.action,
    resource: { type: 'user', id: idOf('usr', uuidOf('usr', note.id)), name: note.name },
    ...(note.context === undefined ? {} : { context: note.context }),
  });
}

import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { isScope, type Scope } from '#schema/scopes.ts';
import type { CreateRoleInput, GroupRoleInput, UserRoleInput } from '../inputs.ts';
import type { UpdateRoleInput } from './inputs.ts';
import { Group, Role, type User } from '../model.ts';
import { requireUser } from '../service.ts';

/** Returns the tenant's roles by name. */
export async function listRoles(ctx: RequestContext): Promise<Role[]> {
  return inTenant(ctx, ({ manager }) => manager.find(Role, { order: { name: 'ASC' }, take: 200 }));
}

/** Returns the roles a person holds, her own and those of her groups. */
export async function rolesOf(ctx: RequestContext, user: User): Promise<Role[]> {
  return inTenant(ctx, ({ manager }) =>
    manager
      .createQueryBuilder(Role, 'row')
      .where(
        `row.id in (select role_id from user_roles where user_id = :user
          union select gr.role_id from group_members gm join group_roles gr on gr.group_id = gm.group_id where gm.user_id = :user)`,
        { user: uuidOf('usr', user.id) },
      )
      .orderBy('row.name')
      .getMany(),
  );
}

/** Returns the roles that any group carries. */
export async function rolesOfGroups(ctx: RequestContext): Promise<Role[]> {
  return inTenant(ctx, ({ manager }) =>
    manager.createQueryBuilder(Role, 'row').where('row.id in (select role_id from group_roles)').getMany(),
  );
}

/** Makes a role; nobody puts rights into it that she does not hold herself (FORBIDDEN). */
export async function createRole(ctx: RequestContext, input: CreateRoleInput): Promise<Role> {
  const role = { id: mintId('rol'), name: input.name, scopes: heldScopes(ctx, input.scopes), builtIn: false };
  return inTenant(ctx, async (tx) => {
    await tx.manager.insert(Role, role);
    await appendAudit(tx, ctx, {
      action: 'role.create',
      resource: { type: 'role', id: role.id, name: role.name },
      context: { scopes: role.scopes },
    });
    return requireRole(tx, role.id);
  });
}

/**
 * Changes the name or the rights of a role; whoever holds it has the new rights from her next request on. Nobody adds a
 * right that she does not hold herself (FORBIDDEN), and a built-in role stays as it is (CONFLICT).
 */
export async function updateRole(ctx: RequestContext, input: UpdateRoleInput): Promise<Role> {
  return inTenant(ctx, async (tx) => {
    const role = await requireOwnRole(tx, input.roleId);
    const name = input.name ?? role.name;
    const scopes = input.scopes ?? role.scopes;
    const [added, kept] = [scopes.filter(isNew(role)), scopes.filter((scope) => !isNew(role)(scope)).filter(isScope)];
    const next = [...new Set([...kept, ...heldScopes(ctx, added)])];
    await tx.manager.update(Role, { id: role.id }, { name, scopes: next });
    await appendAudit(tx, ctx, {
      action: 'role.update',
      resource: { type: 'role', id: role.id, name },
      context: { scopes: next, before: { name: role.name, scopes: role.scopes } },
    });
    return requireRole(tx, role.id);
  });
}

/** Deletes a role and every grant of it; a built-in role, and one that a connection gives out, is CONFLICT. */
export async function deleteRole(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const role = await requireOwnRole(tx, id);
    const used = await tx.query('select id from identity_connections where default_role_id = $1 limit 1', [
      uuidOf('rol', id),
    ]);
    if (used.length > 0)
      fail('CONFLICT', 'a connection gives the role out', { hint: 'A connection gives this role to new people.' });
    await tx.manager.delete(Role, { id: role.id });
    await appendAudit(tx, ctx, {
      action: 'role.delete',
      resource: { type: 'role', id: role.id, name: role.name },
      context: { scopes: role.scopes },
    });
    return role.id;
  });
}

/** Gives a person a role; again is no error. */
export async function grantRole(ctx: RequestContext, input: UserRoleInput): Promise<User> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, input.userId);
    const role = await requireRole(tx, input.roleId);
    heldScopes(ctx, role.scopes);
    const granted = await tx.query(
      'insert into user_roles (user_id, role_id) values ($1, $2) on conflict do nothing returning user_id',
      keysOf(input),
    );
    if (granted.length === 0) await appendUnchanged(tx, ctx, 'role.grant');
    else await auditGrant(tx, ctx, { action: 'role.grant', role, to: { user: user.id, source: 'graphql' } });
    return user;
  });
}

/** Takes a role from a person; the next request of her sessions is without it. */
export async function revokeRole(ctx: RequestContext, input: UserRoleInput): Promise<User> {
  return inTenant(ctx, async (tx) => {
    const user = await requireUser(tx, input.userId);
    const role = await requireRole(tx, input.roleId);
    const revoked = await tx.query(
      'delete from user_roles where user_id = $1 and role_id = $2 returning user_id',
      keysOf(input),
    );
    if (revoked.length === 0) await appendUnchanged(tx, ctx, 'role.revoke');
    else await auditGrant(tx, ctx, { action: 'role.revoke', role, to: { user: user.id } });
    return user;
  });
}

/** Gives every member of a group a role, those who join later too. */
export async function mapGroupToRole(ctx: RequestContext, input: GroupRoleInput): Promise<Group> {
  return inTenant(ctx, async (tx) => {
    const group =
      (await tx.manager.findOneBy(Group, { id: input.groupId })) ?? fail('NOT_FOUND', 'no such group in this tenant');
    const role = await requireRole(tx, input.roleId);
    heldScopes(ctx, role.scopes);
    const mapped = await tx.query(
      'insert into group_roles (group_id, role_id) values ($1, $2) on conflict do nothing returning group_id',
      [uuidOf('grp', input.groupId), uuidOf('rol', input.roleId)],
    );
    if (mapped.length === 0) await appendUnchanged(tx, ctx, 'group.map_role');
    else await auditGrant(tx, ctx, { action: 'group.map_role', role, to: { group: group.id } });
    return group;
  });
}

/** Returns the rights as known scopes; one that the asker does not hold is FORBIDDEN, one that nobody knows BAD_USER_INPUT. */
export function heldScopes(ctx: RequestContext, scopes: readonly string[]): Scope[] {
  return scopes.map((scope) => {
    if (!isScope(scope)) fail('BAD_USER_INPUT', 'unknown scope', { hint: `There is no scope ${scope.slice(0, 64)}.` });
    if (!ctx.tenant.scopes.includes(scope))
      fail('FORBIDDEN', 'scope not held', { hint: `You do not hold ${scope} yourself.` });
    return scope;
  });
}

async function requireRole(tx: Pick<TenantTransaction, 'manager'>, id: string): Promise<Role> {
  return (await tx.manager.findOneBy(Role, { id })) ?? fail('NOT_FOUND', 'no such role in this tenant');
}

/** The row is locked, so that two changes at the same moment come one after the other. */
async function requireOwnRole(tx: TenantTransaction, id: string): Promise<Role> {
  const role = await requireRole(tx, id);
  await tx.query('select id from roles where id = $1 for update', [uuidOf('rol', role.id)]);
  if (role.builtIn)
    fail('CONFLICT', 'a built-in role', { hint: 'The roles that a tenant starts with stay as they are.' });
  return requireRole(tx, id);
}

function isNew(role: Role): (scope: string) => boolean {
  const known: ReadonlySet<string> = new Set(role.scopes);
  return (scope) => !known.has(scope);
}

function keysOf(input: UserRoleInput): string[] {
  return [uuidOf('usr', input.userId), uuidOf('rol', input.roleId)];
}

interface Grant {
  readonly action: string;
  readonly role: Role;
  readonly to: Record<string, string>;
}

async function auditGrant(tx: TenantTransaction, ctx: RequestContext, { action, role, to }: Grant): Promise<void> {
  await appendAudit(tx, ctx, { action, resource: { type: 'role', id: role.id, name: role.name }, context: to });
}

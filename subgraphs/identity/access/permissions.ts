import { In } from 'typeorm';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { Role } from '../model.ts';
import { requireUser } from '../service.ts';
import type { EffectivePermission, PermissionsPreview, PermissionsPreviewInput } from './inputs.ts';

/**
 * Returns what a person could do after a change, and what of it would be new or gone; nothing is changed. Roles and
 * groups that are not of the tenant are NOT_FOUND.
 */
export async function previewPermissions(
  ctx: RequestContext,
  input: PermissionsPreviewInput,
): Promise<PermissionsPreview> {
  return inTenant(ctx, async (tx) => {
    await requireUser(tx, input.userId);
    await requireGroups(tx, [...input.joinGroups, ...input.leaveGroups]);
    const held = await holdings(tx, uuidOf('usr', input.userId));
    const next = {
      roles: changed(held.roles, uuids('rol', input.grantRoles), uuids('rol', input.revokeRoles)),
      groups: changed(held.groups, uuids('grp', input.joinGroups), uuids('grp', input.leaveGroups)),
    };
    const before = permissionsIn(await rolesIn(tx, held));
    const after = permissionsIn(await rolesIn(tx, next, [...input.grantRoles, ...input.revokeRoles]));
    return {
      permissions: after,
      gained: scopesBeyond(after, before),
      lost: scopesBeyond(before, after),
    };
  });
}

/** Roles and groups, as uuids. */
interface Holdings {
  readonly roles: readonly string[];
  readonly groups: readonly string[];
}

async function holdings(tx: TenantTransaction, user: string): Promise<Holdings> {
  const roles = await tx.query<{ id: string }>('select role_id as id from user_roles where user_id = $1', [user]);
  const groups = await tx.query<{ id: string }>('select group_id as id from group_members where user_id = $1', [user]);
  return { roles: roles.map(({ id }) => id), groups: groups.map(({ id }) => id) };
}

/** `named` are roles that must exist, whether they come or go. */
async function rolesIn(
  tx: TenantTransaction,
  { roles, groups }: Holdings,
  named: readonly string[] = [],
): Promise<Role[]> {
  if (named.length > 0 && (await tx.manager.countBy(Role, { id: In([...new Set(named)]) })) < new Set(named).size)
    fail('NOT_FOUND', 'no such role in this tenant');
  return tx.manager
    .createQueryBuilder(Role, 'row')
    .where('row.id = any(:roles) or row.id in (select role_id from group_roles where group_id = any(:groups))', {
      roles,
      groups,
    })
    .orderBy('row.name')
    .getMany();
}

async function requireGroups(tx: TenantTransaction, ids: readonly string[]): Promise<void> {
  const wanted = new Set(uuids('grp', ids));
  const found = await tx.query('select id from groups where id = any($1)', [[...wanted]]);
  if (found.length < wanted.size) fail('NOT_FOUND', 'no such group in this tenant');
}

function permissionsIn(roles: readonly Role[]): EffectivePermission[] {
  const scopes = [...new Set(roles.flatMap((role) => role.scopes))].toSorted();
  return scopes.map((scope) => ({ scope, roles: roles.filter((role) => role.scopes.includes(scope)) }));
}

function scopesBeyond(of: readonly EffectivePermission[], others: readonly EffectivePermission[]): string[] {
  const known = new Set(others.map(({ scope }) => scope));
  return of.map(({ scope }) => scope).filter((scope) => !known.has(scope));
}

function changed(held: readonly string[], added: readonly string[], removed: readonly string[]): string[] {
  return [...new Set([...held, ...added])].filter((id) => !removed.includes(id));
}

function uuids(prefix: 'rol' | 'grp', ids: readonly string[]): string[] {
  return ids.map((id) => uuidOf(prefix, id));
}

import { In } from 'typeorm';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import type { GroupRoleInput } from '../inputs.ts';
import { Group, Role, User } from '../model.ts';
import type { GroupRolePreview, ScopeChange } from './inputs.ts';

/** People that a preview names. */
const MAX_SHOWN = 20;

/**
 * Returns whose rights a mapping between a group and a role changes: who would gain by it, or, where it is there, who
 * would lose without it. A right that somebody has from elsewhere as well counts for neither. Changes nothing.
 */
export async function previewGroupRole(ctx: RequestContext, input: GroupRoleInput): Promise<GroupRolePreview> {
  return inTenant(ctx, async (tx) => {
    const { group, role } = await requireBoth(tx, input);
    const uuids = [uuidOf('grp', group.id), uuidOf('rol', role.id)];
    const [state] = await tx.query<{ mapped: boolean; members: number }>(
      `select exists (select from group_roles where group_id = $1 and role_id = $2) as mapped,
              (select count(*)::int from group_members where group_id = $1) as members`,
      uuids,
    );
    const isMapped = state?.mapped === true;
    const changes = await readChanges(tx, uuids, role.scopes);
    const shown = await shownChanges(tx, changes);
    const [count] = changes;
    const total = count?.total ?? 0;
    return {
      isMapped,
      memberCount: state?.members ?? 0,
      gainingCount: isMapped ? 0 : total,
      gaining: isMapped ? [] : shown,
      losingCount: isMapped ? total : 0,
      losing: isMapped ? shown : [],
    };
  });
}

/** Takes from a group the role that its members have by it; those who have it from elsewhere keep it. Again is no error. */
export async function unmapGroupFromRole(ctx: RequestContext, input: GroupRoleInput): Promise<Group> {
  return inTenant(ctx, async (tx) => {
    const { group, role } = await requireBoth(tx, input);
    const removed = await tx.query('delete from group_roles where group_id = $1 and role_id = $2 returning group_id', [
      uuidOf('grp', group.id),
      uuidOf('rol', role.id),
    ]);
    if (removed.length === 0) await appendUnchanged(tx, ctx, 'group.unmap_role');
    else {
      await appendAudit(tx, ctx, {
        action: 'group.unmap_role',
        resource: { type: 'role', id: role.id, name: role.name },
        context: { group: group.id },
      });
    }
    return group;
  });
}

async function requireBoth(
  { manager }: Pick<TenantTransaction, 'manager'>,
  { groupId, roleId }: GroupRoleInput,
): Promise<{ group: Group; role: Role }> {
  const group = await manager.findOneBy(Group, { id: groupId });
  const role = await manager.findOneBy(Role, { id: roleId });
  if (group === null) fail('NOT_FOUND', 'no such group in this tenant');
  if (role === null) fail('NOT_FOUND', 'no such role in this tenant');
  return { group, role };
}

interface ChangeRow {
  readonly user_id: string;
  readonly scopes: string[];
  readonly total: number;
}

/** The rights of the role that a member has neither from another role nor by another group. */
async function readChanges(
  tx: Pick<TenantTransaction, 'query'>,
  [group, role]: readonly (string | undefined)[],
  scopes: readonly string[],
): Promise<ChangeRow[]> {
  return tx.query<ChangeRow>(
    `with held as (
       select m.user_id, unnest(r.scopes) as scope from group_members m
         join user_roles ur on ur.user_id = m.user_id join roles r on r.id = ur.role_id where m.group_id = $1
       union
       select m.user_id, unnest(r.scopes) from group_members m
         join group_members other on other.user_id = m.user_id
         join group_roles gr on gr.group_id = other.group_id and (gr.group_id, gr.role_id) <> ($1, $2)
         join roles r on r.id = gr.role_id where m.group_id = $1),
     changed as (
       select m.user_id, array_agg(w.scope order by w.scope) as scopes
         from group_members m cross join unnest($3::text[]) as w(scope)
        where m.group_id = $1 and not exists (select from held h where h.user_id = m.user_id and h.scope = w.scope)
        group by m.user_id)
     select user_id, scopes, (count(*) over ())::int as total from changed order by user_id limit ${MAX_SHOWN}`,
    [group, role, scopes],
  );
}

async function shownChanges(
  { manager }: Pick<TenantTransaction, 'manager'>,
  rows: readonly ChangeRow[],
): Promise<ScopeChange[]> {
  const ids = rows.map((row) => idOf('usr', row.user_id));
  const users = new Map((await manager.findBy(User, { id: In(ids) })).map((user) => [user.id, user]));
  return rows.flatMap((row) => {
    const user = users.get(idOf('usr', row.user_id));
    return user === undefined ? [] : [{ user, scopes: row.scopes }];
  });
}

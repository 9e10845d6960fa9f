import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { idOf, uuidOf, uuidv7 } from '#schema/ids.ts';
import type { IdentityConnection } from './model.ts';

/** What a sign-in says of somebody's groups. */
export interface AssertedGroups {
  readonly connection: IdentityConnection;
  /** The uuid of the person. */
  readonly user: string;
  readonly names: readonly string[];
}

/** More than any token of a sane size holds; beyond that nothing is believed of the list. */
const MAX_GROUPS = 200;
const MAX_NAME_LENGTH = 320;
const MAX_SHOWN = 20;

type Query = Pick<TenantTransaction, 'query'>;

/**
 * Makes a person a member of the groups that a sign-in names and of no others of its connection; groups that are not
 * there yet are made. A group has one writer: one that SCIM, a person or another connection manages is left alone, and
 * the audit event says so. A list of more than 200 groups changes nothing.
 */
export async function syncGroups(tx: Query, ctx: RequestContext, asserted: AssertedGroups): Promise<void> {
  const names = groupNames(asserted.names);
  if (asserted.names.length > MAX_GROUPS)
    return auditSync(tx, ctx, { ...asserted, added: [], removed: [], skipped: [] });
  const { own, skipped } = await ownGroups(tx, ctx, { ...asserted, names });
  const change = await moveMember(tx, asserted, own);
  if (change.added.length + change.removed.length > 0)
    await tx.query('update groups set version = version + 1, updated_at = $2 where id = any($1::uuid[])', [
      [...change.added, ...change.removed],
      ctx.clock(),
    ]);
  if (change.added.length + change.removed.length + skipped.length > 0)
    await auditSync(tx, ctx, { ...asserted, ...change, skipped });
}

function groupNames(names: readonly string[]): string[] {
  const clean = names.map((name) =>
    name
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, ' ')
      .trim(),
  );
  return [...new Set(clean.filter((name) => name.length > 0 && name.length <= MAX_NAME_LENGTH))];
}

interface GroupRow {
  readonly id: string;
  readonly display_name: string;
  readonly own: boolean;
}

/** Rows are locked in the order of their ids, as everywhere, so that two sign-ins never wait for each other in a circle. */
async function ownGroups(
  tx: Query,
  ctx: RequestContext,
  { connection: { id }, names }: AssertedGroups,
): Promise<{ own: string[]; skipped: string[] }> {
  const connection = uuidOf('con', id);
  await tx.query(
    `insert into groups (id, display_name, managed_by, managed_by_connection, created_at, updated_at)
     select wanted.id, wanted.name, 'sso', $3, $4, $4 from unnest($1::uuid[], $2::text[]) as wanted(id, name)
      where not exists (select 1 from groups g where g.display_name_folded = lower(wanted.name))
      order by lower(wanted.name)
     on conflict do nothing`,
    [names.map(() => uuidv7()), names, connection, ctx.clock()],
  );
  const rows = await tx.query<GroupRow>(
    `select id, display_name, managed_by_connection is not distinct from $2::uuid as own from groups
      where display_name_folded in (select lower(name) from unnest($1::text[]) as wanted(name)) order by id for no key update`,
    [names, connection],
  );
  return {
    own: rows.filter((row) => row.own).map((row) => row.id),
    skipped: rows.filter((row) => !row.own).map((row) => row.display_name),
  };
}

interface MemberChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

async function moveMember(
  tx: Query,
  { connection, user }: AssertedGroups,
  own: readonly string[],
): Promise<MemberChange> {
  const removed = await tx.query<{ group_id: string }>(
    `delete from group_members m using groups g
      where g.id = m.group_id and m.user_id = $1 and g.managed_by_connection = $2 and g.id <> all($3::uuid[])
      returning m.group_id`,
    [user, uuidOf('con', connection.id), own],
  );
  const added = await tx.query<{ group_id: string }>(
    `insert into group_members (group_id, user_id) select wanted.id, $1 from unnest($2::uuid[]) as wanted(id)
     on conflict do nothing returning group_id`,
    [user, own],
  );
  return { added: added.map((row) => row.group_id), removed: removed.map((row) => row.group_id) };
}

async function auditSync(
  tx: Query,
  ctx: RequestContext,
  {
    connection,
    user,
    names,
    added,
    removed,
    skipped,
  }: AssertedGroups & MemberChange & { readonly skipped: readonly string[] },
): Promise<void> {
  await appendAudit(tx, ctx, {
    action: 'user.sync_groups',
    resource: { type: 'user', id: idOf('usr', user), name: null },
    context: {
      connection: connection.id,
      asserted: names.length,
      groups_added: added.map((id) => idOf('grp', id)),
      groups_removed: removed.map((id) => idOf('grp', id)),
      groups_left_alone: skipped.slice(0, MAX_SHOWN),
    },
  });
}

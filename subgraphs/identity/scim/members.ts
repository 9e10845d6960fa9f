import type { TenantTransaction } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOrNull } from '#schema/ids.ts';
import type { ResourceLink } from './resource.ts';
import { refuse } from './value.ts';

/** What becomes of a group's members; ids are public ones as the client wrote them. */
export interface MemberChange {
  readonly add: ReadonlySet<string>;
  readonly remove: ReadonlySet<string>;
  /** All members from now on; `add` and `remove` are empty then. */
  readonly replace?: ReadonlySet<string> | undefined;
}

/** How many rows a change of members came down to. */
export interface MemberCounts {
  readonly added: number;
  readonly removed: number;
}

/** Members that one answer shows; with their addresses they fill some 18 MB. */
const MAX_MEMBERS_SHOWN = 100_000;

type Query = Pick<TenantTransaction, 'query'>;

/**
 * Changes the members of a group, in statements over sets whose cost follows the change and not the group. Whoever is a
 * member already, or is none, changes nothing. An id to be added that names no user of the tenant is BAD_USER_INPUT.
 */
export async function changeMembers(
  tx: Query,
  group: string,
  { add, remove, replace }: MemberChange,
): Promise<MemberCounts> {
  const wanted = userUuids(replace ?? add);
  const removed = replace === undefined ? await removeMembers(tx, group, remove) : await keepMembers(tx, group, wanted);
  return { added: await addMembers(tx, group, wanted), removed };
}

/**
 * Returns the members of the groups by group, in the order they were made. More than MAX_MEMBERS_SHOWN in all are
 * TOO_MANY, since one answer would have to hold them in memory.
 */
export async function membersOf(tx: Query, groups: readonly string[]): Promise<Map<string, ResourceLink[]>> {
  const rows = await tx.query<{ group_id: string; id: string; display: string }>(
    `select m.group_id, u.id, coalesce(u.display_name, u.user_name) as display
       from group_members m join users u on u.id = m.user_id
      where m.group_id = any($1::uuid[]) order by m.group_id, m.user_id limit $2`,
    [groups, MAX_MEMBERS_SHOWN + 1],
  );
  if (rows.length > MAX_MEMBERS_SHOWN) {
    fail('TOO_MANY', 'too many members for one answer', {
      hint: 'Ask with excludedAttributes=members, or for fewer groups.',
    });
  }
  const members = new Map<string, ResourceLink[]>(groups.map((group) => [group, []]));
  for (const { group_id: group, id, display } of rows) members.get(group)?.push({ id: idOf('usr', id), display });
  return members;
}

/** A text that is no id of a user names nobody, and so does the id of another tenant's: neither can be told apart. */
function userUuids(ids: ReadonlySet<string>): string[] {
  return [...ids].map((id) => uuidOrNull('usr', id) ?? refuseMember());
}

async function addMembers(tx: Query, group: string, users: readonly string[]): Promise<number> {
  if (users.length === 0) return 0;
  const [count] = await tx.query<{ known: number; added: number }>(
    `with known as (select u.id from unnest($2::uuid[]) as wanted(id) join users u on u.id = wanted.id),
          added as (insert into group_members (group_id, user_id) select $1, id from known on conflict do nothing returning 1)
     select (select count(*)::int from known) as known, (select count(*)::int from added) as added`,
    [group, users],
  );
  return count?.known === users.length ? count.added : refuseMember();
}

async function removeMembers(tx: Query, group: string, ids: ReadonlySet<string>): Promise<number> {
  const users = [...ids].map((id) => uuidOrNull('usr', id)).filter((uuid) => uuid !== null);
  if (users.length === 0) return 0;
  const [count] = await tx.query<{ removed: number }>(
    `with removed as (delete from group_members m using unnest($2::uuid[]) as named(id)
       where m.group_id = $1 and m.user_id = named.id returning 1)
     select count(*)::int as removed from removed`,
    [group, users],
  );
  return count?.removed ?? 0;
}

async function keepMembers(tx: Query, group: string, users: readonly string[]): Promise<number> {
  const [count] = await tx.query<{ removed: number }>(
    `with removed as (delete from group_members m where m.group_id = $1
       and not exists (select 1 from unnest($2::uuid[]) as kept(id) where kept.id = m.user_id) returning 1)
     select count(*)::int as removed from removed`,
    [group, users],
  );
  return count?.removed ?? 0;
}

function refuseMember(): never {
  return refuse('Each of "members" needs the id of a user of this tenant as its value.');
}

import { inTenant, inTenantAudit } from '#kit/database.ts';
import { idOf } from '#schema/ids.ts';
import type { CollectionScope } from './collector.ts';
import type { Row } from './table.ts';

interface UserRow {
  readonly id: string;
  readonly user_name: string;
  readonly active: boolean;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** What the log says of a person: her newest entry about access, and whether one speaks of her creation. */
interface LoggedUser {
  readonly id: string;
  readonly logged: boolean;
  readonly log_seq: number;
  readonly log_active: boolean;
}

/** People compared at a time. */
const PAGE_SIZE = 500;

/** The statement of a person without an entry; every other difference is about her state. */
export const UNRECORDED = 'the log holds no entry of her creation';

/** How somebody else gets the people of the table. */
export const USERS_SQL = `-- In the tenant database, under the tenant's context; compared with log_entries of the audit database by resource_id:
select id, user_name, active, created_at from users order by id`;

/**
 * Yields every person in the table, in the order of their ids, with her state by the log and what differs. A row that
 * was changed after the newest entry of the log is not compared: its event is still on the way.
 */
export async function* presentUsers(scope: CollectionScope): AsyncGenerator<Row, void, undefined> {
  const reachedAt = await newestEntryAt(scope);
  for (let last = '00000000-0000-0000-0000-000000000000'; ;) {
    const users = await usersAfter(scope, last);
    const logged = await loggedUsers(
      scope,
      users.map(({ id }) => idOf('usr', id)),
    );
    for (const user of users) {
      const known = logged.get(idOf('usr', user.id)) ?? null;
      yield {
        user: idOf('usr', user.id),
        user_name: user.user_name,
        active: user.active,
        created_at: user.created_at.toISOString(),
        logged: known?.logged ?? false,
        log_active: known?.log_active ?? null,
        log_seq: known?.log_seq ?? null,
        difference: reachedAt !== null && user.updated_at <= reachedAt ? differenceOf(user, known) : null,
      };
    }
    const end = users.at(-1);
    if (end === undefined || users.length < PAGE_SIZE) return;
    last = end.id;
  }
}

function differenceOf(user: UserRow, known: LoggedUser | null): string | null {
  if (known === null || !known.logged) return UNRECORDED;
  if (known.log_active === user.active) return null;
  return user.active
    ? 'she is active, but the log says that her access ended'
    : 'she is inactive, but no entry says that her access ended';
}

function usersAfter({ ctx }: CollectionScope, last: string): Promise<UserRow[]> {
  return inTenant(ctx, (tx) =>
    tx.query<UserRow>(
      `select id, user_name, active, created_at, updated_at from users where id > $1 order by id limit ${PAGE_SIZE}`,
      [last],
    ),
  );
}

async function loggedUsers({ ctx }: CollectionScope, ids: readonly string[]): Promise<Map<string, LoggedUser>> {
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<LoggedUser>(
      `select distinct on (resource_id) resource_id as id, seq::integer as log_seq,
              bool_or(action in ('user.create', 'user.provision')) over (partition by resource_id) as logged,
              case action when 'user.provision' then coalesce((entry::jsonb #>> '{event,context,active}')::boolean, true)
                else action <> 'user.deactivate' and action <> 'user.delete' end as log_active
         from log_entries
        where resource_id = any($1) and outcome = 'success'
          and action in ('user.create', 'user.provision', 'user.deactivate', 'user.reactivate', 'user.delete')
        order by resource_id, epoch desc, seq desc`,
      [ids],
    ),
  );
  return new Map(rows.map((row) => [row.id, row]));
}

async function newestEntryAt({ ctx }: CollectionScope): Promise<Date | null> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ ts: Date }>('select ts from log_entries order by epoch desc, seq desc limit 1'),
  );
  return row?.ts ?? null;
}

import { inTenant, inTenantAudit } from '#kit/database.ts';
import { entriesHolding } from '#kit/held-entries.ts';
import { idOf } from '#schema/ids.ts';
import { fieldWord } from '#schema/search-words.ts';
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

const CREATIONS = ['user.create', 'user.provision'];
const ACTIONS = [...CREATIONS, 'user.deactivate', 'user.reactivate', 'user.delete'];

interface UserEntry {
  readonly id: string;
  readonly seq: number;
  readonly action: string;
  readonly active: boolean | null;
}

async function loggedUsers({ ctx }: CollectionScope, ids: readonly string[]): Promise<Map<string, LoggedUser>> {
  const logged = new Map<string, LoggedUser>();
  const words = {
    groups: [ids.map((id) => [fieldWord('resource', id)]), ACTIONS.map((name) => [fieldWord('action', name)])],
  };
  await inTenantAudit(ctx, async (tx) => {
    const entries = entriesHolding<UserEntry>(tx, {
      words,
      select: `resource_id as id, seq::integer as seq, action,
        case action when 'user.provision' then (entry::jsonb #>> '{event,context,active}')::boolean end as active`,
      where: `resource_id = any($1) and outcome = 'success' and action = any($2)`,
      values: [ids, ACTIONS],
    });
    // The last one of a person counts.
    for await (const rows of entries) for (const row of rows) logged.set(row.id, after(row, logged.get(row.id)));
  });
  return logged;
}

function after({ id, seq, action, active }: UserEntry, before: LoggedUser | undefined): LoggedUser {
  const isGone = action === 'user.deactivate' || action === 'user.delete';
  return {
    id,
    logged: CREATIONS.includes(action) || before?.logged === true,
    log_seq: seq,
    log_active: action === 'user.provision' ? (active ?? true) : !isGone,
  };
}

async function newestEntryAt({ ctx }: CollectionScope): Promise<Date | null> {
  const [row] = await inTenantAudit(ctx, (tx) =>
    tx.query<{ ts: Date }>('select ts from log_entries order by epoch desc, seq desc limit 1'),
  );
  return row?.ts ?? null;
}

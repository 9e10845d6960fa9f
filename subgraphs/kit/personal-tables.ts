import { uuidOf } from '#schema/ids.ts';
import type { TenantTransaction } from './database.ts';

/**
 * What a table of the cell holds of a person. `about` is a condition on its rows, in which `person` is her UUID,
 * `public_id` her public id and `addresses` the list of what she is called by, in lower case.
 */
export type PersonalTable =
  /** Rows that go, or that lose what is personal in them, when she is erased; the store is one that `collect` hands out. */
  | { readonly about: string; readonly end: 'deleted' | 'cleared'; readonly store: string }
  /** Rows that stay, and why they may. */
  | { readonly about: string; readonly end: 'kept'; readonly store?: string; readonly because: string }
  /** Nothing of any person. */
  | { readonly about: null; readonly because: string };

/** By whom the tables know a person. */
export interface TablePerson {
  /** UUID. */
  readonly person: string;
  readonly publicId: string;
  /** In lower case. */
  readonly addresses: readonly string[];
}

/** How many rows of a store are about a person. */
export interface StoreCount {
  readonly store: string;
  readonly method: 'deleted' | 'cleared';
  readonly rows: number;
}

/** A table whose rows go, or lose what is personal in them. */
type EndingTable = Extract<PersonalTable, { end: 'deleted' | 'cleared' }>;

type Tables = Readonly<Record<string, PersonalTable>>;

/** Why ids of people may stay where they are. */
export const ID_ALONE = 'her id alone, which leads to nobody once her account and her key are gone';

/** The tables of the cell that belong to the platform itself and to no subgraph. */
export const PLATFORM_TABLES: Tables = {
  outbox: { about: null, because: 'events are sealed under the key of the person, and leave for the log' },
  sequenced_events: {
    about: null,
    because: 'events are sealed under the key of the person, and leave with the archive',
  },
  tenant_keys: { about: null, because: 'a key of the tenant' },
  subject_keys: {
    about: 'subject = person',
    end: 'kept',
    because: 'the name of her destroyed key, so that she gets no other',
  },
  mutation_notes: { about: null, because: 'names of actions and requests' },
};

/**
 * Returns how many rows that have to go are about a person, store by store, in the given transaction: what an erasure takes
 * before it, and what it has left after it.
 */
export async function countAbout(
  tx: Pick<TenantTransaction, 'query'>,
  tables: Tables,
  { person, publicId, addresses }: TablePerson,
): Promise<StoreCount[]> {
  const ending = Object.entries(tables).flatMap(([name, table]): { name: string; table: EndingTable }[] =>
    table.about === null || table.end === 'kept' ? [] : [{ name, table }],
  );
  const counts = ending.map(
    ({ name, table }, place) =>
      `select ${place} as place, count(*)::integer as rows from ${name} cross join her where ${table.about}`,
  );
  if (counts.length === 0) return [];
  const found = await tx.query<{ place: number; rows: number }>(
    `with her as (select $1::uuid as person, $2::text as public_id, $3::text[] as addresses) ${counts.join(' union all ')}`,
    [person, publicId, [...addresses]],
  );
  const stores = new Map<string, StoreCount>();
  for (const [place, { table }] of ending.entries()) {
    const rows = found.find((count) => count.place === place)?.rows ?? 0;
    const before = stores.get(table.store)?.rows ?? 0;
    stores.set(table.store, { store: table.store, method: table.end, rows: before + rows });
  }
  return [...stores.values()];
}

/** Returns by whom the tables know a person of a public id; her addresses as long as her account says which they are. */
export async function tablePersonOf(tx: Pick<TenantTransaction, 'query'>, publicId: string): Promise<TablePerson> {
  const person = uuidOf('usr', publicId);
  const [user] = await tx.query<{ names: string[] }>(
    'select array_remove(array[user_name_folded, email_folded], null) as names from users where id = $1',
    [person],
  );
  return { person, publicId, addresses: user?.names ?? [] };
}

import type pg from 'pg';
import { POOL, type StorePlace } from '#schema/tenant-store.ts';
import type { Databases } from './database.ts';
import { queryStore } from './store-scope.ts';
import { newStamps } from './store-stamps.ts';

/** What runs single statements, each in whatever connection is free. */
export type Statements = Pick<pg.Pool, 'query'>;

/** A store of a cell beside its pool, in which a tenant lives. */
export interface CellStore {
  readonly name: string;
  /** UUID. */
  readonly tenantId: string;
  /** Another one after every write that was committed; null where the server does not tell. */
  readonly stamp: string | null;
  /** Without any tenant's context; the store is opened with the first statement, and closed when others need the room. */
  readonly statements: Statements;
}

/** The stores of a cell beside its pool. */
export interface CellStores {
  /** Returns those in which somebody lives; one statement of the directory, and where there are any, one of the server. */
  list(): Promise<readonly CellStore[]>;
}

/** Returns the stores of a cell, for a process in the role of the worker. */
export function cellStoresOf(databases: Databases, cell: string): CellStores {
  const known = new Map<string, Statements>();
  const stampsOf = newStamps(databases, cell);
  const list = async (): Promise<readonly CellStore[]> => {
    const { rows } = await databases.directory.query<{ name: string; tenant_id: string }>(
      'select name, tenant_id from stores where cell = $1 and tenant_id is not null order by name',
      [cell],
    );
    if (rows.length === 0) return [];
    const stamps = await stampsOf(rows.map(({ name }) => name));
    return rows.map(({ name, tenant_id: tenantId }) => {
      const statements = known.get(name) ?? statementsOf(databases, { cell, store: name });
      known.set(name, statements);
      return { name, tenantId, statements, stamp: stamps.get(name) ?? null };
    });
  };
  return { list };
}

/** Returns what runs statements in a store or a pool without any tenant's context; of an answer only its rows are told. */
export function statementsOf(
  databases: Pick<Databases, 'tenantSource' | 'stores'>,
  { cell, store = POOL }: StorePlace,
): Statements {
  const query = async (text: string, values?: unknown[]) => {
    if (store === POOL) return { rows: await databases.tenantSource(cell).query<unknown[]>(text, values) };
    const { pool, giveBack } = await databases.stores.lend({ cell, store });
    try {
      return await queryStore(pool, store, { text, values });
    } finally {
      giveBack();
    }
  };
  // Of the ways to call it, these statements use the one with a text and values.
  return { query: query as Statements['query'] };
}

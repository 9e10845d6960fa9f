import type pg from 'pg';
import { inStore, POOL, schemaNumber, searchPathOf } from '#schema/tenant-store.ts';

const scopes = new WeakMap<object, string>();

/** Returns the store that a connection was scoped to; the pool where it was not. */
export function scopeOf(client: pg.ClientBase): string {
  return scopes.get(client) ?? POOL;
}

type QueryArguments = [statement: string | { readonly text: string }, ...rest: unknown[]];

/**
 * Makes a connection say every statement as a store takes it, and look for names in its schemas, for as long as it lives;
 * without effect for a store with a database of its own.
 */
export async function scopeClient(client: pg.ClientBase, store: string): Promise<void> {
  if (schemaNumber(store) === null) return;
  const query = client.query.bind(client) as (...all: unknown[]) => unknown;
  const scoped = (...[statement, ...rest]: QueryArguments) =>
    query(
      typeof statement === 'string'
        ? inStore(statement, store)
        : { ...statement, text: inStore(statement.text, store) },
      ...rest,
    );
  Object.assign(client, { query: scoped });
  scopes.set(client, store);
  await client.query(`select pg_catalog.set_config('search_path', $1, false)`, [searchPathOf(store)]);
}

/** What a bridge's pool has of a store, for statements that name their schemas. */
export function scopedPool(pool: pg.Pool, store: string): Pick<pg.Pool, 'query' | 'connect'> {
  if (schemaNumber(store) === null) return pool;
  const say = (target: pg.Pool | pg.PoolClient) => async (text: string, values?: unknown[]) =>
    target.query(inStore(text, store), values);
  const connect = async () => {
    const client = await pool.connect();
    return { query: say(client), release: (error?: Error | boolean) => client.release(error) };
  };
  // Of the ways to call them, these have the ones with a text and values, and with a promise.
  return { query: say(pool), connect } as unknown as Pick<pg.Pool, 'query' | 'connect'>;
}

/** Runs one statement in a store, without any tenant's context; a bridge's is told where names are in the same round trip. */
export async function queryStore(
  pool: pg.Pool,
  store: string,
  { text, values }: { readonly text: string; readonly values: unknown[] | undefined },
): Promise<pg.QueryResult> {
  if (schemaNumber(store) === null) return pool.query(text, values);
  const client = await pool.connect();
  try {
    const [, , result] = await Promise.all([
      client.query('begin'),
      client.query(`select pg_catalog.set_config('search_path', $1, true)`, [searchPathOf(store)]),
      client.query(inStore(text, store), values),
      // Behind a statement that failed it rolls back.
      client.query('commit'),
    ]);
    return result;
  } finally {
    client.release();
  }
}

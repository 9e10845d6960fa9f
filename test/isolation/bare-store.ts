import pg from 'pg';
import { snapshotCatalog, type CatalogRelation } from '#kit/catalog-snapshot.ts';
import type { TestStores } from '../support/databases.ts';
import { tablesInOrder } from './generated-rows.ts';

/** A store of which row security alone stands between tenants. */
export interface BareStore {
  /** A superuser, who can become any role. */
  readonly client: pg.Client;
  readonly tables: readonly CatalogRelation[];
}

const open: pg.Client[] = [];

/**
 * Takes everything away from a store that stands between tenants beside row security: value checks are dropped, so that
 * any value will do, and the roles of programs may do everything with every table.
 */
export async function bareStore(stores: TestStores, store: 'eu-1' | 'eu-1 audit'): Promise<BareStore> {
  const client = new pg.Client({ connectionString: stores.url(store) });
  open.push(client);
  await client.connect();
  const tables = tablesInOrder(await snapshotCatalog(client));
  for (const { name, constraints } of tables) {
    for (const check of constraints.filter(({ kind }) => kind === 'check')) {
      await client.query(`alter table app.${name} drop constraint ${pg.escapeIdentifier(check.name)}`);
    }
  }
  await client.query(
    'grant select, insert, update, delete on all tables in schema app to tenon_app, tenon_worker, tenon_support',
  );
  return { client, tables };
}

/** Ends the connections of every store that was made bare. */
export async function closeBareStores(): Promise<void> {
  await Promise.all(open.splice(0).map((client) => client.end()));
}

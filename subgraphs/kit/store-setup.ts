import type pg from 'pg';
import { asTenonError, fail } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import type { ContextKeys } from '#schema/tenant-context.ts';
import { storeKey, storeUrl, type Placement } from '#schema/tenant-store.ts';
import { ensureDatabase, migrateDatabase, withClient } from './database-setup.ts';
import { databasesOf, type StoreDatabase, type StoreSettings } from './embedded-stores.ts';
import { storeVersion } from './store-admission.ts';

/** What stores are made and migrated with. */
export interface StoreMaker {
  /** Addresses of the directory and of the cells, for `tenon_owner`. */
  readonly directoryUrl: string;
  readonly cells: readonly CellSettings[];
  /** Of a database of the cells' server, for a role that may make others; null where the databases have to be there. */
  readonly adminUrl: string | null;
  readonly keys: ContextKeys;
}

/** A store beside the pools, as the directory knows it. */
export interface StoreRow {
  readonly cell: string;
  readonly name: string;
  /** Short name of her who lives there; null while nobody does. */
  readonly slug: string | null;
  /** UUID of the same tenant. */
  readonly tenantId: string | null;
  /** How many migrations it stands at. */
  readonly version: number;
  /** The sentence with which its last migration failed. */
  readonly fault: string | null;
}

/** Returns all stores beside the pools, those that nobody lives in first. */
export async function listStores({ directoryUrl }: Pick<StoreMaker, 'directoryUrl'>): Promise<StoreRow[]> {
  return withClient(directoryUrl, async (client) => {
    const { rows } = await client.query<StoreRow>(
      `select s.cell, s.name, t.slug, t.id as "tenantId", s.version, s.fault from app.stores s left join app.tenants t on t.id = s.tenant_id
        order by s.tenant_id is not null, s.created_at, s.cell, s.name`,
    );
    return rows;
  });
}

/** Returns every database as `databasesOf` does, and behind them those of the stores beside the pools that are made. */
export async function allDatabasesOf(settings: StoreSettings): Promise<StoreDatabase[]> {
  const made = (await listStores(settings)).filter(({ version }) => version > 0);
  const stores = made.flatMap(({ cell, name }): StoreDatabase[] => {
    const of = settings.cells.find((one) => one.name === cell);
    if (of === undefined) return [];
    const url = storeUrl(of.database, name);
    return [{ name: storeKey({ cell, store: name }), url, kind: 'cell', cell: of, store: name }];
  });
  return [...databasesOf(settings), ...stores];
}

/** The same for whoever examines each: a directory that does not answer is found by its own examination. */
export async function reachableDatabasesOf(settings: StoreSettings): Promise<StoreDatabase[]> {
  return allDatabasesOf(settings).catch(() => databasesOf(settings));
}

/** Writes down stores that are to be made, and returns them; `migrateStore` makes each. An unknown cell is BAD_USER_INPUT. */
export async function planStores(
  maker: StoreMaker,
  wish: { readonly cell: string; readonly placement: Exclude<Placement, 'pool'>; readonly count: number },
): Promise<StoreRow[]> {
  requireCell(maker, wish.cell);
  return withClient(maker.directoryUrl, async (client) => {
    const databases = wish.placement === 'silo' ? null : await bridgesWithRoom(client, wish);
    const { rows } = await client.query<StoreRow>(
      `insert into app.stores (cell, name)
       select $1, coalesce('bridge_' || (($3::integer[])[place]) || '_', 'silo_') || nextval('app.store_numbers')
         from generate_series(1, $2) as place
       returning cell, name, null as slug, null as "tenantId", version, fault`,
      [wish.cell, wish.count, databases],
    );
    return rows;
  });
}

/**
 * Makes a store where it is not yet, brings it to the newest migrations, and writes down how far it came: also where it
 * fails, which is a throw. Ended at any point, the next call goes on.
 */
export async function migrateStore(maker: StoreMaker, { cell, name }: StoreRow): Promise<void> {
  const settings = requireCell(maker, cell);
  const url = storeUrl(settings.database, name);
  try {
    if (maker.adminUrl !== null) await ensureDatabase(maker.adminUrl, new URL(url).pathname.slice(1));
    await migrateDatabase({ url, kind: 'cell', cell: settings, store: name, keys: maker.keys, log: () => undefined });
    await note(maker, { cell, name, version: await storeVersion(), fault: null });
  } catch (thrown) {
    const error = asTenonError(thrown);
    await note(maker, { cell, name, version: null, fault: error.message.slice(0, 500) });
    throw error;
  }
}

/** So many schemas are in one database: its connections learn of each, and what goes over all of a database goes over these. */
export const SCHEMAS_PER_DATABASE = 100;

/** Returns the number of a database for each of so many schemas: those that have room are filled first. */
async function bridgesWithRoom(
  client: pg.Client,
  { cell, count }: { readonly cell: string; readonly count: number },
): Promise<number[]> {
  const { rows } = await client.query<{ number: number; schemas: number }>(
    `select split_part(name, '_', 2)::integer as number, count(*)::integer as schemas from app.stores
      where cell = $1 and name like 'bridge\\_%' group by 1 order by 1`,
    [cell],
  );
  const chosen = rows.flatMap(({ number, schemas }) =>
    Array.from({ length: Math.max(0, SCHEMAS_PER_DATABASE - schemas) }, () => number),
  );
  const last = rows.at(-1)?.number ?? 0;
  for (let next = last + 1; chosen.length < count; next += 1)
    chosen.push(...Array.from({ length: SCHEMAS_PER_DATABASE }, () => next));
  return chosen.slice(0, count);
}

async function note(
  { directoryUrl }: StoreMaker,
  { cell, name, version, fault }: Pick<StoreRow, 'cell' | 'name' | 'fault'> & { readonly version: number | null },
): Promise<void> {
  await withClient(directoryUrl, (client: pg.Client) =>
    client.query(
      `update app.stores set version = coalesce($3, version), fault = $4,
              migrated_at = case when $3::integer is null then migrated_at else now() end
        where cell = $1 and name = $2`,
      [cell, name, version, fault],
    ),
  );
}

function requireCell({ cells }: StoreMaker, name: string): CellSettings {
  const names = cells.map((cell) => cell.name).join(', ');
  return (
    cells.find((cell) => cell.name === name) ??
    fail('BAD_USER_INPUT', `no cell ${name}`, { hint: `There is no cell ${name}, only ${names}.` })
  );
}

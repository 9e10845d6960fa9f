import { randomBytes } from 'node:crypto';
import {
  ensureRoles,
  migrateDatabase,
  setDatabaseRights,
  type DatabaseKind,
  type DatabaseRole,
} from '#kit/database-setup.ts';
import { openDatabases, type Databases } from '#kit/database.ts';
import { storeVersion } from '#kit/store-admission.ts';
import { migrateStore, planStores } from '#kit/store-setup.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { storeUrl } from '#schema/tenant-store.ts';
import { subgraphs } from '#subgraphs';
import { cloneDatabase, databaseUrl, ensureTemplate, withClient, type TestDatabase } from './postgres.ts';
import { CONTEXT_KEYS } from './context-keys.ts';
import { DATA_KEYS } from './data-keys.ts';

export { CONTEXT_KEY_FILE, CONTEXT_KEYS } from './context-keys.ts';

const PASSWORDS: Readonly<Record<DatabaseRole, string>> = {
  tenon_owner: 'owner',
  tenon_app: 'app',
  tenon_worker: 'worker',
};

/** The stores of a house: a directory and its cells, each with its tenant and audit database. */
export interface TestStores {
  /** Address of a database for a role, or for the superuser. */
  url(database: StoreName, role?: DatabaseRole): string;
  settingsFor(role: DatabaseRole, archive: string): { directoryUrl: string; cells: CellSettings[] };
  /** Makes a silo that nobody lives in, and returns its name. */
  addSilo(cell: 'eu-1' | 'us-1'): Promise<string>;
  /** Makes schemas of a bridge that nobody lives in, and returns their names. */
  addBridges(cell: 'eu-1' | 'us-1', count: number): Promise<readonly string[]>;
  /** Opens the stores as the application, with the entities of all subgraphs. */
  open(archive?: string): Promise<Databases>;
}

/** A cell; its region is the part before the dash. */
type CellName = 'eu-1' | 'us-1' | 'ap-1';
/** The databases of a house. */
export type StoreName = 'directory' | CellName | `${CellName} audit`;

/** Makes the stores of a house, empty and migrated, for the calling test file alone. */
export async function makeStores(cells: readonly CellName[] = ['eu-1', 'us-1']): Promise<TestStores> {
  const databases = new Map<string, TestDatabase>([['directory', await cloneOf('directory', null)]]);
  for (const name of cells) {
    databases.set(name, await cloneOf('cell', name));
    databases.set(`${name} audit`, await cloneOf('audit', name));
  }
  const url = (store: StoreName, role?: DatabaseRole) => {
    const name = databases.get(store)?.name ?? store;
    return role === undefined ? databaseUrl(name) : databaseUrl(name, { name: role, password: PASSWORDS[role] });
  };
  const settingsFor: TestStores['settingsFor'] = (role, archive) => ({
    directoryUrl: url('directory', role),
    cells: cells.map((name) => ({
      ...placeOf(name),
      database: url(name, role),
      auditDatabase: url(`${name} audit`, role),
      archive: `${archive}/${name}`,
    })),
  });
  return {
    url,
    settingsFor,
    addSilo: (cell) => addSilo(url, cell),
    addBridges: async (cell, count) => {
      const maker = {
        ...settingsFor('tenon_owner', 'file:///nowhere'),
        adminUrl: url('directory'),
        keys: CONTEXT_KEYS,
      };
      const planned = await planStores(maker, { cell, placement: 'bridge', count });
      for (const store of planned) await migrateStore(maker, store);
      return planned.map(({ name }) => name);
    },
    open: (archive = `file:///tmp/tenon-test-${randomBytes(6).toString('hex')}`) =>
      openDatabases({
        ...settingsFor('tenon_app', archive),
        keys: CONTEXT_KEYS,
        dataKeys: DATA_KEYS,
        entities: subgraphs.flatMap(({ entities }) => entities),
        poolSize: 6,
      }),
  };
}

async function addSilo(url: TestStores['url'], cell: 'eu-1' | 'us-1'): Promise<string> {
  const [store] = await withClient(url('directory', 'tenon_owner'), async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `insert into app.stores (cell, name, version) values ($1, 'silo_' || nextval('app.store_numbers'), $2) returning name`,
      [cell, await storeVersion()],
    );
    return rows;
  });
  if (store === undefined) throw new Error('a row that was written comes back');
  await cloneOf('cell', cell, new URL(storeUrl(url(cell), store.name)).pathname.slice(1));
  return store.name;
}

function placeOf(cell: string): { readonly name: string; readonly region: string } {
  return { name: cell, region: cell.slice(0, 2) };
}

/** A clone has the rights of a new database, not those of its template. */
async function cloneOf(kind: DatabaseKind, cell: string | null, name?: string): Promise<TestDatabase> {
  const template = cell === null ? kind : `${kind}_${cell.replace('-', '_')}`;
  await ensureTemplate(template, async (url) => {
    await ensureRoles(url, PASSWORDS);
    await giveToOwner(url);
    const place = cell === null ? null : placeOf(cell);
    await migrateDatabase({ url: asOwner(url), kind, cell: place, keys: CONTEXT_KEYS, log: () => undefined });
  });
  const database = await cloneDatabase(template, name);
  await giveToOwner(database.url);
  await setDatabaseRights(asOwner(database.url));
  return database;
}

async function giveToOwner(url: string): Promise<void> {
  await withClient(url, (client) =>
    client.query(`alter database ${client.escapeIdentifier(new URL(url).pathname.slice(1))} owner to tenon_owner`),
  );
}

function asOwner(url: string): string {
  return databaseUrl(new URL(url).pathname.slice(1), { name: 'tenon_owner', password: PASSWORDS.tenon_owner });
}

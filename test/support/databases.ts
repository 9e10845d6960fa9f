import { randomBytes } from 'node:crypto';
import {
  ensureRoles,
  migrateDatabase,
  setDatabaseRights,
  type DatabaseKind,
  type DatabaseRole,
} from '#kit/database-setup.ts';
import { openDatabases, type Databases } from '#kit/database.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { parseContextKeys, type ContextKeys } from '#schema/tenant-context.ts';
import { subgraphs } from '#subgraphs';
import { cloneDatabase, databaseUrl, ensureTemplate, withClient, type TestDatabase } from './postgres.ts';
import { DATA_KEYS } from './data-keys.ts';

/** The file of `CONTEXT_KEYS`. */
export const CONTEXT_KEY_FILE = JSON.stringify({
  signing: 'k2',
  keys: [
    { kid: 'k2', secret: '22'.repeat(32) },
    { kid: 'k1', secret: '11'.repeat(32) },
  ],
});
/** Keys of the tenant context in tests; every template database knows them. */
export const CONTEXT_KEYS: ContextKeys = parseContextKeys(CONTEXT_KEY_FILE);

const PASSWORDS: Readonly<Record<DatabaseRole, string>> = {
  tenon_owner: 'owner',
  tenon_app: 'app',
  tenon_worker: 'worker',
};

/** The stores of a house: a directory and two cells, each with its tenant and audit database. */
export interface TestStores {
  /** Address of a database for a role, or for the superuser. */
  url(database: StoreName, role?: DatabaseRole): string;
  settingsFor(role: DatabaseRole, archive: string): { directoryUrl: string; cells: CellSettings[] };
  /** Opens the stores as the application, with the entities of all subgraphs. */
  open(archive?: string): Promise<Databases>;
}

/** The databases of a house. */
export type StoreName = 'directory' | 'eu-1' | 'eu-1 audit' | 'us-1' | 'us-1 audit';

/** Makes the stores of a house, empty and migrated, for the calling test file alone. */
export async function makeStores(): Promise<TestStores> {
  for (const kind of ['directory', 'cell', 'audit'] as const) await ensureTemplate(kind, (url) => prepare(url, kind));
  const kinds: Record<StoreName, DatabaseKind> = {
    directory: 'directory',
    'eu-1': 'cell',
    'eu-1 audit': 'audit',
    'us-1': 'cell',
    'us-1 audit': 'audit',
  };
  const databases = new Map<string, TestDatabase>();
  for (const [name, kind] of Object.entries(kinds)) databases.set(name, await cloneOf(kind));
  const url = (store: StoreName, role?: DatabaseRole) => {
    const name = databases.get(store)?.name ?? store;
    return role === undefined ? databaseUrl(name) : databaseUrl(name, { name: role, password: PASSWORDS[role] });
  };
  const settingsFor: TestStores['settingsFor'] = (role, archive) => ({
    directoryUrl: url('directory', role),
    cells: (['eu-1', 'us-1'] as const).map((name) => ({
      name,
      region: name.slice(0, 2),
      database: url(name, role),
      auditDatabase: url(`${name} audit`, role),
      archive: `${archive}/${name}`,
    })),
  });
  return {
    url,
    settingsFor,
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

async function prepare(url: string, kind: DatabaseKind): Promise<void> {
  await ensureRoles(url, PASSWORDS);
  await giveToOwner(url);
  await migrateDatabase({ url: asOwner(url), kind, keys: CONTEXT_KEYS, log: () => undefined });
}

/** A clone has the rights of a new database, not those of its template. */
async function cloneOf(kind: DatabaseKind): Promise<TestDatabase> {
  const database = await cloneDatabase(kind);
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

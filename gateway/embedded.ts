import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CellSettings, Config } from '#schema/config.ts';
import type { ContextKeys } from '#schema/tenant-context.ts';
import { DATABASE_ROLES, ensureDatabase, ensureRoles, migrateDatabase, type DatabaseKind, type DatabaseRole } from '#kit/database-setup.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '#kit/embedded-postgres.ts';

/** The cells of embedded mode: two, from the first day, so that nothing is ever written for one. */
const CELLS = [
  { name: 'eu-1', region: 'eu' },
  { name: 'us-1', region: 'us' },
] as const;

/** The databases of this machine, ready to be opened, with addresses for each role. */
export interface EmbeddedStores {
  readonly postgres: EmbeddedPostgres;
  /** Settings as a process with that role reads them. */
  settingsFor(role: DatabaseRole): { readonly directoryUrl: string; readonly cells: CellSettings[] };
}

/** Starts the embedded PostgreSQL and brings every database to the newest migration; a second start finds all as it was. */
export async function startEmbeddedStores(config: Config, keys: ContextKeys, log: (line: string) => void): Promise<EmbeddedStores> {
  mkdirSync(config.home, { recursive: true, mode: 0o711 });
  const postgres = await startEmbeddedPostgres({ dataDir: join(config.home, 'postgres'), durable: true, log });
  try {
    const passwords = rolePasswords(join(config.home, 'database-passwords.json'));
    await ensureRoles(postgres.superuserUrl('postgres'), passwords);
    const stores: EmbeddedStores = { postgres, settingsFor: (role) => settingsFor(config, { postgres, role, password: passwords[role] }) };
    await migrateAll(stores, keys, log);
    return stores;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

async function migrateAll(stores: EmbeddedStores, keys: ContextKeys, log: (line: string) => void): Promise<void> {
  const { directoryUrl, cells } = stores.settingsFor('tenon_owner');
  const databases: { url: string; kind: DatabaseKind }[] = [
    { url: directoryUrl, kind: 'directory' },
    ...cells.flatMap((cell) => [
      { url: cell.database, kind: 'cell' as const },
      { url: cell.auditDatabase, kind: 'audit' as const },
    ]),
  ];
  await Promise.all(
    databases.map(async ({ url, kind }) => {
      await ensureDatabase(stores.postgres.superuserUrl('postgres'), new URL(url).pathname.slice(1));
      await migrateDatabase({ url, kind, keys, log });
    }),
  );
}

function settingsFor(config: Config, as: { postgres: EmbeddedPostgres; role: DatabaseRole; password: string }) {
  const urlOf = (database: string) => `postgres://${as.role}:${as.password}@${as.postgres.host}:${as.postgres.port}/${database}`;
  const archive = config.archiveUrl ?? pathToFileURL(join(config.home, 'archive')).href;
  const cells = CELLS.map(({ name, region }) => ({
    name,
    region,
    database: urlOf(`cell_${name.replace('-', '_')}`),
    auditDatabase: urlOf(`audit_${name.replace('-', '_')}`),
    archive: `${archive}/${name}`,
  }));
  return { directoryUrl: urlOf('directory'), cells };
}

/** Passwords of the roles on this machine's own server; made once, readable by their owner. */
function rolePasswords(file: string): Record<DatabaseRole, string> {
  if (!existsSync(file)) {
    const passwords = Object.fromEntries(DATABASE_ROLES.map((role) => [role, randomBytes(24).toString('hex')]));
    writeFileSync(file, `${JSON.stringify(passwords)}\n`, { mode: 0o600, flag: 'wx' });
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Record<DatabaseRole, string>;
}

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Config } from '#schema/config.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { fail } from '#schema/errors.ts';
import { DATABASE_ROLES, type DatabaseKind, type DatabaseRole } from './database-setup.ts';
import { SUPERUSER } from './postgres-cluster.ts';

/** The cells of embedded mode: two, from the first day, so that nothing is ever written for one. */
const CELLS = [
  { name: 'eu-1', region: 'eu' },
  { name: 'us-1', region: 'us' },
] as const;

/** Where the stores of a deployment are, for one role. */
export interface StoreSettings {
  readonly directoryUrl: string;
  readonly cells: readonly CellSettings[];
}

/** Returns the settings of the stores as a process with that role reads them. */
export type SettingsFor = (role: DatabaseRole) => StoreSettings;

/** One database of the stores. */
export interface StoreDatabase {
  /** `directory`, or the cell with what it holds: `eu-1 cell`, `eu-1 audit`. */
  readonly name: string;
  readonly url: string;
  readonly kind: DatabaseKind;
  /** Whose store it is; null for the directory. */
  readonly cell: Pick<CellSettings, 'name' | 'region'> | null;
  /** The store of a cell that is meant; without it the database as a whole. */
  readonly store?: string;
}

/** Returns every database of the stores: the directory first, then cell by cell. */
export function databasesOf({ directoryUrl, cells }: StoreSettings): StoreDatabase[] {
  return [
    { name: 'directory', url: directoryUrl, kind: 'directory', cell: null },
    ...cells.flatMap((cell): StoreDatabase[] => [
      { name: `${cell.name} cell`, url: cell.database, kind: 'cell', cell },
      { name: `${cell.name} audit`, url: cell.auditDatabase, kind: 'audit', cell },
    ]),
  ];
}

/** Where the embedded server listens. */
export interface EmbeddedAddress {
  readonly host: string;
  readonly port: number;
}

/** Returns the data folder of the embedded PostgreSQL. */
export function embeddedDataDir(config: Config): string {
  return join(config.home, 'postgres');
}

/** Returns the passwords of the roles on this machine's own server; made once, readable by their owner. */
export function makeRolePasswords(config: Config): Record<DatabaseRole, string> {
  const file = passwordFile(config);
  if (!existsSync(file)) {
    const passwords = Object.fromEntries(DATABASE_ROLES.map((role) => [role, randomBytes(24).toString('hex')]));
    writeFileSync(file, `${JSON.stringify(passwords)}\n`, { mode: 0o600, flag: 'wx' });
  }
  return readRolePasswords(file);
}

/** Returns the addresses of the embedded stores for each role. */
export function embeddedSettings(
  config: Config,
  at: EmbeddedAddress,
  passwords: Readonly<Record<DatabaseRole, string>>,
): SettingsFor {
  const archive = config.archiveUrl ?? pathToFileURL(join(config.home, 'archive')).href;
  return (role) => {
    const urlOf = (database: string) => `postgres://${role}:${passwords[role]}@${at.host}:${at.port}/${database}`;
    const cells = CELLS.map(({ name, region }) => ({
      name,
      region,
      database: urlOf(`cell_${name.replace('-', '_')}`),
      auditDatabase: urlOf(`audit_${name.replace('-', '_')}`),
      archive: withinArchive(archive, name),
    }));
    return { directoryUrl: urlOf('directory'), cells };
  };
}

/**
 * Returns the addresses of the embedded stores that another process of this machine runs; SERVICE_UNAVAILABLE with a
 * sentence for the operator where none does, for the embedded PostgreSQL lives and ends with the platform.
 */
export function runningStores(config: Config): SettingsFor {
  const state = readState(`${embeddedDataDir(config)}.json`);
  if (state === null || !isAlive(state.pid)) {
    return fail(
      'SERVICE_UNAVAILABLE',
      `The platform in ${config.home} is not running, and its database runs only with it; start it first: npm start`,
    );
  }
  return embeddedSettings(config, { host: '127.0.0.1', port: state.port }, readRolePasswords(passwordFile(config)));
}

/** Returns where the stores are: those of the settings in production, else those of the running embedded platform. */
export function storeSettings(config: Config): SettingsFor {
  if (config.profile === 'embedded') return runningStores(config);
  // The role is in the addresses, which the operator chose for the command.
  return () => ({ directoryUrl: config.databaseUrl ?? '', cells: config.cells ?? [] });
}

/** Returns the address of a role that may make databases: that of the settings, or the running embedded server's own. */
export function adminAddress(config: Config): string | null {
  if (config.profile !== 'embedded') return config.adminDatabaseUrl;
  const dataDir = embeddedDataDir(config);
  const state = readState(`${dataDir}.json`);
  const password = readFileSync(`${dataDir}.password`, 'utf8');
  return state === null ? null : `postgres://${SUPERUSER}:${password}@127.0.0.1:${state.port}/postgres`;
}

function passwordFile(config: Config): string {
  return join(config.home, 'database-passwords.json');
}

function readRolePasswords(file: string): Record<DatabaseRole, string> {
  return JSON.parse(readFileSync(file, 'utf8')) as Record<DatabaseRole, string>;
}

function readState(file: string): { readonly port: number; readonly pid: number } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { port: number; pid: number };
  } catch {
    return null;
  }
}

/** The file stays where the process was killed; a signal 0 is only asked for, never sent. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Each cell has a folder of its own in the archive; an address may carry parameters behind its path. */
function withinArchive(archive: string, cell: string): string {
  const url = new URL(archive);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/${cell}`;
  return url.href;
}

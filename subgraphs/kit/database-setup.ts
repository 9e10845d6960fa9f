import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { CellSettings } from '#schema/setting-readers.ts';
import { databaseSecret, type ContextKeys } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';
import { migrateJobQueue } from './jobs/job-queue.ts';
import { migrate } from './migrations.ts';
import { scopeClient } from './store-scope.ts';
import { refuseForeignStore, stampOf, stampStore } from './store-stamp.ts';

/** The kinds of database, each with the folders of schema/sql that make it, in order. */
export const DATABASE_KINDS = {
  directory: ['directory'],
  cell: ['tenancy', 'cell'],
  audit: ['tenancy', 'audit'],
} as const;

/** A kind of database. */
export type DatabaseKind = keyof typeof DATABASE_KINDS;

/** "rght" in ASCII: nothing else in these databases locks this number. */
const RIGHTS_LOCK = 0x72676874;

/** The roles of schema/sql/roles.sql. */
export const DATABASE_ROLES = ['tenon_owner', 'tenon_app', 'tenon_worker'] as const;
/** A role of schema/sql/roles.sql. */
export type DatabaseRole = (typeof DATABASE_ROLES)[number];

/** A database to bring up to date, reached as its owner. */
export interface MigrationOrder {
  readonly url: string;
  readonly kind: DatabaseKind;
  /** Whose store it is; null for the directory, which belongs to all. */
  readonly cell: Pick<CellSettings, 'name' | 'region'> | null;
  /** The store of the cell that is meant; without it the database as a whole. */
  readonly store?: string;
  readonly keys: ContextKeys;
  readonly log: (line: string) => void;
}

/** Makes the roles of a server where they are missing and sets their passwords; needs a superuser. */
export async function ensureRoles(
  superuserUrl: string,
  passwords: Readonly<Record<DatabaseRole, string>>,
): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    await client.query(await readFile(sqlPath('roles.sql'), 'utf8'));
    for (const role of DATABASE_ROLES) {
      await client.query(`alter role ${role} password ${client.escapeLiteral(passwords[role])}`);
    }
  });
}

/** Makes a database that belongs to `tenon_owner`, where there is none of that name; needs a superuser. */
export async function ensureDatabase(superuserUrl: string, name: string): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name]);
    if (rowCount !== 0) return;
    await client
      .query(`create database ${client.escapeIdentifier(name)} owner tenon_owner`)
      .catch((error: unknown) => (isThereAlready(error) ? undefined : Promise.reject(error as Error)));
  });
}

/** Somebody else made it in the same moment: seen before it was there, or while it was being made. */
function isThereAlready(error: unknown): boolean {
  return error instanceof pg.DatabaseError && (error.code === '42P04' || error.code === '23505');
}

/**
 * Brings a database, or one store of it, to the newest migrations of its kind, a cell's job queue among them, to the stamp of
 * its cell and to the keys that its tenant contexts are signed with. The database of another cell or kind is
 * SERVICE_UNAVAILABLE and stays as it is.
 */
export async function migrateDatabase({ url, kind, cell, store = POOL, keys, log }: MigrationOrder): Promise<void> {
  const stamp = kind === 'directory' || cell === null ? null : stampOf(cell, kind);
  if (stamp !== null) await withStore(url, store, (client) => refuseForeignStore(client, stamp));
  await setDatabaseRights(url);
  for (const folder of DATABASE_KINDS[kind])
    await withStore(url, store, (client) => migrate({ client, folder: sqlPath(folder), log }));
  if (kind === 'cell') await migrateJobQueue(url, store);
  if (stamp === null) return;
  await withStore(url, store, async (client) => {
    await stampStore(client, stamp);
    await installContextKeys(client, keys, stamp.cell);
  });
}

/** Says who may do what on a database as a whole; after a restore or a copy it must be said again. */
export async function setDatabaseRights(ownerUrl: string): Promise<void> {
  const sql = await readFile(sqlPath('database.sql'), 'utf8');
  await withClient(ownerUrl, async (client) => {
    // Of two that say it at once one would fail; the lock ends with the connection.
    await client.query('select pg_advisory_lock($1)', [RIGHTS_LOCK]);
    await client.query(sql);
  });
}

/**
 * Makes a database of the cell believe exactly these keys, as that cell has them; a key that is not among them verifies
 * nothing from now on.
 */
export async function installContextKeys(client: pg.ClientBase, keys: ContextKeys, cell: string): Promise<void> {
  const rows = keys.all.map((key) => ({ kid: key.kid, blocks: hmacBlocks(databaseSecret(key, cell)) }));
  await client.query('begin');
  await client.query('delete from tenon.context_keys where kid <> all($1)', [rows.map(({ kid }) => kid)]);
  for (const { kid, blocks } of rows) {
    await client.query(
      `insert into tenon.context_keys (kid, inner_block, outer_block) values ($1, $2, $3)
       on conflict (kid) do update set inner_block = excluded.inner_block, outer_block = excluded.outer_block`,
      [kid, blocks.inner, blocks.outer],
    );
  }
  await client.query('commit');
}

/** Returns the folder or file of schema/sql. */
export function sqlPath(name: string): string {
  return fileURLToPath(new URL(`../../schema/sql/${name}`, import.meta.url));
}

/** The key, padded to the block size of SHA-256 and combined with the two constants of RFC 2104. */
function hmacBlocks(secret: Buffer): { inner: Buffer; outer: Buffer } {
  const block = Buffer.concat([secret, Buffer.alloc(64 - secret.length)]);
  return { inner: block.map((byte) => byte ^ 0x36), outer: block.map((byte) => byte ^ 0x5c) } as {
    inner: Buffer;
    outer: Buffer;
  };
}

/** Runs the work on a connection of its own that says everything as a store takes it. */
export async function withStore<T>(url: string, store: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(url, async (client) => {
    await scopeClient(client, store);
    return work(client);
  });
}

/** Runs the work on a connection of its own. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // A lost connection also rejects the query that runs; without a listener it would end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

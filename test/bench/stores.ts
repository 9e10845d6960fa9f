import { chmodSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { ensureDatabase, ensureRoles, migrateDatabase } from '#kit/database-setup.ts';
import { openDatabases } from '#kit/database.ts';
import { startEmbeddedPostgres } from '#kit/embedded-postgres.ts';
import { databasesOf, embeddedDataDir, embeddedSettings, makeRolePasswords } from '#kit/embedded-stores.ts';
import { readContextKeys, readDataKeys } from '#kit/key-files.ts';
import type { Platform } from '#kit/request-context.ts';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';
import { treeCpuMs } from './process-cpu.ts';

/** An embedded platform's stores in a temporary folder, without tenants. */
export interface BenchStores {
  /** TENON_HOME of every process that is to find the stores. */
  readonly home: string;
  readonly platform: Platform;
  /** Runs one statement on a database as superuser. */
  readonly asSuperuser: (database: string, sql: string) => Promise<void>;
  /** Address of a database for the superuser. */
  readonly superuserUrl: (database: string) => string;
  /** CPU time of PostgreSQL so far in ms; null where the system does not tell. */
  readonly databaseCpuMs: () => number | null;
  readonly close: () => Promise<void>;
}

/** How the stores are made. */
export interface BenchStoreOptions {
  /** They wait for the disk at every commit, as in production. */
  readonly durable?: boolean;
  /** Where they stand, and stay when they are closed; a folder without stores gets some. */
  readonly keep?: string | null;
}

/** Opens the stores; `close` leaves nothing behind but what is to be kept. */
export async function openStores({ durable = false, keep = null }: BenchStoreOptions = {}): Promise<BenchStores> {
  if (keep !== null) mkdirSync(keep, { recursive: true });
  const home = keep ?? mkdtempSync(join(tmpdir(), 'tenon-bench-'));
  // PostgreSQL may run under an account of its own, which has to get through.
  chmodSync(home, 0o711);
  const config = readConfig({ TENON_HOME: home, PORT: '0' });
  const keys = readContextKeys(config);
  const dataDir = embeddedDataDir(config);
  const postgres = await startEmbeddedPostgres({ dataDir, durable, log: () => undefined });
  const passwords = makeRolePasswords(config);
  const settingsFor = embeddedSettings(config, postgres, passwords);
  await ensureRoles(postgres.superuserUrl('postgres'), passwords);
  for (const { url, kind, cell } of databasesOf(settingsFor('tenon_owner'))) {
    await ensureDatabase(postgres.superuserUrl('postgres'), new URL(url).pathname.slice(1));
    await migrateDatabase({ url, kind, cell, keys, log: () => undefined });
  }
  const databases = await openDatabases({
    ...settingsFor('tenon_app'),
    keys,
    dataKeys: readDataKeys(config),
    entities: subgraphs.flatMap(({ entities }) => entities),
  });
  const { pid } = JSON.parse(readFileSync(`${dataDir}.json`, 'utf8')) as { pid: number };
  return {
    home,
    platform: { config, databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
    asSuperuser: (database, sql) => runSql(postgres.superuserUrl(database), sql),
    superuserUrl: postgres.superuserUrl,
    databaseCpuMs: () => treeCpuMs(pid),
    close: async () => {
      await databases.close();
      await postgres.stop();
      if (keep === null) await rm(home, { recursive: true, force: true });
    },
  };
}

async function runSql(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query(sql).finally(() => client.end());
}

import { mkdirSync } from 'node:fs';
import type { Config } from '#schema/config.ts';
import type { ContextKeys } from '#schema/tenant-context.ts';
import { ensureDatabase, ensureRoles, migrateDatabase } from '#kit/database-setup.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '#kit/embedded-postgres.ts';
import {
  databasesOf,
  embeddedDataDir,
  embeddedSettings,
  makeRolePasswords,
  type SettingsFor,
} from '#kit/embedded-stores.ts';
import { listStores } from '#kit/store-setup.ts';
import { migrateStores, storeName } from '#kit/store-waves.ts';

/** The databases of this machine, ready to be opened, with addresses for each role. */
export interface EmbeddedStores {
  readonly postgres: EmbeddedPostgres;
  /** Settings as a process with that role reads them. */
  readonly settingsFor: SettingsFor;
}

/** Starts the embedded PostgreSQL and brings every database to the newest migration; a second start finds all as it was. */
export async function startEmbeddedStores(
  config: Config,
  keys: ContextKeys,
  log: (line: string) => void,
): Promise<EmbeddedStores> {
  mkdirSync(config.home, { recursive: true, mode: 0o711 });
  const postgres = await startEmbeddedPostgres({ dataDir: embeddedDataDir(config), durable: true, log });
  try {
    const passwords = makeRolePasswords(config);
    await ensureRoles(postgres.superuserUrl('postgres'), passwords);
    const stores: EmbeddedStores = { postgres, settingsFor: embeddedSettings(config, postgres, passwords) };
    await migrateAll(stores, keys, log);
    await migrateOthers(stores, keys, log);
    return stores;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

/** Silos that this machine has been given; one that fails is told of, and keeps none of the others from its tenant. */
async function migrateOthers(stores: EmbeddedStores, keys: ContextKeys, log: (line: string) => void): Promise<void> {
  const maker = { ...stores.settingsFor('tenon_owner'), adminUrl: stores.postgres.superuserUrl('postgres'), keys };
  const { failed } = await migrateStores(maker, await listStores(maker), {
    canaries: [],
    atOnce: 2,
    mostFaults: Infinity,
    onProgress: ({ store }) => log(`${storeName(store)} migrated`),
  });
  for (const { store, fault } of failed) log(`${storeName(store)} not migrated: ${fault}`);
}

async function migrateAll(stores: EmbeddedStores, keys: ContextKeys, log: (line: string) => void): Promise<void> {
  await Promise.all(
    databasesOf(stores.settingsFor('tenon_owner')).map(async ({ url, kind, cell }) => {
      await ensureDatabase(stores.postgres.superuserUrl('postgres'), new URL(url).pathname.slice(1));
      await migrateDatabase({ url, kind, cell, keys, log });
    }),
  );
}

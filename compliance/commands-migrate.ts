import { basename } from 'node:path';
import type { Command } from '#kit/command.ts';
import { DATABASE_KINDS, migrateDatabase, sqlPath } from '#kit/database-setup.ts';
import { databasesOf, storeSettings, type StoreDatabase } from '#kit/embedded-stores.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { migrationStatus, type AppliedMigration } from '#kit/migrations.ts';
import { readConfig } from '#schema/config.ts';

/** `migrate`: brings every database of the settings to the newest migrations. */
export const migrateCommand: Command = {
  name: 'migrate',
  about: 'Brings every database to the newest migrations; DATABASE_URL and CELLS name tenon_owner.',
  run: async ({ write, json }) => {
    const config = readConfig();
    const databases = databasesOf(storeSettings(config)('tenon_owner'));
    const keys = readContextKeys(config);
    const results: { database: string; applied: string[] }[] = [];
    for (const database of databases) {
      const before = await appliedTo(database);
      await migrateDatabase({ url: database.url, kind: database.kind, keys, log: () => undefined });
      const applied = (await appliedTo(database)).filter((file) => !before.includes(file));
      results.push({ database: database.name, applied });
      if (!json) write(`${database.name.padEnd(12)} ${applied.length === 0 ? 'is up to date' : applied.join(', ')}`);
    }
    if (json) write(JSON.stringify({ databases: results }, null, 2));
    return 0;
  },
};

async function appliedTo({ url, kind }: StoreDatabase): Promise<string[]> {
  const series = await Promise.all(
    DATABASE_KINDS[kind].map(async (folder) => {
      const { applied } = await migrationStatus({ url, folder: sqlPath(folder) });
      return applied.map((migration) => nameOf(folder, migration));
    }),
  );
  return series.flat();
}

function nameOf(folder: string, { number, name }: AppliedMigration): string {
  return `${basename(folder)}/${String(number).padStart(4, '0')}-${name}.sql`;
}

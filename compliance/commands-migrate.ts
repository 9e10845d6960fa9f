import { basename } from 'node:path';
import type { Command } from '#kit/command.ts';
import { DATABASE_KINDS, migrateDatabase, sqlPath } from '#kit/database-setup.ts';
import { databasesOf, storeSettings, type StoreDatabase } from '#kit/embedded-stores.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { migrationStatus, type AppliedMigration } from '#kit/migrations.ts';
import { listStores } from '#kit/store-setup.ts';
import { readConfig } from '#schema/config.ts';
import { makerOf, runWaves, shownReport, WAVE_OPTIONS } from './commands-stores.ts';

/** `migrate`: brings every database of the settings to the newest migrations. */
export const migrateCommand: Command = {
  name: 'migrate',
  about:
    'Brings every database to the newest migrations, those of silos after the others; DATABASE_URL and CELLS name tenon_owner. What was ended in the middle is taken up again.',
  options: WAVE_OPTIONS,
  run: async (surroundings, { options }) => {
    const { write, json } = surroundings;
    const config = readConfig();
    const databases = databasesOf(storeSettings(config)('tenon_owner'));
    const keys = readContextKeys(config);
    const results: { database: string; applied: string[] }[] = [];
    for (const database of databases) {
      const before = await appliedTo(database);
      await migrateDatabase({ ...database, keys, log: () => undefined });
      const applied = (await appliedTo(database)).filter((file) => !before.includes(file));
      results.push({ database: database.name, applied });
      if (!json) write(`${database.name.padEnd(12)} ${applied.length === 0 ? 'is up to date' : applied.join(', ')}`);
    }
    const maker = makerOf(config);
    const report = await runWaves({ maker, rows: await listStores(maker), options, surroundings });
    if (json) write(JSON.stringify({ databases: results, stores: shownReport(report) }, null, 2));
    else if (report.total > 0) write(`${'stores'.padEnd(12)} ${report.migrated} of ${report.total} migrated`);
    return report.migrated === report.total ? 0 : 1;
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

import { openDatabases } from '#kit/database.ts';
import { startJobRunner } from '#kit/jobs/runner.ts';
import { readConfig } from '#schema/config.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';

// A process that runs jobs, for tests that kill it: `node --import tsx job-process.ts <JSON of the stores>`. It says when a
// job has begun, and never comes to the end of one.
const settings = JSON.parse(process.argv[2] ?? '') as {
  directoryUrl: string;
  cells: CellSettings[];
  contextKeys: string;
};
const databases = await openDatabases({
  ...settings,
  keys: parseContextKeys(settings.contextKeys),
  dataKeys: DATA_KEYS,
  entities: [],
  poolSize: 4,
});
startJobRunner({
  platform: { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  kinds: [
    {
      name: 'killed.run',
      lane: 'quick',
      attempts: 5,
      timeoutMs: 60_000,
      check: (input) => input as string,
      run: async () => {
        process.stdout.write('begun\n');
        await new Promise(() => setInterval(() => undefined, 1000));
      },
    },
  ],
});

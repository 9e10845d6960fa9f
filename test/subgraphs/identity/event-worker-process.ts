import { openDatabases, type DatabaseSettings } from '#kit/database.ts';
import { readConfig } from '#schema/config.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { startDeliveries } from '../../../subgraphs/identity/security-events/delivery-loop.ts';
import { DATA_KEYS } from '../../support/data-keys.ts';

// Sends security events in a process of its own, for tests that kill it: `node --import tsx event-worker-process.ts <JSON>`.
const { keys, ...stores } = JSON.parse(process.argv[2] ?? '') as Pick<DatabaseSettings, 'directoryUrl' | 'cells'> & {
  keys: string;
};
const databases = await openDatabases({
  ...stores,
  keys: parseContextKeys(keys),
  dataKeys: DATA_KEYS,
  entities: [...identity.entities],
  poolSize: 4,
});
startDeliveries({
  config: readConfig({ PORT: '0' }),
  databases,
  clock: () => new Date(),
  publicUrl: 'http://tenon.test',
});

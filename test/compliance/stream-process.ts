import { openDatabases } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { readConfig } from '#schema/config.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import { parseContextKeys } from '#schema/tenant-context.ts';
import { subgraphs } from '#subgraphs';
import { createStreamTurn } from '../../compliance/streams/turn.ts';
import { DATA_KEYS } from '../support/data-keys.ts';

// A worker that sends streams in a process of its own, for tests that kill it: `node --import tsx stream-process.ts
// <JSON of its databases, keys and clock>`.
interface Settings {
  readonly directoryUrl: string;
  readonly cells: CellSettings[];
  readonly contextKeys: string;
  /** How far its clock is ahead. */
  readonly aheadMs: number;
}
const settings = JSON.parse(process.argv[2] ?? '') as Settings;
const databases = await openDatabases({
  directoryUrl: settings.directoryUrl,
  cells: settings.cells,
  keys: parseContextKeys(settings.contextKeys),
  dataKeys: DATA_KEYS,
  entities: subgraphs.flatMap(({ entities }) => entities),
  poolSize: 4,
});
const { turn, settle } = createStreamTurn({
  platform: {
    config: readConfig({ PORT: '0', TENON_DEPLOYMENT: 'tenon.test' }),
    databases,
    clock: () => new Date(Date.now() + settings.aheadMs),
    publicUrl: 'http://tenon.test',
  },
  cells: ['eu-1'],
  log,
  pauseMs: 0,
});
while ((await turn()) !== 'idle') await settle();
await databases.close();

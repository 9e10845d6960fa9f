import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openDatabases } from '#kit/database.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys, readDataKeys, readSigningKey } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';
import { startGateway } from '../../gateway/server.ts';
import { serveBench } from './server-process.ts';

// The platform's own gateway with all its steps, over the stores of the bench.

const config = readConfig();
const databases = await openDatabases({
  ...storeSettings(config)('tenon_app'),
  keys: readContextKeys(config),
  dataKeys: readDataKeys(config),
  entities: subgraphs.flatMap(({ entities }) => entities),
});
const { url } = await startGateway({
  platform: { config, databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  subgraphs,
  supergraphSdl: readFileSync(new URL('../../schema/graphql/supergraph.graphql', import.meta.url), 'utf8'),
  operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
  verifierKey: readSigningKey(config).verifierKey,
});
serveBench(url);

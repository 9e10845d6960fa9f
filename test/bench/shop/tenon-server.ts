import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabases } from '#kit/database.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys, readSigningKey } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';
import { subgraphs } from '#subgraphs';
import { startGateway } from '../../../gateway/server.ts';
import { serveBench } from '../server-process.ts';
import { shopSupergraph } from './subgraphs.ts';

// The platform's gateway over the shop, with everything it does for a tenant: credential, budgets, limits, fair queue,
// breakers, signed context, metrics, service levels and, where a collector is set, traces.

const addresses = JSON.parse(process.env['SHOP_ADDRESSES'] ?? '{}') as Record<string, string>;
const config = { ...readConfig(), subgraphs: addresses };
const databases = await openDatabases({
  ...storeSettings(readConfig())('tenon_app'),
  keys: readContextKeys(config),
  entities: subgraphs.flatMap(({ entities }) => entities),
});
const { url } = await startGateway({
  platform: { config, databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  subgraphs: [],
  supergraphSdl: shopSupergraph(addresses),
  operationsFolder: mkdtempSync(join(tmpdir(), 'tenon-bench-operations-')),
  verifierKey: readSigningKey(config).verifierKey,
});
serveBench(url);

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { otlpExporter, startTelemetry } from '#kit/telemetry.ts';
import { readConfig } from '#schema/config.ts';
import { serveBench } from '../server-process.ts';

// The platform's gateway over the shop, with everything it does for a tenant: credential, persisted operations, limits,
// cost, budgets, fair queue, breakers, signed context, metrics, service levels, and traces as the environment samples them.

// Libraries are patched while they load, so this comes before the first of them.
startTelemetry({
  process: 'gateway',
  deployment: 'bench',
  serverSpansByHand: true,
  contextByHand: true,
  exporter: otlpExporter(process.env['SHOP_COLLECTOR'] ?? ''),
});
const [
  { openDatabases },
  { storeSettings },
  { readContextKeys, readDataKeys, readSigningKey },
  { startGateway },
  { shopSupergraph },
] = await Promise.all([
  import('#kit/database.ts'),
  import('#kit/embedded-stores.ts'),
  import('#kit/key-files.ts'),
  import('../../../gateway/server.ts'),
  import('./subgraphs.ts'),
]);
const addresses = JSON.parse(process.env['SHOP_ADDRESSES'] ?? '{}') as Record<string, string>;
const config = { ...readConfig(), subgraphs: addresses };
const databases = await openDatabases({
  ...storeSettings(readConfig())('tenon_app'),
  keys: readContextKeys(config),
  dataKeys: readDataKeys(config),
  entities: [],
});
const supergraphSdl = shopSupergraph(addresses);
const { url, reload } = await startGateway({
  platform: { config, databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  subgraphs: [],
  supergraphSdl,
  operationsFolder: mkdtempSync(join(tmpdir(), 'tenon-bench-operations-')),
  verifierKey: readSigningKey(config).verifierKey,
});
let loaded = 0;
// The same text again would not be loaded at all.
serveBench(url, () => reload(`${supergraphSdl}\n# ${(loaded += 1)}\n`));

import { subgraphs } from '#subgraphs';
import { openDatabases } from '#kit/database.ts';
import { readContextKeys, readDataKeys } from '#kit/key-files.ts';
import { log } from '#kit/log.ts';
import { runProcess } from '#kit/process.ts';
import { serveSubgraph } from '#kit/subgraph-server.ts';
import { stopTelemetry } from '#kit/telemetry-register.ts';
import { readConfig } from '#schema/config.ts';

// Serves one subgraph alone, for deployments that split them:
// `node --import tsx --import ./subgraphs/kit/telemetry-register.ts subgraphs/main.ts <name>`.
await runProcess(async () => {
  const config = readConfig();
  const subgraph = subgraphs.find(({ name }) => name === process.argv[2]);
  if (subgraph === undefined)
    throw new Error(`usage: subgraphs/main.ts <${subgraphs.map(({ name }) => name).join(' | ')}>`);
  const databases = await openDatabases({
    directoryUrl: config.databaseUrl ?? '',
    cells: config.cells ?? [],
    keys: readContextKeys(config),
    dataKeys: readDataKeys(config),
    storeBudget: config.storeBudget,
    entities: subgraph.entities,
  });
  const publicUrl = config.publicUrl ?? `http://${config.host}:${config.port}`;
  const server = await serveSubgraph(subgraph, { config, databases, clock: () => new Date(), publicUrl });
  log('info', 'subgraph ready', { subgraph: subgraph.name, url: server.url });
  return async () => {
    await server.close();
    await databases.close();
    await stopTelemetry();
  };
});

import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureOperatorTenant, makeDemoTenants, reconcileDirectory, subgraphs } from '#subgraphs';
import { openDatabases, type Databases } from '#kit/database.ts';
import { dataKeyFileOf, readContextKeys, readDataKeys } from '#kit/key-files.ts';
import { log } from '#kit/log.ts';
import { requireSafeDatabases } from '#kit/postgres-version.ts';
import { runProcess, type Stop } from '#kit/process.ts';
import type { Platform } from '#kit/request-context.ts';
import { readSigningKeys } from '#kit/signing-keys.ts';
import { stopTelemetry } from '#kit/telemetry-register.ts';
import { environmentWith, readConfig, type Config } from '#schema/config.ts';
import type { ContextKeys } from '#schema/tenant-context.ts';
import { drainMsOf } from './drain-time.ts';
import { startEmbeddedStores, type EmbeddedStores } from './embedded.ts';
import { runOpenGateway } from './open-gateway.ts';
import { startGateway, type RunningGateway } from './server.ts';
import { readSupergraph, watchSupergraph } from './supergraph-file.ts';

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const args = process.argv.slice(2);

await runProcess(async () => {
  if (args.length > 0) return runOpenGateway(args);
  const config = readConfig();
  const stop = await (config.profile === 'embedded' ? startEmbedded(config) : startProduction(config));
  return Object.assign(() => stop().finally(stopTelemetry), { graceMs: drainMsOf(config) });
});

/** The whole platform on this machine: database, worker and demo tenants included. */
async function startEmbedded(config: Config): Promise<Stop> {
  const keys = readContextKeys(config);
  const stops: Stop[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).toReversed()) await end();
  };
  try {
    const stores = await startEmbeddedStores(config, keys, (line) => log('info', line));
    stops.push(() => stores.postgres.stop());
    const { gateway, databases, platform } = await openGateway(config, keys, stores.settingsFor('tenon_app'));
    stops.push(
      () => databases.close(),
      () => gateway.close(),
    );
    const worker = startWorker(platform, stores);
    stops.push(() => endChild(worker));
    await ensureDemoTenants(platform);
    announce(config, gateway.url);
    return stop;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One gateway of many, over stores that exist; the worker and split subgraphs are processes of their own. */
async function startProduction(config: Config): Promise<Stop> {
  const settings = { directoryUrl: config.databaseUrl ?? '', cells: config.cells ?? [] };
  const { gateway, databases } = await openGateway(config, readContextKeys(config), settings);
  log('info', 'gateway ready', { url: gateway.url });
  return async () => {
    await gateway.close();
    await databases.close();
  };
}

async function openGateway(config: Config, keys: ContextKeys, stores: ReturnType<EmbeddedStores['settingsFor']>) {
  const databases = await openDatabases({
    ...stores,
    keys,
    dataKeys: readDataKeys(config),
    storeBudget: config.storeBudget,
    entities: subgraphs.flatMap(({ entities }) => entities),
  });
  try {
    await refuseUnsafe(config, databases);
    const platform: Platform = {
      config,
      databases,
      clock: () => new Date(),
      publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}`,
    };
    const { current, rotations } = readSigningKeys(config);
    const gateway = await startGateway({
      platform,
      subgraphs,
      supergraphSdl: readSupergraph(config),
      operationsFolder: fileOf('../schema/operations'),
      verifierKey: current.verifierKey,
      rotations,
    });
    // A copy that is behind misleads nobody, since the cell decides; no start has to wait for it.
    reconcileDirectory(platform).catch((error: unknown) =>
      log('warn', 'the directory was not compared with the cells', { reason: String(error) }),
    );
    return { gateway: reloading(gateway, config), databases, platform };
  } catch (error) {
    await databases.close();
    throw error;
  }
}

/** A gateway that follows its supergraph's file until it is closed. */
function reloading(gateway: RunningGateway, config: Config): RunningGateway {
  const unwatch = watchSupergraph(config, gateway.reload);
  return {
    ...gateway,
    close: () => {
      unwatch();
      return gateway.close();
    },
  };
}

async function refuseUnsafe(config: Config, databases: Databases): Promise<void> {
  const warning = await requireSafeDatabases(databases, config.profile);
  if (warning !== null) log('warn', warning);
}

/** The worker has a process of its own: hashing and packing never make a request wait. */
function startWorker({ config, publicUrl }: Platform, stores: EmbeddedStores): ChildProcess {
  const { directoryUrl, cells } = stores.settingsFor('tenon_worker');
  const environment = environmentWith({
    TENON_PROFILE: 'production',
    DATABASE_URL: directoryUrl,
    CELLS: JSON.stringify(cells),
    TENON_CONTEXT_KEY_FILE: config.contextKeyFile ?? join(config.home, 'context-keys.json'),
    TENON_DATA_KEY_FILE: dataKeyFileOf(config),
    TENON_SIGNING_KEY_FILE: config.signingKeyFile ?? join(config.home, 'signing-key.pem'),
    PORT: '0',
    TENON_WORKER_PART: 'all',
    PUBLIC_URL: publicUrl,
    // What an embedded platform may reach, its worker may as well.
    TENON_OUTGOING_PRIVATE: config.outgoingPrivate ?? 'allow-http',
  });
  // Not a member of the terminal's group: Ctrl-C reaches the parent alone, which ends its children in order.
  const worker = fork(fileOf('../compliance/main.ts'), {
    execArgv: ['--import', 'tsx', '--import', fileOf('../subgraphs/kit/source-maps-register.ts')],
    env: environment,
    detached: true,
  });
  worker.once('exit', (code) => {
    if (code !== 0)
      log('error', 'the compliance worker ended; audit events wait in the outbox until the next start', { code });
  });
  return worker;
}

function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/** Demo tenants are made with the data folder; their credentials are written once and can never be read out again. */
async function ensureDemoTenants(platform: Platform): Promise<void> {
  const file = join(platform.config.home, 'credentials.json');
  if (existsSync(file)) return;
  const tenants = await makeDemoTenants(platform);
  const { apiKey: operator } = await ensureOperatorTenant(platform);
  writeFileSync(file, `${JSON.stringify({ operator, tenants }, null, 2)}\n`, { mode: 0o600 });
}

function announce(config: Config, url: string): void {
  const lines = [
    `Tenon is ready at ${url}`,
    `  GraphQL      ${url}/graphql  (open it in a browser)`,
    `  SCIM         ${url}/scim/v2`,
    `  health       ${url}/readyz  ${url}/metrics  ${url}/status`,
    `  credentials  ${join(config.home, 'credentials.json')}`,
    `  next         npm run tour`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

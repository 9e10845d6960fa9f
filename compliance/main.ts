import { readFileSync } from 'node:fs';
import { finishTenant, subgraphs } from '#subgraphs';
import { cellStoresOf } from '#kit/cell-stores.ts';
import { openDatabases } from '#kit/database.ts';
import { startJobRunner } from '#kit/jobs/runner.ts';
import { readContextKeys, readDataKeys } from '#kit/key-files.ts';
import { log } from '#kit/log.ts';
import type { PersonalDataHandler } from '#kit/personal-data.ts';
import { runProcess } from '#kit/process.ts';
import type { Platform } from '#kit/request-context.ts';
import { readSigningKeys, type SigningKeys } from '#kit/signing-keys.ts';
import { readConfig, type Config } from '#schema/config.ts';
import { fail } from '#schema/errors.ts';
import { parseVerifierKey } from '#schema/signed-note.ts';
import { anchorSources } from './anchors/settings.ts';
import { openCellArchive } from './archive/cell-archive.ts';
import { archiveCredentials } from './archive/open.ts';
import { evidenceTurn } from './evidence/turn.ts';
import { createMoveTurn } from './moves/turn.ts';
import { serveMetrics, type MetricsServer } from './metrics/server.ts';
import { newWorkerMetrics, type CellStanding } from './metrics/worker-metrics.ts';
import { createErasureTurn, newErasureCounters, type ErasureCounters } from './privacy/turn.ts';
import { createStreamTurn } from './streams/turn.ts';
import { startUpkeep, type Upkeep } from './upkeep.ts';
import { startWorker, type Worker, type WorkerCell } from './worker.ts';

const clock = (): Date => new Date();
const DAY_MS = 86_400_000;

// The compliance worker: outbox -> log -> archive, evidence packs, and what the subgraphs do beside requests, in a process
// of its own so that hashing and packing never delay a request. Its addresses name tenon_worker. It ends with a signal, or
// with the parent that started it.
await runProcess(async () => {
  const config = readConfig();
  const keys = readSigningKeys(config);
  const signer = { name: keys.current.name, privateKey: keys.current.privateKey };
  const cells = await openCells(config);
  const databases = await openDatabases({
    directoryUrl: config.databaseUrl ?? '',
    cells: config.cells ?? [],
    keys: readContextKeys(config),
    dataKeys: readDataKeys(config),
    storeBudget: config.storeBudget,
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 8,
    longStatements: true,
  });
  const platform = { config, databases, clock, publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}` };
  const storesOf = (cell: string) => cellStoresOf(databases, cell);
  const erasures = Object.fromEntries(cells.map(({ name }) => [name, newErasureCounters()]));
  const deployment: Deployment = { platform, cells, keys, erasures };
  const ending = new AbortController();
  const streams = createStreamTurn({ platform, cells: cells.map(({ name }) => name), log });
  const worker = startWorker({
    cells,
    signer,
    olderKeys: keys.verifierKeys.slice(1).map(parseVerifierKey),
    clock,
    sealIntervalMs: config.sealIntervalMs,
    retentionMs: config.retentionDays * DAY_MS,
    shards: config.sequencerShards,
    storesOf,
    extraTurns: [...turnsOf(deployment, ending.signal), async () => (await streams.turn()) === 'worked'],
  });
  const upkeep = startUpkeep({
    cells,
    signer,
    rotations: keys.rotations,
    clock,
    retentionDays: config.retentionDays,
    directory: databases.directory,
    storesOf,
    ...anchorSources(config),
  });
  const work = subgraphs.flatMap(({ work: start }) => (start === undefined ? [] : [start(platform)]));
  const jobs = startJobRunner({
    platform,
    kinds: subgraphs.flatMap(({ jobs: kinds = [] }) => kinds),
    turns: subgraphs.flatMap(({ turns = [] }) => turns),
  });
  const metrics = await openMetrics(config, { worker, upkeep, erasures });
  log('info', 'compliance worker ready', { cells: cells.length, metrics: metrics?.url });
  return async () => {
    ending.abort();
    await metrics?.close();
    await Promise.all([worker.stop(), jobs.stop(), ...work.map((each) => each.stop())]);
    await Promise.all([upkeep.stop(), streams.settle()]);
    await databases.close();
  };
});

interface Measured {
  readonly worker: Worker;
  readonly upkeep: Upkeep;
  readonly erasures: Readonly<Record<string, ErasureCounters>>;
}

async function openMetrics(
  { host, workerPort }: Config,
  { worker, upkeep, erasures }: Measured,
): Promise<MetricsServer | null> {
  if (workerPort === null) return null;
  const standings = () =>
    new Map<string, CellStanding>(
      [...upkeep.standings].flatMap(([cell, standing]) => {
        const [counted, erased] = [worker.counters[cell], erasures[cell]];
        return counted === undefined || erased === undefined
          ? []
          : [[cell, { ...standing, worker: counted, erasures: erased }]];
      }),
    );
  return serveMetrics({ host, port: workerPort }, newWorkerMetrics(standings, upkeep.turns));
}

async function openCells(config: Config): Promise<WorkerCell[]> {
  const credentials = archiveCredentials(config);
  return Promise.all(
    (config.cells ?? []).map(async (cell) => {
      const { name, region, database, auditDatabase } = cell;
      return { name, region, database, auditDatabase, archive: await openCellArchive(cell, { clock, credentials }) };
    }),
  );
}

interface Deployment {
  readonly platform: Platform;
  readonly cells: readonly WorkerCell[];
  readonly keys: SigningKeys;
  readonly erasures: Readonly<Record<string, ErasureCounters>>;
}

function turnsOf(deployment: Deployment, ending: AbortSignal): (() => Promise<boolean>)[] {
  return [buildPacks(deployment), completeErasures(deployment), moveTenants(deployment, ending)];
}

function buildPacks({ platform, cells, keys }: Deployment): () => Promise<boolean> {
  return evidenceTurn({
    platform,
    cells: cells.map(({ name }) => name),
    archiveOf: (name) =>
      cells.find((cell) => cell.name === name)?.archive ?? fail('SERVICE_UNAVAILABLE', `no cell ${name}`),
    signingKey: keys.current,
    olderVerifierKeys: keys.verifierKeys.slice(1),
    rotations: keys.rotations,
    personalData: personalDataParts(),
    supergraph: { sdl: readFileSync(new URL('../schema/graphql/supergraph.graphql', import.meta.url), 'utf8') },
    log,
  });
}

function moveTenants({ platform, cells, keys }: Deployment, signal: AbortSignal): () => Promise<boolean> {
  return createMoveTurn({
    platform,
    cells,
    signer: { name: keys.current.name, privateKey: keys.current.privateKey },
    olderKeys: keys.verifierKeys.slice(1).map(parseVerifierKey),
    retentionMs: platform.config.retentionDays * DAY_MS,
    signal,
    log,
  });
}

function completeErasures({ platform, cells, keys, erasures }: Deployment): () => Promise<boolean> {
  return createErasureTurn({
    platform,
    cells,
    signer: { name: keys.current.name, privateKey: keys.current.privateKey },
    verifierKeys: keys.verifierKeys.map(parseVerifierKey),
    parts: personalDataParts(),
    finishTenant,
    counters: erasures,
    backupMs: platform.config.backupDays === null ? null : platform.config.backupDays * DAY_MS,
    retentionMs: platform.config.retentionDays * DAY_MS,
    log,
  });
}

function personalDataParts(): { subgraph: string; handler: PersonalDataHandler }[] {
  return subgraphs.flatMap(({ name, personalData }) =>
    personalData === undefined ? [] : [{ subgraph: name, handler: personalData }],
  );
}

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
import { parseVerifierKey, type NoteSigner } from '#schema/signed-note.ts';
import { anchorSources } from './anchors/settings.ts';
import { openCellArchive } from './archive/cell-archive.ts';
import { archiveCredentials } from './archive/open.ts';
import { evidenceTurn } from './evidence/turn.ts';
import { createMoveTurn } from './moves/turn.ts';
import { serveMetrics, type MetricsServer } from './metrics/server.ts';
import { newWorkerMetrics, type CellStanding } from './metrics/worker-metrics.ts';
import { createErasureTurn, newErasureCounters, type ErasureCounters } from './privacy/turn.ts';
import { createStreamTurn } from './streams/turn.ts';
import { noUpkeep, startUpkeep, type Upkeep } from './upkeep.ts';
import { startWorker, type Worker, type WorkerCell } from './worker.ts';

const clock = (): Date => new Date();
const DAY_MS = 86_400_000;
const nothing = async (): Promise<void> => undefined;

// The compliance worker: outbox -> log -> archive, evidence packs, and what the subgraphs do beside requests, in a process
// of its own so that hashing and packing never delay a request. Its addresses name tenon_worker. It ends with a signal, or
// with the parent that started it.
await runProcess(async () => {
  const config = readConfig();
  const keys = readSigningKeys(config);
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
  const erasures = Object.fromEntries(cells.map(({ name }) => [name, newErasureCounters()]));
  const deployment: Deployment = { platform, cells, keys, erasures };
  const { workerPart: part } = config;
  const beside = part === 'sequencing' ? noWorkBeside(deployment) : startWorkBeside(deployment);
  const worker = startWorker({
    cells,
    signer: signerOf(keys),
    olderKeys: keys.verifierKeys.slice(1).map(parseVerifierKey),
    clock,
    sealIntervalMs: config.sealIntervalMs,
    retentionMs: config.retentionDays * DAY_MS,
    shards: config.sequencerShards,
    storesOf: (cell) => cellStoresOf(databases, cell),
    part,
    extraTurns: beside.turns,
  });
  const metrics = await openMetrics(config, { worker, upkeep: beside.upkeep, erasures });
  log('info', 'compliance worker ready', { cells: cells.length, metrics: metrics?.url });
  return async () => {
    beside.end();
    await metrics?.close();
    await Promise.all([worker.stop(), beside.stop()]);
    await beside.settle();
    await databases.close();
  };
});

/** What a worker process does beside moving events into logs and sealing these. */
interface WorkBeside {
  readonly upkeep: Upkeep;
  /** Run by the worker, again and again. */
  readonly turns: readonly (() => Promise<boolean>)[];
  /** Tells what takes long that it is over. */
  end(): void;
  /** Ends what begins by itself. */
  stop(): Promise<void>;
  /** Ends the rest, once the worker has stopped. */
  settle(): Promise<void>;
}

function noWorkBeside({ cells }: Deployment): WorkBeside {
  return { upkeep: noUpkeep(cells), turns: [], end: () => undefined, stop: nothing, settle: nothing };
}

function startWorkBeside(deployment: Deployment): WorkBeside {
  const { platform, cells, keys } = deployment;
  const ending = new AbortController();
  const streams = createStreamTurn({ platform, cells: cells.map(({ name }) => name), log });
  const upkeep = startUpkeep({
    cells,
    signer: signerOf(keys),
    rotations: keys.rotations,
    clock,
    retentionDays: platform.config.retentionDays,
    directory: platform.databases.directory,
    storesOf: (cell) => cellStoresOf(platform.databases, cell),
    ...anchorSources(platform.config),
  });
  const work = subgraphs.flatMap(({ work: start }) => (start === undefined ? [] : [start(platform)]));
  const jobs = startJobRunner({
    platform,
    kinds: subgraphs.flatMap(({ jobs: kinds = [] }) => kinds),
    turns: subgraphs.flatMap(({ turns = [] }) => turns),
  });
  return {
    upkeep,
    turns: [...turnsOf(deployment, ending.signal), async () => (await streams.turn()) === 'worked'],
    end: () => ending.abort(),
    stop: async () => void (await Promise.all([jobs.stop(), ...work.map((each) => each.stop())])),
    settle: async () => void (await Promise.all([upkeep.stop(), streams.settle()])),
  };
}

function signerOf({ current }: SigningKeys): NoteSigner {
  return { name: current.name, privateKey: current.privateKey };
}

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
    signer: signerOf(keys),
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
    signer: signerOf(keys),
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

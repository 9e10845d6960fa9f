import { readFileSync } from 'node:fs';
import { subgraphs } from '#subgraphs';
import { openDatabases } from '#kit/database.ts';
import { readContextKeys, readSigningKey, type SigningKey } from '#kit/key-files.ts';
import { log } from '#kit/log.ts';
import { runProcess } from '#kit/process.ts';
import type { Platform } from '#kit/request-context.ts';
import { readConfig, type Config } from '#schema/config.ts';
import { fail } from '#schema/errors.ts';
import { archiveCredentials, openArchive } from './archive/open.ts';
import { evidenceTurn } from './evidence/turn.ts';
import { startWorker, type WorkerCell } from './worker.ts';

const clock = (): Date => new Date();

// The compliance worker: outbox -> log -> archive, evidence packs, and what the subgraphs do beside requests, in a process
// of its own so that hashing and packing never delay a request. Its addresses name tenon_worker. It ends with a signal, or
// with the parent that started it.
await runProcess(async () => {
  const config = readConfig();
  const signingKey = readSigningKey(config);
  const cells = await openCells(config);
  const databases = await openDatabases({
    directoryUrl: config.databaseUrl ?? '',
    cells: config.cells ?? [],
    keys: readContextKeys(config),
    entities: subgraphs.flatMap(({ entities }) => entities),
    poolSize: 4,
  });
  const platform = { config, databases, clock, publicUrl: config.publicUrl ?? `http://${config.host}:${config.port}` };
  const worker = startWorker({
    cells,
    signer: { name: signingKey.name, privateKey: signingKey.privateKey },
    clock,
    sealIntervalMs: config.sealIntervalMs,
    extraTurns: [buildPacks({ platform, cells, signingKey })],
  });
  const work = subgraphs.flatMap(({ work: start }) => (start === undefined ? [] : [start(platform)]));
  log('info', 'compliance worker ready', { cells: cells.length });
  return async () => {
    await Promise.all([worker.stop(), ...work.map((each) => each.stop())]);
    await databases.close();
  };
});

async function openCells(config: Config): Promise<WorkerCell[]> {
  const credentials = archiveCredentials(config);
  return Promise.all(
    (config.cells ?? []).map(async ({ name, region, database, auditDatabase, archive: url }) => {
      const archive = await openArchive(url, { clock, credentials });
      return { name, region, database, auditDatabase, archive };
    }),
  );
}

interface PackBuilding {
  readonly platform: Platform;
  readonly cells: readonly WorkerCell[];
  readonly signingKey: SigningKey;
}

function buildPacks({ platform, cells, signingKey }: PackBuilding): () => Promise<boolean> {
  return evidenceTurn({
    platform,
    cells: cells.map(({ name }) => name),
    archiveOf: (name) =>
      cells.find((cell) => cell.name === name)?.archive ?? fail('SERVICE_UNAVAILABLE', `no cell ${name}`),
    signingKey,
    personalData: subgraphs.flatMap(({ name, personalData }) =>
      personalData === undefined ? [] : [{ subgraph: name, handler: personalData }],
    ),
    supergraph: { sdl: readFileSync(new URL('../schema/graphql/supergraph.graphql', import.meta.url), 'utf8') },
    log,
  });
}

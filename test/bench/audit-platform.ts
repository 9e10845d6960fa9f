import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readSigningKey } from '#kit/key-files.ts';
import { stampOf } from '#kit/store-stamp.ts';
import { idOf, uuidv7, type Id } from '#schema/ids.ts';
import { openArchive } from '../../compliance/archive/open.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { openAuditPool, openOutboxPool } from '../../compliance/worker-pools.ts';
import type { BenchmarkOptions } from './benchmark.ts';
import type { WorkerProgress } from './audit-worker.ts';
import type { WritingOrder, WritingReport } from './audit-writer.ts';
import { openStores, type BenchStores } from './stores.ts';
import { CELL_DATABASE } from './tenants.ts';

/** A cell with tenants, a process that writes events, and what a worker is made of. */
export interface AuditPlatform {
  readonly stores: BenchStores;
  readonly tenants: readonly Id<'tnt'>[];
  readonly audit: pg.Pool;
  /** Writes in the process of the writer, for the first so many tenants or for all. */
  readonly write: (order: Omit<WritingOrder, 'tenants'> & { readonly tenants?: number }) => Promise<WritingReport>;
  /** Moves all that waits into the logs; returns how many entries. */
  readonly sequence: (count: number) => Promise<number>;
  /** Seals all logs to their ends; returns how many segments. */
  readonly seal: () => Promise<number>;
  /** Starts the worker of production in two processes: one that sequences, one that does the rest. */
  readonly startWorker: () => Promise<{ progress(): Promise<WorkerProgress>; stop(): Promise<void> }>;
  readonly close: () => Promise<void>;
}

const clock = (): Date => new Date();
const BATCH_SIZE = 1000;
const RETENTION_MS = 90 * 24 * 3_600_000;

/**
 * Makes the cell; `close` leaves nothing behind. PostgreSQL and the archive wait for the disk, as in production. Into the
 * folder for profiles each process writes its own as it ends.
 */
export async function openAuditPlatform(
  tenantCount: number,
  { profileFolder }: Pick<BenchmarkOptions, 'profileFolder'>,
): Promise<AuditPlatform> {
  const stores = await openStores({ durable: true });
  const tenants = await makeTenants(stores, tenantCount);
  const start = (name: string, env: NodeJS.ProcessEnv = {}) => startChild(stores, { name, env, profileFolder });
  const writer = await start('audit-writer');
  const [cell] = storeSettings(stores.platform.config)('tenon_worker').cells;
  if (cell === undefined) throw new Error('there is no cell');
  const pool = openOutboxPool({ url: cell.database, stamp: stampOf(cell, 'cell'), max: 4 });
  const audit = openAuditPool({ url: cell.auditDatabase, stamp: stampOf(cell, 'audit'), max: 8 });
  const archive = await openArchive(cell.archive, { clock, credentials: null });
  return {
    stores,
    tenants,
    audit,
    write: async (order) =>
      (await ask(writer, { ...order, tenants: tenants.slice(0, order.tenants) })) as WritingReport,
    sequence: createSequencing({ pool, audit }),
    seal: createSealing({ stores, audit, archive }),
    startWorker: async () => {
      const parts = await Promise.all(
        ['sequencing', 'rest'].map((part) => start('audit-worker', { TENON_WORKER_PART: part })),
      );
      return {
        progress: async () =>
          sumOf(await Promise.all(parts.map((part) => ask(part, 'progress') as Promise<WorkerProgress>))),
        stop: async () => {
          for (const part of parts) part.send('stop');
          await Promise.all(parts.map((part) => once(part, 'exit')));
        },
      };
    },
    close: async () => {
      const gone = once(writer, 'exit');
      writer.disconnect();
      await gone;
      await Promise.all([pool.end(), audit.end()]);
      await stores.close();
    },
  };
}

async function makeTenants(stores: BenchStores, count: number): Promise<Id<'tnt'>[]> {
  const uuids = Array.from({ length: count }, () => uuidv7());
  await stores.asSuperuser(
    CELL_DATABASE,
    `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state)
       select t, t::text, 'A tenant', 'FREE', 'eu', 'eu-1', 'active' from unnest('{${uuids.join(',')}}'::uuid[]) t;
     analyze app.tenants`,
  );
  return uuids.map((uuid) => idOf('tnt', uuid));
}

async function startChild(
  { home }: BenchStores,
  { name, env, profileFolder }: { name: string; env: NodeJS.ProcessEnv; profileFolder: string | null },
): Promise<ChildProcess> {
  const profiling = profileFolder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
  const child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), {
    execArgv: ['--import', 'tsx', ...profiling],
    env: { ...process.env, ...env, NODE_ENV: 'production', TENON_HOME: home, PORT: '0' },
  });
  await answerOf(child);
  return child;
}

function sumOf(parts: readonly WorkerProgress[]): WorkerProgress {
  const sum = (of: (part: WorkerProgress) => number): number => parts.reduce((all, part) => all + of(part), 0);
  return {
    cpuMs: sum((part) => part.cpuMs),
    eventsSequenced: sum((part) => part.eventsSequenced),
    segmentsSealed: sum((part) => part.segmentsSealed),
    unsealedLogs: sum((part) => part.unsealedLogs),
    alarms: sum((part) => part.alarms),
    residentMb: sum((part) => part.residentMb),
  };
}

async function ask(child: ChildProcess, question: WritingOrder | 'progress'): Promise<unknown> {
  const answer = answerOf(child);
  child.send(question);
  return answer;
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const gone = new AbortController();
  const ended = () => gone.abort();
  child.once('exit', ended);
  try {
    return (await once(child, 'message', { signal: gone.signal }))[0];
  } catch (cause) {
    throw new Error('a process of the benchmark has ended', { cause });
  } finally {
    child.off('exit', ended);
  }
}

function createSequencing({ pool, audit }: { pool: pg.Pool; audit: pg.Pool }): AuditPlatform['sequence'] {
  const shards = Array.from({ length: 4 }, (_, index) =>
    createSequencer({ outbox: outboxOf(pool, { index, count: 4 }), audit, clock, batchSize: BATCH_SIZE }),
  );
  return async (count) => {
    let added = 0;
    await Promise.all(
      shards.map(async (turn) => {
        while (added < count) {
          const done = await turn();
          added += done.added;
          if (done.taken === 0) break;
        }
      }),
    );
    return added;
  };
}

interface Sealing {
  readonly stores: BenchStores;
  readonly audit: pg.Pool;
  readonly archive: Archive;
}

/** One sealer for all rounds, as a worker has it: it remembers what it has sealed. */
function createSealing({ stores, audit, archive }: Sealing): AuditPlatform['seal'] {
  const seal = createSealer({
    audit,
    archive,
    region: 'eu',
    signer: readSigningKey(stores.platform.config),
    clock,
    sealIntervalMs: 0,
    retentionMs: RETENTION_MS,
  });
  return async () => {
    for (let segments = 0; ;) {
      const { sealed, unsealed, failures } = await seal();
      if (failures[0] !== undefined) throw failures[0].error;
      if (unsealed === 0) return segments;
      segments += sealed;
    }
  };
}

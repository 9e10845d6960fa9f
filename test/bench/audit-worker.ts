import { openArchive } from '../../compliance/archive/open.ts';
import { createPlatformTurn } from '../../compliance/platform/turn.ts';
import { startWorker } from '../../compliance/worker.ts';
import pg from 'pg';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readSigningKey } from '#kit/key-files.ts';
import { readConfig } from '#schema/config.ts';

// The compliance worker of one cell as production has it, in a process of its own or in two that part it (TENON_WORKER_PART);
// the platform log stands beside what seals.

/** What the worker is told: stop, or say how far it is. */
export type WorkerQuestion = 'stop' | 'progress';

/** What it says. */
export interface WorkerProgress {
  readonly cpuMs: number;
  readonly eventsSequenced: number;
  readonly segmentsSealed: number;
  readonly unsealedLogs: number;
  readonly alarms: number;
  readonly residentMb: number;
}

const clock = (): Date => new Date();
const config = readConfig();
const signer = readSigningKey(config);
const [cell] = storeSettings(config)('tenon_worker').cells;
if (cell === undefined) throw new Error('there is no cell');
const archive = await openArchive(cell.archive, { clock, credentials: null });
const audit = new pg.Pool({ connectionString: cell.auditDatabase, max: 3 });
const retentionMs = 90 * 24 * 3_600_000;
const { name, region } = cell;
const tick = createPlatformTurn({ audit, archive, region, cell: name, signer, clock, retentionMs });
const worker = startWorker({
  cells: [{ ...cell, archive }],
  signer,
  clock,
  sealIntervalMs: config.sealIntervalMs,
  part: config.workerPart,
  extraTurns: config.workerPart === 'sequencing' ? [] : [async () => (await tick()) === 'worked'],
});

process.on('message', (question: WorkerQuestion) => {
  if (question === 'progress') process.send?.(progress());
  else void worker.stop().then(() => process.exit(0));
});
process.once('disconnect', () => process.exit(0));
process.send?.('ready');

function progress(): WorkerProgress {
  const { user, system } = process.cpuUsage();
  const counters = worker.counters[name];
  return {
    cpuMs: (user + system) / 1000,
    eventsSequenced: counters?.eventsSequenced ?? 0,
    segmentsSealed: counters?.segmentsSealed ?? 0,
    unsealedLogs: counters?.unsealedLogs ?? 0,
    alarms: counters?.alarms ?? 0,
    residentMb: process.memoryUsage.rss() / 1024 / 1024,
  };
}

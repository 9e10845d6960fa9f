import pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import type { NoteSigner } from '#schema/signed-note.ts';
import { log as logLine } from '#kit/log.ts';
import { countAlarms } from './alarm.ts';
import type { Archive } from './archive/archive.ts';
import { outboxOf } from './outbox-reader.ts';
import { createSealer, type SealingTurn } from './sealer.ts';
import { createSequencer, type SequencingTurn } from './sequencer.ts';
import { startTurnLoop, type TurnLoop, type TurnResult } from './turn-loop.ts';

/** A cell whose events the worker takes care of. */
export interface WorkerCell {
  readonly name: string;
  readonly region: string;
  /** URLs of the tenant and the audit database, for `tenon_worker`. */
  readonly database: string;
  readonly auditDatabase: string;
  readonly archive: Archive;
}

/** What a worker needs. */
export interface WorkerOptions {
  readonly cells: readonly WorkerCell[];
  /** Signs the checkpoints; its name is the deployment's. */
  readonly signer: NoteSigner;
  readonly clock: () => Date;
  /** How long an event waits at most before its segment is sealed. */
  readonly sealIntervalMs: number;
  /** How long the archive keeps a segment at least; to keep it longer, the retention is extended. */
  readonly retentionDays?: number;
  /** Events sequenced at a time. */
  readonly batchSize?: number;
  /** Other periodic work: each function runs again and again, at once after it returned true, else after a pause. */
  readonly extraTurns?: readonly (() => Promise<boolean>)[];
  /** Stops the worker as `stop` does. */
  readonly signal?: AbortSignal;
  readonly log?: typeof logLine;
}

/** What a worker has done since it started, and how it stands. */
export interface CellCounters {
  eventsSequenced: number;
  eventsRefused: number;
  segmentsSealed: number;
  failedTurns: number;
  /** Age of the oldest event that is not in its log yet, those refused set aside; 0 where there is none. */
  lagMs: number;
  /** Logs with entries that no sealed segment holds. */
  unsealedLogs: number;
  /** Logs that show an alarm. */
  alarms: number;
}

/** A running worker. */
export interface Worker {
  /** By name of the cell; the objects are updated in place. */
  readonly counters: Readonly<Record<string, Readonly<CellCounters>>>;
  /**
   * Resolves when every event that was ready is in its log, every log is sealed to its end, and the other work found
   * nothing to do. While a log shows an alarm it waits; where the worker is stopped it rejects.
   */
  idle(): Promise<void>;
  /** Lets what is under way end and closes the connections; a second call is harmless. */
  stop(): Promise<void>;
}

const RETENTION_DAYS = 90;
const BATCH_SIZE = 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
/** One holds a lock and one works, for sequencing; for sealing one holds a lock and four work. */
const AUDIT_CONNECTIONS = 7;
/** "teno" in ASCII: nothing else in the audit database locks these numbers. */
const LOCK_CLASS = 0x74656e6f;
const SEQUENCING = 1;
const SEALING = 2;

/**
 * Starts the worker: for every cell one loop that moves events into logs and one that seals logs into the archive, so
 * that an archive that is away delays nothing else. Several workers may run over the same cells; they take turns, and
 * where one is killed another goes on. Nothing of a failing cell, log or turn ends the worker.
 */
export function startWorker(options: WorkerOptions): Worker {
  const log = options.log ?? logLine;
  const pools: pg.Pool[] = [];
  const counters: Record<string, CellCounters> = {};
  const sequencing: TurnLoop[] = [];
  const sealing: TurnLoop[] = [];
  for (const cell of options.cells) {
    const tenants = openPool(cell.database, 1);
    const audit = openPool(cell.auditDatabase, AUDIT_CONNECTIONS);
    pools.push(tenants, audit);
    const counter = newCounters();
    counters[cell.name] = counter;
    const scope = { cell, tenants, audit, counter, options, log };
    const onFailure = (what: string) => (error: unknown) => {
      counter.failedTurns += 1;
      log('error', `${what} failed: ${asTenonError(error).message}`, { cell: cell.name });
    };
    sequencing.push(startTurnLoop({ turn: sequencingTurn(scope), onFailure: onFailure('sequencing') }));
    sealing.push(startTurnLoop({ turn: sealingTurn(scope), onFailure: onFailure('sealing') }));
  }
  const extra = (options.extraTurns ?? []).map((turn) =>
    startTurnLoop({
      turn: async () => ((await turn()) ? 'worked' : 'idle'),
      onFailure: (error) => log('error', `periodic work failed: ${asTenonError(error).message}`),
    }),
  );
  const stop = once(async () => {
    await Promise.all([...sequencing, ...sealing, ...extra].map((loop) => loop.stop()));
    await Promise.all(pools.map((pool) => pool.end()));
  });
  onAbort(options.signal, () => void stop());
  return {
    counters,
    stop,
    // In this order: what one loop leaves is what the next finds.
    idle: async () => {
      for (const loops of [extra, sequencing, sealing]) await Promise.all(loops.map((loop) => loop.settled()));
    },
  };
}

interface CellScope {
  readonly cell: WorkerCell;
  readonly tenants: pg.Pool;
  readonly audit: pg.Pool;
  readonly counter: CellCounters;
  readonly options: WorkerOptions;
  readonly log: typeof logLine;
}

function sequencingTurn({ cell, tenants, audit, counter, options, log }: CellScope): () => Promise<TurnResult> {
  const { clock, batchSize = BATCH_SIZE } = options;
  const sequenceNext = createSequencer({ outbox: outboxOf(tenants), audit, clock, batchSize });
  const report = ({ added, refused, failures, oldest }: SequencingTurn): void => {
    counter.eventsSequenced += added;
    counter.eventsRefused += refused.length;
    counter.lagMs = oldest === null ? 0 : Math.max(0, clock().getTime() - oldest.getTime());
    for (const { row, reason } of refused) {
      log('error', `event refused: ${reason}`, {
        cell: cell.name,
        tenant: idOf('tnt', row.tenantId),
        event: idOf('aud', row.id),
      });
    }
    for (const { tenantId, error } of failures) {
      log('error', `log not extended: ${error.message}`, { cell: cell.name, tenant: idOf('tnt', tenantId) });
    }
  };
  return async () => {
    const turn = await alone(audit, SEQUENCING, sequenceNext);
    if (turn === null) return 'waiting';
    report(turn);
    if (turn.taken > 0) return 'worked';
    return turn.resting > 0 ? 'waiting' : 'idle';
  };
}

function sealingTurn({ cell, audit, counter, options, log }: CellScope): () => Promise<TurnResult> {
  const { signer, clock, sealIntervalMs, retentionDays = RETENTION_DAYS } = options;
  const { archive, region } = cell;
  const sealDue = createSealer({
    audit,
    archive,
    region,
    signer,
    clock,
    sealIntervalMs,
    retentionMs: retentionDays * DAY_MS,
  });
  const report = async ({ sealed, unsealed, failures }: SealingTurn): Promise<void> => {
    counter.segmentsSealed += sealed;
    counter.unsealedLogs = unsealed - sealed;
    counter.alarms = await countAlarms(audit);
    for (const { tenantId, error } of failures) {
      log('error', `log not sealed: ${error.message}`, {
        cell: cell.name,
        tenant: idOf('tnt', tenantId),
        code: error.code,
      });
    }
  };
  return async () => {
    const turn = await alone(audit, SEALING, sealDue);
    if (turn === null) return 'waiting';
    await report(turn);
    if (turn.sealed > 0) return 'worked';
    return turn.unsealed > 0 ? 'waiting' : 'idle';
  };
}

/**
 * Runs the work unless another worker runs it for this cell: then null. The lock saves work that would be done twice;
 * that twice does no harm is up to the work itself, for a lock ends with its connection.
 */
async function alone<T>(audit: pg.Pool, kind: number, work: () => Promise<T>): Promise<T | null> {
  const client = await audit.connect();
  let broken = true;
  try {
    // The keep-alive lets the server notice within a minute that the machine of a worker is gone, lock and all.
    const { rows } = await client.query<{ held: boolean }>(
      `select pg_try_advisory_lock($1, $2) as held, set_config('tcp_keepalives_idle', '30', false),
         set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)`,
      [LOCK_CLASS, kind],
    );
    const result = rows[0]?.held === true ? await work() : null;
    if (rows[0]?.held === true) await client.query('select pg_advisory_unlock($1, $2)', [LOCK_CLASS, kind]);
    broken = false;
    return result;
  } finally {
    // A connection that is closed lets go of its lock, whatever went wrong.
    client.release(broken);
  }
}

function openPool(url: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 60_000,
    idle_in_transaction_session_timeout: 60_000,
    application_name: 'tenon-worker',
  });
  // A connection that dies is replaced at the next use; without listeners it would end the process, both while it is
  // idle in the pool and while a turn holds it.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => void client.on('error', () => undefined));
  return pool;
}

function newCounters(): CellCounters {
  return {
    eventsSequenced: 0,
    eventsRefused: 0,
    segmentsSealed: 0,
    failedTurns: 0,
    lagMs: 0,
    unsealedLogs: 0,
    alarms: 0,
  };
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}

function onAbort(signal: AbortSignal | undefined, work: () => void): void {
  if (signal?.aborted === true) work();
  else signal?.addEventListener('abort', work, { once: true });
}

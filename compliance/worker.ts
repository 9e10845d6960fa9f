import type pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import { idOf } from '#schema/ids.ts';
import { POOL } from '#schema/tenant-store.ts';
import type { CellStore, CellStores, Statements } from '#kit/cell-stores.ts';
import { newStoreWalk } from '#kit/store-walk.ts';
import type { NoteSigner, NoteVerifier } from '#schema/signed-note.ts';
import { log as logLine } from '#kit/log.ts';
import { stampOf } from '#kit/store-stamp.ts';
import { countAlarms } from './alarm.ts';
import { alone, shardLock, storeLock } from './alone.ts';
import type { Archive } from './archive/archive.ts';
import { outboxOf, type Shard } from './outbox-reader.ts';
import { createSealer, type SealingTurn } from './sealer.ts';
import type { SealingOptions } from './sealing/options.ts';
import { createRecoveryCheck } from './sealing/recovery-check.ts';
import { createReleaseTurn, sequenceAgain } from './sequenced-events.ts';
import { createSequencer, type SequencingTurn } from './sequencer.ts';
import { startTurnLoop, type TurnLoop, type TurnResult } from './turn-loop.ts';
import { openAuditPool, openOutboxPool } from './worker-pools.ts';

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
  /** Keys that signed before it. */
  readonly olderKeys?: readonly NoteVerifier[];
  readonly clock: () => Date;
  /** How long an event waits at most before its segment is sealed. */
  readonly sealIntervalMs: number;
  /** How long the archive keeps a segment at least; to keep it longer, the retention is extended. */
  readonly retentionMs?: number;
  /** Events sequenced at a time; eight times as many while more wait. */
  readonly batchSize?: number;
  /**
   * Parts of the tenants that are sequenced apart: while the database works for one, this process works for another, and
   * other workers take what it does not. All workers of a cell have as many.
   */
  readonly shards?: number;
  /**
   * Whether it moves events into logs, seals them and does all else, or leaves one of the two to other processes: what
   * moves thousands of events at once keeps the small steps of sealing waiting. By default `all`.
   */
  readonly part?: 'all' | 'sequencing' | 'rest';
  /** The stores of a cell beside its pool; without it a cell has none. */
  readonly storesOf?: (cell: string) => CellStores;
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

const DAY_MS = 24 * 60 * 60 * 1000;
/** How long the archive keeps an object at first; whose policy says more, has it extended. */
const RETENTION_MS = 90 * DAY_MS;
const BATCH_SIZE = 1000;
const SHARDS = 4;
/** For sealing one holds a lock and four work; for each shard of sequencing one holds a lock and one works. */
const SEALING_CONNECTIONS = 7;
const SHARD_CONNECTIONS = 2;
/** As many for each of the four other stores that are visited beside each other. */
const STORE_CONNECTIONS = 8;

/**
 * Starts the worker: for every cell some loops that move events into logs, each for its shard of the tenants, and one that
 * seals logs into the archive, so that an archive that is away delays nothing else. Several workers may run over the same
 * cells; they take turns, and where one is killed another goes on. Nothing of a failing cell, log or turn ends the worker.
 */
export function startWorker(options: WorkerOptions): Worker {
  const log = options.log ?? logLine;
  const pools: pg.Pool[] = [];
  const counters: Record<string, CellCounters> = {};
  const sequencing: TurnLoop[] = [];
  const sealing: TurnLoop[] = [];
  const { part = 'all', shards = SHARDS } = options;
  for (const cell of options.cells) {
    const tenants = openOutboxPool({ url: cell.database, stamp: stampOf(cell, 'cell'), max: shards + 1 });
    const audit = openAuditPool({
      url: cell.auditDatabase,
      stamp: stampOf(cell, 'audit'),
      max: SEALING_CONNECTIONS + SHARD_CONNECTIONS * shards + STORE_CONNECTIONS,
    });
    pools.push(tenants, audit);
    const counter = newCounters();
    counters[cell.name] = counter;
    const scope = { cell, tenants, audit, counter, options, log, stores: options.storesOf?.(cell.name) };
    const onFailure = (what: string) => (error: unknown) => {
      counter.failedTurns += 1;
      log('error', `${what} failed: ${asTenonError(error).message}`, { cell: cell.name });
    };
    for (const turn of part === 'rest' ? [] : sequencingTurns(scope, shards))
      sequencing.push(startTurnLoop({ turn, onFailure: onFailure('sequencing') }));
    if (part === 'sequencing') continue;
    sealing.push(startTurnLoop({ turn: sealingTurn(scope), onFailure: onFailure('sealing') }));
    sealing.push(
      startTurnLoop({
        turn: createReleaseTurn({ ...scope, clock: options.clock }),
        onFailure: onFailure('letting go of sealed events'),
      }),
    );
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
  readonly tenants: Statements;
  readonly audit: pg.Pool;
  readonly counter: CellCounters;
  readonly options: WorkerOptions;
  readonly log: typeof logLine;
  readonly stores: CellStores | undefined;
}

/** One turn for every shard, and one for the stores beside the pool; what a restored database lacks comes back before any of them goes on. */
function sequencingTurns(scope: CellScope, count: number): (() => Promise<TurnResult>)[] {
  const check = shared(
    createRecoveryCheck({
      ...sealingOptions(scope),
      tenants: () => tenantsOf(scope),
      sequenceAgain: () => sequenceAllAgain(scope),
    }),
  );
  const lagsMs = new Map<string, number>();
  const setLag = (name: string, lagMs: number) => {
    lagsMs.set(name, lagMs);
    scope.counter.lagMs = Math.max(...lagsMs.values());
  };
  const checked = (turn: () => Promise<TurnResult>) => async () => {
    await check();
    return turn();
  };
  const shards = Array.from({ length: count }, (_, index) => {
    const shard = { index, count };
    const turn = sequencingTurn(scope, { shard, lock: shardLock(shard) }, (lagMs) => setLag(`${POOL} ${index}`, lagMs));
    return checked(turn);
  });
  const others = storesTurn(scope, setLag);
  return [...shards, ...(others === null ? [] : [checked(others)])];
}

/** The stores beside the pool, each under a lock of its own. */
function storesTurn(
  scope: CellScope,
  setLag: (name: string, lagMs: number) => void,
): (() => Promise<TurnResult>) | null {
  if (scope.stores === undefined) return null;
  const turns = new Map<string, () => Promise<TurnResult>>();
  const begin = ({ name, statements }: CellStore) => {
    let waitsMs = 0;
    const turn = sequencingTurn({ ...scope, tenants: statements }, { lock: storeLock(name) }, (lagMs) => {
      waitsMs = lagMs;
      setLag(name, lagMs);
    });
    // What is not ready yet, since a transaction before it still runs, is asked for again.
    return async () => {
      const result = await turn();
      return result === 'idle' && waitsMs > 0 ? 'waiting' : result;
    };
  };
  return newStoreWalk({
    stores: scope.stores,
    what: 'sequencing',
    visit: (store) => {
      const turn = turns.get(store.name) ?? begin(store);
      turns.set(store.name, turn);
      return turn();
    },
  });
}

async function tenantsOf({ tenants, stores }: CellScope): Promise<string[]> {
  const { rows } = await tenants.query<{ id: string }>('select distinct tenant_id as id from outbox');
  const others = (await stores?.list()) ?? [];
  return [...rows.map(({ id }) => id), ...others.map(({ tenantId }) => tenantId)];
}

async function sequenceAllAgain(scope: CellScope): Promise<void> {
  const { clock } = scope.options;
  await sequenceAgain({ ...scope, clock });
  for (const { statements } of (await scope.stores?.list()) ?? [])
    await sequenceAgain({ ...scope, tenants: statements, clock });
}

/** Callers who come while the work is under way wait for its end instead of beginning it again. */
function shared(work: () => Promise<void>): () => Promise<void> {
  let underWay: Promise<void> | null = null;
  return () => {
    underWay ??= work().finally(() => {
      underWay = null;
    });
    return underWay;
  };
}

function sealingOptions({ cell, audit, options, log }: CellScope): SealingOptions {
  const { archive, region } = cell;
  const { signer, olderKeys = [], clock, retentionMs = RETENTION_MS } = options;
  return { audit, archive, region, signer, olderKeys, clock, retentionMs, log };
}

/** What is sequenced apart from the rest. */
interface Sequenced {
  /** Without it all tenants of the store. */
  readonly shard?: Shard;
  readonly lock: number;
}

function sequencingTurn(
  { cell, tenants, audit, counter, options, log }: CellScope,
  { shard, lock }: Sequenced,
  setLag: (lagMs: number) => void,
): () => Promise<TurnResult> {
  const { clock, batchSize = BATCH_SIZE } = options;
  const sequenceNext = createSequencer({
    outbox: outboxOf(tenants, shard),
    audit,
    clock,
    batchSize,
    alone: (work) => alone(audit, lock, work),
  });
  const report = ({ added, refused, failures, oldest }: SequencingTurn): void => {
    counter.eventsSequenced += added;
    counter.eventsRefused += refused.length;
    setLag(oldest === null ? 0 : Math.max(0, clock().getTime() - oldest.getTime()));
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
    const turn = await sequenceNext();
    report(turn);
    if (turn.taken === null) return 'waiting';
    if (turn.taken > 0) return 'worked';
    return turn.resting > 0 ? 'waiting' : 'idle';
  };
}

function sealingTurn(scope: CellScope): () => Promise<TurnResult> {
  const { cell, audit, counter, options, log } = scope;
  const sealDue = createSealer({ ...sealingOptions(scope), sealIntervalMs: options.sealIntervalMs });
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
    const turn = await alone(audit, 'sealing', sealDue);
    if (turn === null) return 'waiting';
    await report(turn);
    if (turn.sealed > 0) return 'worked';
    return turn.unsealed > 0 ? 'waiting' : 'idle';
  };
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

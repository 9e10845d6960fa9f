import type pg from 'pg';
import { asTenonError } from '#schema/errors.ts';
import type { NoteSigner } from '#schema/signed-note.ts';
import type { CellStores } from '#kit/cell-stores.ts';
import { inAllStores } from '#kit/store-reads.ts';
import { log as logLine } from '#kit/log.ts';
import { stampOf } from '#kit/store-stamp.ts';
import { createRotationTurn } from './anchors/rotation-turn.ts';
import { createAnchorTurn, type AnchorTurnOptions } from './anchors/turn.ts';
import { announceStop } from './platform/announcement.ts';
import { createLagTurn, newLags } from './metrics/lags.ts';
import { countTurn, type CellStanding, type TurnCounts } from './metrics/worker-metrics.ts';
import { createReconcileTurn, newReconcileCounters } from './platform/reconcile-turn.ts';
import { createPlatformTurn, newPlatformCounters } from './platform/turn.ts';
import { createDeadlineTurn } from './privacy/deadline-turn.ts';
import { createSelfTestTurn } from './retention/self-test-turn.ts';
import { createRetentionTurn, newRetentionCounters } from './retention/turn.ts';
import { createSearchTurn } from './search/turn.ts';
import { startTurnLoop, type TurnLoop, type TurnResult } from './turn-loop.ts';
import { openUpkeepPool } from './worker-pools.ts';
import type { WorkerCell } from './worker.ts';

/** What the upkeep of logs needs. */
export interface UpkeepOptions extends Pick<AnchorTurnOptions, 'authority' | 'stampIntervalMs' | 'witnesses'> {
  readonly cells: readonly WorkerCell[];
  readonly signer: NoteSigner;
  /** Statements of the rotations of the signing key, oldest first. */
  readonly rotations: readonly string[];
  readonly clock: () => Date;
  /** How long the archive keeps what nobody has a policy for. */
  readonly retentionDays: number;
  /** Pool of `tenon_worker` over the directory. */
  readonly directory: pg.Pool;
  /** The stores of a cell beside its pool; without it a cell has none. */
  readonly storesOf?: (cell: string) => CellStores;
}

/** Work on logs that goes on beside sequencing and sealing. */
export interface Upkeep {
  /** By name of the cell; the objects are updated in place. */
  readonly standings: ReadonlyMap<string, UpkeepStanding>;
  readonly turns: TurnCounts;
  /** Lets what is under way end, says in every platform log that it stops, and closes the connections. */
  stop(): Promise<void>;
}

/** What the upkeep has done for a cell since it started, and how far what follows the logs is behind. */
export type UpkeepStanding = Pick<CellStanding, 'platform' | 'completeness' | 'retention' | 'lags'>;

/** Each loop works with one connection at a time or two, and one of them may hold a lock meanwhile. */
const AUDIT_CONNECTIONS = 12;
const TENANT_CONNECTIONS = 3;
const DAY_MS = 86_400_000;

/**
 * Starts for every cell a loop for each thing that has to be done again and again: the platform log and its outside
 * anchors, completeness, the search index, the retention of the archive. One that fails is logged, tried again ever more slowly, and holds up no other.
 */
export function startUpkeep(options: UpkeepOptions): Upkeep {
  const turns: TurnCounts = new Map();
  const standings = new Map(options.cells.map(({ name }) => [name, newStanding()]));
  const cells = options.cells.map((cell) =>
    startCell(options, { cell, turns, standing: standings.get(cell.name) ?? newStanding() }),
  );
  return {
    standings,
    turns,
    stop: async () => {
      await Promise.all(cells.map((cell) => cell.stop()));
    },
  };
}

/** Returns an upkeep that does nothing, for a process that leaves it to others. */
export function noUpkeep(cells: readonly WorkerCell[]): Upkeep {
  return {
    standings: new Map(cells.map(({ name }) => [name, newStanding()])),
    turns: new Map(),
    stop: async () => undefined,
  };
}

type Turn = () => Promise<TurnResult | boolean>;

function newStanding(): UpkeepStanding {
  return {
    platform: newPlatformCounters(),
    completeness: newReconcileCounters(),
    retention: newRetentionCounters(),
    lags: newLags(),
  };
}

interface CellScope {
  readonly cell: WorkerCell;
  readonly turns: TurnCounts;
  readonly standing: UpkeepStanding;
}

function startCell(options: UpkeepOptions, { cell, turns: counts, standing }: CellScope): Pick<Upkeep, 'stop'> {
  const audit = openUpkeepPool({ url: cell.auditDatabase, stamp: stampOf(cell, 'audit'), max: AUDIT_CONNECTIONS });
  const tenants = openUpkeepPool({ url: cell.database, stamp: stampOf(cell, 'cell'), max: TENANT_CONNECTIONS });
  const { clock, retentionDays, signer, directory } = options;
  const retentionMs = retentionDays * DAY_MS;
  const { name, region, archive } = cell;
  const stores = options.storesOf?.(name);
  const everywhere = inAllStores(tenants, stores);
  const platform = { audit, archive, region, cell: name, signer, clock, retentionMs, counters: standing.platform };
  const turns: Readonly<Record<string, Turn>> = {
    'the platform log': createPlatformTurn(platform),
    completeness: createReconcileTurn({ tenants, stores, audit, cell: name, clock, counters: standing.completeness }),
    anchors: createAnchorTurn({ ...options, audit, archive, region, cell: name, retentionMs }),
    'key rotation': createRotationTurn({
      audit,
      archive,
      region,
      statements: options.rotations,
      clock,
      retentionMs,
    }),
    'the search index': createSearchTurn({ audit }),
    'the retention of the archive': createRetentionTurn({
      cell: name,
      region,
      tenants: everywhere,
      audit,
      archive,
      clock,
      directory,
      defaultDays: retentionDays,
      counters: standing.retention,
    }),
    'requests under the GDPR': createDeadlineTurn({ tenants: everywhere, audit, clock }),
    lags: createLagTurn({ tenants: everywhere, audit }, standing.lags),
    'the self-test of the archive': createSelfTestTurn({ cell: name, audit, archive, signer, clock }),
  };
  const loops = Object.entries(turns).map(([what, turn]) =>
    startLoop(what, turn, { cell: name, count: (result) => countTurn(counts, { cell: name, part: what, result }) }),
  );
  return {
    stop: async () => {
      await Promise.all(loops.map((loop) => loop.stop()));
      await announceStop(platform).catch((error: unknown) => told(name, 'the last word of the platform log', error));
      await Promise.all([audit.end(), tenants.end()]);
    },
  };
}

function startLoop(
  what: string,
  turn: Turn,
  { cell, count }: { readonly cell: string; readonly count: (result: string) => void },
): TurnLoop {
  return startTurnLoop({
    turn: async () => {
      const outcome = await turn();
      const result = typeof outcome === 'boolean' ? resultOf(outcome) : outcome;
      count(result);
      return result;
    },
    onFailure: (error) => {
      count('failed');
      told(cell, what, error);
    },
  });
}

function resultOf(hasWorked: boolean): TurnResult {
  return hasWorked ? 'worked' : 'idle';
}

function told(cell: string, what: string, error: unknown): void {
  logLine('error', `${what} failed: ${asTenonError(error).message}`, { cell });
}

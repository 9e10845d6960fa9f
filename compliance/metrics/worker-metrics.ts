import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { PlatformCounters } from '../platform/turn.ts';
import type { ReconcileCounters } from '../platform/reconcile-turn.ts';
import type { ErasureCounters } from '../privacy/turn.ts';
import type { RetentionCounters } from '../retention/turn.ts';
import type { CellCounters } from '../worker.ts';
import type { Lags } from './lags.ts';

/** What a worker has done for a cell since it started, and how the cell stands; the objects are updated in place. */
export interface CellStanding {
  readonly worker: Readonly<CellCounters>;
  readonly platform: Readonly<PlatformCounters>;
  readonly completeness: Readonly<ReconcileCounters>;
  readonly retention: Readonly<RetentionCounters>;
  readonly erasures: Readonly<ErasureCounters>;
  readonly lags: Readonly<Lags>;
}

/** How often each part of the upkeep had its turn, and what came of it: `<cell> <part> <result>` is one series. */
export type TurnCounts = Map<string, { cell: string; part: string; result: string; count: number }>;

interface Measure {
  readonly name: string;
  readonly help: string;
  readonly of: (standing: CellStanding) => number;
}

const COUNTERS: readonly Measure[] = [
  {
    name: 'events_sequenced',
    help: 'Events that entered their log.',
    of: ({ worker }) => worker.eventsSequenced,
  },
  { name: 'events_refused', help: 'Events that no log can take.', of: ({ worker }) => worker.eventsRefused },
  { name: 'segments_sealed', help: 'Segments sealed into the archive.', of: ({ worker }) => worker.segmentsSealed },
  {
    name: 'failed_turns',
    help: 'Turns of sequencing and sealing that failed.',
    of: ({ worker }) => worker.failedTurns,
  },
  {
    name: 'ticks_planned',
    help: 'Ticks of the platform log that were planned.',
    of: ({ platform }) => platform.ticksPlanned,
  },
  {
    name: 'ticks_archived',
    help: 'Ticks of the platform log that reached the archive.',
    of: ({ platform }) => platform.ticksArchived,
  },
  { name: 'tick_failures', help: 'Attempts to archive a tick that failed.', of: ({ platform }) => platform.failures },
  {
    name: 'mutations_reconciled',
    help: 'Mutations held against the log.',
    of: ({ completeness }) => completeness.mutations,
  },
  {
    name: 'mutations_without_event',
    help: 'Mutations that no event speaks of.',
    of: ({ completeness }) => completeness.missing,
  },
  { name: 'erasures_completed', help: 'Erasures completed.', of: ({ erasures }) => erasures.completed },
  {
    name: 'erasures_reapplied',
    help: 'Erasures done again because a restored backup had undone them.',
    of: ({ erasures }) => erasures.reapplied,
  },
  { name: 'erasure_failures', help: 'Attempts at an erasure that failed.', of: ({ erasures }) => erasures.failures },
  {
    name: 'objects_compared',
    help: 'Objects of the archive that were compared.',
    of: ({ retention }) => retention.checked,
  },
  { name: 'objects_extended', help: 'Objects that are kept for longer.', of: ({ retention }) => retention.extended },
  {
    name: 'objects_repaired',
    help: 'Objects whose lock or hold had become weaker and was made whole.',
    of: ({ retention }) => retention.repaired,
  },
  {
    name: 'objects_removed',
    help: 'Objects of ended tenants that were removed.',
    of: ({ retention }) => retention.removed,
  },
  { name: 'archive_scans', help: 'Comparisons of the whole archive.', of: ({ retention }) => retention.scans },
];

const GAUGES: readonly Measure[] = [
  {
    name: 'sequencing_lag_seconds',
    help: 'Age of the oldest event that is not in its log.',
    of: ({ worker }) => worker.lagMs / 1000,
  },
  { name: 'unsealed_logs', help: 'Logs with entries that no segment holds.', of: ({ worker }) => worker.unsealedLogs },
  { name: 'alarms', help: 'Logs that show an alarm.', of: ({ worker }) => worker.alarms },
  {
    name: 'archive_faults',
    help: 'Objects that the archive does not hold as they were put.',
    of: ({ retention }) => retention.faults,
  },
  {
    name: 'last_tick_archived_timestamp_seconds',
    help: 'When the newest tick of this process reached the archive; 0 before the first.',
    of: ({ platform }) => platform.lastArchivedAtMs / 1000,
  },
  {
    name: 'search_lag_entries',
    help: 'Entries in whole blocks that the search index does not hold yet.',
    of: ({ lags }) => lags.searchEntries,
  },
  {
    name: 'stream_lag_entries',
    help: 'Entries that wait for the receiver of the stream that is furthest behind.',
    of: ({ lags }) => lags.streamEntries,
  },
  { name: 'streams_failing', help: 'Streams whose last attempt failed.', of: ({ lags }) => lags.failingStreams },
];

/**
 * Returns what yields the measurements of a worker as Prometheus text: a fixed number of series for each cell, whatever
 * its tenants do, and none that names one.
 */
export function newWorkerMetrics(
  standings: () => ReadonlyMap<string, CellStanding>,
  turns: TurnCounts,
): () => Promise<string> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const { name, help, of } of COUNTERS) {
    registry.registerMetric(
      new Counter({
        name: `tenon_worker_${name}_total`,
        help,
        labelNames: ['cell'],
        registers: [],
        collect() {
          this.reset();
          for (const [cell, standing] of standings()) this.inc({ cell }, of(standing));
        },
      }),
    );
  }
  for (const { name, help, of } of GAUGES) {
    registry.registerMetric(
      new Gauge({
        name: `tenon_worker_${name}`,
        help,
        labelNames: ['cell'],
        registers: [],
        collect() {
          for (const [cell, standing] of standings()) this.set({ cell }, of(standing));
        },
      }),
    );
  }
  registry.registerMetric(
    new Counter({
      name: 'tenon_worker_turns_total',
      help: 'Turns of each part of the upkeep, by what came of them.',
      labelNames: ['cell', 'part', 'result'],
      registers: [],
      collect() {
        this.reset();
        for (const { cell, part, result, count } of turns.values()) this.inc({ cell, part, result }, count);
      },
    }),
  );
  return () => registry.metrics();
}

/** Counts a turn. */
export function countTurn(turns: TurnCounts, turn: { cell: string; part: string; result: string }): void {
  const name = `${turn.cell} ${turn.part} ${turn.result}`;
  const known = turns.get(name);
  if (known === undefined) turns.set(name, { ...turn, count: 1 });
  else known.count += 1;
}

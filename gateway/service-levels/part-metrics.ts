import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ConnectionUse } from '#kit/connection-shares.ts';
import type { BurnRate } from '#schema/service-levels.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { boundedLabel } from './bounded-label.ts';
import { newFixedHistogram } from './fixed-histogram.ts';

/** The states of a circuit breaker, by the number that its gauge shows. */
export const BREAKER_STATES = { closed: 0, half_open: 1, open: 2 } as const;
/** One of them. */
export type BreakerState = keyof typeof BREAKER_STATES;

/** What the parts of the gateway tell of themselves. */
export interface PartMetrics {
  /** Counts a call of a subgraph, with its time. */
  subgraphCall(subgraph: string, seconds: number, failed: boolean): void;
  /** Shows the state of the breaker before a subgraph for a class of tenants. */
  breaker(subgraph: string, tenantClass: string, state: BreakerState): void;
  /** Whether budgets come out of this process's memory since their shared store is away. */
  budgetStoreAway(away: boolean): void;
  /** Shows how many requests wait for their turn: `read` is asked whenever the measurements are. */
  queueLength(read: () => number): void;
  /** Shows how the connections of each pool stand: `read` is asked whenever the measurements are. */
  connections(read: () => readonly PoolUse[]): void;
  /** Counts an operation whose compiled program was there, or was not. */
  programCache(hit: boolean): void;
  /** Counts a plan that was made, with its time. */
  planned(seconds: number): void;
  /** Counts requests that were beyond limits in measure mode, by the limits' names. */
  limitsExceeded(names: readonly string[]): void;
  /** Shows how fast a tier's error budgets burn and which alerts fire. */
  burning(tier: Tier, rates: readonly BurnRate[]): void;
  /** Prometheus text of what is not in the registry. */
  text(): string;
}

/** How the connections of one store of one cell stand. */
export interface PoolUse {
  readonly cell: string;
  readonly store: 'tenant' | 'audit';
  readonly use: ConnectionUse;
}

/** Subgraphs are named by the supergraph; more than these are pooled. */
const MOST_SUBGRAPHS = 64;
const MOST_CLASSES = 16;
const CALL_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10];

/** Enters the measurements of the gateway's parts in a registry. */
export function registerPartMetrics(registry: Registry, counter: { lost(): number }): PartMetrics {
  const registers = [registry];
  const calls = subgraphCalls();
  const breakers = new Gauge({
    name: 'tenon_subgraph_breaker_state',
    help: '0 while the breaker is closed, 1 half open, 2 open.',
    labelNames: ['subgraph', 'tenant_class'] as const,
    registers,
  });
  const breakerSubgraph = boundedLabel(MOST_SUBGRAPHS);
  const breakerClass = boundedLabel(MOST_CLASSES);
  const storeAway = new Gauge({
    name: 'tenon_budget_store_away',
    help: '1 while budgets are not shared because Redis does not answer.',
    registers,
  });
  const plans = new Histogram({
    name: 'tenon_plan_seconds',
    help: 'Time to plan an operation that had no program.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
    registers,
  });
  const exceeded = new Counter({
    name: 'tenon_limits_exceeded_total',
    help: 'Requests beyond a limit that is measured and not enforced, by the limit.',
    labelNames: ['limit'] as const,
    registers,
  });
  registerLost(registry, counter);
  const readers = registerQueue(registry);
  const pools = registerConnections(registry);
  return {
    subgraphCall: calls.observe,
    breaker: (subgraph, tenantClass, state) =>
      breakers.set(
        { subgraph: breakerSubgraph(subgraph), tenant_class: breakerClass(tenantClass) },
        BREAKER_STATES[state],
      ),
    budgetStoreAway: (away) => storeAway.set(away ? 1 : 0),
    queueLength: (read) => void readers.push(read),
    connections: (read) => void pools.push(read),
    programCache: registerPrograms(registry),
    planned: (seconds) => plans.observe(seconds),
    limitsExceeded: (names) => names.forEach((limit) => exceeded.inc({ limit })),
    burning: registerBurn(registry),
    text: calls.text,
  };
}

function subgraphCalls() {
  const seconds = newFixedHistogram({
    name: 'tenon_subgraph_call_seconds',
    help: 'Time of calls to subgraphs, by whether they failed.',
    labelNames: ['subgraph', 'outcome'],
    bounds: CALL_SECONDS,
  });
  const label = boundedLabel(MOST_SUBGRAPHS);
  const known = new Map<string, { readonly ok: (value: number) => void; readonly failed: (value: number) => void }>();
  const seriesOf = (name: string) => {
    const subgraph = label(name);
    const series = known.get(subgraph) ?? {
      ok: seconds.series([subgraph, 'ok']),
      failed: seconds.series([subgraph, 'failed']),
    };
    known.set(subgraph, series);
    return series;
  };
  return {
    observe: (name: string, taken: number, failed: boolean) =>
      (known.get(name) ?? seriesOf(name))[failed ? 'failed' : 'ok'](taken),
    text: () => seconds.text(),
  };
}

/** Every request passes here: it is counted by itself, and the counter is filled when it is read. */
function registerPrograms(registry: Registry): PartMetrics['programCache'] {
  const counts = { hit: 0, miss: 0 };
  const programs = new Counter({
    name: 'tenon_program_cache_total',
    help: 'Operations by whether their compiled program was there.',
    labelNames: ['result'] as const,
    registers: [],
    collect() {
      this.reset();
      for (const result of ['hit', 'miss'] as const) this.inc({ result }, counts[result]);
    },
  });
  registry.registerMetric(programs);
  return (hit) => {
    counts[hit ? 'hit' : 'miss'] += 1;
  };
}

function registerQueue(registry: Registry): (() => number)[] {
  const readers: (() => number)[] = [];
  const length = new Gauge({
    name: 'tenon_queue_length',
    help: 'Requests that wait for their turn.',
    registers: [],
    collect() {
      this.set(readers.reduce((sum, read) => sum + read(), 0));
    },
  });
  registry.registerMetric(length);
  return readers;
}

/** Cells are named by the configuration; tenants are not named at all. */
function registerConnections(registry: Registry): (() => readonly PoolUse[])[] {
  const readers: (() => readonly PoolUse[])[] = [];
  const read = () => readers.flatMap((each) => each());
  const labelNames = ['cell', 'store'] as const;
  const shown = [
    { name: 'tenon_connections_held', help: 'Connections that tenants hold.', of: ({ held }: ConnectionUse) => held },
    { name: 'tenon_connections_bulk', help: 'Of those, what exports hold.', of: ({ bulk }: ConnectionUse) => bulk },
    {
      name: 'tenon_connections_size',
      help: 'Connections that the pool may have.',
      of: ({ size }: ConnectionUse) => size,
    },
    {
      name: 'tenon_connections_waiting',
      help: 'Waiting for a connection.',
      of: ({ waiting }: ConnectionUse) => waiting,
    },
  ];
  for (const { name, help, of } of shown) {
    const gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [],
      collect() {
        for (const { cell, store, use } of read()) this.set({ cell, store }, of(use));
      },
    });
    registry.registerMetric(gauge);
  }
  const refused = new Counter({
    name: 'tenon_connections_refused_total',
    help: 'Work that got no connection in time, because the share of its tenant or the pool was used up.',
    labelNames,
    registers: [],
    collect() {
      this.reset();
      for (const { cell, store, use } of read()) this.inc({ cell, store }, use.refused);
    },
  });
  registry.registerMetric(refused);
  return readers;
}

function registerLost(registry: Registry, counter: { lost(): number }): void {
  const lost = new Counter({
    name: 'tenon_service_levels_lost_total',
    help: 'Requests that entered no service level, since the stores have been away for too long.',
    registers: [],
    collect() {
      this.reset();
      this.inc(counter.lost());
    },
  });
  registry.registerMetric(lost);
}

function registerBurn(registry: Registry): PartMetrics['burning'] {
  const registers = [registry];
  const speed = new Gauge({
    name: 'tenon_slo_burn_rate',
    help: 'Speed at which the error budget burns, in multiples of the one that just uses it up in 30 days.',
    labelNames: ['tier', 'indicator', 'window'] as const,
    registers,
  });
  const firing = new Gauge({
    name: 'tenon_slo_alert',
    help: '1 while the burn-rate alert of the window fires.',
    labelNames: ['tier', 'indicator', 'severity', 'window'] as const,
    registers,
  });
  return (tier, rates) => {
    for (const { indicator, severity, longMinutes, shortMinutes, longRate, shortRate, firing: fires } of rates) {
      speed.set({ tier, indicator, window: `${longMinutes}m` }, longRate);
      speed.set({ tier, indicator, window: `${shortMinutes}m` }, shortRate);
      firing.set({ tier, indicator, severity, window: `${longMinutes}m` }, fires ? 1 : 0);
    }
  };
}

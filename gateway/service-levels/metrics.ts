import { collectDefaultMetrics, Counter, Registry } from 'prom-client';
import { TIERS } from '#schema/tenant-context.ts';
import { boundedLabel } from './bounded-label.ts';
import { newFixedHistogram } from './fixed-histogram.ts';
import type { LevelCounter, ServedTenant } from './level-counter.ts';
import { codeLabel, outcomeOf, OUTCOMES, type Outcome } from './outcome.ts';
import { registerPartMetrics, type PartMetrics } from './part-metrics.ts';
import { newTenantSeries } from './tenant-series.ts';

/** A request that was answered. */
export interface ObservedRequest {
  /** Null where nobody was known yet: such a request counts by its outcome alone. */
  readonly tenant: ServedTenant | null;
  readonly status: number;
  readonly seconds: number;
  /** The first error code of the answer; a code of a fault inside makes the request a failure, whatever its status. */
  readonly code: string | null;
  /** Query cost before and after; null where it never came to that. */
  readonly estimated: number | null;
  readonly actual: number | null;
}

/** The gateway's measurements; the number of their series is bounded, whatever tenants and clients send. */
export interface GatewayMetrics extends Omit<PartMetrics, 'text'> {
  /** Counts an answered request, once. */
  observe(request: ObservedRequest): void;
  /** Counts a request that a limit has held back, by the name of its policy. */
  throttled(policy: string): void;
  /** Chooses anew which tenants are named. */
  chooseTenants(): void;
  /** Prometheus text. */
  text(): Promise<string>;
}

/** What measurements are made over. */
export interface MetricsParts {
  readonly counter: LevelCounter;
  readonly nowMs: () => number;
}

/** The tier of requests whose tenant is not known. */
const NO_TIER = 'none';
/** The p99 of every tier is a bound, so that rules of Prometheus count the requests within it exactly. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 3, 10];
const POINTS = [0, 1, 10, 50, 200, 1000, 5000, 10_000];
/** Policies are named by the limits of the platform; more than these are pooled. */
const MOST_POLICIES = 32;

/** Returns measurements of a process that has answered nothing yet. */
export function newGatewayMetrics({ counter, nowMs }: MetricsParts): GatewayMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const parts = registerPartMetrics(registry, counter);
  const tenants = newTenantSeries(registry);
  const requests = requestHistograms();
  const registers = [registry];
  const errors = new Counter({
    name: 'tenon_graphql_errors_total',
    help: 'Answers with an error, by the first code.',
    labelNames: ['code'] as const,
    registers,
  });
  const throttles = new Counter({
    name: 'tenon_throttles_total',
    help: 'Requests that a limit has held back, by its policy.',
    labelNames: ['policy'] as const,
    registers,
  });
  const policyLabel = boundedLabel(MOST_POLICIES);
  return {
    ...parts,
    observe: ({ tenant, status, seconds, code, estimated, actual }) => {
      const outcome = outcomeOf(status, code);
      requests.observe(tenant?.tier ?? NO_TIER, { outcome, seconds, estimated, actual });
      if (code !== null) errors.inc({ code: codeLabel(code) });
      if (tenant === null) return;
      tenants.observe(tenant.tenant, { outcome, seconds, cost: actual ?? 0 });
      if (outcome !== 'refused') counter.add(tenant, { failed: outcome === 'failed', seconds, nowMs: nowMs() });
    },
    throttled: (policy) => throttles.inc({ policy: policyLabel(policy) }),
    chooseTenants: () => tenants.choose(),
    text: async () => [await registry.metrics(), parts.text(), requests.text(), ''].join('\n'),
  };
}

interface Measured {
  readonly outcome: Outcome;
  readonly seconds: number;
  readonly estimated: number | null;
  readonly actual: number | null;
}

/** Latency and cost by tier; every series is there from the start, so that rates of rare failures have a beginning. */
function requestHistograms() {
  const seconds = newFixedHistogram({
    name: 'tenon_graphql_request_seconds',
    help: 'Time from the first byte read to the answer.',
    labelNames: ['tier', 'outcome'],
    bounds: SECONDS,
  });
  const costs = (['estimated', 'actual', 'delta'] as const).map((kind) =>
    newFixedHistogram({
      name: `tenon_graphql_cost_${kind}`,
      help: kind === 'delta' ? 'Estimated less actual query cost.' : `The ${kind} query cost.`,
      labelNames: ['tier'],
      bounds: POINTS,
    }),
  );
  const byTier = new Map(
    [...TIERS, NO_TIER].map((tier) => {
      const [ok, refused, failed] = OUTCOMES.map((outcome) => seconds.series([tier, outcome]));
      const [estimated, actual, delta] = costs.map((cost) => cost.series([tier]));
      return [tier, { ok, refused, failed, estimated, actual, delta }] as const;
    }),
  );
  return {
    observe: (tier: string, { outcome, seconds: taken, estimated, actual }: Measured) => {
      const series = byTier.get(tier);
      series?.[outcome]?.(taken);
      if (estimated !== null) series?.estimated?.(estimated);
      if (actual !== null) series?.actual?.(actual);
      if (estimated !== null && actual !== null) series?.delta?.(estimated - actual);
    },
    text: () => [seconds, ...costs].map((histogram) => histogram.text()).join('\n'),
  };
}

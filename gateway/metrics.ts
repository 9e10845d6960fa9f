import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { TIERS, type Tier } from '#schema/tenant-context.ts';

/** The deck's promise to each tier: p99 in seconds, availability as a share. */
export const TIER_OBJECTIVES: Readonly<Record<Tier, { readonly p99Seconds: number; readonly availability: number }>> = {
  FREE: { p99Seconds: 1.5, availability: 0.995 },
  GROWTH: { p99Seconds: 0.5, availability: 0.999 },
  ENTERPRISE: { p99Seconds: 0.25, availability: 0.9995 },
  ENTERPRISE_PLUS: { p99Seconds: 0.25, availability: 0.9999 },
};

/** What happened to requests of a tier since this process started. */
export interface TierStatus {
  readonly tier: Tier;
  readonly requests: number;
  /** Share of requests that did not fail inside; null before the first request. */
  readonly availability: number | null;
  /** Upper bound of the bucket that holds the 99th percentile, in seconds; null before the first request. */
  readonly p99Seconds: number | null;
  readonly objective: (typeof TIER_OBJECTIVES)[Tier];
}

/** The gateway's measurements; labels are tiers, never tenants, so their number is bounded. */
export interface GatewayMetrics {
  observe(tier: Tier, request: { readonly status: number; readonly seconds: number }): void;
  /** Whether budgets come out of this process's memory since their shared store is away. */
  budgetStoreAway(away: boolean): void;
  /** Prometheus text. */
  text(): Promise<string>;
  status(): Promise<TierStatus[]>;
}

/** Returns measurements of a process that has answered nothing yet. */
export function newGatewayMetrics(): GatewayMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const seconds = new Histogram({
    name: 'tenon_graphql_request_seconds',
    help: 'Time from the first byte read to the answer.',
    labelNames: ['tier'] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 3, 10],
    registers: [registry],
  });
  const failures = new Counter({
    name: 'tenon_graphql_failures_total',
    help: 'Requests that failed inside (status 500 and above).',
    labelNames: ['tier'] as const,
    registers: [registry],
  });
  const storeAway = new Gauge({
    name: 'tenon_budget_store_away',
    help: '1 while budgets are not shared because Redis does not answer.',
    registers: [registry],
  });
  return {
    budgetStoreAway: (away) => storeAway.set(away ? 1 : 0),
    observe: (tier, request) => {
      seconds.observe({ tier }, request.seconds);
      if (request.status >= 500) failures.inc({ tier });
    },
    text: () => registry.metrics(),
    status: async () => {
      const [times, failed] = await Promise.all([seconds.get(), failures.get()]);
      return TIERS.map((tier) => tierStatus(tier, times.values, failed.values));
    },
  };
}

interface Sample {
  readonly labels: Partial<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string | undefined;
}

function tierStatus(tier: Tier, times: readonly Sample[], failures: readonly Sample[]): TierStatus {
  const own = times.filter((sample) => sample.labels['tier'] === tier);
  const requests = own.find((sample) => sample.metricName?.endsWith('_count') === true)?.value ?? 0;
  const failed = failures.find((sample) => sample.labels['tier'] === tier)?.value ?? 0;
  const within = own.find(
    (sample) => sample.metricName?.endsWith('_bucket') === true && sample.value >= requests * 0.99,
  );
  return {
    tier,
    requests,
    availability: requests === 0 ? null : 1 - failed / requests,
    p99Seconds: requests === 0 ? null : Number(within?.labels['le']),
    objective: TIER_OBJECTIVES[tier],
  };
}

import type { Tier } from '#schema/tenant-context.ts';

/** What is counted, and how events of a period become one quantity: added up, or the highest value that was reported. */
export const METRICS = {
  seats: { aggregation: 'max', decimals: 0, label: 'Seats', unit: 'seat' },
  tokens_used: { aggregation: 'sum', decimals: 12, label: 'Tokens', unit: 'token' },
} as const satisfies Record<string, Metric>;

/** One row of the metrics. */
export interface Metric {
  readonly aggregation: 'sum' | 'max';
  /** How many decimals a reported value may have. */
  readonly decimals: number;
  /** What an invoice calls it. */
  readonly label: string;
  /** What an invoice calls one of it. */
  readonly unit: string;
}

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** A step of a graduated price: what lies above the step before and not above `upTo` costs `unit` each. */
export interface PriceTier {
  /** Null for the last step, which has no end. */
  readonly upTo: string | null;
  /** Decimal text, in major units of the plan's currency. */
  readonly unit: string;
}

/** The price of a metric: the same for each, or by steps. */
export type PriceRule =
  | { readonly metric: MetricName; readonly flat: string }
  | { readonly metric: MetricName; readonly tiered: readonly PriceTier[] };

/** A price plan. A published one never changes; other prices are a new version. */
export interface PricePlan {
  readonly name: string;
  readonly version: number;
  /** ISO 4217 code, and the decimals of its minor unit. */
  readonly currency: { readonly code: string; readonly exponent: number };
  /** How a line is rounded to minor units: half away from zero, which is what a merchant's customer expects. */
  readonly rounding: 'half_up';
  /** At most one rule a metric. */
  readonly rules: readonly PriceRule[];
}

const USD = { code: 'USD', exponent: 2 } as const;

/** Every plan that was ever published, with its versions in rising order. */
export const PLANS: readonly PricePlan[] = [
  {
    name: 'free',
    version: 1,
    currency: USD,
    rounding: 'half_up',
    rules: [
      { metric: 'seats', flat: '0' },
      { metric: 'tokens_used', flat: '0' },
    ],
  },
  {
    name: 'growth',
    version: 1,
    currency: USD,
    rounding: 'half_up',
    rules: [
      { metric: 'seats', flat: '12.00' },
      {
        metric: 'tokens_used',
        tiered: [
          { upTo: '1000000', unit: '0' },
          { upTo: '10000000', unit: '0.000004' },
          { upTo: null, unit: '0.0000035' },
        ],
      },
    ],
  },
];

/** The plan a tenant of a tier is put on. */
export const PLAN_OF_TIER = {
  FREE: 'free',
  GROWTH: 'growth',
  ENTERPRISE: 'growth',
  ENTERPRISE_PLUS: 'growth',
} as const satisfies Record<Tier, string>;

/** True for the name of a metric that a plan may price. */
export function isMetric(name: string): name is MetricName {
  return Object.hasOwn(METRICS, name);
}

/** Returns a published plan; without a version its newest. A plan that was never published is a fault of ours. */
export function findPlan(name: string, version?: number): PricePlan {
  const plan = PLANS.findLast((known) => known.name === name && (version === undefined || known.version === version));
  if (plan === undefined) throw new Error(`price plan ${name} version ${version ?? 'newest'} was never published`);
  return plan;
}

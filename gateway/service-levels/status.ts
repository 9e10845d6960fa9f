import type { Databases } from '#kit/database.ts';
import { quantileSeconds } from '#schema/latency-histogram.ts';
import {
  availabilityOf,
  burnRates,
  isMet,
  NO_REQUESTS,
  OBJECTIVES,
  type BurnRate,
  type ServiceObjective,
} from '#schema/service-levels.ts';
import { TIERS, type Tier } from '#schema/tenant-context.ts';
import { readFigures, type Span, type SpanFigures, type TierFigures } from './level-reader.ts';

/** What a tier got in a span of time; shares and times are null where there was no request. */
export interface SpanStatus {
  readonly requests: number;
  readonly availability: number | null;
  readonly p50Seconds: number | null;
  readonly p95Seconds: number | null;
  readonly p99Seconds: number | null;
  /** Whether the objective was kept; true where there was no request. */
  readonly met: boolean;
}

/** What a tier was promised and what it got, from all gateways. */
export interface TierStatus {
  readonly tier: Tier;
  /** `burning` while a burn-rate alert fires. */
  readonly state: 'ok' | 'burning';
  readonly objective: ServiceObjective;
  readonly spans: Readonly<Record<Span, SpanStatus>>;
  readonly burnRates: readonly BurnRate[];
}

/** The status of the platform. */
export interface PlatformStatus {
  readonly asOf: string;
  readonly tiers: readonly TierStatus[];
  /** Cells whose figures are missing, since they do not answer. */
  readonly away: readonly string[];
}

/** Reads the status of every tier from the tables of all cells. */
export async function readStatus(databases: Databases, now: Date): Promise<PlatformStatus> {
  const { tiers, away } = await readFigures(databases, now);
  return { asOf: now.toISOString(), tiers: TIERS.map((tier) => tierStatus(tier, tiers.get(tier))), away };
}

function tierStatus(tier: Tier, figures: TierFigures | undefined): TierStatus {
  const objective = OBJECTIVES[tier];
  const rates = burnRates(figures?.windows ?? new Map(), objective);
  const span = (name: Span) => spanStatus(figures?.spans.get(name) ?? { ...NO_REQUESTS, buckets: [] }, objective);
  return {
    tier,
    state: rates.some(({ firing }) => firing) ? 'burning' : 'ok',
    objective,
    spans: { lastHour: span('lastHour'), lastDay: span('lastDay'), last30Days: span('last30Days') },
    burnRates: rates,
  };
}

function spanStatus(figures: SpanFigures, objective: ServiceObjective): SpanStatus {
  return {
    requests: figures.requests,
    availability: availabilityOf(figures),
    p50Seconds: rounded(quantileSeconds(figures.buckets, 0.5)),
    p95Seconds: rounded(quantileSeconds(figures.buckets, 0.95)),
    p99Seconds: rounded(quantileSeconds(figures.buckets, 0.99)),
    met: isMet(figures, objective),
  };
}

/** A tenth of a millisecond; the histogram knows no more. */
function rounded(seconds: number | null): number | null {
  return seconds === null ? null : Math.round(seconds * 10_000) / 10_000;
}

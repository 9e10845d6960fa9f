import { idOf } from './ids.ts';
import type { Tier } from './tenant-context.ts';

/** What a tier was promised. */
export interface ServiceObjective {
  /** 99 of 100 requests are answered within so many seconds. */
  readonly p99Seconds: number;
  /** Share of requests that do not fail inside. */
  readonly availability: number;
}

/** The promise to each tier; alerts, status page and a tenant's own figures are all measured against it. */
export const OBJECTIVES: Readonly<Record<Tier, ServiceObjective>> = {
  FREE: { p99Seconds: 1.5, availability: 0.995 },
  GROWTH: { p99Seconds: 0.5, availability: 0.999 },
  ENTERPRISE: { p99Seconds: 0.25, availability: 0.9995 },
  ENTERPRISE_PLUS: { p99Seconds: 0.25, availability: 0.9999 },
};

/** Share of requests that have to be within `p99Seconds`. */
export const LATENCY_SHARE = 0.99;

/**
 * What became of some requests. Counted are those that were carried out: a request refused for the caller's own sake
 * (status 4xx, a used-up budget among them) is neither good nor bad, so that cheap refusals embellish nothing.
 */
export interface LevelCounts {
  readonly requests: number;
  /** Failed inside, whatever the HTTP status says. */
  readonly failures: number;
  /** Took longer than the tier's `p99Seconds`. */
  readonly slow: number;
}

/** Nothing happened. */
export const NO_REQUESTS: LevelCounts = { requests: 0, failures: 0, slow: 0 };

/**
 * Owner of the figures that the platform keeps of itself in each cell, under row security like everything else. No tenant
 * can have this id: tenants get a UUIDv7 of their day, and this one is of the first millisecond of 1970.
 */
export const PLATFORM_ID = idOf('tnt', '00000000-0000-7000-8000-000000000000');

/** Returns the sum of two counts. */
export function addCounts(left: LevelCounts, right: LevelCounts): LevelCounts {
  return {
    requests: left.requests + right.requests,
    failures: left.failures + right.failures,
    slow: left.slow + right.slow,
  };
}

/** Returns the share of requests that did not fail; null where there was none. */
export function availabilityOf({ requests, failures }: LevelCounts): number | null {
  return requests === 0 ? null : 1 - failures / requests;
}

/** Tells whether the counts keep the objective; exact for the latency too, since slow requests are counted one by one. */
export function isMet(counts: LevelCounts, objective: ServiceObjective): boolean {
  return INDICATORS.every((indicator) => badShare(counts, indicator) <= errorBudget(indicator, objective));
}

/** What is measured. */
export const INDICATORS = ['availability', 'latency'] as const;
/** One of them. */
export type Indicator = (typeof INDICATORS)[number];

/**
 * An alert on the speed at which the error budget of 30 days burns: it fires while both windows burn faster than `factor`
 * times the speed that would just use it up. The short window ends it soon after the trouble has ended.
 */
export interface BurnAlert {
  /** Somebody is woken, or somebody reads it the next day. */
  readonly severity: 'page' | 'ticket';
  readonly factor: number;
  readonly longMinutes: number;
  readonly shortMinutes: number;
}

/** Multi-window, multi-burn-rate alerts as in the Site Reliability Workbook (Google, chapter 5, table 5-8). */
export const BURN_ALERTS: readonly BurnAlert[] = [
  { severity: 'page', factor: 14.4, longMinutes: 60, shortMinutes: 5 },
  { severity: 'page', factor: 6, longMinutes: 360, shortMinutes: 30 },
  { severity: 'ticket', factor: 3, longMinutes: 1_440, shortMinutes: 120 },
  { severity: 'ticket', factor: 1, longMinutes: 4_320, shortMinutes: 360 },
];

/** Every window that an alert looks at, in minutes, shortest first. */
export const BURN_WINDOWS: readonly number[] = [
  ...new Set(BURN_ALERTS.flatMap(({ shortMinutes, longMinutes }) => [shortMinutes, longMinutes])),
].toSorted((left, right) => left - right);

/** An alert with what was measured. */
export interface BurnRate extends BurnAlert {
  readonly indicator: Indicator;
  /** Speeds in multiples of the one that just uses up the budget; 0 without requests. */
  readonly longRate: number;
  readonly shortRate: number;
  readonly firing: boolean;
}

/** Returns every alert of both indicators for counts by window (minutes); a window that is missing had no requests. */
export function burnRates(windows: ReadonlyMap<number, LevelCounts>, objective: ServiceObjective): BurnRate[] {
  const rateOf = (minutes: number, indicator: Indicator) =>
    badShare(windows.get(minutes) ?? NO_REQUESTS, indicator) / errorBudget(indicator, objective);
  return INDICATORS.flatMap((indicator) =>
    BURN_ALERTS.map((alert) => {
      const longRate = rateOf(alert.longMinutes, indicator);
      const shortRate = rateOf(alert.shortMinutes, indicator);
      const firing = longRate > alert.factor && shortRate > alert.factor;
      return Object.assign({ indicator, longRate, shortRate, firing }, alert);
    }),
  );
}

/** Returns the share of requests that may be bad. */
export function errorBudget(indicator: Indicator, { availability }: ServiceObjective): number {
  // Floating point makes 1 - 0.9999 a little more than it is.
  return Number((1 - (indicator === 'availability' ? availability : LATENCY_SHARE)).toFixed(9));
}

function badShare({ requests, failures, slow }: LevelCounts, indicator: Indicator): number {
  return requests === 0 ? 0 : (indicator === 'availability' ? failures : slow) / requests;
}

import { inTenantOnce } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { quantileSeconds } from '#schema/latency-histogram.ts';
import { availabilityOf, isMet, OBJECTIVES } from '#schema/service-levels.ts';
import type { Tier } from '#schema/tenant-context.ts';
import type { ServiceLevel } from './service-level.ts';

/** A month of 31 days: what one answer may hold. */
const MOST_HOURS = 744;
const HOUR_MS = 3_600_000;

/** `bigint` arrives as text. */
interface LevelRow {
  readonly hour: Date;
  readonly tier: Tier;
  readonly requests: string;
  readonly failures: string;
  readonly slow: string;
  readonly buckets: readonly number[];
}

/**
 * Returns what the caller's tenant got in each of the last hours that had requests, newest first: the hour that runs and
 * those before it. Fewer than 1 or more than 744 hours are BAD_USER_INPUT.
 */
export async function findServiceLevels(ctx: RequestContext, hours: number): Promise<ServiceLevel[]> {
  if (hours < 1 || hours > MOST_HOURS) {
    fail('BAD_USER_INPUT', 'no such span of hours', { hint: `hours takes 1 to ${MOST_HOURS}.` });
  }
  const since = new Date(ctx.clock().getTime() - hours * HOUR_MS);
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<LevelRow>(
      `select hour, tier, requests, failures, slow, buckets from service_levels
        where hour > $1 and requests > 0 order by hour desc limit $2`,
      [since, hours],
    ),
  );
  return rows.map(serviceLevel);
}

function serviceLevel({ hour, tier, buckets, ...row }: LevelRow): ServiceLevel {
  const counts = { requests: Number(row.requests), failures: Number(row.failures), slow: Number(row.slow) };
  const objective = OBJECTIVES[tier];
  return {
    hour,
    requests: counts.requests,
    availability: availabilityOf(counts) ?? 1,
    p50Ms: quantileMs(buckets, 0.5),
    p95Ms: quantileMs(buckets, 0.95),
    p99Ms: quantileMs(buckets, 0.99),
    objective: { p99Ms: objective.p99Seconds * 1000, availability: objective.availability },
    met: isMet(counts, objective),
  };
}

/** To a tenth, since the histogram knows no more. */
function quantileMs(buckets: readonly number[], quantile: number): number {
  return Math.round((quantileSeconds(buckets, quantile) ?? 0) * 10_000) / 10;
}

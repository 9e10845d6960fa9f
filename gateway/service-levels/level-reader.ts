import { inTenant, type Databases } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { addBuckets } from '#schema/latency-histogram.ts';
import { addCounts, BURN_WINDOWS, NO_REQUESTS, PLATFORM_ID, type LevelCounts } from '#schema/service-levels.ts';
import type { Tier } from '#schema/tenant-context.ts';
import { platformContext } from './platform-context.ts';

/** The spans that the status page shows. */
export const SPANS = ['lastHour', 'lastDay', 'last30Days'] as const;
/** One of them. */
export type Span = (typeof SPANS)[number];

/** Counts of a span with the histogram of their latency. */
export interface SpanFigures extends LevelCounts {
  readonly buckets: readonly number[];
}

/** What all gateways served to a tier, over all cells that answer. */
export interface TierFigures {
  readonly spans: ReadonlyMap<Span, SpanFigures>;
  /** By minutes, as `burnRates` takes them. */
  readonly windows: ReadonlyMap<number, LevelCounts>;
}

/** Figures of every tier that was served, and the cells that did not tell. */
export interface PlatformFigures {
  readonly tiers: ReadonlyMap<Tier, TierFigures>;
  readonly away: readonly string[];
}

/** Reads the figures of the tiers from every cell at once; a cell that does not answer is named, not awaited for ever. */
export async function readFigures(databases: Databases, now: Date): Promise<PlatformFigures> {
  const answers = await Promise.all(
    databases.cells.map(({ name }) => readCell(databases, name, now).catch((error: unknown) => refused(name, error))),
  );
  const away = answers.filter((answer) => typeof answer === 'string');
  const tiers = new Map<Tier, { spans: Map<Span, SpanFigures>; windows: Map<number, LevelCounts> }>();
  const of = (tier: Tier) => {
    const known = tiers.get(tier) ?? { spans: new Map(), windows: new Map() };
    tiers.set(tier, known);
    return known;
  };
  for (const answer of answers.filter((found) => typeof found !== 'string')) {
    for (const row of answer.windows) {
      const { windows } = of(row.tier);
      windows.set(row.minutes, addCounts(windows.get(row.minutes) ?? NO_REQUESTS, countsOf(row)));
    }
    for (const row of answer.spans) {
      const { spans } = of(row.tier);
      const known = spans.get(row.span) ?? { ...NO_REQUESTS, buckets: [] };
      const buckets = addBuckets(known.buckets, row.buckets.map(Number));
      spans.set(row.span, { ...addCounts(known, countsOf(row)), buckets });
    }
  }
  return { tiers, away };
}

/** `bigint` and `numeric` arrive as text. */
interface CountRow {
  readonly tier: Tier;
  readonly requests: string;
  readonly failures: string;
  readonly slow: string;
}
type WindowRow = CountRow & { readonly minutes: number };
type SpanRow = CountRow & { readonly span: Span; readonly buckets: readonly string[] };

/** A window holds its last full five minutes and those that run, so that it never starts empty. */
const WINDOWS_SQL = `
select w.minutes, t.tier, sum(t.requests) as requests, sum(t.failures) as failures, sum(t.slow) as slow
  from unnest($1::integer[]) as w (minutes)
  join tier_service_levels t on t.minutes = 5 and t.starts_at >= $2::timestamptz - make_interval(mins => w.minutes)
 group by 1, 2`;

/** A day is its hours, 30 days are their days: what runs now, and what began since. */
const SPANS_SQL = `
with rows as (
  select 'lastHour' as span, tier, requests, failures, slow, buckets from tier_service_levels
   where minutes = 5 and starts_at >= $1::timestamptz - interval '1 hour'
  union all
  select 'lastDay', tier, requests, failures, slow, buckets from tier_service_levels
   where minutes = 60 and starts_at >= $1::timestamptz - interval '1 day'
  union all
  select 'last30Days', tier, requests, failures, slow, buckets from tier_service_levels
   where minutes = 1440 and starts_at >= $1::timestamptz - interval '30 days'
), bars as (
  select span, tier, place, sum(count) as count from rows, unnest(buckets) with ordinality as b (count, place)
   group by 1, 2, 3
)
select span, tier, sum(requests) as requests, sum(failures) as failures, sum(slow) as slow,
       coalesce((select array_agg(b.count::text order by place) from bars b where b.span = r.span and b.tier = r.tier), '{}') as buckets
  from rows r group by 1, 2`;

async function readCell(databases: Databases, cell: string, now: Date) {
  const tenant = platformContext(databases, { tenant: PLATFORM_ID, cell, tier: 'FREE' });
  const start = new Date(now.getTime() - (now.getTime() % 300_000));
  return inTenant({ tenant, databases }, async (tx) => {
    const [windows, spans] = await Promise.all([
      tx.query<WindowRow>(WINDOWS_SQL, [BURN_WINDOWS, start]),
      tx.query<SpanRow>(SPANS_SQL, [start]),
    ]);
    return { windows, spans };
  });
}

function countsOf({ requests, failures, slow }: CountRow): LevelCounts {
  return { requests: Number(requests), failures: Number(failures), slow: Number(slow) };
}

function refused(cell: string, error: unknown): string {
  log('warn', 'a cell did not tell its service levels', { cell, code: asTenonError(error).code });
  return cell;
}

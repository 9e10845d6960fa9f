import { inTenantOnce, type Databases } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { asTenonError } from '#schema/errors.ts';
import { trimBuckets } from '#schema/latency-histogram.ts';
import type { CellTallies, LevelCounter, Tally } from './level-counter.ts';
import { platformContext } from './platform-context.ts';

/** What became of the tallies of one flush. */
export interface FlushReport {
  readonly stored: number;
  /** Kept for the next flush: their cell is away, or the time was up. */
  readonly kept: number;
  /** Given up: their tenant is gone, or nobody took them for a day. */
  readonly dropped: number;
}

/** How much a flush may do. */
export interface FlushLimits {
  /** Tallies of tenants in each cell; those of the tiers are few and always go. */
  readonly tenants: number;
  /** No statement begins after this time. */
  readonly timeMs: number;
}

/** What a writer stands on. */
export interface LevelWriterParts {
  readonly databases: Databases;
  readonly counter: LevelCounter;
}

/** Statements at once in a cell: a few of its pool's connections, so that requests find the others. */
const WRITERS = 3;
/** A tally that no cell has taken for so long is given up. */
const OLDEST_MS = 24 * 3_600_000;

/**
 * Adds what was counted to the rows in the tenants' cells, under each tenant's own context; several gateways add up. A
 * statement that failed is tried again at the next flush, so one whose commit was answered by a broken connection counts
 * twice, and a process that is killed loses what it had not flushed: a minute at most, either way.
 */
export async function flushLevels(
  { databases, counter }: LevelWriterParts,
  limits: FlushLimits & { readonly nowMs: number },
): Promise<FlushReport> {
  const endMs = performance.now() + limits.timeMs;
  const reports = await Promise.all(
    counter.cells().map((tallies) => flushCell(databases, tallies, { ...limits, endMs })),
  );
  return {
    stored: sumOf(reports, 'stored'),
    kept: sumOf(reports, 'kept'),
    dropped: sumOf(reports, 'dropped'),
  };
}

type CellLimits = FlushLimits & { readonly nowMs: number; readonly endMs: number };

async function flushCell(databases: Databases, tallies: CellTallies, limits: CellLimits): Promise<FlushReport> {
  const { cell, tenants, tiers } = tallies;
  const report = { stored: 0, kept: 0, dropped: 0 };
  const queue = [
    ...tiers.take(Infinity).map((tally) => ({ tally, from: tiers, statement: tierStatement })),
    ...tenants.take(limits.tenants).map((tally) => ({ tally, from: tenants, statement: tenantStatement })),
  ];
  const away = new Set<string>();
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { tally, from, statement } = next;
      const late = away.has(tally.store) || performance.now() > limits.endMs;
      const fate = late ? 'kept' : await store(databases, tally, statement(tally));
      const tooOld = fate === 'kept' && limits.nowMs - tally.startMs > OLDEST_MS;
      if (fate === 'kept') away.add(tally.store);
      if (fate === 'kept' && !tooOld) from.putBack(tally);
      report[tooOld ? 'dropped' : fate] += 1;
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
  if (report.kept + report.dropped > 0) log('warn', 'service levels were not stored', { cell, ...report });
  return report;
}

function sumOf(reports: readonly FlushReport[], figure: keyof FlushReport): number {
  return reports.reduce((sum, report) => sum + report[figure], 0);
}

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

async function store(databases: Databases, tally: Tally, { text, values }: Statement): Promise<keyof FlushReport> {
  try {
    await inTenantOnce({ tenant: platformContext(databases, { ...tally, tenant: tally.owner }), databases }, (tx) =>
      tx.query(text, values),
    );
    return 'stored';
  } catch (error) {
    const { code, message } = asTenonError(error);
    // The foreign key finds no tenant in the cell: she has left it.
    if (code === 'CONFLICT') return 'dropped';
    if (code !== 'SERVICE_UNAVAILABLE') log('warn', 'a service level was refused', { code, message });
    // What the table itself refuses it will refuse again.
    return code === 'BAD_USER_INPUT' ? 'dropped' : 'kept';
  }
}

/** The sums of the stored row and the new one; `integer` holds more requests than a bucket gets in an hour, and stays full beyond that. */
const ADDED = (table: string) => `
  tier = excluded.tier,
  requests = ${table}.requests + excluded.requests,
  failures = ${table}.failures + excluded.failures,
  slow = ${table}.slow + excluded.slow,
  buckets = (
    select coalesce(array_agg(least(coalesce(a, 0)::bigint + coalesce(b, 0), 2147483647)::integer order by place), '{}')
      from unnest(${table}.buckets, excluded.buckets) with ordinality as pairs (a, b, place))`;

/** Rows older than 13 months go with the tenant's next ones, two days of them at a time. */
const TENANT_SQL = `
with expired as (
  delete from service_levels where hour in (
    select hour from service_levels where hour < $1::timestamptz - interval '13 months' order by hour limit 48))
insert into service_levels (hour, tier, requests, failures, slow, buckets) values ($1, $2, $3, $4, $5, $6)
on conflict (tenant_id, hour) do update set ${ADDED('service_levels')}`;

/** The alerts look back three days over windows of five minutes; those of a day are kept as long as a tenant's rows. */
const TIER_SQL = `
with expired as (
  delete from tier_service_levels where (minutes, starts_at, tier) in (
    select minutes, starts_at, tier from tier_service_levels
     where (minutes = 5 and starts_at < $2::timestamptz - interval '4 days')
        or (minutes = 60 and starts_at < $2::timestamptz - interval '40 days')
        or (minutes = 1440 and starts_at < $3::timestamptz - interval '13 months')
     limit 200))
insert into tier_service_levels (minutes, starts_at, tier, requests, failures, slow, buckets)
values (5, $1, $4, $5, $6, $7, $8), (60, $2, $4, $5, $6, $7, $8), (1440, $3, $4, $5, $6, $7, $8)
on conflict (tenant_id, minutes, starts_at, tier) do update set ${ADDED('tier_service_levels')}`;

function tenantStatement(tally: Tally): Statement {
  return { text: TENANT_SQL, values: [new Date(tally.startMs), ...figuresOf(tally)] };
}

function tierStatement(tally: Tally): Statement {
  const starts = [300_000, 3_600_000, 86_400_000].map((spanMs) => new Date(tally.startMs - (tally.startMs % spanMs)));
  return { text: TIER_SQL, values: [...starts, ...figuresOf(tally)] };
}

function figuresOf({ tier, requests, failures, slow, buckets }: Tally): unknown[] {
  return [tier, requests, failures, slow, trimBuckets(buckets)];
}

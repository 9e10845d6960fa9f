import { setTimeout as sleep } from 'node:timers/promises';
import { uuidv7 } from '#schema/ids.ts';
import type { BenchmarkOptions, FigureTable, Latencies } from './benchmark.ts';
import { openAuditPlatform, type AuditPlatform } from './audit-platform.ts';
import type { WorkerProgress } from './audit-worker.ts';

/** How much there is for the worker. */
export interface LiveLoad {
  readonly tenants: number;
  /** Committed before the worker starts. */
  readonly eventsPerTenant: number;
  /** Of each tenant, while it works, one mutation's transaction after the other. */
  readonly rounds: number;
  readonly eventsPerTransaction: number;
}

/** What came of it. */
export interface LiveFindings {
  readonly figures: FigureTable;
  readonly latencies: readonly Latencies[];
  /** Of the events that were committed before: from the start of the worker until the last of them was sealed. */
  readonly drainedPerSecond: number;
  /** From a commit to a platform checkpoint in the archive at p95; NaN where none held all of the events in time. */
  readonly toPlatformMs: number;
}

const POLL_MS = 100;
/** Four beats of the platform log. */
const PLATFORM_WAIT_MS = 120_000;

/**
 * Lets a worker take what was committed before, then what is written as fast as the machine can while it works; writers,
 * worker with its platform log, and PostgreSQL share the machine. The latencies are of the latter events, from what the
 * database says of each afterwards.
 */
export async function measureLive(load: LiveLoad, options: BenchmarkOptions): Promise<LiveFindings> {
  const platform = await openAuditPlatform(load.tenants, options);
  try {
    return await run(platform, load, options);
  } finally {
    await platform.close();
  }
}

async function run(platform: AuditPlatform, load: LiveLoad, options: BenchmarkOptions): Promise<LiveFindings> {
  const { tenants, eventsPerTenant, rounds, eventsPerTransaction } = load;
  const waiting = tenants * eventsPerTenant;
  const more = tenants * rounds * eventsPerTransaction;
  options.say(`audit: writing ${waiting} events of ${tenants} tenants`);
  await platform.write({ rounds: 1, eventsPerTransaction: eventsPerTenant, callers: 8, isBulk: true });
  options.say('audit: a worker takes them');
  const worker = await platform.startWorker();
  const drained = await measured(platform, worker, { name: 'committed before', count: waiting, sum: waiting });
  options.say(`audit: it takes ${more} more while they are written`);
  const first = uuidv7();
  const write = () => platform.write({ rounds, eventsPerTransaction, callers: 8 });
  const live = await measured(platform, worker, { name: 'written meanwhile', count: more, sum: waiting + more, write });
  options.say('audit: waiting for the platform checkpoint');
  await untilInPlatformLog(platform, waiting + more);
  await worker.stop();
  const toPlatform = await platformLatencies(platform, first);
  return {
    figures: {
      name: `${tenants} tenants, from commit to sealed, by the clock: ${waiting} events that wait, then ${more} that come, ${eventsPerTransaction} a transaction`,
      columns: ['sealed /s', 'written /s', 'writer us', 'worker us', 'PostgreSQL us', 'segments', 'worker MB'],
      rows: [drained.row, live.row],
    },
    latencies: [await sealLatencies(platform, first), toPlatform],
    drainedPerSecond: drained.perSecond,
    toPlatformMs: toPlatform.count === more ? toPlatform.p95Ms : Number.NaN,
  };
}

interface Stretch {
  readonly name: string;
  /** Events of this stretch, and of all so far. */
  readonly count: number;
  readonly sum: number;
  readonly write?: () => Promise<{ readonly cpuMs: number; readonly elapsedMs: number }>;
}

interface Running {
  progress(): Promise<WorkerProgress>;
}

async function measured(platform: AuditPlatform, worker: Running, { name, count, sum, write }: Stretch) {
  const before = { database: platform.stores.databaseCpuMs(), worker: await worker.progress() };
  const startedMs = performance.now();
  const written = await write?.();
  const sealed = await untilSealed(platform, worker, sum);
  const perSecond = count / ((performance.now() - startedMs) / 1000);
  const database = platform.stores.databaseCpuMs();
  const each = (ms: number): number => (ms * 1000) / count;
  const values = [
    perSecond,
    written === undefined ? null : count / (written.elapsedMs / 1000),
    written === undefined ? null : each(written.cpuMs),
    each(sealed.cpuMs - before.worker.cpuMs),
    database === null || before.database === null ? null : each(database - before.database),
    sealed.segmentsSealed - before.worker.segmentsSealed,
    sealed.residentMb,
  ];
  return { perSecond, row: { name, values } };
}

async function untilSealed({ audit }: AuditPlatform, worker: Running, count: number): Promise<WorkerProgress> {
  for (;;) {
    const { rows } = await audit.query<{ sealed: string }>(
      'select coalesce(sum(sealed_size), 0) as sealed from log_heads',
    );
    if (Number(rows[0]?.sealed) >= count) return worker.progress();
    if ((await worker.progress()).alarms > 0) throw new Error('a log shows an alarm');
    await sleep(POLL_MS);
  }
}

async function untilInPlatformLog(platform: AuditPlatform, count: number): Promise<void> {
  const giveUpMs = performance.now() + PLATFORM_WAIT_MS;
  while (performance.now() < giveUpMs) {
    const { rows } = await platform.audit.query<{ held: string }>(
      `select coalesce(sum(size), 0) as held from (
         select distinct on (h.owner) h.size from platform_heads h join platform_ticks t using (epoch, tick)
         where t.state = 'archived' order by h.owner, h.tick desc) newest`,
    );
    if (Number(rows[0]?.held) >= count) return;
    await sleep(POLL_MS * 10);
  }
}

/** An event's id holds when it was made, moments before its commit. */
const MADE_MS = `('x' || left(replace(e.event_id::text, '-', ''), 12))::bit(48)::bigint`;

async function sealLatencies({ audit }: AuditPlatform, first: string): Promise<Latencies> {
  return latenciesOf(audit, {
    name: 'made until sealed',
    first,
    source: `select extract(epoch from s.sealed_at) * 1000 - ${MADE_MS} as ms
      from segments s join log_entries e on e.tenant_id = s.tenant_id and e.epoch = s.epoch
        and e.seq >= s.first_seq and e.seq < s.first_seq + s.count
      where s.state = 'sealed' and e.event_id >= $1`,
  });
}

async function platformLatencies({ audit }: AuditPlatform, first: string): Promise<Latencies> {
  return latenciesOf(audit, {
    name: 'made until in a platform checkpoint in the archive',
    first,
    source: `select extract(epoch from tick.archived_at) * 1000 - ${MADE_MS} as ms
      from log_entries e cross join lateral (
        select t.archived_at from platform_heads h join platform_ticks t using (epoch, tick)
        where h.owner = e.tenant_id and h.log_epoch = e.epoch and h.size > e.seq and t.state = 'archived'
        order by h.tick limit 1) tick
      where e.event_id >= $1`,
  });
}

async function latenciesOf(
  audit: AuditPlatform['audit'],
  { name, first, source }: { name: string; first: string; source: string },
): Promise<Latencies> {
  const { rows } = await audit.query<{ count: string; p: number[] | null }>(
    `select count(*) as count, percentile_disc(array[0.5, 0.95, 0.99, 1]) within group (order by ms::float8) as p
     from (${source}) each`,
    [first],
  );
  const [p50Ms = Number.NaN, p95Ms = Number.NaN, p99Ms = Number.NaN, mostMs = Number.NaN] = rows[0]?.p ?? [];
  return { name, count: Number(rows[0]?.count ?? 0), p50Ms, p95Ms, p99Ms, mostMs };
}

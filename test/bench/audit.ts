import { cpus } from 'node:os';
import { measureAddedLatency } from './audit-latency.ts';
import { measureLive } from './audit-live.ts';
import { openAuditPlatform, type AuditPlatform } from './audit-platform.ts';
import type { Bar, Benchmark, BenchmarkOptions, Case, FigureTable, Findings } from './benchmark.ts';

/** What an audit event costs, from the transaction that writes it to its sealed segment in the archive. */
export const audit: Benchmark = {
  name: 'audit',
  asks: 'what does an audit event cost from commit to its sealed segment, with 10, 1,000 and 10,000 tenants?',
  run,
};

const TARGET_PER_SECOND = 10_000;
const MOST_TO_PLATFORM_MS = 60_000;
const MOST_ADDED_LATENCY = 1.1;
/** What a figure of CPU on a machine that others use may differ by, and still count as flat. */
const FLAT = 1.25;
/** Events of one tenant in one segment, the same at every number of tenants. */
const EVENTS_PER_SEGMENT = Number(process.env['AUDIT_SEGMENT'] ?? 100);
const LEAST_EVENTS = 500 * EVENTS_PER_SEGMENT;
const LIVE_TENANTS = 1_000;
/** Half a minute at the rate that is promised: half of what may pass until the platform checkpoint. */
const BACKLOG = { eventsPerTenant: 300 };
const LIVE = { rounds: 2, eventsPerTransaction: 10 };
/** Transactions as mutations write them: of few tenants, whose keys are known, with ten events and with one. */
const SAMPLE = { tenants: 50, events: 4_000, callers: 8 };

interface Phases {
  readonly tenants: number;
  /** Microseconds of CPU an event, of the process and of PostgreSQL. */
  readonly writingTen: Cost;
  readonly writingOne: Cost;
  readonly sequencing: Cost;
  readonly sealing: Cost;
}

interface Cost {
  readonly processUs: number;
  readonly databaseUs: number | null;
}

async function run(options: BenchmarkOptions): Promise<Findings> {
  const sizes = (process.env['AUDIT_TENANTS'] ?? '10,1000,10000').split(',').map(Number);
  const phases: Phases[] = [];
  for (const tenants of sizes) phases.push(await measurePhases(tenants, options));
  const live = await measureLive({ tenants: LIVE_TENANTS, ...BACKLOG, ...LIVE }, options);
  const mutations = await measureAddedLatency(options);
  return {
    cases: mutations,
    figures: [phaseTable(phases), live.figures],
    latencies: live.latencies,
    bar: barOf([
      TARGET_PER_SECOND / live.drainedPerSecond,
      live.toPlatformMs / MOST_TO_PLATFORM_MS,
      latencyRatio(mutations) / MOST_ADDED_LATENCY,
      flatness(phases) / FLAT,
    ]),
  };
}

async function measurePhases(tenants: number, options: BenchmarkOptions): Promise<Phases> {
  options.say(`audit: ${tenants} tenants, one phase after the other`);
  const platform = await openAuditPlatform(tenants, options);
  try {
    const rounds = Math.max(1, Math.ceil(LEAST_EVENTS / (tenants * EVENTS_PER_SEGMENT)));
    const all: Pick<Phases, 'sequencing' | 'sealing'>[] = [];
    // What is made once a connection is made in a round that counts for nothing; many tenants are many repetitions anyway.
    if (tenants <= LIVE_TENANTS) await oneRound(platform, tenants);
    for (let round = 0; round < rounds; round++) all.push(await oneRound(platform, tenants));
    return {
      tenants,
      writingTen: await writingCost(platform, 10),
      writingOne: await writingCost(platform, 1),
      sequencing: meanOf(all.map(({ sequencing }) => sequencing)),
      sealing: meanOf(all.map(({ sealing }) => sealing)),
    };
  } finally {
    await platform.close();
  }
}

function meanOf(costs: readonly Cost[]): Cost {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const database = costs.flatMap(({ databaseUs }) => databaseUs ?? []);
  return {
    processUs: mean(costs.map(({ processUs }) => processUs)),
    databaseUs: database.length < costs.length ? null : mean(database),
  };
}

/** The first transactions of each tenant make and learn the keys, and count for nothing. */
async function writingCost(platform: AuditPlatform, eventsPerTransaction: number): Promise<Cost> {
  const { events, callers } = SAMPLE;
  const tenants = Math.min(SAMPLE.tenants, platform.tenants.length);
  await platform.write({ tenants, callers, rounds: 2, eventsPerTransaction: 1 });
  const rounds = Math.ceil(events / (tenants * eventsPerTransaction));
  let processUs = 0;
  const count = tenants * rounds * eventsPerTransaction;
  const cost = await costOf(platform, count, async () => {
    processUs = ((await platform.write({ tenants, callers, rounds, eventsPerTransaction })).cpuMs * 1000) / count;
  });
  return { ...cost, processUs };
}

async function oneRound(platform: AuditPlatform, tenants: number): Promise<Pick<Phases, 'sequencing' | 'sealing'>> {
  const count = tenants * EVENTS_PER_SEGMENT;
  await platform.write({ rounds: 1, eventsPerTransaction: EVENTS_PER_SEGMENT, callers: 8, isBulk: true });
  const sequencing = await costOf(platform, count, async () => {
    if ((await platform.sequence(count)) !== count) throw new Error('not every event came into its log');
  });
  const sealing = await costOf(platform, count, async () => {
    if ((await platform.seal()) !== tenants) throw new Error('not every log has one segment more');
  });
  return { sequencing, sealing };
}

async function costOf({ stores }: AuditPlatform, count: number, work: () => Promise<void>): Promise<Cost> {
  const before = { process: process.cpuUsage(), database: stores.databaseCpuMs() };
  await work();
  const { user, system } = process.cpuUsage(before.process);
  const database = stores.databaseCpuMs();
  const databaseMs = database === null || before.database === null ? null : database - before.database;
  return { processUs: (user + system) / count, databaseUs: databaseMs === null ? null : (databaseMs * 1000) / count };
}

function phaseTable(phases: readonly Phases[]): FigureTable {
  return {
    name: `microseconds of CPU an event, segments of ${EVENTS_PER_SEGMENT} events, one phase after the other`,
    columns: [
      ...['10 a transaction', 'one a transaction', 'sequencing', 'sealing'].flatMap((name) => [name, 'PostgreSQL']),
      'commit to sealed',
      `events/s of ${cpus().length} cores`,
    ],
    rows: phases.map((each) => ({
      name: `${each.tenants} tenants`,
      values: [
        ...[each.writingTen, each.writingOne, each.sequencing, each.sealing].flatMap((cost) => [
          cost.processUs,
          cost.databaseUs,
        ]),
        afterCommitUs(each),
        (cpus().length * 1_000_000) / afterCommitUs(each),
      ],
    })),
  };
}

function afterCommitUs({ sequencing, sealing }: Phases): number {
  return [sequencing, sealing].reduce((sum, cost) => sum + cost.processUs + (cost.databaseUs ?? 0), 0);
}

/** The dearest number of tenants over the cheapest. */
function flatness(phases: readonly Phases[]): number {
  const costs = phases.map(afterCommitUs);
  return Math.max(...costs) / Math.min(...costs);
}

/** Of one mutation at a time. */
function latencyRatio([alone]: readonly Case[]): number {
  const [audited, bare] = alone?.targets ?? [];
  return (audited?.p50Ms ?? Number.NaN) / (bare?.p50Ms ?? Number.NaN);
}

function barOf(shares: readonly number[]): Bar {
  const found = shares.some(Number.isNaN) ? Number.POSITIVE_INFINITY : Math.max(...shares);
  return {
    promise: `the nearest of four to its limit (${shares.map((share) => share.toFixed(2)).join(', ')}): ${TARGET_PER_SECOND} events/s from commit to sealed, ${MOST_TO_PLATFORM_MS / 1000} s to the platform checkpoint at p95, latency of a mutation ${MOST_ADDED_LATENCY} times, cost of ${FLAT} times between numbers of tenants`,
    limit: 1,
    found,
    held: found <= 1,
  };
}

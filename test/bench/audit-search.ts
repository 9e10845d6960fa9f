import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { storeSettings } from '#kit/embedded-stores.ts';
import type { Id } from '#schema/ids.ts';
import { makeDemoTenants } from '#subgraphs';
import { createSearchTurn } from '../../compliance/search/turn.ts';
import { loadLog, type LogOrder } from './audit-search-log.ts';
import { measureSearches } from './audit-search-queries.ts';
import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { openStores, type BenchStores } from './stores.ts';

/** How long a search of a long log takes. */
export const auditSearch: Benchmark = {
  name: 'audit-search',
  asks: 'how long does a search of the audit log of one large tenant take? (--events, by default 1,000,000)',
  run,
};

const DEFAULT_EVENTS = 1_000_000;
const LIMIT_MS = 100;

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores({ keep: options.keep ?? null });
  try {
    const { tenant, events } = await openLog(stores, options);
    await index(stores, options, events);
    const latencies = await measureSearches({ platform: stores.platform, tenant, events }, options.rounds);
    const worst = Math.max(...latencies.map(({ p95Ms }) => p95Ms));
    return {
      cases: [],
      latencies,
      bar: {
        promise: `ms of the slowest kind of search at p95, over ${events} events of one tenant`,
        limit: LIMIT_MS,
        found: worst,
        held: worst <= LIMIT_MS,
      },
    };
  } finally {
    await stores.close();
  }
}

/** The log that was left in the folder by an earlier run; where there is none, a new one. */
async function openLog(stores: BenchStores, { keep, events, say }: BenchmarkOptions): Promise<LogOrder> {
  const note = join(stores.home, 'audit-search.json');
  if (keep != null && existsSync(note)) {
    const kept = JSON.parse(readFileSync(note, 'utf8')) as LogOrder;
    if (events != null && events !== kept.events) throw new Error(`the log in ${keep} has ${kept.events} events`);
    return kept;
  }
  const started = performance.now();
  const [tenant] = await makeDemoTenants(stores.platform);
  if (tenant === undefined) throw new Error('there are demo tenants');
  const order: LogOrder = { tenant: tenant.id as Id<'tnt'>, events: events ?? DEFAULT_EVENTS };
  await loadLog(stores.superuserUrl('audit_eu_1'), order, say);
  writeFileSync(note, JSON.stringify(order));
  say(`loaded in ${seconds(started)} s`);
  return order;
}

/** Indexes by the worker's own turn and says what it costs. */
async function index(stores: BenchStores, { say }: BenchmarkOptions, events: number): Promise<void> {
  const [cell] = storeSettings(stores.platform.config)('tenon_worker').cells;
  const audit = new pg.Pool({ connectionString: cell?.auditDatabase ?? '', max: 2 });
  const turn = createSearchTurn({ audit });
  const before = { cpu: process.cpuUsage(), database: stores.databaseCpuMs() ?? 0, at: performance.now() };
  while ((await turn()) === 'worked');
  const { user, system } = process.cpuUsage(before.cpu);
  const database = (stores.databaseCpuMs() ?? 0) - before.database;
  await audit.end();
  const each = (ms: number) => `${((ms * 1000) / events).toFixed(1)} us`;
  say(
    `indexed in ${seconds(before.at)} s: CPU an event ${each((user + system) / 1000)} here, ${each(database)} in PostgreSQL`,
  );
  const sizes = `select relname, pg_total_relation_size(oid) as bytes from pg_class where relname in ('log_entries', 'log_entries_pkey', 'log_search_words', 'log_search_blocks') order by 1`;
  const client = new pg.Client({ connectionString: stores.superuserUrl('audit_eu_1') });
  await client.connect();
  const { rows } = await client.query<{ relname: string; bytes: string }>(sizes);
  for (const { relname, bytes } of rows) say(`${relname}: ${(Number(bytes) / events).toFixed(1)} bytes an event`);
  await client.query('vacuum analyze');
  await client.end();
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}

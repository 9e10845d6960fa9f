import pg from 'pg';
import { DataSource } from 'typeorm';
import { inTenant, inTenantOnce, type TenantScope } from '#kit/database.ts';
import { newestFirst } from '#kit/connection.ts';
import { systemContext } from '#kit/credential.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { Project } from '../../subgraphs/product/model.ts';
import type { Benchmark, BenchmarkOptions, Case, Findings } from './benchmark.ts';
import { compare, type Target } from './measure.ts';
import { openStores, type BenchStores } from './stores.ts';
import { makeBenchTenants, PLAIN_SCHEMA } from './tenants.ts';

/** What the wall between tenants costs a read: transaction, signed context and row-level security. */
export const isolation: Benchmark = {
  name: 'isolation',
  asks: 'what does a read under the signed context and row-level security cost over one that filters by itself?',
  run,
};

/** Callers at a time and, for each, reads in half a round. */
const LOADS = [
  { callers: 1, reads: 500 },
  { callers: 8, reads: 2000 },
] as const;

/** Reads ten projects of one of the tenants. */
type Read = (tenant: number) => Promise<unknown[]>;

interface Contestant {
  readonly name: string;
  readonly read: Read;
}

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const plain = await openPlain(stores);
  try {
    options.say('making tenants');
    const ids = (await makeBenchTenants(stores)).map(({ id }) => id as Id<'tnt'>);
    const scopes = await Promise.all(ids.map(async (id) => scopeOf(stores, id)));
    const cases = [
      ...(await measure('one statement', sqlReads(scopes, ids, plain.pool), { stores, options })),
      ...(await measure('through the ORM', ormReads(scopes, ids, plain.source), { stores, options })),
    ];
    return { cases, bar: null };
  } finally {
    await plain.close();
    await stores.close();
  }
}

async function scopeOf({ platform: { databases } }: BenchStores, id: Id<'tnt'>): Promise<TenantScope> {
  return { databases, tenant: await systemContext(databases, id, { name: 'bench', requestId: 'bench' }) };
}

async function openPlain({ platform }: BenchStores) {
  const [cell] = storeSettings(platform.config)('tenon_app').cells;
  const url = cell?.database ?? '';
  const pool = new pg.Pool({ connectionString: url, max: 16 });
  const source = await new DataSource({
    type: 'postgres',
    url,
    schema: PLAIN_SCHEMA,
    entities: [Project],
    installExtensions: false,
    extra: { max: 16 },
  }).initialize();
  const close = async () => {
    await Promise.all([pool.end(), source.destroy()]);
  };
  return { pool, source, close };
}

function sqlReads(scopes: readonly TenantScope[], ids: readonly Id<'tnt'>[], pool: pg.Pool): Contestant[] {
  const columns = 'select id, name, created_at from';
  const page = 'order by id desc limit 10';
  return [
    {
      name: 'in tenant',
      read: (tenant) => inTenant(at(scopes, tenant), (tx) => tx.query(`${columns} projects ${page}`)),
    },
    {
      name: 'once',
      read: (tenant) => inTenantOnce(at(scopes, tenant), (tx) => tx.query(`${columns} projects ${page}`)),
    },
    {
      name: 'plain',
      read: async (tenant) =>
        (
          await pool.query(`${columns} ${PLAIN_SCHEMA}.projects where tenant_id = $1 ${page}`, [
            uuidOf('tnt', at(ids, tenant)),
          ])
        ).rows,
    },
  ];
}

function ormReads(scopes: readonly TenantScope[], ids: readonly Id<'tnt'>[], source: DataSource): Contestant[] {
  const page = { limit: 10, after: null };
  return [
    {
      name: 'in tenant',
      read: (tenant) =>
        inTenant(at(scopes, tenant), ({ manager }) =>
          newestFirst(manager.createQueryBuilder(Project, 'row'), page, 'prj').getMany(),
        ),
    },
    {
      name: 'once',
      read: (tenant) =>
        inTenantOnce(at(scopes, tenant), ({ manager }) =>
          newestFirst(manager.createQueryBuilder(Project, 'row'), page, 'prj').getMany(),
        ),
    },
    {
      name: 'plain',
      read: (tenant) =>
        newestFirst(source.manager.createQueryBuilder(Project, 'row'), page, 'prj')
          .andWhere('row.tenant_id = :tenant', { tenant: uuidOf('tnt', at(ids, tenant)) })
          .getMany(),
    },
  ];
}

function at<T>(values: readonly T[], index: number): T {
  const value = values[index % values.length];
  if (value === undefined) throw new Error('there are no tenants');
  return value;
}

async function measure(
  name: string,
  contestants: readonly Contestant[],
  { stores, options }: { stores: BenchStores; options: BenchmarkOptions },
): Promise<Case[]> {
  const cases: Case[] = [];
  for (const { callers, reads } of LOADS) {
    const full = `${name}, ${callers} at a time`;
    options.say(`measuring: ${full}`);
    const targets = contestants.map((contestant): Target => ({
      name: contestant.name,
      run: (count) => readMany(contestant.read, { callers, count }),
      cpu: async () => {
        const { user, system } = process.cpuUsage();
        return { processMs: (user + system) / 1000, databaseMs: stores.databaseCpuMs() };
      },
    }));
    cases.push({ name: full, targets: await compare(targets, { rounds: options.rounds, operations: reads }) });
  }
  return cases;
}

async function readMany(read: Read, { callers, count }: { callers: number; count: number }): Promise<number[]> {
  const latenciesMs: number[] = [];
  let next = 0;
  const caller = async () => {
    for (let index = next++; index < count; index = next++) {
      const started = performance.now();
      if ((await read(index)).length !== 10) throw new Error('a measured read did not find its ten rows');
      latenciesMs.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return latenciesMs;
}

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { withStore } from '#kit/database-setup.ts';
import { inTenant, type TenantScope } from '#kit/database.ts';
import { storeSettings } from '#kit/embedded-stores.ts';
import { readContextKeys } from '#kit/key-files.ts';
import { migrate } from '#kit/migrations.ts';
import { listStores, migrateStore, planStores, type StoreMaker } from '#kit/store-setup.ts';
import { migrateStores } from '#kit/store-waves.ts';
import { mintId } from '#schema/ids.ts';
import { PLACEMENTS, storeUrl, type Placement } from '#schema/tenant-store.ts';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { compare, type Target } from './measure.ts';
import { openStores, type BenchStores } from './stores.ts';

/** What a placement costs a read, and what many schemas cost a migration. */
export const placements: Benchmark = {
  name: 'placements',
  asks: 'what does a read cost in silo and bridge over the pool, and how long do migrations of many schemas take?',
  run,
};

const SCHEMAS = 1_000;
const READS = 1_000;
const ADDED = `alter table app.projects add column measured text not null default '';
create index projects_measured on app.projects (tenant_id, measured, id);`;

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  try {
    const maker = makerOf(stores);
    for (const placement of ['silo', 'bridge'] as const)
      for (const planned of await planStores(maker, { cell: 'eu-1', placement, count: 1 }))
        await migrateStore(maker, planned);
    const scopes = await Promise.all(
      PLACEMENTS.map(async (placement) => [placement, await tenantIn(stores, placement)] as const),
    );
    options.say('measuring reads');
    const reads = {
      name: 'ten rows in one transaction',
      targets: await measureReads(stores, scopes.toReversed(), options),
    };
    return { cases: [reads], figures: [await measureWaves(maker, options)], bar: null };
  } finally {
    await stores.close();
  }
}

function makerOf({ platform, superuserUrl }: BenchStores): StoreMaker {
  const { directoryUrl, cells } = storeSettings(platform.config)('tenon_owner');
  return { directoryUrl, cells, adminUrl: superuserUrl('postgres'), keys: readContextKeys(platform.config) };
}

async function tenantIn({ platform }: BenchStores, placement: Placement): Promise<TenantScope> {
  const admin = { adminEmail: `admin@${placement}.example`, adminName: 'Ada Admin' };
  const input = {
    slug: `${placement}-bench`,
    name: placement,
    tier: 'ENTERPRISE',
    region: 'eu',
    placement,
    ...admin,
  } as const;
  const { context } = await provisionTenant(platform, input, systemOrigin('bench', mintId('req')));
  const scope = { databases: platform.databases, tenant: context };
  await inTenant(scope, (tx) =>
    tx.query(`insert into projects (id, name) select gen_random_uuid(), 'Project ' || n from generate_series(1, 10) n`),
  );
  return scope;
}

async function measureReads(
  stores: BenchStores,
  scopes: readonly (readonly [Placement, TenantScope])[],
  { rounds }: BenchmarkOptions,
) {
  const targets = scopes.map(([name, scope]): Target => {
    return {
      name,
      run: async (operations) => {
        const tookMs: number[] = [];
        for (let operation = 0; operation < operations; operation += 1) {
          const started = performance.now();
          await inTenant(scope, (tx) =>
            tx.query('select id, name, created_at from projects order by id desc limit 10'),
          );
          tookMs.push(performance.now() - started);
        }
        return tookMs;
      },
      cpu: () => {
        const { user, system } = process.cpuUsage();
        return Promise.resolve({ processMs: (user + system) / 1000, databaseMs: stores.databaseCpuMs() });
      },
    };
  });
  return compare(targets, { rounds, operations: READS });
}

async function measureWaves(maker: StoreMaker, { stores: count, say }: BenchmarkOptions) {
  const schemas = count ?? SCHEMAS;
  await planStores(maker, { cell: 'eu-1', placement: 'bridge', count: schemas });
  const plan = {
    canaries: [],
    atOnce: 2,
    mostFaults: 1,
    onProgress: ({ done }: { readonly done: number }) => {
      if (done % 100 === 0) say(`${done} of ${schemas} schemas, load ${loadavg()[0]?.toFixed(1)}`);
    },
  };
  const madeMs = await timed(async () => void (await migrateStores(maker, await listStores(maker), plan)));
  const rows = (await listStores(maker)).filter(({ name }) => name.startsWith('bridge_'));
  const folder = join(mkdtempSync(join(tmpdir(), 'tenon-bench-')), 'measured');
  mkdirSync(folder);
  writeFileSync(join(folder, '0001-measured.sql'), ADDED);
  const url = maker.cells.find(({ name }) => name === 'eu-1')?.database ?? '';
  const addedMs = await timed(async () => {
    for (const { name } of rows)
      await withStore(storeUrl(url, name), name, (client) => migrate({ client, folder, log: () => undefined }));
  });
  const row = (name: string, tookMs: number, of: number) => ({ name, values: [of, tookMs, tookMs / of] });
  return {
    name: 'migrations of a bridge',
    columns: ['schemas', 'ms', 'ms each'],
    rows: [
      row('made, two at a time', madeMs, schemas),
      row('one more file: a column and an index, one after the other', addedMs, rows.length),
    ],
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

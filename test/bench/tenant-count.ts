import { loadavg } from 'node:os';
import type { Bar, Benchmark, BenchmarkOptions, Case, FigureTable, Findings } from './benchmark.ts';
import { openLoad, type LoadRequest } from './load.ts';
import { compare, type Target } from './measure.ts';
import { writeProfiles } from './profiles.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { openStores, type BenchStores } from './stores.ts';
import { liftBudgets, makeManyTenants, type ManyTenants } from './tenants.ts';

/** What a tenant's request, her sign-up and a migration cost as her cell fills up. */
export const tenantCount: Benchmark = {
  name: 'tenants',
  asks: 'what do a request, a sign-up and a migration cost with 10, 1,000 and 10,000 tenants in a cell?',
  run,
};

const COUNTS = [10_000, 1_000, 10] as const;
/** The promise: a request costs at most so many times what it costs with ten tenants. */
const LIMIT = 1.2;
const CONNECTIONS = 8;
/** Requests in half a round. */
const REQUESTS = 2_000;
/** So many tenants ask in the case that is the same in every cell, all of them in the other. */
const FEW = 10;
const QUERY = '{ projects(first: 10) { edges { node { id name } } } }';

/** What a new column and a new index are to a table that every tenant has rows in; nothing of it stays. */
const MIGRATION = `begin;
  alter table app.projects add column measured text not null default '';
  create index projects_measured on app.projects (tenant_id, measured, id);
  rollback;`;

interface Cell {
  readonly count: number;
  readonly stores: BenchStores;
  readonly tenants: ManyTenants;
  readonly server: ServerProcess;
  readonly migrationMs: number;
}

async function run(options: BenchmarkOptions): Promise<Findings> {
  const cells: Cell[] = [];
  try {
    for (const count of COUNTS) cells.push(await openCell(count, options));
    if (options.profileFolder !== null) for (const { server } of cells) await server.profile();
    options.say('every tenant asks for the first time');
    const first = [];
    for (const cell of cells) first.push(await cpuOfFirst(cell));
    const cases = [
      await measure(cells, { name: `${FEW} tenants ask`, asking: FEW }, options),
      await measure(cells, { name: 'all tenants ask by turns', asking: Infinity }, options),
    ];
    if (options.profileFolder !== null) {
      const named = cells.map(({ server, count }) => ({ ...server, name: `${count}` }));
      await writeProfiles(named, options.profileFolder);
    }
    return { cases, figures: [await figuresOf(cells, first)], bar: barOf(cases) };
  } finally {
    for (const { server, stores } of cells) {
      await server.close();
      await stores.close();
    }
  }
}

async function openCell(count: number, { say }: BenchmarkOptions): Promise<Cell> {
  const stores = await openStores();
  await liftBudgets(stores);
  const tenants = await makeManyTenants(stores, count, (done) => {
    if (done % 1_000 === 0) say(`${done} of ${count} tenants, load ${loadavg()[0]?.toFixed(1)}`);
  });
  await stores.asSuperuser('cell_eu_1', 'analyze');
  const started = performance.now();
  await stores.asSuperuser('cell_eu_1', MIGRATION);
  const migrationMs = performance.now() - started;
  const server = await startServer('./platform-server.ts', { TENON_HOME: stores.home, PORT: '0' });
  return { count, stores, tenants, server, migrationMs };
}

async function measure(
  cells: readonly Cell[],
  { name, asking }: { name: string; asking: number },
  { rounds, say }: BenchmarkOptions,
): Promise<Case> {
  say(`measuring: ${name}`);
  const loads = cells.map(({ server }) => openLoad(server.url, CONNECTIONS));
  const targets = cells.map(({ count, server, stores, tenants }, index): Target => {
    const requests = turnsOf(tenants.tokens.slice(0, asking));
    return {
      name: `${count} tenants`,
      run: async (operations) => (await loads[index]?.run(requests(operations), operations)) ?? [],
      cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: stores.databaseCpuMs() }),
    };
  });
  const measured = await compare(targets, { rounds, operations: REQUESTS });
  await Promise.all(loads.map((load) => load.close()));
  return { name, targets: measured };
}

/** What a gateway that has not met a tenant looks up costs once; returned is the CPU of that request, with the database. */
async function cpuOfFirst({ server, stores, tenants: { tokens } }: Cell): Promise<number> {
  const load = openLoad(server.url, CONNECTIONS);
  const cpuMs = async () => (await server.cpuMs()) + (stores.databaseCpuMs() ?? Number.NaN);
  // What the program compiles and plans belongs to no tenant.
  await load.run(turnsOf(tokens.slice(0, 1))(REQUESTS), REQUESTS);
  const before = await cpuMs();
  await load.run(turnsOf(tokens)(tokens.length), tokens.length);
  const after = await cpuMs();
  await load.close();
  return (after - before) / tokens.length;
}

/** Goes on where it stopped, so that of many tenants each one asks before one asks again. */
function turnsOf(tokens: readonly string[]): (operations: number) => LoadRequest[] {
  let turn = 0;
  const body = JSON.stringify({ query: QUERY });
  return (operations) =>
    Array.from({ length: operations }, () => {
      const token = tokens[turn++ % tokens.length];
      return { headers: { authorization: `Bearer ${token}` }, body };
    });
}

async function figuresOf(cells: readonly Cell[], first: readonly number[]): Promise<FigureTable> {
  const rows = await Promise.all(
    cells.map(async ({ count, server, tenants, migrationMs }, index) => ({
      name: `${count} tenants`,
      values: [await server.memoryMb(), tenants.lastSignUpMs, migrationMs, first[index] ?? null],
    })),
  );
  const columns = ['gateway MB', 'sign-up p50 ms', 'migration ms', 'first request CPU ms'];
  return { name: 'beside requests', columns, rows };
}

function barOf(cases: readonly Case[]): Bar {
  const fewest = `${COUNTS.at(-1)} tenants`;
  const ratios = cases.flatMap(({ targets }) =>
    targets.flatMap((target) => target.ratios.filter(({ over }) => over === fewest)),
  );
  const found = Math.max(...ratios.map(({ withDatabase, cpu }) => (withDatabase ?? cpu).median));
  const promise = `CPU of a request, gateway and database, over that with ${fewest}, worst case`;
  return { promise, limit: LIMIT, found, held: found <= LIMIT };
}

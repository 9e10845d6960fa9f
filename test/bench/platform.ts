import { isDeepStrictEqual } from 'node:util';
import type { Bar, Benchmark, BenchmarkOptions, Case, Findings } from './benchmark.ts';
import { openLoad, type Answer, type LoadRequest } from './load.ts';
import { compare, type Target } from './measure.ts';
import { writeProfiles } from './profiles.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { openStores, type BenchStores } from './stores.ts';
import { makeBenchTenants, type BenchTenant } from './tenants.ts';

/** A tenant-scoped read through the whole platform against the same read without what the platform adds. */
export const platform: Benchmark = {
  name: 'platform',
  asks: 'what does a tenant-scoped read through the gateway cost over the same read without platform features?',
  run,
};

const LIMIT = 2;

/**
 * `stock` is the graph on the same libraries as they come, `floor` the same with the platform's own cheaper way into a
 * subgraph: what stands over `floor` are the platform's features and nothing else. The promise is about `stock`.
 */
const SERVERS = [
  { name: 'platform', file: './platform-server.ts', env: {} },
  { name: 'stock', file: './floor-server.ts', env: { FLOOR_LINK: 'stock' } },
  { name: 'floor', file: './floor-server.ts', env: { FLOOR_LINK: 'direct' } },
] as const;

interface MeasuredQuery {
  readonly name: string;
  readonly query: string;
  readonly variablesOf?: (tenant: BenchTenant) => Record<string, unknown>;
}

const QUERIES: readonly MeasuredQuery[] = [
  { name: '10 of 50 projects', query: '{ projects(first: 10) { edges { node { id name } } } }' },
  {
    name: '10 documents with authors, 2 subgraphs',
    query:
      'query ($id: ID!) { project(id: $id) { name documents(first: 10) { edges { node { id name author { id displayName } } } } } }',
    variablesOf: ({ projectId }) => ({ id: projectId }),
  },
];

/** Connections and, for each, requests in half a round: about a second. */
const LOADS = [
  { connections: 1, requests: 300 },
  { connections: 16, requests: 800 },
] as const;

type Server = ServerProcess & { readonly name: string };

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const servers: Server[] = [];
  try {
    options.say('making tenants');
    const tenants = await makeBenchTenants(stores);
    for (const { name, file, env } of SERVERS) {
      servers.push({ name, ...(await startServer(file, { TENON_HOME: stores.home, PORT: '0', ...env })) });
    }
    for (const query of QUERIES) await requireSameAnswers(servers, tenants, query);
    if (options.profileFolder !== null) for (const server of servers) await server.profile();
    const cases = await measureAll({ stores, servers, tenants }, options);
    if (options.profileFolder !== null) await writeProfiles(servers, options.profileFolder);
    return { cases, bar: barOf(cases) };
  } finally {
    for (const server of servers) await server.close();
    await stores.close();
  }
}

async function measureAll(
  on: { stores: BenchStores; servers: readonly Server[]; tenants: readonly BenchTenant[] },
  options: BenchmarkOptions,
): Promise<Case[]> {
  const cases: Case[] = [];
  for (const query of QUERIES) {
    const requests = on.tenants.map((tenant) => requestOf(tenant, query));
    for (const { connections, requests: operations } of LOADS) {
      const name = `${query.name}, ${connections} connection${connections === 1 ? '' : 's'}`;
      options.say(`measuring: ${name}`);
      const loads = on.servers.map(({ url }) => openLoad(url, connections));
      const targets = on.servers.map((server, index): Target => ({
        name: server.name,
        run: async (count) => loads[index]?.run(requests, count) ?? [],
        cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: on.stores.databaseCpuMs() }),
      }));
      cases.push({ name, targets: await compare(targets, { rounds: options.rounds, operations }) });
      await Promise.all(loads.map((load) => load.close()));
    }
  }
  return cases;
}

/** Both doors are in every request: each server reads the one it knows, and all read as much. */
function requestOf(tenant: BenchTenant, { query, variablesOf }: MeasuredQuery): LoadRequest {
  const headers = { authorization: `Bearer ${tenant.token}`, 'x-tenant': tenant.id };
  return {
    headers,
    body: JSON.stringify(variablesOf === undefined ? { query } : { query, variables: variablesOf(tenant) }),
  };
}

async function requireSameAnswers(
  servers: readonly Server[],
  tenants: readonly BenchTenant[],
  query: MeasuredQuery,
): Promise<void> {
  const loads = servers.map(({ url }) => openLoad(url, 1));
  const seen = new Set<string>();
  for (const tenant of tenants) {
    const [expected, ...others] = await Promise.all(
      loads.map(async (load) => dataOf(await load.send(requestOf(tenant, query)))),
    );
    for (const other of others)
      if (!isDeepStrictEqual(other, expected)) throw new Error(`the servers do not answer the same to: ${query.name}`);
    seen.add(JSON.stringify(expected));
  }
  if (seen.size !== tenants.length) throw new Error('two tenants were answered with the same rows');
  await Promise.all(loads.map((load) => load.close()));
}

function dataOf({ status, text }: Answer): unknown {
  const { data } = JSON.parse(text) as {
    data?: { projects?: { edges: unknown[] }; project?: { documents: { edges: unknown[] } } | null };
  };
  const edges = data?.projects?.edges ?? data?.project?.documents.edges;
  if (status !== 200 || edges?.length !== 10)
    throw new Error(`not the ten rows that were asked for: ${status} ${text.slice(0, 300)}`);
  return data;
}

function barOf(cases: readonly Case[]): Bar {
  const medians = cases.map(
    ({ targets }) => targets[0]?.ratios.find(({ over }) => over === 'stock')?.cpu.median ?? Number.NaN,
  );
  const found = Math.max(...medians);
  return {
    promise: 'CPU of the gateway process over that of the stock one, worst case',
    limit: LIMIT,
    found,
    held: found <= LIMIT,
  };
}

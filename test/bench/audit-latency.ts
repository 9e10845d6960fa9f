import { fileURLToPath } from 'node:url';
import type { BenchmarkOptions, Case } from './benchmark.ts';
import { openLoad, type LoadRequest } from './load.ts';
import { compare, type Target } from './measure.ts';
import { startServer } from './server-process.ts';
import { openStores } from './stores.ts';
import { liftBudgets, makeBenchTenants } from './tenants.ts';

/** One at a time is what a mutation waits; several fill the cores, and their latencies are shares of CPU. */
const CONNECTIONS = [1, 4];
const MUTATIONS = 1_000;
const MUTATION = 'mutation { createProject(input: { name: "A project" }) { project { id name } } }';

/** One mutation through two gateways over the same durable database, with its audit event and without: first one at a time, then several. */
export async function measureAddedLatency(options: BenchmarkOptions): Promise<Case[]> {
  options.say('audit: making tenants for the mutation');
  const stores = await openStores({ durable: true });
  const env = { TENON_HOME: stores.home, PORT: '0' };
  const withoutEvents = ['--import', 'tsx', '--import', fileURLToPath(new URL('./audit-off.ts', import.meta.url))];
  try {
    const tenants = await makeBenchTenants(stores);
    await liftBudgets(stores);
    const servers = [
      { name: 'audited', ...(await startServer('./platform-server.ts', env)) },
      { name: 'not audited', ...(await startServer('./platform-server.ts', env, withoutEvents)) },
    ];
    const requests = tenants.map(({ id, token }): LoadRequest => ({
      headers: { authorization: `Bearer ${token}`, 'x-tenant': id },
      body: JSON.stringify({ query: MUTATION }),
    }));
    const cases: Case[] = [];
    for (const connections of CONNECTIONS) {
      options.say(`audit: measuring the mutation, ${connections} at a time`);
      cases.push(await measured({ servers, requests, connections, databaseMs: () => stores.databaseCpuMs() }, options));
    }
    for (const server of servers) await server.close();
    return cases;
  } finally {
    await stores.close();
  }
}

interface Measuring {
  readonly servers: readonly { readonly name: string; readonly url: string; readonly cpuMs: () => Promise<number> }[];
  readonly requests: readonly LoadRequest[];
  readonly connections: number;
  readonly databaseMs: () => number | null;
}

async function measured(
  { servers, requests, connections, databaseMs }: Measuring,
  { rounds }: BenchmarkOptions,
): Promise<Case> {
  const loads = servers.map(({ url }) => openLoad(url, connections));
  const targets = servers.map((server, index): Target => ({
    name: server.name,
    run: async (count) => loads[index]?.run(requests, count) ?? [],
    cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: databaseMs() }),
  }));
  const compared = await compare(targets, { rounds, operations: MUTATIONS });
  await Promise.all(loads.map((load) => load.close()));
  return { name: `createProject, ${connections} at a time`, targets: compared };
}

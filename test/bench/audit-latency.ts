import { fileURLToPath } from 'node:url';
import type { BenchmarkOptions, Case } from './benchmark.ts';
import { openLoad, type LoadRequest } from './load.ts';
import { compare, type Target } from './measure.ts';
import { startServer } from './server-process.ts';
import { openStores } from './stores.ts';
import { liftBudgets, makeBenchTenants } from './tenants.ts';

const CONNECTIONS = 4;
const MUTATIONS = 400;
const MUTATION = 'mutation { createProject(input: { name: "A project" }) { project { id name } } }';

/** One mutation through two gateways over the same durable database: with its audit event and without. */
export async function measureAddedLatency(options: BenchmarkOptions): Promise<Case> {
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
    const loads = servers.map(({ url }) => openLoad(url, CONNECTIONS));
    const targets = servers.map((server, index): Target => ({
      name: server.name,
      run: async (count) => loads[index]?.run(requests, count) ?? [],
      cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: stores.databaseCpuMs() }),
    }));
    options.say('audit: measuring the mutation');
    const name = `createProject, ${CONNECTIONS} connections`;
    const measured = { name, targets: await compare(targets, { rounds: options.rounds, operations: MUTATIONS }) };
    await Promise.all(loads.map((load) => load.close()));
    for (const server of servers) await server.close();
    return measured;
  } finally {
    await stores.close();
  }
}

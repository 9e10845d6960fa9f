import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Id } from '#schema/ids.ts';
import { loadLog } from './audit-search-log.ts';
import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { fairnessBar, measureBeside, type Noise, type WatchedTenant } from './fairness.ts';
import { openLoad } from './load.ts';
import { writeProfiles } from './profiles.ts';
import { startServer } from './server-process.ts';
import { openStores } from './stores.ts';
import { liftBudgets, makeBenchTenants } from './tenants.ts';

/** One tenant's export of her whole log beside another tenant's steady work, over the whole platform. */
export const neighbours: Benchmark = {
  name: 'neighbours',
  asks: 'how much slower is a tenant served while another exports a log of 1,000,000 events? (--events)',
  run,
};

const DEFAULT_EVENTS = 1_000_000;
const WARM_UP_REQUESTS = 2_000;
const QUERY = JSON.stringify({ query: '{ projects(first: 10) { edges { node { id name } } } }' });

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  try {
    options.say('making tenants');
    const [loud, quiet] = await makeBenchTenants(stores);
    if (loud === undefined || quiet === undefined) throw new Error('there are tenants');
    await liftBudgets(stores);
    const events = options.events ?? DEFAULT_EVENTS;
    await loadLog(stores.superuserUrl('audit_eu_1'), { tenant: loud.id as Id<'tnt'>, events }, options.say);
    const server = await startServer('./platform-server.ts', { TENON_HOME: stores.home, PORT: '0' });
    try {
      await warmUp(server.url, quiet.token);
      if (options.profileFolder !== null) await server.profile();
      const watched: WatchedTenant = {
        name: `an export of ${events} events`,
        url: server.url,
        quietToken: quiet.token,
        quietBody: QUERY,
        cpuMs: server.cpuMs,
      };
      const cases = [await measureBeside(watched, () => startExport(server.url, loud.token), options)];
      if (options.profileFolder !== null)
        await writeProfiles([{ ...server, name: 'neighbours' }], options.profileFolder);
      return { cases, bar: fairnessBar(cases) };
    } finally {
      await server.close();
    }
  } finally {
    await stores.close();
  }
}

/** A server that runs for days is compiled; what compiling costs would fall on whoever comes first. */
async function warmUp(url: string, token: string): Promise<void> {
  const load = openLoad(url, 4);
  await load.run([{ headers: { authorization: `Bearer ${token}` }, body: QUERY }], WARM_UP_REQUESTS);
  await load.close();
}

async function startExport(url: string, token: string): Promise<Noise> {
  const file = fileURLToPath(new URL('./neighbours-export.ts', import.meta.url));
  const child = fork(file, { execArgv: ['--import', 'tsx'] });
  child.send({ url, token });
  const failed = once(child, 'exit').then(() => {
    throw new Error('the export was refused');
  });
  await Promise.race([once(child, 'message'), failed]);
  failed.catch(() => undefined);
  const started = performance.now();
  return {
    end: async () => {
      const counts = once(child, 'message');
      child.send('end');
      const [{ entries, exports }] = (await counts) as [{ entries: number; exports: number }];
      const perSecond = (entries / (performance.now() - started)) * 1_000;
      return `${entries} entries were exported, ${perSecond.toFixed(0)} a second, ${exports} exports to their end`;
    },
  };
}

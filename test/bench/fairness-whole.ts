import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { fairnessBar, measureFairness } from './fairness.ts';
import { openLoad } from './load.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { PRODUCTION } from './shop/production.ts';
import { SHOP_QUERIES } from './shop/queries.ts';
import { SHOP } from './shop/subgraphs.ts';
import { liftBudgets, makeShopTenants } from './tenants.ts';
import { openStores } from './stores.ts';

/** The same question as of `fairness`, put to the whole gateway over the shop. */
export const fairnessWhole: Benchmark = {
  name: 'fairness-whole',
  asks: 'the same of the whole gateway, over subgraphs of their own process',
  run,
};

/** What a tenant of the tier has at once; no budget but the fair queue stands between the two. */
const CONCURRENCY = 64;
const WARM_UP_REQUESTS = 600;

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const opened: ServerProcess[] = [];
  const start = async (file: string, env: Readonly<Record<string, string>>) => {
    const server = await startServer(file, env);
    opened.push(server);
    return server;
  };
  try {
    options.say('making tenants');
    const [floodToken = '', quietToken = ''] = await makeShopTenants(stores);
    await liftBudgets(stores);
    const share = `update app.tier_limits set limits = jsonb_set(limits, '{concurrency}', '${CONCURRENCY}')`;
    await stores.asSuperuser('directory', share);
    const subgraphs = await start('./shop/subgraphs-server.ts', {});
    const addresses = Object.fromEntries(SHOP.map(({ name }) => [name, `${subgraphs.url}/${name}`]));
    const gateway = await start('./shop/tenon-server.ts', {
      SHOP_ADDRESSES: JSON.stringify(addresses),
      SHOP_COLLECTOR: subgraphs.url,
      TENON_HOME: stores.home,
      PORT: '0',
      ...PRODUCTION,
    });
    const bodies = new Map(SHOP_QUERIES.map(({ name, text }) => [name, JSON.stringify({ query: text })]));
    const quietBody = bodies.get('medium') ?? '';
    const target = { url: gateway.url, floodToken, quietToken, quietBody, cpuMs: gateway.cpuMs };
    options.say('warming up');
    for (const text of bodies.values()) await warmUp(gateway.url, [floodToken, quietToken], text);
    const cases = [];
    for (const name of ['medium', 'nested'] as const)
      cases.push(
        await measureFairness({ ...target, name: `a flood of ${name}`, floodBody: bodies.get(name) ?? '' }, options),
      );
    return { cases, bar: fairnessBar(cases) };
  } finally {
    for (const server of opened) await server.close();
    await stores.close();
  }
}

/** A server that runs for days is compiled; what compiling costs would fall on whoever comes first. */
async function warmUp(url: string, tokens: readonly string[], body: string): Promise<void> {
  const load = openLoad(url, 2);
  const requests = tokens.map((token) => ({ headers: { authorization: `Bearer ${token}` }, body }));
  await load.run(requests, WARM_UP_REQUESTS);
  await load.close();
}

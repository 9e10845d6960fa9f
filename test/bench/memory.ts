import type { Benchmark, BenchmarkOptions, Findings } from './benchmark.ts';
import { openLoad, type LoadRequest } from './load.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { SHOP } from './shop/subgraphs.ts';
import { openStores } from './stores.ts';
import { liftBudgets, makeShopTenants } from './tenants.ts';

/** Whether the gateway's memory stays where it is over many supergraphs and over documents that never come twice. */
export const memory: Benchmark = {
  name: 'memory',
  asks: 'does the memory of the gateway stay flat over reloads, and over documents that come once?',
  run,
};

const RELOADS = 100;
/** Documents of one round; with `--rounds` a million can be sent, given the time. */
const DOCUMENTS = 2_000;
/** How often each document is sent before it never comes again: `MEMORY_TIMES_EACH=10` makes a million requests of 100,000. */
const TIMES_EACH = Number(process.env['MEMORY_TIMES_EACH'] ?? 1);
const STEPS = 5;
const CONNECTIONS = 8;
/** How much the live heap may grow from the first step to the last. */
const MOST_GROWTH = 1.1;

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const opened: ServerProcess[] = [];
  try {
    const tokens = await makeShopTenants(stores);
    await liftBudgets(stores);
    const subgraphs = await startServer('./shop/subgraphs-server.ts', {});
    opened.push(subgraphs);
    const addresses = Object.fromEntries(SHOP.map(({ name }) => [name, `${subgraphs.url}/${name}`]));
    const env = { SHOP_ADDRESSES: JSON.stringify(addresses), TENON_HOME: stores.home, PORT: '0' };
    const gateway = await startServer('./shop/tenon-server.ts', { ...env, SHOP_COLLECTOR: subgraphs.url }, [
      '--expose-gc',
    ]);
    opened.push(gateway);
    const reloads = await overReloads(gateway, options);
    const documents = await overDocuments(gateway, tokens, options);
    const found = Math.max(reloads, documents);
    const promise = 'live heap at the end over that at the first step, the larger of reloads and documents';
    return { cases: [], bar: { promise, limit: MOST_GROWTH, found, held: found <= MOST_GROWTH } };
  } finally {
    for (const server of opened) await server.close();
    await stores.close();
  }
}

async function overReloads(gateway: ServerProcess, { say }: BenchmarkOptions): Promise<number> {
  const heaps: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    await gateway.reload(RELOADS / STEPS);
    heaps.push(await gateway.heapMb());
    say(`${((step + 1) * RELOADS) / STEPS} reloads: ${heaps.at(-1)} MB live, ${await gateway.memoryMb()} MB resident`);
  }
  return growth(heaps);
}

async function overDocuments(
  gateway: ServerProcess,
  tokens: readonly string[],
  { say, rounds }: BenchmarkOptions,
): Promise<number> {
  const load = openLoad(gateway.url, CONNECTIONS);
  const heaps: number[] = [];
  let sent = 0;
  for (let step = 0; step < STEPS; step++) {
    for (let round = 0; round < rounds; round++) {
      const requests = Array.from({ length: DOCUMENTS }, () => documentOf(tokens, Math.floor(sent++ / TIMES_EACH)));
      await load.run(requests, DOCUMENTS);
    }
    heaps.push(await gateway.heapMb());
    say(
      `${sent} requests, ${sent / TIMES_EACH} distinct documents: ${heaps.at(-1)} MB live, ${await gateway.memoryMb()} MB resident`,
    );
  }
  await load.close();
  return growth(heaps);
}

/** No two have the same text, so that none is known and each is parsed, validated, planned and compiled. */
function documentOf(tokens: readonly string[], number: number): LoadRequest {
  const query = `query Q${number} { me { id name a${number}: username } topProducts(first: 3) { upc price inStock } }`;
  return { headers: { authorization: `Bearer ${tokens[number % tokens.length]}` }, body: JSON.stringify({ query }) };
}

function growth(heaps: readonly number[]): number {
  return (heaps.at(-1) ?? Number.NaN) / (heaps[0] ?? Number.NaN);
}

import { isDeepStrictEqual } from 'node:util';
import type { Bar, Benchmark, BenchmarkOptions, Case, Findings } from './benchmark.ts';
import { openLoad, type Answer, type LoadRequest } from './load.ts';
import { compare, type Target } from './measure.ts';
import { startServer, type ServerProcess } from './server-process.ts';
import { PRODUCTION } from './shop/production.ts';
import { SHOP_QUERIES, type ShopQuery } from './shop/queries.ts';
import { SHOP } from './shop/subgraphs.ts';
import { openStores, type BenchStores } from './stores.ts';
import { liftBudgets, makeShopTenants } from './tenants.ts';
import { writeProfiles } from './profiles.ts';

/** The gateway with all it does for a tenant, against Apollo's with none of it, over the same subgraphs. */
export const gateway: Benchmark = {
  name: 'gateway',
  asks: 'what does the gateway cost over Apollo Server and Apollo Gateway as they come, over the same subgraphs?',
  run,
};

/** The bare gateway must cost at least so many times as much, on each operation. */
const TIMES_LESS = 8;
const CONNECTIONS = 32;
/** Requests in half a round: about a second of the cheaper gateway. */
const REQUESTS: Readonly<Record<ShopQuery['name'], number>> = { small: 6_000, medium: 4_000, nested: 400 };
const WARM_UP_HALVES = 3;

interface Rig {
  readonly servers: readonly (ServerProcess & { readonly name: string })[];
  readonly subgraphs: ServerProcess;
  readonly tokens: readonly string[];
}

async function run(options: BenchmarkOptions): Promise<Findings> {
  const stores = await openStores();
  const opened: ServerProcess[] = [];
  try {
    options.say('making tenants');
    const tokens = await makeShopTenants(stores);
    await liftBudgets(stores);
    const rig = await startRig(stores, tokens, opened);
    for (const query of SHOP_QUERIES) await requireSameAnswers(rig, query, options);
    for (const query of SHOP_QUERIES) await warmUp(rig, query);
    if (options.profileFolder !== null) for (const server of rig.servers) await server.profile();
    const cases: Case[] = [];
    for (const query of SHOP_QUERIES) cases.push(await measureQuery(rig, query, options));
    if (options.profileFolder !== null) await writeProfiles(rig.servers, options.profileFolder);
    for (const { name, memoryMb } of rig.servers) options.say(`${name}: ${await memoryMb()} MB resident`);
    return { cases, bar: barOf(cases) };
  } finally {
    for (const server of opened) await server.close();
    await stores.close();
  }
}

async function startRig(stores: BenchStores, tokens: readonly string[], opened: ServerProcess[]): Promise<Rig> {
  const start = async (file: string, env: Readonly<Record<string, string>>) => {
    const server = await startServer(file, env);
    opened.push(server);
    return server;
  };
  const subgraphs = await start('./shop/subgraphs-server.ts', {});
  const SHOP_ADDRESSES = JSON.stringify(Object.fromEntries(SHOP.map(({ name }) => [name, `${subgraphs.url}/${name}`])));
  const tenon = await start('./shop/tenon-server.ts', {
    SHOP_ADDRESSES,
    SHOP_COLLECTOR: subgraphs.url,
    TENON_HOME: stores.home,
    PORT: '0',
    ...PRODUCTION,
  });
  const bare = await start('./shop/bare-server.ts', { SHOP_ADDRESSES, NODE_OPTIONS: PRODUCTION.NODE_OPTIONS });
  return {
    subgraphs,
    tokens,
    servers: [
      { ...tenon, name: 'tenon' },
      { ...bare, name: 'bare' },
    ],
  };
}

/** A server that runs for days is compiled; `compare` leaves out one round, which is not enough for that. */
async function warmUp({ servers, tokens }: Rig, query: ShopQuery): Promise<void> {
  const requests = tokens.map((token) => requestOf(token, query));
  for (const { url } of servers) {
    const load = openLoad(url, CONNECTIONS);
    await load.run(requests, WARM_UP_HALVES * REQUESTS[query.name]);
    await load.close();
  }
}

async function measureQuery({ servers, tokens }: Rig, query: ShopQuery, options: BenchmarkOptions): Promise<Case> {
  const name = `${query.name}, ${CONNECTIONS} connections`;
  options.say(`measuring: ${name}`);
  const requests = tokens.map((token) => requestOf(token, query));
  const loads = servers.map(({ url }) => openLoad(url, CONNECTIONS));
  const targets = servers.map((server, index): Target => ({
    name: server.name,
    run: async (count) => loads[index]?.run(requests, count) ?? [],
    cpu: async () => ({ processMs: await server.cpuMs(), databaseMs: null }),
  }));
  const measured = await compare(targets, { rounds: options.rounds, operations: REQUESTS[query.name] });
  await Promise.all(loads.map((load) => load.close()));
  return { name, targets: measured };
}

function requestOf(token: string, { text }: ShopQuery): LoadRequest {
  return { headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ query: text }) };
}

/** Both must answer the same data; how many calls of subgraphs each makes for it is told. */
async function requireSameAnswers({ servers, subgraphs, tokens }: Rig, query: ShopQuery, options: BenchmarkOptions) {
  const told: string[] = [];
  const data: unknown[] = [];
  for (const { name, url } of servers) {
    const load = openLoad(url, 1);
    const before = await callsOf(subgraphs);
    const answer = await load.send(requestOf(tokens[0] ?? '', query));
    told.push(`${name} ${(await callsOf(subgraphs)) - before}`);
    data.push(dataOf(answer));
    await load.close();
  }
  if (!isDeepStrictEqual(data[0], data[1])) throw new Error(`the gateways do not answer the same to ${query.name}`);
  options.say(`${query.name}: ${JSON.stringify(data[0]).length} bytes of data, subgraph calls: ${told.join(', ')}`);
}

async function callsOf({ url }: ServerProcess): Promise<number> {
  return Number(await (await fetch(`${url}/calls`)).text());
}

function dataOf({ status, text }: Answer): unknown {
  const { data, errors } = JSON.parse(text) as { data?: unknown; errors?: unknown };
  if (status !== 200 || errors !== undefined || data == null)
    throw new Error(`no answer: ${status} ${text.slice(0, 300)}`);
  return data;
}

function barOf(cases: readonly Case[]): Bar {
  const medians = cases.map(
    ({ targets }) => targets[0]?.ratios.find(({ over }) => over === 'bare')?.cpu.median ?? Number.NaN,
  );
  const found = Math.max(...medians);
  const limit = 1 / TIMES_LESS;
  return {
    promise: 'CPU of the gateway over that of the bare one, worst operation',
    limit,
    found,
    held: found <= limit,
  };
}

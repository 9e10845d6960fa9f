import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { compose } from '#kit/composition.ts';
import type { Databases } from '#kit/database.ts';
import type { Clock, Platform } from '#kit/request-context.ts';
import { serveSubgraph, type RunningSubgraph } from '#kit/subgraph-server.ts';
import { readConfig, type Config } from '#schema/config.ts';
import { TIERS } from '#schema/tenant-context.ts';
import type { Placement } from '#schema/tenant-store.ts';
import { makeDemoTenants, subgraphs, type DemoTenant } from '#subgraphs';
import { startGateway, type RunningGateway } from '../../gateway/server.ts';
import { makeStores, type TestStores } from './databases.ts';
import { TEST_SIGNING_KEY } from './signing-key.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** The whole platform for one test file: real stores, real HTTP, the three demo tenants, no worker. */
export interface House {
  readonly url: string;
  readonly gateway: RunningGateway;
  /** The servers of the subgraphs by name; none in local mode. */
  readonly subgraphServers: ReadonlyMap<string, RunningSubgraph>;
  readonly stores: TestStores;
  readonly databases: Databases;
  readonly platform: Platform;
  readonly acme: DemoTenant;
  readonly globex: DemoTenant;
  readonly initech: DemoTenant;
  /** Sends a GraphQL request and returns its answer, whatever its status. */
  graphql(token: string, query: string, variables?: Record<string, unknown>): Promise<GraphqlAnswer>;
  /** Sends any request with a bearer token. */
  fetch(token: string | null, path: string, init?: RequestInit): Promise<Response>;
}

/** A GraphQL answer as a client sees it. */
export interface GraphqlAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly data?: Record<string, never> | null;
  readonly errors?: readonly {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions: { readonly code: string; readonly requestId: string };
  }[];
  readonly extensions?: Record<string, never>;
}

/** How a house is built. */
export interface HouseOptions {
  /** `remote` serves every subgraph by itself over HTTP, as a split deployment does. */
  readonly mode?: 'local' | 'remote';
  readonly clock?: Clock;
  readonly env?: Readonly<Record<string, string>>;
  /** Where the demo tenants live: by default in the pools, or as TEST_PLACEMENT says. */
  readonly placement?: Placement;
  /** What the gateway waits out its time to drain with. */
  readonly pause?: (timeMs: number) => Promise<unknown>;
}

const openHouses: (() => Promise<void>)[] = [];

afterAll(async () => {
  for (const close of openHouses.splice(0)) await close();
});

/** Opens a house; it is closed when the test file ends. */
export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const stores = await makeStores();
  const home = temporaryFolder('house');
  const databases = await stores.open(`file://${home}/archive`);
  const placement = options.placement ?? process.env['TEST_PLACEMENT'] ?? 'pool';
  const placements = TIERS.map((tier) => `${tier}=${placement}`).join(',');
  const config = readConfig({
    PORT: '0',
    TENON_HOME: home,
    TENON_TIER_PLACEMENTS: placements,
    ...options.env,
  });
  if (placement === 'bridge') await Promise.all([stores.addBridges('eu-1', 2), stores.addBridges('us-1', 1)]);
  if (placement === 'silo') for (const cell of ['eu-1', 'eu-1', 'us-1'] as const) await stores.addSilo(cell);
  const platform: Platform = {
    config,
    databases,
    clock: options.clock ?? (() => new Date()),
    publicUrl: 'http://tenon.test',
  };
  const served = options.mode === 'remote' ? await serveAll(platform) : null;
  const gateway = await startGateway({
    platform: { ...platform, config: { ...config, subgraphs: served?.addresses ?? 'local' } },
    subgraphs,
    supergraphSdl: compose(subgraphs),
    operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
    verifierKey: TEST_SIGNING_KEY.verifierKey,
    ...(options.pause === undefined ? {} : { pause: options.pause }),
  });
  openHouses.push(async () => {
    await gateway.close();
    await Promise.all((served?.running ?? []).map(([, server]) => server.close()));
    await databases.close();
  });
  const [acme, globex, initech] = await makeDemoTenants(platform);
  if (acme === undefined || globex === undefined || initech === undefined)
    throw new Error('there are three demo tenants');
  const send: House['fetch'] = (token, path, init = {}) =>
    fetch(`${gateway.url}${path}`, {
      ...init,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(init.headers as Record<string, string>),
      },
    });
  return {
    url: gateway.url,
    gateway,
    subgraphServers: new Map(served?.running),
    stores,
    databases,
    platform,
    acme,
    globex,
    initech,
    fetch: send,
    graphql: graphqlOver(send),
  };
}

async function serveAll(platform: Platform): Promise<{
  running: readonly (readonly [name: string, server: RunningSubgraph])[];
  addresses: Extract<Config['subgraphs'], object>;
}> {
  const running = await Promise.all(
    subgraphs.map(async (subgraph) => [subgraph.name, await serveSubgraph(subgraph, platform)] as const),
  );
  return { running, addresses: Object.fromEntries(running.map(([name, { url }]) => [name, url])) };
}

function graphqlOver(send: House['fetch']): House['graphql'] {
  return async (token, query, variables = {}) => {
    const response = await send(token, '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const body = (await response.json()) as Omit<GraphqlAnswer, 'status' | 'headers'>;
    return { status: response.status, headers: response.headers, ...body };
  };
}

import type { FastifyInstance } from 'fastify';
import type { GraphQLSchema } from 'graphql';
import type { Subgraph } from '#kit/define-subgraph.ts';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes } from '#kit/mount-routes.ts';
import type { Platform } from '#kit/request-context.ts';
import type { Config } from '#schema/config.ts';
import { TenonError } from '#schema/errors.ts';
import { readCostSchema, type CostSchema } from '#schema/cost/cost-schema.ts';
import { recordRefusal, type RefusalLog } from './decisions.ts';
import { mountGraphql, newApolloServer } from './graphql-endpoint.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { mountHealth } from './health.ts';
import { newGatewayMetrics, type GatewayMetrics } from './metrics.ts';
import { loadPersistedOperations, type PersistedOperations } from './persisted-operations.ts';
import { mountRemoteRoutes } from './remote-routes.ts';
import { localLink, remoteLink, type RemoteLink } from './links/subgraph-link.ts';
import { newGateway } from './supergraph.ts';
import { newRedisBuckets } from './budget/redis-buckets.ts';
import { newTenantBuckets, type TenantBudgets } from './budget/token-bucket.ts';
import { OPERATION_LIMITS } from './use-query-budget.ts';
import { useTenancy } from './use-tenancy.ts';

/** What a gateway is composed of. */
export interface GatewayOptions {
  readonly platform: Platform;
  readonly supergraphSdl: string;
  readonly subgraphs: readonly Subgraph[];
  /** Folder of the persisted-operation manifests, one a client. */
  readonly operationsFolder: string;
  /** The verification key of checkpoints and evidence, as `/.well-known/tenon/keys` shows it. */
  readonly verifierKey: string;
}

/** A gateway that answers. */
export interface RunningGateway {
  readonly url: string;
  /** Stops taking requests, lets those under way end, and closes every connection. */
  close(): Promise<void>;
}

/** Starts the gateway on the port of the settings; a port in use is SERVICE_UNAVAILABLE. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { config } = options.platform;
  const server = newHttpServer(options.platform);
  const links = remoteLinks(options.platform);
  const metrics = newGatewayMetrics();
  const { budgets, closeBudgets } = openBudgets(config, metrics);
  const parts = gatewayParts(options, { links, metrics, budgets });
  const apollo = newApolloServer(parts);
  await apollo.start();
  await parts.loadOperations();
  const health = mountHealth(server, { ...options, metrics: parts.metrics });
  mountGraphql(server, apollo, parts);
  mountSubgraphRoutes(server, options);
  const url = await listen(server, config);
  return {
    url,
    close: async () => {
      health.drain();
      await server.close();
      await apollo.stop();
      closeBudgets();
      await Promise.all([...links.values()].map((link) => link.close()));
    },
  };
}

interface Shared {
  readonly links: ReadonlyMap<string, RemoteLink>;
  readonly metrics: GatewayMetrics;
  readonly budgets: TenantBudgets;
}

/** Shared by all gateways where they have a Redis, else this one's own. */
function openBudgets(
  { redisUrl }: Config,
  metrics: GatewayMetrics,
): { budgets: TenantBudgets; closeBudgets: () => void } {
  if (redisUrl === null) return { budgets: newTenantBuckets(), closeBudgets: () => undefined };
  const budgets = newRedisBuckets({ url: redisUrl, onChange: (away) => metrics.budgetStoreAway(away) });
  return { budgets, closeBudgets: budgets.close };
}

function gatewayParts(options: GatewayOptions, { links, metrics, budgets }: Shared): GatewayParts {
  const local = new Map(options.subgraphs.map((subgraph) => [subgraph.name, localLink(subgraph)]));
  const gateway = newGateway(
    options.supergraphSdl,
    (name) => links.get(name) ?? local.get(name) ?? unknownSubgraph(name),
  );
  let costs: CostSchema | undefined;
  let schema: GraphQLSchema | undefined;
  let operations: PersistedOperations | undefined;
  const refusals: RefusalLog = new Map();
  gateway.onSchemaLoadOrUpdate(({ apiSchema, coreSupergraphSdl }) => {
    costs = readCostSchema(coreSupergraphSdl);
    schema = apiSchema;
  });
  return {
    platform: options.platform,
    gateway,
    refusals,
    operations: () => operations ?? unavailable('persisted operations are not loaded'),
    loadOperations: async () => {
      const { operationsFolder: folder } = options;
      operations = await loadPersistedOperations({
        folder,
        schema: schema ?? unavailable('the supergraph is not loaded'),
      });
    },
    metrics,
    budget: {
      buckets: budgets,
      limits: OPERATION_LIMITS,
      costs: () => costs ?? unavailable('the supergraph is not loaded'),
      nowMs: () => performance.now(),
      onThrottled: (ctx) => recordRefusal(refusals, ctx.request, { action: 'request.throttle', code: 'THROTTLED' }),
    },
  };
}

function remoteLinks({ config }: Platform): Map<string, RemoteLink> {
  return new Map(
    Object.entries(remoteAddresses(config)).map(([name, url]) => [
      name,
      remoteLink({ url, timeoutMs: config.requestTimeoutMs }),
    ]),
  );
}

/** The REST doors of the subgraphs: those in this process are entered here, the others through their own server. */
function mountSubgraphRoutes(server: FastifyInstance, { platform, subgraphs }: GatewayOptions): void {
  const contextOf: Parameters<typeof mountRoutes>[2]['contextOf'] = (req, origin) => useTenancy(platform, req, origin);
  const remote = remoteAddresses(platform.config);
  for (const subgraph of subgraphs) {
    const url = remote[subgraph.name];
    if (url === undefined) mountRoutes(server, subgraph.routes ?? [], { platform, contextOf });
    else mountRemoteRoutes(server, subgraph.routes ?? [], { platform, contextOf, url });
  }
}

function remoteAddresses({ subgraphs }: Config): Readonly<Record<string, string>> {
  return subgraphs === 'local' ? {} : subgraphs;
}

function unknownSubgraph(name: string): never {
  throw new Error(`the supergraph names a subgraph that is not listed: ${name}`);
}

function unavailable(reason: string): never {
  throw new TenonError('SERVICE_UNAVAILABLE', reason);
}

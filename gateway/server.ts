import type { FastifyInstance } from 'fastify';
import { listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes, type RouteEntrance } from '#kit/mount-routes.ts';
import { requestContext } from '#kit/request-context.ts';
import { traceRequests } from '#kit/server-span.ts';
import { traceTenant } from '#kit/tenant-trace.ts';
import type { ChangeFeed } from '#kit/change-feed.ts';
import { newApolloServer } from './apollo-server.ts';
import type { GatewayOptions } from './gateway-options.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { newGraphqlDoor } from './graphql-door.ts';
import { mountHealth } from './health.ts';
import { openGatewayParts } from './open-gateway-parts.ts';
import { mountRemoteRoutes } from './remote-routes.ts';
import { remoteAddresses } from './subgraph-links.ts';
import { useTenancy } from './use-tenancy.ts';

/** A gateway that answers. */
export interface RunningGateway {
  readonly url: string;
  /**
   * Serves another supergraph from now on, without a dropped request; fails and goes on with the one there is where it
   * cannot be loaded or would break a registered operation, naming it.
   */
  readonly reload: (supergraphSdl: string) => Promise<void>;
  /** Stops taking requests, lets those under way end, and closes every connection; a second call waits for the first. */
  close(): Promise<void>;
}

/** Starts the gateway on the port of the settings; a port in use is SERVICE_UNAVAILABLE. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { platform } = options;
  const { parts, levels, feed, reload, close } = await openGatewayParts(options);
  const apollo = newApolloServer(parts);
  await apollo.start();
  const door = newGraphqlDoor({ parts, apollo });
  const server = newHttpServer(platform, door.take);
  traceRequests(server);
  let isDraining = false;
  // A connection that a request was under way on would else stay open for as long as clients may keep it.
  server.addHook('onSend', async (_req, reply) => {
    if (isDraining) reply.header('connection', 'close');
  });
  const health = mountHealth(server, { ...options, levels });
  mountSubgraphRoutes(server, options, { parts, feed });
  const url = await listen(server, platform.config);
  const drain = async () => {
    isDraining = true;
    health.drain();
    door.drain();
    await server.close();
    await apollo.stop();
    await close();
  };
  let closing: Promise<void> | undefined;
  return { url, reload, close: () => (closing ??= drain()) };
}

/** The REST doors of the subgraphs: those in this process are entered here, the others through their own server. */
function mountSubgraphRoutes(
  server: FastifyInstance,
  { platform, subgraphs }: GatewayOptions,
  { parts, feed }: { parts: GatewayParts; feed: ChangeFeed },
): void {
  const contextOf: RouteEntrance['contextOf'] = async (req, origin) => {
    const { tenant } = await useTenancy(parts.tenancy, req.headers, origin);
    traceTenant(tenant);
    return requestContext(platform, tenant);
  };
  // An identity provider that took a person's access away is answered when this gateway knows of it.
  server.addHook('onSend', async (req) => {
    if (req.method !== 'GET' && req.url.startsWith('/scim/')) await feed.caughtUp(null);
  });
  const remote = remoteAddresses(platform.config);
  for (const subgraph of subgraphs) {
    const url = remote[subgraph.name];
    if (url === undefined) mountRoutes(server, subgraph.routes ?? [], { platform, contextOf });
    else mountRemoteRoutes(server, subgraph.routes ?? [], { platform, contextOf, url });
  }
}

import type { ServerResponse } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { KEEP_ALIVE_TIMEOUT_MS, listen, newHttpServer } from '#kit/http-server.ts';
import { mountRoutes, type RouteEntrance } from '#kit/mount-routes.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { RequestEnding } from '#kit/request-ending.ts';
import { traceRequests } from '#kit/server-span.ts';
import { traceTenant } from '#kit/tenant-trace.ts';
import type { ChangeFeed } from '#kit/change-feed.ts';
import type { TenonError } from '#schema/errors.ts';
import { newApolloServer } from './apollo-server.ts';
import { drainMsOf } from './drain-time.ts';
import type { GatewayOptions } from './gateway-options.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { newGraphqlDoor, type GraphqlDoor } from './graphql-door.ts';
import { mountHealth } from './health.ts';
import { openFront, type Front, type FrontOptions } from './http/front.ts';
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
  /**
   * Says at once that it is not ready, serves on for the time of the settings, so that balancers find out before they
   * meet a closed port, then takes no connection any more, lets requests under way end, and closes every connection. A
   * second call waits for the first.
   */
  close(): Promise<void>;
}

/** Starts the gateway on the port of the settings; a port in use is SERVICE_UNAVAILABLE. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const { platform, pause = (timeMs) => setTimeout(timeMs) } = options;
  const { parts, levels, feed, reload, close } = await openGatewayParts(options);
  const apollo = newApolloServer(parts);
  await apollo.start();
  const door = newGraphqlDoor({ parts, apollo });
  let front: Front | undefined;
  const server = newHttpServer(platform, {
    door: door.take,
    onServer: (node) => (front = openFront(node, frontOptions(door, platform))),
  });
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
    const drainMs = drainMsOf(platform.config);
    if (drainMs > 0) await pause(drainMs);
    front?.closeIdle();
    await server.close();
    front?.close();
    await apollo.stop();
    await close();
  };
  let closing: Promise<void> | undefined;
  return { url, reload, close: () => (closing ??= drain()) };
}

function frontOptions({ serve }: GraphqlDoor, { config }: Platform): FrontOptions {
  return { serve, keepAliveMs: KEEP_ALIVE_TIMEOUT_MS, firstBytesMs: config.requestTimeoutMs };
}

/** The REST doors of the subgraphs: those in this process are entered here, the others through their own server. */
function mountSubgraphRoutes(
  server: FastifyInstance,
  { platform, subgraphs }: GatewayOptions,
  { parts, feed }: { parts: GatewayParts; feed: ChangeFeed },
): void {
  const responses = new WeakMap<FastifyRequest, ServerResponse>();
  server.addHook('onRequest', async (req, reply) => void responses.set(req, reply.raw));
  const contextOf: RouteEntrance['contextOf'] = async (req, origin) => {
    const startedMs = performance.now();
    const again = () => useTenancy(parts.tenancy, req.headers, origin);
    const { tenant } = await again();
    traceTenant(tenant);
    const ending = new RequestEnding();
    const response = responses.get(req);
    const end = (reason: TenonError) => {
      ending.abort(reason);
      response?.destroy();
    };
    const request = { tenant, startedMs, again, end };
    const place = parts.underWay.enter(request);
    response?.once('close', () => parts.underWay.leave(place));
    return requestContext(platform, tenant, ending);
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

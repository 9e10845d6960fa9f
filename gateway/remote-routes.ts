import type { FastifyInstance } from 'fastify';
import { request } from 'undici';
import { authorize } from '#kit/authorize.ts';
import { originOf, sendError, type RouteEntrance } from '#kit/mount-routes.ts';
import { contextHeaders } from '#kit/request-context.ts';
import type { Route } from '#kit/route.ts';
import { injectTrace } from '#kit/tenant-trace.ts';
import { TenonError } from '#schema/errors.ts';

/** Headers that speak of one connection (RFC 9110 section 7.6.1), and those that only the gateway may set. */
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'content-length',
  'authorization',
  'x-tenon-context',
  'x-request-id',
  'x-forwarded-for',
]);

/** Opens the REST doors of a subgraph in another process: the credential stays here, the signed context goes on. */
export function mountRemoteRoutes(
  server: FastifyInstance,
  routes: readonly Route[],
  entrance: RouteEntrance & { readonly url: string },
): void {
  const { databases, config } = entrance.platform;
  for (const route of routes) {
    server.route({
      method: route.method,
      url: route.path,
      handler: async (req, reply) => {
        const origin = originOf(req);
        const about = { style: route.errors ?? 'problem', requestId: origin.requestId } as const;
        try {
          const tenant = route.scope === null ? null : (await entrance.contextOf(req, origin)).tenant;
          if (tenant !== null && route.scope !== null) authorize({ tenant }, route.scope);
          const own =
            tenant === null
              ? { 'x-request-id': origin.requestId, ...(origin.ip === null ? {} : { 'x-forwarded-for': origin.ip }) }
              : contextHeaders(tenant, databases.keys);
          const answer = await request(`${entrance.url}${req.url}`, {
            method: route.method,
            headers: injectTrace({ ...forwarded(req.headers), ...own }),
            body: Buffer.isBuffer(req.body) && req.body.length > 0 ? req.body : null,
            headersTimeout: config.requestTimeoutMs,
            bodyTimeout: config.requestTimeoutMs,
          });
          return await reply
            .status(answer.statusCode)
            .headers(forwarded(answer.headers))
            .header('x-request-id', origin.requestId)
            .send(answer.body);
        } catch (error) {
          const known =
            error instanceof TenonError
              ? error
              : new TenonError('SERVICE_UNAVAILABLE', 'the subgraph does not answer', { cause: error });
          return sendError(reply, known, about);
        }
      },
    });
  }
}

function forwarded(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(
    (entry): entry is [string, string | string[]] => entry[1] !== undefined && !NOT_FORWARDED.has(entry[0]),
  );
  return Object.fromEntries(kept);
}

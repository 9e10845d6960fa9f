import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { asTenonError, fail, type TenonError } from '#schema/errors.ts';
import { authorize } from './authorize.ts';
import type { RequestOrigin } from './credential.ts';
import { logError } from './log.ts';
import type { Platform, RequestContext } from './request-context.ts';
import type { PublicRoute, Route, RouteRequest, RouteResponse, TenantRoute } from './route.ts';

/** How a server turns a request into what a door needs: the gateway by the credential, a subgraph by the envelope. */
export interface RouteEntrance {
  readonly platform: Platform;
  readonly contextOf: (req: FastifyRequest, origin: RequestOrigin) => Promise<RequestContext>;
}

const SCIM_ERROR = 'urn:ietf:params:scim:api:messages:2.0:Error';
const REQUEST_ID_SHAPE = /^[\w.:-]{1,64}$/;

/** Opens REST doors on a server; every answer carries `x-request-id`, and every error is one of the table. */
export function mountRoutes(server: FastifyInstance, routes: readonly Route[], entrance: RouteEntrance): void {
  for (const route of routes) {
    server.route({
      method: route.method,
      url: route.path,
      handler: async (req, reply) => {
        const origin = originOf(req);
        reply.header('x-request-id', origin.requestId);
        try {
          const answer = await enter(route, { ...entrance, origin, reply }, req);
          return await send(reply, answer);
        } catch (error) {
          return sendError(reply, asTenonError(error), {
            style: route.errors ?? 'problem',
            requestId: origin.requestId,
          });
        }
      },
    });
  }
}

/** Returns what a request says of itself: an id of its own choosing if it is harmless, its address and its program. */
export function originOf(req: Pick<FastifyRequest, 'headers' | 'ip'>): RequestOrigin {
  const given = req.headers['x-request-id'];
  const requestId = typeof given === 'string' && REQUEST_ID_SHAPE.test(given) ? given : `req_${randomUUID()}`;
  return { requestId, ip: req.ip, ua: req.headers['user-agent']?.slice(0, 256) ?? null };
}

/** Answers with an error of the table, as problem details (RFC 9457) or in SCIM's own form. */
export function sendError(
  reply: FastifyReply,
  error: TenonError,
  about: { style: 'problem' | 'scim'; requestId: string },
): FastifyReply {
  if (error.status >= 500) logError(error, about.requestId);
  reply.status(error.status).header('x-request-id', about.requestId);
  if (error.code === 'UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer');
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds));
  return about.style === 'scim' ? sendScimError(reply, error) : sendProblem(reply, error, about.requestId);
}

async function enter(
  route: Route,
  entrance: RouteEntrance & { readonly origin: RequestOrigin; readonly reply: FastifyReply },
  req: FastifyRequest,
): Promise<RouteResponse> {
  const request = requestOf(req, entrance.reply);
  if (route.scope === null) return (route satisfies PublicRoute).handle(entrance.platform, request, entrance.origin);
  const ctx = await entrance.contextOf(req, entrance.origin);
  authorize(ctx, route.scope);
  if (ctx.tenant.support !== undefined) {
    fail('FORBIDDEN', 'a support session at a REST door', { hint: 'Support access is for the graph alone.' });
  }
  return (route satisfies TenantRoute).handle(ctx, request);
}

function requestOf(req: FastifyRequest, reply: FastifyReply): RouteRequest {
  const gone = new AbortController();
  // The response closes once, answered or not; the connection may carry many more requests.
  reply.raw.once('close', () => gone.abort());
  return {
    method: req.method,
    params: req.params as Record<string, string>,
    query: req.query as RouteRequest['query'],
    headers: req.headers,
    body: Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0),
    signal: gone.signal,
  };
}

async function send(reply: FastifyReply, answer: RouteResponse): Promise<FastifyReply> {
  reply.status(answer.status).headers(answer.headers ?? {});
  return reply.send(answer.body ?? '');
}

function sendProblem(reply: FastifyReply, error: TenonError, requestId: string): FastifyReply {
  const body = { type: 'about:blank', title: error.publicMessage, status: error.status, code: error.code, requestId };
  return reply.type('application/problem+json').send(JSON.stringify(body));
}

function sendScimError(reply: FastifyReply, error: TenonError): FastifyReply {
  const { scimType } = error;
  const body = {
    schemas: [SCIM_ERROR],
    status: String(error.status),
    ...(scimType === undefined ? {} : { scimType }),
    detail: error.publicMessage,
  };
  // As bytes: to a text the server would add a charset, which application/scim+json does not have.
  return reply.type('application/scim+json').send(Buffer.from(JSON.stringify(body)));
}

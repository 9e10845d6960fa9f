import { randomUUID } from 'node:crypto';
import { HeaderMap, type ApolloServer, type HTTPGraphQLResponse } from '@apollo/server';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { callerGone } from '#kit/http-server.ts';
import type { PlainCall } from './links/remote-link.ts';

/** Larger bodies are refused, so that a mistake of a suite does not end the process. */
const MAX_BODY_BYTES = 50 * 1024 * 1024;

/** The doors of an open gateway; both are shut with 503 until it is marked ready. */
export interface OpenHttp {
  readonly http: FastifyInstance;
  readonly markReady: () => void;
}

/** Returns the HTTP server of an open gateway: POST and GET /graphql, and GET /health. */
export function newOpenHttp(apollo: ApolloServer<PlainCall>): OpenHttp {
  const http = Fastify({ bodyLimit: MAX_BODY_BYTES, forceCloseConnections: true, logger: false });
  let ready = false;
  http.get('/health', (_req, reply) => (ready ? reply.send({ status: 'ok' }) : notYet(reply)));
  http.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    handler: async (req, reply) => (ready ? send(reply, await answer(apollo, req, reply)) : notYet(reply)),
  });
  return {
    http,
    markReady: () => {
      ready = true;
    },
  };
}

function notYet(reply: FastifyReply): FastifyReply {
  return reply.status(503).send({ status: 'the supergraph is being loaded' });
}

function answer(
  apollo: ApolloServer<PlainCall>,
  req: FastifyRequest,
  reply: FastifyReply,
): Promise<HTTPGraphQLResponse> {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(req.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  const { search } = new URL(req.url, 'http://localhost');
  return apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: { method: req.method, headers, search, body: req.body ?? {} },
    context: async () => ({ requestId: headers.get('x-request-id') ?? randomUUID(), signal: callerGone(reply) }),
  });
}

function send(reply: FastifyReply, { status, headers, body }: HTTPGraphQLResponse): FastifyReply {
  if (body.kind !== 'complete') throw new Error('the gateway answers in one piece');
  for (const [name, value] of headers) reply.header(name, value);
  return reply.status(status ?? 200).send(body.string);
}

import type { FastifyRequest } from 'fastify';
import { parse } from 'graphql';
import { asTenonError, fail } from '#schema/errors.ts';
import type { Subgraph } from './define-subgraph.ts';
import { callerGone, listen, newHttpServer } from './http-server.ts';
import { mountRoutes, originOf, sendError } from './mount-routes.ts';
import { CONTEXT_HEADER, receivedContext, type Platform, type RequestContext } from './request-context.ts';
import { executeSubgraph, type SubgraphOperation } from './subgraph-execution.ts';
import { traceTenant } from './tenant-trace.ts';

/** A subgraph that answers over HTTP. */
export interface RunningSubgraph {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves one subgraph over HTTP; it believes signed tenant contexts of the gateway and nothing else. */
export async function serveSubgraph(subgraph: Subgraph, platform: Platform): Promise<RunningSubgraph> {
  const server = newHttpServer(platform);
  server.get('/healthz', async (_req, reply) => reply.type('text/plain').send('ok\n'));
  server.post('/graphql', async (req, reply) => {
    const { requestId } = originOf(req);
    try {
      const ctx = contextOf(platform, req, callerGone(reply));
      const result = await executeSubgraph(subgraph, readOperation(req.body), ctx);
      return await reply.type('application/json').send(JSON.stringify(result));
    } catch (error) {
      return sendError(reply, asTenonError(error), { style: 'problem', requestId });
    }
  });
  mountRoutes(server, subgraph.routes ?? [], { platform, contextOf: async (req) => contextOf(platform, req) });
  const url = await listen(server, platform.config);
  return { url, close: () => server.close() };
}

function contextOf(platform: Platform, req: FastifyRequest, signal?: AbortSignal): RequestContext {
  const { requestId } = originOf(req);
  const ctx = receivedContext(platform, { envelope: req.headers[CONTEXT_HEADER], requestId, signal });
  traceTenant(ctx.tenant);
  return ctx;
}

/** The sender has shown a valid envelope: it is the gateway, and its operations are planned from validated ones. */
function readOperation(body: unknown): SubgraphOperation {
  try {
    const { query, variables, operationName } = JSON.parse(String(body)) as {
      query: string;
      variables?: Record<string, unknown>;
      operationName?: string;
    };
    return { document: parse(query), variables, operationName };
  } catch (error) {
    return fail('BAD_REQUEST', 'the operation cannot be read', { cause: error });
  }
}

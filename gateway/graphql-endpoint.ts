import { ApolloServer, HeaderMap, type HTTPGraphQLResponse } from '@apollo/server';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { originOf } from '#kit/mount-routes.ts';
import { logError } from '#kit/log.ts';
import type { RequestOrigin } from '#kit/credential.ts';
import { asTenonError, type ErrorCode } from '#schema/errors.ts';
import { recordRefusal, type RefusalLog } from './decisions.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { readGraphqlRequest, type GraphqlRequest } from './graphql-request.ts';
import { countTokens } from '#schema/operation-limits.ts';
import { useErrorMasking } from './use-error-masking.ts';
import { usePersistedOperations } from './use-persisted-operations.ts';
import { MAX_TOKENS, useQueryBudget } from './use-query-budget.ts';
import { useTenancy } from './use-tenancy.ts';

/** Refusals of this step that the tenant finds in her audit log. */
const RECORDED: ReadonlySet<ErrorCode> = new Set(['PERSISTED_QUERY_NOT_IN_LIST', 'PERSISTED_QUERY_ID_REQUIRED']);

/** Makes the Apollo Server over the gateway; it parses, validates, plans and answers, and opens no door of its own. */
export function newApolloServer(parts: GatewayParts): ApolloServer<GatewayContext> {
  return new ApolloServer<GatewayContext>({
    gateway: parts.gateway,
    introspection: true,
    includeStacktraceInErrorResponses: false,
    hideSchemaDetailsFromClientErrors: parts.platform.config.profile === 'production',
    persistedQueries: false,
    // The process itself ends the server, after requests under way have been answered.
    stopOnTerminationSignals: false,
    plugins: [ApolloServerPluginInlineTraceDisabled(), useQueryBudget(parts.budget), useErrorMasking()],
  });
}

/** Opens `/graphql` (GraphQL over HTTP): each request passes the steps in their order and goes no way back. */
export function mountGraphql(server: FastifyInstance, apollo: ApolloServer<GatewayContext>, parts: GatewayParts): void {
  server.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    handler: async (req, reply) => {
      if (wantsGraphiql(req, parts))
        return reply.type('text/html').send(renderGraphiQL({ title: 'Tenon', endpoint: '/graphql' }));
      const origin = originOf(req);
      reply.header('x-request-id', origin.requestId);
      try {
        return await sendAnswer(reply, await answer(req, origin, { apollo, parts }));
      } catch (error) {
        return sendRefusal(reply, error, origin.requestId);
      }
    },
  });
}

interface Endpoint {
  readonly apollo: ApolloServer<GatewayContext>;
  readonly parts: GatewayParts;
}

async function answer(
  req: FastifyRequest,
  origin: RequestOrigin,
  { apollo, parts }: Endpoint,
): Promise<HTTPGraphQLResponse> {
  const started = performance.now();
  const request = await useTenancy(parts.platform, req, origin);
  const operation = await refusalsRecorded(parts.refusals, { request }, () =>
    usePersistedOperations(request, readGraphqlRequest(req), parts.operations()),
  );
  countTokens(operation.query ?? '', MAX_TOKENS);
  const response = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: httpRequest(req, operation),
    context: async () => ({ request }),
  });
  parts.metrics.observe(request.tenant.tier, {
    status: response.status ?? 200,
    seconds: (performance.now() - started) / 1000,
  });
  return response;
}

async function refusalsRecorded<T>(log: RefusalLog, ctx: GatewayContext, step: () => T): Promise<T> {
  try {
    return step();
  } catch (error) {
    const { code } = asTenonError(error);
    if (RECORDED.has(code)) await recordRefusal(log, ctx.request, { action: 'operation.refuse', code });
    throw error;
  }
}

/** The operation that passed the steps takes the place of what was sent, in the form that it was sent in. */
function httpRequest(req: FastifyRequest, operation: GraphqlRequest) {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(req.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  const search = req.method === 'GET' ? `?${parametersOf(operation)}` : '';
  return { method: req.method, headers, search, body: req.method === 'GET' ? {} : operation };
}

function parametersOf({ query, variables, operationName }: GraphqlRequest): URLSearchParams {
  return new URLSearchParams({
    query: query ?? '',
    ...(variables === undefined ? {} : { variables: JSON.stringify(variables) }),
    ...(operationName === undefined ? {} : { operationName }),
  });
}

async function sendAnswer(reply: FastifyReply, response: HTTPGraphQLResponse): Promise<FastifyReply> {
  for (const [name, value] of response.headers) reply.header(name, value);
  reply.status(response.status ?? 200);
  if (response.body.kind === 'complete') return reply.send(response.body.string);
  throw new Error('the gateway answers in one piece');
}

function sendRefusal(reply: FastifyReply, thrown: unknown, requestId: string): FastifyReply {
  const error = asTenonError(thrown);
  if (error.status >= 500) logError(error, requestId);
  if (error.code === 'UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer');
  const body = { errors: [{ message: error.publicMessage, extensions: { code: error.code, requestId } }] };
  return reply.status(error.status).type('application/json; charset=utf-8').send(JSON.stringify(body));
}

function wantsGraphiql(req: FastifyRequest, parts: GatewayParts): boolean {
  const page = req.method === 'GET' && (req.headers.accept ?? '').includes('text/html');
  return (
    page && parts.platform.config.profile !== 'production' && (req.query as { query?: unknown }).query === undefined
  );
}

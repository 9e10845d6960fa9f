import type { IncomingHttpHeaders } from 'node:http';
import {
  ApolloServer,
  HeaderMap,
  type ApolloServerPlugin,
  type GraphQLRequestContextDidResolveOperation,
  type GraphQLRequestContextWillSendResponse,
} from '@apollo/server';
import { ApolloServerPluginInlineTraceDisabled } from '@apollo/server/plugin/disabled';
import { OperationTypeNode, type GraphQLFormattedError } from 'graphql';
import { ERRORS, asTenonError, TenonError, type ErrorCode } from '#schema/errors.ts';
import { admit, budgetsLeft, settle, type AskedOperation } from './admission.ts';
import { refusalStatus, spendingAnswer } from './answer.ts';
import { budgetHeaders } from './budget/budget-headers.ts';
import { recordDecision } from './decisions.ts';
import type { ApolloContext, GatewayContext } from './gateway-context.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { costDetail } from './known-way.ts';
import { prepareOperation, type PreparedOperation } from './prepared-operation.ts';
import type { GraphqlRequest } from './http/graphql-request.ts';
import type { HttpAnswer } from './http/exchange.ts';
import { codeOf, maskError, toGraphqlError } from './use-error-masking.ts';

/** The HTTP side of a request for Apollo Server. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly headers: IncomingHttpHeaders;
}

/**
 * Makes the Apollo Server over the gateway. It takes the operations that nobody has sent before: it parses and validates
 * them, `usePreparation` plans and compiles them, and from then on they are known and need it no more.
 */
export function newApolloServer(parts: GatewayParts): ApolloServer<ApolloContext> {
  return new ApolloServer<ApolloContext>({
    gateway: parts.supergraphs.gateway,
    // Who may ask is decided by scope, at admission.
    introspection: true,
    includeStacktraceInErrorResponses: false,
    hideSchemaDetailsFromClientErrors: parts.platform.config.profile === 'production',
    persistedQueries: false,
    // What was seen once is remembered as a program; parsed documents beside it are nothing but memory.
    documentStore: null,
    // The process itself ends the server, after requests under way have been answered.
    stopOnTerminationSignals: false,
    plugins: [ApolloServerPluginInlineTraceDisabled(), usePreparation(parts)],
  });
}

/** Answers one operation through Apollo Server, which also negotiates the media type. */
export async function runThroughApollo(
  { apollo, parts }: { readonly apollo: ApolloServer<ApolloContext>; readonly parts: GatewayParts },
  ctx: GatewayContext,
  { http, operation }: { http: HttpRequest; operation: GraphqlRequest },
): Promise<HttpAnswer> {
  const isGet = http.method === 'GET';
  const {
    status = 200,
    headers,
    body,
  } = await apollo.executeHTTPGraphQLRequest({
    httpGraphQLRequest: {
      method: http.method,
      headers: headerMap(http.headers),
      search: isGet ? `?${parametersOf(operation)}` : '',
      body: isGet ? {} : operation,
    },
    context: async () => ({ gateway: ctx }),
  });
  if (body.kind !== 'complete') throw new Error('the gateway answers in one piece');
  const {
    'content-type': mediaType = 'application/json',
    'content-length': _,
    ...others
  } = Object.fromEntries(headers);
  const type = mediaType.split(';')[0] ?? mediaType;
  const known = ctx.code !== undefined && ctx.ran === false ? refusalStatus(ctx.code, type) : status;
  // What Apollo Server refuses before its plugins hear of it has no budgets in its headers yet.
  const left = headers.has('ratelimit') ? {} : budgetHeaders(budgetsLeft(parts.admission, ctx));
  return { status: known, mediaType: type, headers: { ...others, ...left }, text: body.string.trimEnd() };
}

/** The steps between validation and execution, and what an answer says of its cost and its errors. */
function usePreparation(parts: GatewayParts): ApolloServerPlugin<ApolloContext> {
  return {
    requestDidStart: async () => ({
      didResolveOperation: (rc) => prepare(parts, rc),
      responseForOperation: async ({ contextValue }) =>
        contextValue.gateway.dryRun
          ? { http: { status: 200, headers: new HeaderMap() }, body: { kind: 'single', singleResult: { data: null } } }
          : null,
      willSendResponse: async (rc) => finish(parts, rc),
    }),
  };
}

const OPERATION_HINT = 'Name one of the operations in the document.';

async function prepare(
  parts: GatewayParts,
  {
    contextValue: { gateway: ctx },
    document,
    operation,
    request,
    schema,
    source,
  }: GraphQLRequestContextDidResolveOperation<ApolloContext>,
): Promise<void> {
  try {
    if (operation == null) throw new TenonError('BAD_REQUEST', 'no such operation', { hint: OPERATION_HINT });
    const supergraph = parts.supergraphs.of(schema);
    const started = performance.now();
    ctx.operation = await prepareOperation(supergraph, document, operation);
    ctx.operation.exceeded = ctx.exceeded ?? null;
    parts.metrics.planned((performance.now() - started) / 1000);
    await admit(parts.admission, ctx, askedBy(ctx.operation, request));
    supergraph.known.set(source, request.operationName ?? null, ctx.operation);
  } catch (thrown) {
    const { requestId } = ctx.request.tenant;
    await recordDecision(parts.decisions, ctx.request, asTenonError(thrown).code);
    throw toGraphqlError(thrown, requestId);
  }
}

function finish(parts: GatewayParts, rc: GraphQLRequestContextWillSendResponse<ApolloContext>): void {
  const { contextValue, response } = rc;
  const ctx = contextValue.gateway;
  if (response.body.kind !== 'single') return;
  const { singleResult } = response.body;
  // A mutation by GET is refused before it is prepared.
  const isRefusedMutation = ctx.operation === undefined && rc.operation?.operation === OperationTypeNode.MUTATION;
  const left = isRefusedMutation
    ? budgetsLeft(parts.admission, { ...ctx, operation: { kind: 'mutation' } })
    : settle(parts.admission, ctx);
  const detail = ctx.operation === undefined ? {} : costDetail(ctx, askedBy(ctx.operation, rc.request));
  const spent = spendingAnswer(ctx, left, detail);
  for (const [name, value] of Object.entries(spent.headers)) response.http.headers.set(name, value);
  singleResult.extensions = { ...singleResult.extensions, cost: spent.cost };
  const { errors = [] } = singleResult;
  if (errors.length === 0) return;
  const { requestId } = ctx.request.tenant;
  // Apollo Server answers a mutation by GET with this status and a general code.
  singleResult.errors =
    response.http.status === 405 ? [wrongMethod(requestId)] : errors.map((error) => maskError(error, requestId));
  ctx.code = codeOf(singleResult.errors[0]);
  ctx.ran = singleResult.data !== undefined;
}

function askedBy(operation: PreparedOperation, { variables }: { variables?: Record<string, unknown> }): AskedOperation {
  return { operation, variables: variables ?? {} };
}

function wrongMethod(requestId: string): GraphQLFormattedError {
  const code: ErrorCode = 'METHOD_NOT_ALLOWED';
  return { message: ERRORS[code].message, extensions: { code, requestId } };
}

function headerMap(from: HttpRequest['headers']): HeaderMap {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  // What a browser may not send unasked was refused before.
  headers.set('apollo-require-preflight', 'true');
  return headers;
}

function parametersOf({ query, variables, operationName }: GraphqlRequest): URLSearchParams {
  return new URLSearchParams({
    query: query ?? '',
    ...(variables === undefined ? {} : { variables: JSON.stringify(variables) }),
    ...(operationName === undefined ? {} : { operationName }),
  });
}

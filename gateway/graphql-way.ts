import type { ApolloServer } from '@apollo/server';
import type { Span } from '@opentelemetry/api';
import { GraphQLError, parse, type DocumentNode } from 'graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { underSpan } from '#kit/server-span.ts';
import type { BudgetLimits } from '#schema/budget-limits.ts';
import { fail } from '#schema/errors.ts';
import type { LimitName, Limits } from '#schema/limits.ts';
import { checkLimits, checkSource, checkVariables } from '#schema/operation-limits.ts';
import { outcomeText, refusalStatus } from './answer.ts';
import { runThroughApollo, type HttpRequest } from './apollo-server.ts';
import { recordDecision } from './decisions.ts';
import type { ApolloContext, GatewayContext } from './gateway-context.ts';
import type { GatewayParts } from './gateway-parts.ts';
import type { HttpAnswer } from './http/exchange.ts';
import type { GraphqlParameters } from './http/graphql-request.ts';
import { isPreflighted, refusalMediaType, usualMediaType } from './http/negotiation.ts';
import { runKnown } from './known-way.ts';
import { cacheHeadersOf } from './operations/document-address.ts';
import { usePersistedOperations, type OperationRequest } from './operations/use-persisted-operations.ts';
import type { PreparedOperation } from './prepared-operation.ts';
import { refusalAnswer } from './use-error-masking.ts';

/** A GraphQL request that has passed the door. */
export interface GraphqlVisit {
  readonly parameters: GraphqlParameters;
  readonly request: RequestContext;
  readonly http: HttpRequest & { /** The id in the path, null where there is none. */ readonly pathId: string | null };
  readonly limits: BudgetLimits;
  readonly span: Span;
}

/** What operations are answered with: compiled programs, and Apollo Server for those that are seen for the first time. */
export interface OperationWays {
  readonly parts: GatewayParts;
  readonly apollo: ApolloServer<ApolloContext>;
}

/** Answers one operation, or each of a batch in their order. */
export function answerParameters(ways: OperationWays, visit: GraphqlVisit): Promise<HttpAnswer> {
  const { parameters } = visit;
  return isBatch(parameters)
    ? answerBatch(ways, visit, parameters)
    : answerOne(ways, visit, { parameters, isBatched: false });
}

async function answerBatch(
  ways: OperationWays,
  visit: GraphqlVisit,
  parameters: readonly Readonly<Record<string, unknown>>[],
): Promise<HttpAnswer> {
  const answers: HttpAnswer[] = [];
  for (const each of parameters) answers.push(await answerOne(ways, visit, { parameters: each, isBatched: true }));
  const [{ mediaType, headers } = { mediaType: 'application/json', headers: {} }] = answers.toReversed();
  return { status: 200, mediaType, headers, text: `[${answers.map(({ text }) => text).join(',')}]` };
}

interface SentOperation {
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly isBatched: boolean;
}

async function answerOne(ways: OperationWays, visit: GraphqlVisit, sent: SentOperation): Promise<HttpAnswer> {
  const started = performance.now();
  const { parts } = ways;
  const { request, limits, span, http } = visit;
  const dryRun = http.headers['x-cost-dry-run'] === '1';
  const ctx: GatewayContext = { request, limits, span, dryRun, isBatched: sent.isBatched, costCeiling: null };
  let answer: HttpAnswer;
  try {
    answer = await wayOf(ways, visit, { ctx, sent });
  } catch (thrown) {
    answer = await refuse(parts, { ctx, http }, thrown);
  }
  parts.budgetStore.note(request);
  if (ctx.operation !== undefined && span.isRecording()) traceOperation(span, ctx.operation);
  parts.metrics.observe({
    tenant: request.tenant,
    status: answer.status,
    seconds: (performance.now() - started) / 1000,
    code: ctx.code ?? null,
    estimated: ctx.spending?.estimated ?? null,
    actual: ctx.spending?.actual ?? null,
  });
  return answer;
}

async function wayOf(
  ways: OperationWays,
  { request, http }: GraphqlVisit,
  { ctx, sent }: { ctx: GatewayContext; sent: SentOperation },
): Promise<HttpAnswer> {
  const { parts } = ways;
  const { method, pathId } = http;
  const named = usePersistedOperations(request, { parameters: sent.parameters, method, pathId }, parts.doors);
  const operation = named instanceof Promise ? await named : named;
  ctx.costCeiling = operation.registered?.costCeiling ?? null;
  if (operation.registered === null && !isPreflighted(http.headers))
    fail('CSRF_PREVENTION_FAILED', 'a request that a browser could have been made to send');
  const { variables } = operation;
  if (variables !== undefined) parts.metrics.limitsExceeded(checkVariables(variables, parts.limits));
  const answer = await answerOperation(ways, ctx, { http, operation });
  if (operation.registered === null) return answer;
  const { kind } = operation.registered;
  return {
    ...answer,
    headers: { ...answer.headers, ...cacheHeadersOf({ method, kind, hasErrors: ctx.code !== undefined }) },
  };
}

/** A known operation runs at once; one that nobody has sent before is measured, and then goes through Apollo Server. */
function answerOperation(
  { parts, apollo }: OperationWays,
  ctx: GatewayContext,
  { http, operation }: { http: HttpRequest; operation: OperationRequest },
): Promise<HttpAnswer> {
  const { query, operationName = null, variables = NO_VARIABLES } = operation;
  const mediaType = usualMediaType(http.headers.accept);
  const known = mediaType === null ? undefined : parts.supergraphs.current().known.get(query, operationName);
  parts.metrics.programCache(known !== undefined);
  if (known === undefined || mediaType === null) {
    parts.metrics.limitsExceeded(measure(query, parts.limits));
    return underSpan(ctx.span, () => runThroughApollo(apollo, ctx, { http, operation }));
  }
  if (http.method === 'GET' && known.kind === 'mutation') fail('METHOD_NOT_ALLOWED', 'a mutation by GET');
  return runKnown(parts, ctx, { operation: known, variables, mediaType });
}

const NO_VARIABLES: Readonly<Record<string, unknown>> = {};

/** Measures a document before anything that takes longer than reading it; what cannot be parsed is Apollo Server's to tell. */
function measure(query: string, limits: Limits): readonly LimitName[] {
  const exceeded = checkSource(query, limits);
  const document = parsedOrNull(query);
  return document === null ? exceeded : [...exceeded, ...checkLimits(document, limits).exceeded];
}

function parsedOrNull(query: string): DocumentNode | null {
  try {
    return parse(query);
  } catch (error) {
    if (error instanceof GraphQLError) return null;
    throw error;
  }
}

/** Returns the answer to an operation that was refused before it was known what it is. */
async function refuse(
  parts: GatewayParts,
  { ctx, http }: { ctx: GatewayContext; http: HttpRequest },
  thrown: unknown,
): Promise<HttpAnswer> {
  const { error, code, status } = refusalAnswer(thrown, ctx.request.tenant.requestId);
  ctx.code = code;
  await recordDecision(parts.decisions, ctx.request, code);
  const mediaType = refusalMediaType(http.headers.accept);
  const headers = code === 'METHOD_NOT_ALLOWED' ? { allow: 'POST' } : {};
  return {
    status: refusalStatus(code, mediaType, status),
    mediaType,
    headers,
    text: outcomeText({ errors: [error], extensions: null }),
  };
}

function traceOperation(span: Span, { kind, name }: PreparedOperation): void {
  span.setAttribute('graphql.operation.type', kind);
  if (name !== null) span.setAttribute('graphql.operation.name', name);
}

function isBatch(parameters: GraphqlParameters): parameters is readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(parameters);
}

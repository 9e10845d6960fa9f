import type { ApolloServer } from '@apollo/server';
import type { Span } from '@opentelemetry/api';
import { GraphQLError, parse, type DocumentNode } from 'graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { underSpan } from '#kit/server-span.ts';
import type { BudgetLimits } from '#schema/budget-limits.ts';
import { fail } from '#schema/errors.ts';
import type { LimitName, Limits } from '#schema/limits.ts';
import { checkLimits, checkSource, checkVariables } from '#schema/operation-limits.ts';
import { settle } from './admission.ts';
import { outcomeText, refusalStatus, spendingAnswer } from './answer.ts';
import { runThroughApollo, type HttpRequest } from './apollo-server.ts';
import { recordDecision } from './decisions.ts';
import type { ApolloContext, GatewayContext } from './gateway-context.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { forget, type HttpAnswer } from './http/exchange.ts';
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
  const text = `[${answers.map((answer) => answer.text).join(',')}]`;
  answers.forEach(forget);
  return { status: 200, mediaType, headers, text };
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
    const { method, pathId } = http;
    const named = usePersistedOperations(request, { parameters: sent.parameters, method, pathId }, parts.doors);
    answer = await answerNamed(ways, ctx, { http, operation: named instanceof Promise ? await named : named });
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

/** What is known of an operation once its id, if it came with one, has become its text. */
interface NamedOperation {
  readonly http: HttpRequest;
  readonly operation: OperationRequest;
}

function answerNamed(ways: OperationWays, ctx: GatewayContext, named: NamedOperation): Promise<HttpAnswer> {
  const { metrics, limits } = ways.parts;
  const { http, operation } = named;
  const { registered, variables } = operation;
  ctx.costCeiling = registered?.costCeiling ?? null;
  if (registered === null && !isPreflighted(http.headers))
    fail('CSRF_PREVENTION_FAILED', 'a request that a browser could have been made to send');
  if (variables !== undefined) metrics.limitsExceeded(checkVariables(variables, limits));
  const answering = answerOperation(ways, ctx, named);
  if (registered === null) return answering;
  const { method } = http;
  return answering.then((answer) => {
    const caching = cacheHeadersOf({ method, kind: registered.kind, hasErrors: ctx.code !== undefined });
    return Object.assign(answer, { headers: { ...answer.headers, ...caching } });
  });
}

/** A known operation runs at once; one that nobody has sent before is measured, and then goes through Apollo Server. */
function answerOperation(
  ways: OperationWays,
  ctx: GatewayContext,
  { http, operation }: NamedOperation,
): Promise<HttpAnswer> {
  const { parts } = ways;
  const { query, operationName = null, variables = NO_VARIABLES } = operation;
  const mediaType = usualMediaType(http.headers.accept);
  const known = mediaType === null ? undefined : parts.supergraphs.current().known.get(query, operationName);
  parts.metrics.programCache(known !== undefined);
  if (known === undefined || mediaType === null) {
    parts.metrics.limitsExceeded((ctx.exceeded = measure(query, parts.limits)));
    return underSpan(ctx.span, () => runThroughApollo(ways, ctx, { http, operation }));
  }
  ctx.operation = known;
  if (http.method === 'GET' && known.kind === 'mutation') fail('METHOD_NOT_ALLOWED', 'a mutation by GET');
  known.exceeded ??= measure(query, parts.limits);
  if (known.exceeded.length > 0) parts.metrics.limitsExceeded(known.exceeded);
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
  const { headers, cost } = spendingAnswer(ctx, settle(parts.admission, ctx), {});
  return {
    status: refusalStatus(code, mediaType, status),
    mediaType,
    headers: code === 'METHOD_NOT_ALLOWED' ? { ...headers, allow: 'POST' } : headers,
    text: outcomeText({ errors: [error], extensions: JSON.stringify({ cost }) }),
  };
}

function traceOperation(span: Span, { kind, name }: PreparedOperation): void {
  span.setAttribute('graphql.operation.type', kind);
  if (name !== null) span.setAttribute('graphql.operation.name', name);
}

function isBatch(parameters: GraphqlParameters): parameters is readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(parameters);
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Span } from '@opentelemetry/api';
import type { Authenticated } from '#kit/credential-cache.ts';
import { callerAddress, trustedProxiesOf, type IsTrusted } from '#kit/caller-address.ts';
import { originOf } from '#kit/mount-routes.ts';
import type { RequestOrigin } from '#kit/credential.ts';
import { requestContext } from '#kit/request-context.ts';
import { endServerSpan, startServerSpan, underSpan } from '#kit/server-span.ts';
import { tenantAttributes } from '#kit/tenant-trace.ts';
import { fail, type ErrorCode, type TenonError } from '#schema/errors.ts';
import { isBeyond, type Limits } from '#schema/limits.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { budgetsLeft } from './admission.ts';
import { outcomeText, refusalStatus, spendingAnswer } from './answer.ts';
import { recordDecision } from './decisions.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { answerParameters, type OperationWays } from './graphql-way.ts';
import { forget, nodeExchange, type HttpAnswer, type HttpExchange } from './http/exchange.ts';
import { readGraphqlRequest } from './http/graphql-request.ts';
import { refusalMediaType } from './http/negotiation.ts';
import { deadlineOf } from './links/call-times.ts';
import { RequestWatch } from './links/request-signal.ts';
import { documentIdOfPath } from './operations/document-address.ts';
import type { RequestUnderWay } from './revocation/requests-under-way.ts';
import { refusalAnswer } from './use-error-masking.ts';
import { useTenancy, type Tenancy } from './use-tenancy.ts';

/** Stands in front of a server's router. */
export interface GraphqlDoor {
  /** Answers a request for `/graphql` and returns true; leaves any other alone and returns false. */
  readonly take: (req: IncomingMessage, res: ServerResponse) => boolean;
  /** Answers a request that is known to be for `/graphql`. */
  readonly serve: (exchange: HttpExchange) => void;
  /** From now on every answer ends its connection. */
  readonly drain: () => void;
}

/**
 * Opens `/graphql` and `/graphql/<id>` (GraphQL over HTTP): each request passes the steps in their order and goes no way
 * back. It stands in front of the server's router, which a known operation would spend a tenth of its time in.
 */
export function newGraphqlDoor(ways: OperationWays): GraphqlDoor {
  const door = { isDraining: false, trusted: trustedProxiesOf(ways.parts.platform.config) };
  return {
    take: (req, res) => {
      if (!isGraphqlAddress(req.url ?? '')) return false;
      void serve(ways, nodeExchange(req, res), door);
      return true;
    },
    serve: (exchange) => void serve(ways, exchange, door),
    drain: () => {
      door.isDraining = true;
    },
  };
}

function isGraphqlAddress(url: string): boolean {
  if (!url.startsWith('/graphql')) return false;
  const next = url[8];
  return next === undefined || next === '?' || next === '/';
}

/** One request at the door, who it turned out to come from, and what ends it. A class, since every request has one. */
class Visit implements RequestUnderWay {
  readonly exchange: HttpExchange;
  readonly origin: RequestOrigin;
  readonly span: Span;
  readonly startedMs = performance.now();
  caller: Authenticated | null = null;
  watch: RequestWatch | null = null;
  /** Why the gateway itself ended it. */
  endedBy: TenonError | null = null;
  readonly #tenancy: Tenancy;

  constructor(exchange: HttpExchange, trusted: IsTrusted | false, tenancy: Tenancy) {
    const { headers, method } = exchange;
    this.exchange = exchange;
    this.#tenancy = tenancy;
    this.origin = originOf({ headers, ip: callerAddress({ socket: exchange, headers }, trusted) });
    this.span = startServerSpan({ method, headers, route: '/graphql' });
  }

  get tenant(): TenantContext {
    return this.caller?.tenant ?? fail('UNAUTHENTICATED', 'nobody is known yet');
  }

  again(): Authenticated | Promise<Authenticated> {
    return useTenancy(this.#tenancy, this.exchange.headers, this.origin);
  }

  end(reason: TenonError): void {
    this.endedBy = reason;
    this.watch?.abort(reason);
  }
}

/** What is the same for every request; whether an answer ends its connection is known when it is written. */
interface DoorState {
  readonly isDraining: boolean;
  readonly trusted: IsTrusted | false;
}

async function serve(behind: OperationWays, exchange: HttpExchange, door: DoorState): Promise<void> {
  const visit = new Visit(exchange, door.trusted, behind.parts.tenancy);
  let answer: HttpAnswer;
  try {
    answer = await (isPageRequest(exchange, behind.parts) ? graphiql() : answerVisit(behind, visit));
  } catch (thrown) {
    answer = await refuse(behind.parts, visit, thrown);
  }
  const { origin, span } = visit;
  if (!exchange.isGone) exchange.write(answer, { lines: linesOf(origin, answer), isLast: door.isDraining });
  forget(answer);
  endServerSpan(span, answer.status);
}

/** What is for one tenant's eyes is stored nowhere on its way, unless the answer itself says how. */
function linesOf({ requestId }: RequestOrigin, { headers }: HttpAnswer): readonly string[] {
  return headers['cache-control'] === undefined
    ? ['x-request-id', requestId, 'cache-control', 'no-store']
    : ['x-request-id', requestId];
}

async function answerVisit(behind: OperationWays, visit: Visit): Promise<HttpAnswer> {
  const { parts } = behind;
  const { exchange, span } = visit;
  const method = methodOf(exchange);
  if (isBeyond(parts.limits, 'headers', exchange.headerCount)) parts.metrics.limitsExceeded(['headers']);
  const found = span.isRecording() ? underSpan(span, () => visit.again()) : visit.again();
  visit.caller = found instanceof Promise ? await found : found;
  const { tenant, limits } = visit.caller;
  if (span.isRecording()) span.setAttributes(tenantAttributes(tenant));
  const watch = (visit.watch = new RequestWatch(exchange, deadlineOf(tenant.tier)));
  const place = parts.underWay.enter(visit);
  try {
    const { pathId, search } = addressOf(exchange);
    const read = method === 'POST' ? exchange.readBody(bodyMax(parts.limits)) : '';
    const body = typeof read === 'string' ? read : await read;
    if (isBeyond(parts.limits, 'bodyBytes', body.length)) parts.metrics.limitsExceeded(['bodyBytes']);
    const { headers } = exchange;
    const message = { method, contentType: headers['content-type'], search, body };
    const parameters = readGraphqlRequest(message, batchMax(parts.limits));
    if (Array.isArray(parameters) && isBeyond(parts.limits, 'batch', parameters.length))
      parts.metrics.limitsExceeded(['batch']);
    const answer = await answerParameters(behind, {
      parameters,
      request: requestContext(parts.platform, tenant, watch.signal),
      http: { method, headers, pathId },
      limits,
      span,
    });
    // Whose access has ended meanwhile is told so, whatever became of the operation.
    if (visit.endedBy !== null) throw visit.endedBy;
    return answer;
  } finally {
    parts.underWay.leave(place);
    watch.end();
  }
}

/** Where it is known who asks, she learns what her budgets are like, as from any other answer. */
async function refuse(parts: GatewayParts, { exchange, origin, caller }: Visit, thrown: unknown): Promise<HttpAnswer> {
  const { error, code, status } = refusalAnswer(thrown, origin.requestId);
  const request = caller === null ? null : requestContext(parts.platform, caller.tenant);
  if (request !== null) await recordDecision(parts.decisions, request, code);
  parts.metrics.observe({ tenant: caller?.tenant ?? null, status, seconds: 0, code, estimated: null, actual: null });
  const asker = caller === null || request === null ? null : { request, limits: caller.limits, isBatched: false };
  const spent = asker === null ? null : spendingAnswer({}, budgetsLeft(parts.admission, asker), {});
  const mediaType = refusalMediaType(exchange.headers.accept);
  return {
    status: refusalStatus(code, mediaType, status),
    mediaType,
    headers: { ...spent?.headers, ...REFUSAL_HEADERS[code] },
    text: outcomeText({ errors: [error], extensions: spent === null ? null : JSON.stringify({ cost: spent.cost }) }),
  };
}

/** What a refusal has to say beside its code (RFC 9110 sections 11.6.1 and 10.2.1); a body too large ends the connection. */
const REFUSAL_HEADERS: Partial<Record<ErrorCode, Readonly<Record<string, string>>>> = {
  UNAUTHENTICATED: { 'www-authenticate': 'Bearer' },
  METHOD_NOT_ALLOWED: { allow: 'GET, POST' },
  PAYLOAD_TOO_LARGE: { connection: 'close' },
};

/** A limit that is only measured must not let a body fill the memory. */
const MEASURED_BODY_MAX = 64 * 1024 * 1024;

function bodyMax({ bodyBytes: { max, mode } }: Limits): number {
  return mode === 'enforce' ? max : Math.max(max, MEASURED_BODY_MAX);
}

/** The body bounds a batch whose length is only measured. */
function batchMax({ batch: { max, mode } }: Limits): number {
  return mode === 'enforce' ? max : Infinity;
}

function methodOf({ method }: HttpExchange): 'GET' | 'POST' {
  return method === 'GET' || method === 'POST' ? method : fail('METHOD_NOT_ALLOWED', `${method} /graphql`);
}

function addressOf({ url }: HttpExchange): { pathId: string | null; search: string } {
  if (url === '/graphql') return { pathId: null, search: '' };
  const question = url.indexOf('?');
  const path = question === -1 ? url : url.slice(0, question);
  return { pathId: documentIdOfPath(path), search: question === -1 ? '' : url.slice(question) };
}

function isPageRequest({ method, url, headers }: HttpExchange, { platform }: GatewayParts): boolean {
  if (method !== 'GET' || platform.config.profile === 'production') return false;
  return headers.accept?.includes('text/html') === true && !url.includes('query=');
}

/** Loaded when somebody asks for it: the page is a third of all the memory that a gateway starts with. */
async function graphiql(): Promise<HttpAnswer> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const text = renderGraphiQL({ title: 'Tenon', endpoint: '/graphql' });
  return { status: 200, mediaType: 'text/html', headers: {}, text };
}

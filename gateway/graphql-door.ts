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
import { budgetsLeft } from './admission.ts';
import { outcomeText, refusalStatus, spendingAnswer } from './answer.ts';
import { recordDecision } from './decisions.ts';
import type { GatewayParts } from './gateway-parts.ts';
import { answerParameters, type OperationWays } from './graphql-way.ts';
import { readBody, writeAnswer, type HttpAnswer } from './http/exchange.ts';
import { readGraphqlRequest } from './http/graphql-request.ts';
import { refusalMediaType } from './http/negotiation.ts';
import { deadlineOf } from './links/call-times.ts';
import { RequestWatch } from './links/request-signal.ts';
import { documentIdOfPath } from './operations/document-address.ts';
import type { RequestUnderWay } from './revocation/requests-under-way.ts';
import { refusalAnswer } from './use-error-masking.ts';
import { useTenancy } from './use-tenancy.ts';

/** Stands in front of a server's router. */
export interface GraphqlDoor {
  /** Answers a request for `/graphql` and returns true; leaves any other alone and returns false. */
  readonly take: (req: IncomingMessage, res: ServerResponse) => boolean;
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
      void serve(ways, { req, res, door });
      return true;
    },
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

/** One request at the door, and who it turned out to come from. */
interface Visit {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly origin: RequestOrigin;
  readonly span: Span;
  caller: Authenticated | null;
}

/** One call of the door; whether its answer ends the connection is known when it is written. */
interface Call extends Pick<Visit, 'req' | 'res'> {
  readonly door: { readonly isDraining: boolean; readonly trusted: IsTrusted | false };
}

async function serve(behind: OperationWays, { req, res, door }: Call): Promise<void> {
  const origin = originOf({ headers: req.headers, ip: callerAddress(req, door.trusted) });
  const span = startServerSpan({ method: req.method ?? '', headers: req.headers, route: '/graphql' });
  const visit: Visit = { req, res, origin, span, caller: null };
  let answer: HttpAnswer;
  try {
    answer = await (isPageRequest(req, behind.parts) ? graphiql() : answerVisit(behind, visit));
  } catch (thrown) {
    answer = await refuse(behind.parts, visit, thrown);
  }
  if (door.isDraining) res.shouldKeepAlive = false;
  if (!res.destroyed) writeAnswer(res, answer, linesOf(origin, answer));
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
  const { req, origin, span } = visit;
  const method = methodOf(req);
  if (isBeyond(parts.limits, 'headers', req.rawHeaders.length / 2)) parts.metrics.limitsExceeded(['headers']);
  const found = span.isRecording()
    ? underSpan(span, () => useTenancy(parts.tenancy, req.headers, origin))
    : useTenancy(parts.tenancy, req.headers, origin);
  visit.caller = found instanceof Promise ? await found : found;
  const { tenant, limits } = visit.caller;
  if (span.isRecording()) span.setAttributes(tenantAttributes(tenant));
  const watch = new RequestWatch(visit.res, deadlineOf(tenant.tier));
  const ended: { reason: TenonError | null } = { reason: null };
  const underWay: RequestUnderWay = {
    tenant,
    startedMs: performance.now(),
    again: () => useTenancy(parts.tenancy, req.headers, origin),
    end: (reason) => {
      ended.reason = reason;
      watch.abort(reason);
    },
  };
  const place = parts.underWay.enter(underWay);
  try {
    const { pathId, search } = addressOf(req);
    const body = method === 'POST' ? await readBody(req, bodyMax(parts.limits)) : '';
    if (isBeyond(parts.limits, 'bodyBytes', body.length)) parts.metrics.limitsExceeded(['bodyBytes']);
    const message = { method, contentType: req.headers['content-type'], search, body };
    const parameters = readGraphqlRequest(message, batchMax(parts.limits));
    if (Array.isArray(parameters) && isBeyond(parts.limits, 'batch', parameters.length))
      parts.metrics.limitsExceeded(['batch']);
    const answer = await answerParameters(behind, {
      parameters,
      request: requestContext(parts.platform, tenant, watch.signal),
      http: { method, headers: req.headers, pathId },
      limits,
      span,
    });
    // Whose access has ended meanwhile is told so, whatever became of the operation.
    if (ended.reason !== null) throw ended.reason;
    return answer;
  } finally {
    parts.underWay.leave(place);
    watch.end();
  }
}

/** Where it is known who asks, she learns what her budgets are like, as from any other answer. */
async function refuse(parts: GatewayParts, { req, origin, caller }: Visit, thrown: unknown): Promise<HttpAnswer> {
  const { error, code, status } = refusalAnswer(thrown, origin.requestId);
  const request = caller === null ? null : requestContext(parts.platform, caller.tenant);
  if (request !== null) await recordDecision(parts.decisions, request, code);
  parts.metrics.observe({ tenant: caller?.tenant ?? null, status, seconds: 0, code, estimated: null, actual: null });
  const asker = caller === null || request === null ? null : { request, limits: caller.limits, isBatched: false };
  const spent = asker === null ? null : spendingAnswer({}, budgetsLeft(parts.admission, asker), {});
  const mediaType = refusalMediaType(req.headers.accept);
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

function methodOf({ method }: IncomingMessage): 'GET' | 'POST' {
  return method === 'GET' || method === 'POST' ? method : fail('METHOD_NOT_ALLOWED', `${method} /graphql`);
}

function addressOf({ url = '' }: IncomingMessage): { pathId: string | null; search: string } {
  if (url === '/graphql') return { pathId: null, search: '' };
  const question = url.indexOf('?');
  const path = question === -1 ? url : url.slice(0, question);
  return { pathId: documentIdOfPath(path), search: question === -1 ? '' : url.slice(question) };
}

function isPageRequest({ method, url = '', headers }: IncomingMessage, { platform }: GatewayParts): boolean {
  if (method !== 'GET' || platform.config.profile === 'production') return false;
  return headers.accept?.includes('text/html') === true && !url.includes('query=');
}

/** Loaded when somebody asks for it: the page is a third of all the memory that a gateway starts with. */
async function graphiql(): Promise<HttpAnswer> {
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const text = renderGraphiQL({ title: 'Tenon', endpoint: '/graphql' });
  return { status: 200, mediaType: 'text/html', headers: {}, text };
}

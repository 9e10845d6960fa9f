import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Name of the tracer of the spans that are made by hand. */
export const TRACER = 'tenon';

/** Asked every few seconds by machines, about no tenant. */
export const PROBES: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

/** What the span of a request is made from. */
export interface IncomingCall {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The pattern that the address matched: an address itself can hold ids and tokens. */
  readonly route: string;
}

const tracer = trace.getTracer(TRACER);

/**
 * Starts the span of a request that a process answers, below the caller's own where she sent a W3C `traceparent`. It is
 * made by hand, since patching `node:http` costs a small request as much again as all the rest of its telemetry. Of one
 * that is not kept nothing is described: samplers here go by trace id alone.
 */
export function startServerSpan({ method, headers, route }: IncomingCall): Span {
  const parent = headers['traceparent'] === undefined ? ROOT_CONTEXT : propagation.extract(ROOT_CONTEXT, headers);
  const span = tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER }, parent);
  if (span.isRecording())
    span.setAttributes({ 'http.request.method': method, 'http.route': route, 'url.scheme': 'http' });
  return span;
}

/**
 * Runs work below a span, so that what it calls finds its parent. Entering a context costs more than the span itself, so
 * it happens only where the span is kept.
 */
export function underSpan<T>(span: Span, work: () => T): T {
  return span.isRecording() ? context.with(trace.setSpan(context.active(), span), work) : work();
}

/** Ends the span of a request with the status that was answered. */
export function endServerSpan(span: Span, status: number): void {
  span.setAttribute('http.response.status_code', status);
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

/** Gives every request of a server a span that its handler runs under. */
export function traceRequests(server: FastifyInstance): void {
  const spans = new WeakMap<FastifyRequest, Span>();
  server.addHook('onRequest', (req, _reply, done) => {
    const route = req.routeOptions.url;
    if (route === undefined || PROBES.has(route)) return done();
    const span = startServerSpan({ method: req.method, headers: req.headers, route });
    spans.set(req, span);
    return context.with(trace.setSpan(ROOT_CONTEXT, span), done);
  });
  server.addHook('onResponse', (req, reply, done) => {
    const span = spans.get(req);
    if (span !== undefined) endServerSpan(span, reply.statusCode);
    done();
  });
}

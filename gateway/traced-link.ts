import { context, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api';
import { TRACER } from '#kit/server-span.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import type { SubgraphLink } from './execution/subgraph-link.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { TenantCall } from './links/exchange.ts';

/** Told of every call: the subgraph, how long it took, and whether it failed as a whole. */
export type OnCall = (subgraph: string, seconds: number, failed: boolean) => void;

const tracer = trace.getTracer(TRACER);

/** Returns a link that gives each call a span below its request's and tells of it. */
export function tracedLink(
  subgraph: string,
  link: SubgraphLink<TenantCall>,
  onCall: OnCall,
): SubgraphLink<GatewayContext> {
  return {
    send: async (request, call) => {
      const started = performance.now();
      const span = tracer.startSpan('gateway.fetch', spanOptions(subgraph), trace.setSpan(context.active(), call.span));
      const result = await sendUnder(span, () => link.send(request, call));
      const failed = result.data == null && result.errors !== undefined;
      if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
      onCall(subgraph, (performance.now() - started) / 1000, failed);
      return result;
    },
  };
}

function spanOptions(subgraph: string) {
  return { kind: SpanKind.CLIENT, attributes: { service: subgraph } };
}

/** What runs in this process finds its parent here; entering a context costs more than the span, so only where it is kept. */
function sendUnder(span: Span, send: () => Promise<SubgraphResult>): Promise<SubgraphResult> {
  return span.isRecording() ? context.with(trace.setSpan(context.active(), span), send) : send();
}

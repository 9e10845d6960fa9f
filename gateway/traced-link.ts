import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { TRACER, underSpan } from '#kit/server-span.ts';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import type { SubgraphLink, SubgraphRequest } from './execution/subgraph-link.ts';
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
    send: (request, call) => {
      const started = performance.now();
      const sent = call.span.isRecording() ? sendTraced(link, request, { call, subgraph }) : link.send(request, call);
      return sent.then((result) => {
        onCall(subgraph, (performance.now() - started) / 1000, hasFailed(result));
        return result;
      });
    },
  };
}

async function sendTraced(
  link: SubgraphLink<TenantCall>,
  request: SubgraphRequest,
  { call, subgraph }: { readonly call: GatewayContext; readonly subgraph: string },
): Promise<SubgraphResult> {
  const options = { kind: SpanKind.CLIENT, attributes: { service: subgraph } };
  const span = tracer.startSpan('gateway.fetch', options, trace.setSpan(context.active(), call.span));
  const result = await underSpan(span, () => link.send(request, call));
  if (hasFailed(result)) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
  return result;
}

function hasFailed({ data, errors }: SubgraphResult): boolean {
  return data == null && errors !== undefined;
}

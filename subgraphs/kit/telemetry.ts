import { randomUUID } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { diag, DiagLogLevel, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { GraphQLInstrumentation } from '@opentelemetry/instrumentation-graphql';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type Span, type SpanExporter, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { log } from './log.ts';
import { isSchemaSetUp, publicSpan } from './public-span.ts';
import { PROBES } from './server-span.ts';
import { TENANT_ATTRIBUTES } from './tenant-trace.ts';
import { TurnContext } from './turn-context.ts';

/** What telemetry is started with. */
export interface TelemetrySettings {
  /** Which process this is, such as `gateway`; the service is then `tenon-gateway`. */
  readonly process: string;
  /** Name of the deployment; the services of one share it as their namespace. */
  readonly deployment: string;
  readonly exporter: SpanExporter;
  /** Whether requests get their spans by hand (server-span.ts); else `node:http` is instrumented. */
  readonly serverSpansByHand: boolean;
  /** Whether nothing in this process has to find its parent by itself, since all subgraphs are elsewhere. */
  readonly contextByHand: boolean;
}

/** A collector that does not answer costs at most this at the end of a process, and a batch while it runs. */
const EXPORT_TIMEOUT_MS = 5_000;
/** Longer than any statement of ours; a longer text is cut. */
const MAX_ATTRIBUTE_LENGTH = 4_096;
/** An instrumentation patches a module when it is required; imports that come later get what was patched here. */
const INSTRUMENTED = ['http', 'graphql', 'pg'] as const;

/**
 * Starts tracing; called before anything else is loaded. Every span takes over the tenant of its parent, and only its
 * public part reaches the exporter. Returns what sends the rest and ends it, within seconds even without collector.
 */
export function startTelemetry(settings: TelemetrySettings): () => Promise<void> {
  diag.setLogger({ error: warn, warn, info: ignore, debug: ignore, verbose: ignore }, DiagLogLevel.WARN);
  const provider = new NodeTracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': `tenon-${settings.process}`,
        'service.namespace': settings.deployment,
        'service.instance.id': randomUUID(),
      }),
    ),
    spanLimits: { attributeValueLengthLimit: MAX_ATTRIBUTE_LENGTH },
    spanProcessors: [TENANT_PROCESSOR, new BatchSpanProcessor(publicExporter(settings.exporter))],
  });
  provider.register(settings.contextByHand ? { contextManager: new TurnContext() } : {});
  registerInstrumentations({
    tracerProvider: provider,
    instrumentations: [
      ...(settings.serverSpansByHand ? [] : [incomingRequests()]),
      new GraphQLInstrumentation({ ignoreResolveSpans: true }),
      new PgInstrumentation({ requireParentSpan: true }),
    ],
  });
  const require = createRequire(import.meta.url);
  for (const name of INSTRUMENTED) require(name);
  subscribe('tracing:fastify.request.handler:start', nameRequest);
  return async () => {
    const end = provider.shutdown().catch((error: unknown) => warn(String(error)));
    await Promise.race([end, delay(EXPORT_TIMEOUT_MS, undefined, { ref: false })]);
  };
}

/** Outgoing calls carry no trace: those to our own processes get it by hand, and strangers shall not. */
function incomingRequests(): HttpInstrumentation {
  return new HttpInstrumentation({ disableOutgoingRequestInstrumentation: true, ignoreIncomingRequestHook: isProbe });
}

/** Returns the exporter to a collector that takes OTLP over HTTP, by its base address. */
export function otlpExporter(endpoint: string): SpanExporter {
  return new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: EXPORT_TIMEOUT_MS });
}

const TENANT_PROCESSOR: SpanProcessor = {
  onStart: (span, parentContext) => {
    const parent = trace.getSpan(parentContext);
    // A parent in another process, or one that is not recorded, has no attributes here.
    if (parent === undefined || !('attributes' in parent)) return;
    const { attributes } = parent as Span;
    for (const key of TENANT_ATTRIBUTES) {
      const value = attributes[key];
      if (value !== undefined) span.setAttribute(key, value);
    }
  },
  onEnd: ignore,
  forceFlush: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
};

function publicExporter(exporter: SpanExporter): SpanExporter {
  return {
    export: (spans, done) => exporter.export(spans.filter((span) => !isSchemaSetUp(span)).map(publicSpan), done),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
  };
}

function isProbe({ url = '' }: IncomingMessage): boolean {
  return PROBES.has(url.split('?', 1)[0] ?? '');
}

/** An address can hold ids, e-mail addresses and one-time tokens; the pattern that it matched cannot. */
function nameRequest(message: unknown): void {
  const { request, route } = message as { request: { method: string }; route: { url?: string } };
  if (route.url === undefined) return;
  trace.getActiveSpan()?.setAttribute('http.route', route.url).updateName(`${request.method} ${route.url}`);
}

function warn(...parts: unknown[]): void {
  log('warn', 'telemetry', {
    detail: parts
      .filter((part) => typeof part === 'string')
      .join(' ')
      .slice(0, 500),
  });
}

function ignore(): void {}

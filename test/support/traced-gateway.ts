import { fileURLToPath } from 'node:url';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-base';
import { startTelemetry } from '#kit/telemetry.ts';
import type { TracedGatewayMessage } from './traces.ts';

// A program of its own: libraries are patched while they load, which no test file that already loaded them can repeat.
// It serves the gateway as the settings say, and hands over the finished spans when it is told to stop.

const exporter = new InMemorySpanExporter();
const finished = () =>
  exporter.getFinishedSpans().map((span) => ({
    service: String(span.resource.attributes['service.name']),
    scope: span.instrumentationScope.name,
    name: span.name,
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? null,
    attributes: { ...span.attributes },
    // All that would leave the process.
    text: JSON.stringify({ ...span, resource: null, context: span.spanContext() }),
  }));
// The exporter forgets at its end what it was given, but the end is what makes the spans that wait come in.
const stopTelemetry = startTelemetry({
  process: 'gateway',
  serverSpansByHand: true,
  contextByHand: false,
  deployment: 'tenon.test',
  exporter: { export: exporter.export.bind(exporter), shutdown: () => Promise.resolve() },
});

const { compose } = await import('#kit/composition.ts');
const { openDatabases } = await import('#kit/database.ts');
const { readContextKeys, readDataKeys, readSigningKey } = await import('#kit/key-files.ts');
const { readConfig } = await import('#schema/config.ts');
const { subgraphs } = await import('#subgraphs');
const { startGateway } = await import('../../gateway/server.ts');

const config = readConfig();
const databases = await openDatabases({
  directoryUrl: config.databaseUrl ?? '',
  cells: config.cells ?? [],
  keys: readContextKeys(config),
  dataKeys: readDataKeys(config),
  entities: subgraphs.flatMap(({ entities }) => entities),
  poolSize: 4,
});
const gateway = await startGateway({
  platform: { config, databases, clock: () => new Date(), publicUrl: 'http://tenon.test' },
  subgraphs,
  supergraphSdl: compose(subgraphs),
  operationsFolder: fileURLToPath(new URL('../../schema/operations', import.meta.url)),
  verifierKey: readSigningKey(config).verifierKey,
});
process.once('message', () => void stop());
tell({ url: gateway.url });

async function stop(): Promise<void> {
  await gateway.close();
  await databases.close();
  await stopTelemetry();
  tell({ spans: finished() }, () => process.disconnect());
}

function tell(message: TracedGatewayMessage, sent: () => void = () => undefined): void {
  process.send?.(message, undefined, undefined, sent);
}

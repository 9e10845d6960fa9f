import './source-maps-register.ts';
import { readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { readConfig, type Config } from '#schema/config.ts';

// For `node --import tsx --import ./subgraphs/kit/telemetry-register.ts <main>`: libraries are patched while they load, so
// this must run before the first import of a main program.

/** Sends the spans that wait and ends telemetry; does nothing where no collector is set. */
export const stopTelemetry: () => Promise<void> = await start();

async function start(): Promise<() => Promise<void>> {
  const config = settings();
  if (config === null || config.otlpEndpoint === null) return () => Promise.resolve();
  const { otlpExporter, startTelemetry } = await import('./telemetry.ts');
  const name = processName();
  return startTelemetry({
    process: name,
    serverSpansByHand: name === 'gateway',
    contextByHand: name === 'gateway' && hasNoSubgraphs(config),
    deployment: config.deployment,
    exporter: otlpExporter(config.otlpEndpoint),
  });
}

/** A gateway with every subgraph elsewhere runs no resolver, and no statement but its own. */
function hasNoSubgraphs({ subgraphs }: Config): boolean {
  return subgraphs !== 'local' && subgraphNames().every((name) => name in subgraphs);
}

/** By their schemas: nothing of the subgraphs themselves may be loaded before telemetry. */
function subgraphNames(): string[] {
  const folder = new URL('../../schema/graphql/', import.meta.url);
  return readdirSync(folder)
    .map((file) => basename(file, '.graphql'))
    .filter((name) => name !== 'supergraph' && name !== 'directives');
}

/** A bad setting is the main program's to tell. */
function settings(): Config | null {
  try {
    return readConfig();
  } catch {
    return null;
  }
}

/** The folder of the main program; a subgraph that is served alone goes by its own name. */
function processName(): string {
  const [, main = '', name] = process.argv;
  const folder = basename(dirname(main));
  return folder === 'subgraphs' && name !== undefined ? name : folder;
}

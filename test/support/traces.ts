import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buffer, text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { DATA_KEYS } from './data-keys.ts';
import { CONTEXT_KEYS, type TestStores } from './databases.ts';
import { TEST_SIGNING_KEY } from './signing-key.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** A span as it left its process. */
export interface ExportedSpan {
  readonly service: string;
  /** Name of the library that made it. */
  readonly scope: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Everything the span says, as JSON. */
  readonly text: string;
}

/** What `traced-gateway.ts` tells its parent: where it listens, and at its end every span. */
export type TracedGatewayMessage = { readonly url: string } | { readonly spans: readonly ExportedSpan[] };

/** A gateway in a process of its own that keeps its spans in memory. */
export interface TracedGateway {
  readonly url: string;
  /** Ends it in order and returns every span it made. */
  stop(): Promise<readonly ExportedSpan[]>;
}

const children = new Set<ChildProcess>();

// What a failed test left behind; a process that ended in order is not touched.
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
});

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Returns the settings of a process over a house's stores, as a deployment gives them. */
export function deploymentSettings(stores: TestStores): Record<string, string> {
  const folder = temporaryFolder('traces');
  const { directoryUrl, cells } = stores.settingsFor('tenon_app', `file://${folder}/archive`);
  const contextKeyFile = join(folder, 'context-keys.json');
  const keys = CONTEXT_KEYS.all.map(({ kid, secret }) => ({ kid, secret: secret.toString('hex') }));
  writeFileSync(contextKeyFile, JSON.stringify({ signing: CONTEXT_KEYS.signing.kid, keys }));
  const dataKeyFile = join(folder, 'data-keys.json');
  const dataKeys = DATA_KEYS.all.map(({ kid, secret }) => ({ kid, secret: secret.toString('hex') }));
  writeFileSync(dataKeyFile, JSON.stringify({ current: DATA_KEYS.current.kid, keys: dataKeys }));
  const signingKeyFile = join(folder, 'signing-key.pem');
  writeFileSync(signingKeyFile, TEST_SIGNING_KEY.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return {
    TENON_PROFILE: 'production',
    DATABASE_URL: directoryUrl,
    CELLS: JSON.stringify(cells),
    TENON_CONTEXT_KEY_FILE: contextKeyFile,
    TENON_DATA_KEY_FILE: dataKeyFile,
    TENON_SIGNING_KEY_FILE: signingKeyFile,
    PORT: '0',
  };
}

/** Starts a gateway with an in-memory exporter. */
export async function startTracedGateway(settings: Readonly<Record<string, string>>): Promise<TracedGateway> {
  const child = fork(join(ROOT, 'test/support/traced-gateway.ts'), {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  children.add(child);
  const started = await messageOf(child);
  if (!('url' in started)) throw new Error('the gateway tells its address first');
  return {
    url: started.url,
    stop: async () => {
      const message = messageOf(child);
      const exit = once(child, 'exit');
      child.send('stop');
      const last = await message;
      await exit;
      return 'spans' in last ? last.spans : [];
    },
  };
}

/** Starts a main program the way the scripts of package.json do, and waits until it logs its address. */
export async function startTracedProgram(args: readonly string[], settings: Readonly<Record<string, string>>) {
  const register = ['--import', 'tsx', '--import', './subgraphs/kit/telemetry-register.ts'];
  const child = spawn(process.execPath, [...register, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  const exit = once(child, 'exit');
  const lines: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(child.stderr).on('line', (line) => {
      lines.push(line);
      const address = /"url":"([^"]+)"/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
    void exit.then(() => reject(new Error(`it ended:\n${lines.join('\n')}`)));
  });
  return {
    url,
    /** Ends it with SIGTERM and returns its exit code and what it logged. */
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = (await exit) as [number | null];
      return { code, lines };
    },
  };
}

/** A collector that takes OTLP over HTTP in JSON and keeps it. */
export async function startCollector() {
  const spans: ExportedSpan[] = [];
  const server = createServer((req, res) => void take(req, res));
  const take = async (req: IncomingMessage, res: ServerResponse) => {
    spans.push(...(await readExport(req)));
    res.setHeader('content-type', 'application/json').end('{}');
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

interface OtlpExport {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string };
      readonly spans: readonly {
        readonly traceId: string;
        readonly spanId: string;
        readonly parentSpanId?: string;
        readonly name: string;
        readonly attributes: readonly OtlpAttribute[];
      }[];
    }[];
  }[];
}

async function readExport(req: IncomingMessage): Promise<ExportedSpan[]> {
  if (req.url !== '/v1/traces') return [];
  const body = JSON.parse(String(await buffer(req))) as OtlpExport;
  return body.resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ scope, spans }) =>
      spans.map((span) => ({
        service: String(attributesOf(resource.attributes)['service.name']),
        scope: scope.name,
        name: span.name,
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? null,
        attributes: attributesOf(span.attributes),
        text: JSON.stringify(span),
      })),
    ),
  );
}

function attributesOf(list: readonly OtlpAttribute[]): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.intValue]));
}

async function messageOf(child: ChildProcess): Promise<TracedGatewayMessage> {
  const log = child.stderr === null ? Promise.resolve('') : text(child.stderr);
  // Messages that came before the end are read before the channel closes, but not before the process is seen to exit.
  const ended = once(child, 'disconnect').then(async () =>
    Promise.reject(new Error(`the traced gateway ended:\n${await log}`)),
  );
  const message = once(child, 'message') as Promise<[TracedGatewayMessage]>;
  ended.catch(() => undefined);
  return (await Promise.race([message, ended]))[0];
}

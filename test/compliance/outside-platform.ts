import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll } from 'vitest';
import { freePort } from '../support/programs.ts';

/** A platform that was started as the README says, and all that its processes have written. */
export interface OutsidePlatform {
  readonly url: string;
  /** Stdout and stderr of gateway, worker and database. */
  output(): string;
  /** Ends it as Ctrl-C does, and waits until its processes are gone. */
  stop(): Promise<void>;
}

const root = resolve(import.meta.dirname, '../..');
const running = new Set<ChildProcess>();
afterAll(() => {
  for (const { pid } of running) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
});

/** Starts the whole platform over a data folder and resolves when it says that it is ready. */
export async function startOutside(env: Readonly<Record<string, string>>): Promise<OutsidePlatform> {
  const port = await freePort();
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', '--import', './subgraphs/kit/telemetry-register.ts', 'gateway/main.ts'],
    {
      cwd: root,
      env: { PATH: process.env['PATH'] ?? '', NODE_ENV: '', PORT: String(port), ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  running.add(child);
  let output = '';
  const ended = new Promise<void>((done) => {
    child.once('close', () => {
      running.delete(child);
      done();
    });
  });
  await new Promise<void>((ready, failed) => {
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString('latin1');
        if (output.includes('Tenon is ready')) ready();
      });
    void ended.then(() => failed(new Error(`the platform ended: ${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    output: () => output,
    stop: async () => {
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGINT');
      await ended;
    },
  };
}

/** What a demo tenant is reached with. */
export interface DemoCredentials {
  readonly id: string;
  readonly slug: string;
  readonly admin: string;
  readonly member: string;
  readonly partner: string;
  readonly scim: string;
}

/** Returns the credentials of a demo tenant. */
export function credentialsOf(home: string, slug: string): DemoCredentials {
  const { tenants } = JSON.parse(readFileSync(join(home, 'credentials.json'), 'utf8')) as {
    tenants: DemoCredentials[];
  };
  const tenant = tenants.find((each) => each.slug === slug);
  if (tenant === undefined) throw new Error(`no demo tenant ${slug}`);
  return tenant;
}

/** A server that takes whatever is sent to it. */
export interface Sink {
  readonly url: string;
  /** Every body and header so far. */
  received(): Buffer;
}

/** Opens a receiver of streams or traces; it is closed with the test file. */
export async function openSink(): Promise<Sink> {
  const pieces: Buffer[] = [];
  const server = createServer((req, res) => {
    const take = async () => {
      pieces.push(Buffer.from(`${req.url} ${JSON.stringify(req.headers)}\n`), await buffer(req));
      res.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    };
    void take();
  });
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  afterAll(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, received: () => Buffer.concat(pieces) };
}

/** Waits until something holds, asking again and again. */
export async function until(what: string, holds: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((next) => {
      setImmediate(next);
    });
  }
}

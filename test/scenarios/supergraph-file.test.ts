import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parse, print, visit } from 'graphql';
import { afterAll, expect, it, vi } from 'vitest';
import { compose } from '#kit/composition.ts';
import { subgraphs } from '#subgraphs';
import { freePort } from '../support/programs.ts';

const WHOLE = compose(subgraphs);
/** The same without the name of a tenant. */
const SMALLER = print(
  visit(parse(WHOLE), {
    ObjectTypeDefinition: (node) =>
      node.name.value === 'Tenant'
        ? { ...node, fields: (node.fields ?? []).filter(({ name }) => name.value !== 'name') }
        : undefined,
  }),
);
const home = mkdtempSync(join(tmpdir(), 'tenon-supergraph-'));
const file = join(home, 'supergraph.graphql');
/** The file is looked at once a second. */
const SEEN = { timeout: 10_000, interval: 50 };

let program: ChildProcess | undefined;
afterAll(() => {
  program?.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

/** Starts the platform and returns its address and all that it writes, once it says that it is ready. */
async function start(
  settings: Readonly<Record<string, string>>,
): Promise<{ url: string; lines: readonly string[]; child: ChildProcess }> {
  const port = await freePort();
  const child = spawn(process.execPath, ['--import', 'tsx', 'gateway/main.ts'], {
    cwd: resolve(import.meta.dirname, '../..'),
    env: { ...process.env, NODE_ENV: '', PORT: String(port), TENON_HOME: home, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  program = child;
  const lines: string[] = [];
  await new Promise<void>((ready, refuse) => {
    for (const output of [child.stdout, child.stderr])
      createInterface(output).on('line', (line) => {
        lines.push(line);
        if (line.startsWith('Tenon is ready')) ready();
      });
    child.once('exit', () => refuse(new Error(`it ended:\n${lines.join('\n')}`)));
  });
  return { url: `http://127.0.0.1:${port}`, lines, child };
}

it('TENON_SUPERGRAPH_FILE is served, loaded again when it changes and on SIGHUP, and not where it is wrong', async () => {
  writeFileSync(file, SMALLER);
  const { url, lines, child } = await start({ TENON_SUPERGRAPH_FILE: file });
  const credentials = readFileSync(join(home, 'credentials.json'), 'utf8');
  const { tenants } = JSON.parse(credentials) as { tenants: readonly { slug: string; member: string }[] };
  const name = async () => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tenants[0]?.member ?? ''}` },
      body: JSON.stringify({ query: '{ tenant { name } }' }),
    });
    const { data, errors } = (await response.json()) as {
      data?: { tenant: { name: string } };
      errors?: { extensions: { code: string } }[];
    };
    return data?.tenant.name ?? errors?.[0]?.extensions.code;
  };
  const logged = (text: string) => lines.filter((line) => line.includes(text)).length;
  expect(await name()).toBe('GRAPHQL_VALIDATION_FAILED');

  writeFileSync(file, WHOLE);
  await vi.waitFor(async () => expect(await name()).toBe('Acme Corporation'), SEEN);

  writeFileSync(file, 'type Query {');
  await vi.waitFor(() => expect(logged('the new supergraph is not served; the one before stays')).toBe(1), SEEN);
  expect(await name()).toBe('Acme Corporation');

  writeFileSync(file, SMALLER);
  await vi.waitFor(async () => expect(await name()).toBe('GRAPHQL_VALIDATION_FAILED'), SEEN);

  const before = logged('the supergraph was loaded again');
  child.kill('SIGHUP');
  await vi.waitFor(() => expect(logged('the supergraph was loaded again')).toBe(before + 1), SEEN);
  expect(await name()).toBe('GRAPHQL_VALIDATION_FAILED');
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
}, 90_000);

it('SIGHUP without such a file is logged, and SIGTERM leaves time in which requests are answered and readiness says no', async () => {
  const { url, lines, child } = await start({ TENON_SUPERGRAPH_FILE: '', TENON_DRAIN_MS: '2000' });
  child.kill('SIGHUP');
  await vi.waitFor(() => expect(lines.join('\n')).toContain('TENON_SUPERGRAPH_FILE names no supergraph'), SEEN);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);

  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(503), {
    timeout: 1_500,
    interval: 5,
  });
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  expect(await ended).toEqual([0, null]);
}, 90_000);

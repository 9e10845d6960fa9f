import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/programs.ts';

const root = resolve(import.meta.dirname, '../..');
const home = mkdtempSync(join(tmpdir(), 'tenon-start-'));
const running = new Set<ChildProcess>();

afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(home, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  /** Resolves with the exit code when the program has ended. */
  readonly ended: Promise<number | null>;
  readonly output: () => string;
}

/** Starts the program as the README says and resolves when it says that it is ready, or when it ends. */
async function start(port: number, folder = home): Promise<Started> {
  const child = spawn('npm', ['start', '--silent'], {
    cwd: root,
    env: { ...process.env, NODE_ENV: '', PORT: String(port), TENON_HOME: folder },
    detached: true,
  });
  running.add(child);
  let output = '';
  const ended = new Promise<number | null>((done) => {
    child.once('exit', (code) => {
      running.delete(child);
      done(code);
    });
  });
  await new Promise<void>((ready) => {
    const read = (chunk: Buffer) => {
      output += String(chunk);
      if (output.includes('Tenon is ready')) ready();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    void ended.then(() => ready());
  });
  return { child, url: `http://127.0.0.1:${port}`, ended, output: () => output };
}

/** Pids of the programs that run for the data folder: gateway, worker and database name it on their command line or environment. */
async function processesOf(folder: string): Promise<string[]> {
  const { readdir, readFile } = await import('node:fs/promises');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const texts = await Promise.all(
    pids.map(async (pid) => {
      const parts = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
      );
      return { pid, text: parts.join('\0') };
    }),
  );
  return texts.filter(({ pid, text }) => pid !== String(process.pid) && text.includes(folder)).map(({ pid }) => pid);
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((next) => {
      setImmediate(next);
    });
  }
}

async function graphql(url: string, token: string, query: string): Promise<unknown> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query }),
  });
  return ((await response.json()) as { data: unknown }).data;
}

// Processes are counted through /proc.
describe.runIf(process.platform === 'linux')('npm start', () => {
  it('starts the whole platform, ends all of it, keeps its data, and says in one line when the port is taken', async () => {
    const port = await freePort();
    const first = await start(port);
    expect(first.output()).toContain(`Tenon is ready at ${first.url}`);
    const file = join(home, 'credentials.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { tenants } = JSON.parse(readFileSync(file, 'utf8')) as {
      tenants: { slug: string; tier: string; region: string; member: string }[];
    };
    expect(tenants.map(({ slug, tier, region }) => [slug, tier, region])).toEqual([
      ['acme', 'ENTERPRISE', 'eu'],
      ['globex', 'GROWTH', 'us'],
      ['initech', 'FREE', 'eu'],
    ]);
    const member = tenants[0]?.member ?? '';
    await graphql(first.url, member, 'mutation { createProject(input: { name: "kept" }) { project { id } } }');
    expect((await processesOf(home)).length).toBeGreaterThanOrEqual(3);

    const other = mkdtempSync(join(tmpdir(), 'tenon-other-'));
    const second = await start(port, other);
    expect(await second.ended).toBe(1);
    expect(second.output().trim().split('\n').at(-1)).toBe(`port ${port} is in use; set PORT to another one`);
    await until('the end of the second platform', async () => (await processesOf(other)).length === 0);
    rmSync(other, { recursive: true, force: true });

    first.child.kill('SIGTERM');
    await until('the end of every process', async () => (await processesOf(home)).length === 0);

    const again = await start(port);
    expect(await graphql(again.url, member, '{ projects(first: 5) { edges { node { name } } } }')).toEqual({
      projects: { edges: [{ node: { name: 'kept' } }] },
    });
    // As Ctrl-C does: to the whole group of the terminal.
    process.kill(-(again.child.pid ?? 0), 'SIGINT');
    await until('the end of every process after Ctrl-C', async () => (await processesOf(home)).length === 0);
  }, 120_000);
});

import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from './programs.ts';

/** What must be installed: on Debian the package pgbouncer. */
export const PGBOUNCER_PROGRAMS = ['pgbouncer'] as const;

/** A PgBouncer of the calling test's own, in transaction mode. */
export interface PgBouncer {
  /** The same address, through the pooler. */
  through(url: string): string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 10_000;

/**
 * Starts a PgBouncer in front of the server of an address; every role logs in there as here, and each role and database has
 * so few connections to the server.
 */
export async function startPgBouncer(
  serverUrl: string,
  { serverConnections, users }: { serverConnections: number; users: Readonly<Record<string, string>> },
): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'tenon-pgbouncer-'));
  const port = await freePort();
  const { hostname, port: serverPort } = new URL(serverUrl);
  const list = Object.entries(users).map(([name, password]) => `"${name}" "${password}"`);
  await writeFile(join(folder, 'users.txt'), `${list.join('\n')}\n`);
  await writeFile(
    join(folder, 'pgbouncer.ini'),
    `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
default_pool_size = ${serverConnections}
max_client_conn = 200
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
admin_users = ${Object.keys(users)[0]}
`,
  );
  await openToAll(folder);
  const child = spawn('pgbouncer', [...asNobody(), join(folder, 'pgbouncer.ini')], { stdio: 'ignore' });
  process.once('exit', () => child.kill('SIGKILL'));
  const through = (url: string) => {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String(port);
    return changed.href;
  };
  await untilListening(through(`postgres://${userInfo(users)}@x/pgbouncer`), child);
  return {
    through,
    stop: async () => {
      const gone = new Promise((resolve) => void child.once('close', resolve));
      child.kill('SIGKILL');
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** It refuses to run as root, and reads its files as whom it becomes. */
function asNobody(): string[] {
  return process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
}

async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  await chmod(join(folder, 'users.txt'), 0o644);
}

function userInfo(users: Readonly<Record<string, string>>): string {
  const [[name, password] = ['', '']] = Object.entries(users);
  return `${name}:${password}`;
}

async function untilListening(url: string, child: ChildProcess): Promise<void> {
  for (const deadline = performance.now() + START_TIMEOUT_MS; ;) {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    try {
      await client.connect();
      return await client.end();
    } catch {
      if (child.exitCode !== null || performance.now() > deadline) throw new Error('pgbouncer does not start');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lchown, lstat, mkdir, realpath, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fail, TenonError } from '#schema/errors.ts';
import { choosePostgresAccount } from './postgres-account.ts';
import { errnoOf, findPostgresBinaries } from './postgres-binaries.ts';
import { openCluster, type PostgresCluster, stagingOf, SUPERUSER } from './postgres-cluster.ts';
import { clusterName, endLeftover } from './postgres-leftover.ts';

const HOST = '127.0.0.1';

/** Recovery after a crash replays at most `max_wal_size` (1 GB), which takes a slow disk about a minute. */
const START_TIMEOUT_MS = 120_000;

/** Sessions of a server killed with -9 hold its shared memory until they notice, which is a moment for idle ones. */
const SHARED_MEMORY_WAIT_MS = 10_000;

/** A fast shutdown ends sessions and writes a checkpoint; after this it is made to crash, which loses no commit. */
const STOP_TIMEOUT_MS = 30_000;

/** The address of a Unix socket must fit `sun_path`: 108 bytes on Linux, 104 on macOS, with a closing zero. */
const SOCKET_PATH_MAX_BYTES = 103;

/** What to start and where. */
export interface EmbeddedPostgresOptions {
  /** Made on the first start; beside it stand `<dataDir>.password` and, while it runs, `<dataDir>.json`. */
  readonly dataDir: string;
  /** A free one is chosen on every start where none is given. */
  readonly port?: number;
  /** False gives up every promise about power loss for speed: for tests alone. */
  readonly durable: boolean;
  /** Takes one line at a time; no line holds a statement or a value of one. */
  readonly log: (line: string) => void;
}

/** A running server; the superuser's password is in its addresses alone. */
export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  /** Folder of the Unix socket, for `host` of a connection; absent where the platform gives none. */
  readonly socketDir?: string;
  /** Address of a database for the superuser, as `pg` takes it. */
  readonly superuserUrl: (database: string) => string;
  /** Ends every session and the server; resolves when it is gone; a second call is harmless. */
  readonly stop: () => Promise<void>;
}

/** One try to run the server. */
interface Attempt {
  readonly cluster: PostgresCluster;
  readonly options: EmbeddedPostgresOptions;
  readonly port: number;
  readonly socketDir: string | null;
  /** In the lock file, and known to be no PostgreSQL of this folder any more. */
  readonly stalePid: number | null;
}

/**
 * Starts a PostgreSQL of its own on 127.0.0.1, making its data folder on the first start, and resolves when it takes
 * connections. It runs in a process group of its own, so that Ctrl-C in a terminal reaches this process alone, which
 * then stops it; where this process is killed, the server ends with it (Linux with setpriv) or is ended by the next
 * start. Call it from the main thread. SERVICE_UNAVAILABLE with one sentence where it cannot start.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = await canonical(options.dataDir);
  const binaries = await findPostgresBinaries(join(dirname(dataDir), 'postgres-binaries'));
  const account = await choosePostgresAccount({ dataDir, initdb: binaries.initdb });
  const stalePid = await endLeftover(dataDir);
  const cluster = await openCluster({ dataDir, binaries, account }, options);
  const socketDir = await socketFolder(cluster);
  for (let waitedMs = 0; ; waitedMs += 100) {
    try {
      return await run({ cluster, options, port: options.port ?? (await freePort()), socketDir, stalePid });
    } catch (error) {
      if (!(await mayTryAgain(error, { options, waitedMs }))) throw error;
    }
  }
}

/** Makes the folder around it; the same folder by another path must have the same name. */
async function canonical(dataDir: string): Promise<string> {
  const folder = dirname(resolve(dataDir));
  try {
    await mkdir(folder, { recursive: true });
    return join(await realpath(folder), basename(dataDir));
  } catch (cause) {
    return fail('SERVICE_UNAVAILABLE', `The folder ${folder} cannot be made or entered (${errnoOf(cause)}).`, {
      cause,
    });
  }
}

/** True after what passes by itself: a chosen port taken in between, or the shared memory of a killed server. */
async function mayTryAgain(
  error: unknown,
  { options, waitedMs }: { options: EmbeddedPostgresOptions; waitedMs: number },
): Promise<boolean> {
  if (!(error instanceof TenonError) || waitedMs >= SHARED_MEMORY_WAIT_MS) return false;
  const portTaken = options.port === undefined && error.message.includes('Address already in use');
  if (!portTaken && !error.message.includes('pre-existing shared memory block')) return false;
  await sleep(100);
  return true;
}

async function run(attempt: Attempt): Promise<EmbeddedPostgres> {
  const { cluster, options, port, socketDir } = attempt;
  const startedAt = performance.now();
  const child = spawnServer(attempt);
  const gone = new Promise<void>((settle) => void child.once('close', () => settle()).once('error', () => settle()));
  // The last means where this process ends without a call of stop.
  const endWithUs = (): void => void child.kill('SIGINT');
  process.once('exit', endWithUs);
  void gone.then(() => process.off('exit', endWithUs));
  let stopping = false;
  try {
    await untilReady(child, { options, isStopping: () => stopping });
    await writeState(cluster.dataDir, { port, pid: child.pid });
  } catch (error) {
    child.kill('SIGINT');
    await gone;
    throw error;
  }
  options.log(`PostgreSQL takes connections on ${HOST}:${port} after ${Math.round(performance.now() - startedAt)} ms`);
  return {
    host: HOST,
    port,
    ...(socketDir === null ? {} : { socketDir }),
    superuserUrl: (database) =>
      `postgres://${SUPERUSER}:${cluster.password}@${HOST}:${port}/${encodeURIComponent(database)}`,
    stop: async () => {
      stopping = true;
      await end(child, { cluster, gone });
      await rm(stateFile(cluster.dataDir), { force: true });
      if (socketDir !== null && socketDir !== cluster.dataDir) await rmdir(socketDir).catch(() => undefined);
    },
  };
}

function spawnServer({ cluster, options, port, socketDir, stalePid }: Attempt): ChildProcess {
  const settings = Object.entries(serverSettings({ port, socketDir, durable: options.durable }));
  const {
    file,
    args,
    options: surroundings,
  } = cluster.account.command(cluster.binaries.postgres, [
    '-D',
    cluster.dataDir,
    ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  // PostgreSQL refuses a lock file whose process id lives, unless it is told, as its own pg_ctl does, that this id is
  // an ancestor and no server; without it a container whose ids repeat on every start could never start again.
  const ancestor = stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) };
  const env = surroundings.env === undefined ? {} : { env: { ...surroundings.env, ...ancestor } };
  const own = { detached: true, windowsHide: true, stdio: ['ignore', 'ignore', 'pipe'] satisfies StdioOptions };
  return spawn(file, args, { ...surroundings, ...env, ...own });
}

function serverSettings({
  port,
  socketDir,
  durable,
}: {
  port: number;
  socketDir: string | null;
  durable: boolean;
}): Record<string, string | number> {
  return {
    listen_addresses: HOST,
    port,
    unix_socket_directories: socketDir ?? '',
    unix_socket_permissions: '0700',
    cluster_name: clusterName(process.pid),
    max_connections: 200,
    shared_buffers: '128MB',
    // Tenants move between cells while they work, which takes logical decoding; changing this later takes a restart.
    wal_level: 'logical',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // Messages of errors, their details and their statements hold values, thus personal data; the client gets them.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
}

function untilReady(
  child: ChildProcess,
  { options, isStopping }: { options: EmbeddedPostgresOptions; isStopping: () => boolean },
): Promise<void> {
  return new Promise((settle, reject) => {
    const said: string[] = [];
    let ready = false;
    const refuse = (reason: string): void => {
      clearTimeout(timer);
      reject(new TenonError('SERVICE_UNAVAILABLE', `PostgreSQL does not start on ${options.dataDir}: ${reason}`));
    };
    const timer = setTimeout(() => {
      child.kill('SIGQUIT');
      refuse(`it is not ready after ${START_TIMEOUT_MS / 1000} s; last it said: ${said.at(-1) ?? 'nothing'}`);
    }, START_TIMEOUT_MS);
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (ready && !isStopping()) options.log(line.slice(0, 500));
        if (said.push(line) > 50) said.shift();
        if (ready || !line.includes('database system is ready to accept connections')) return;
        ready = true;
        clearTimeout(timer);
        settle();
      });
    }
    child.once('error', (error) => refuse(error.message));
    child.once('close', (code, signal) => {
      if (ready && !isStopping()) options.log(`PostgreSQL ended by itself (${signal ?? `exit code ${code}`})`);
      refuse(failureIn(said) ?? `it ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

/** The cause is in the first complaint; what follows is its consequence. */
function failureIn(said: readonly string[]): string | undefined {
  const line = said.find((text) => /could not bind|FATAL:|PANIC:|error while loading/.test(text)) ?? said.at(-1);
  return line?.replace(/^\S+ \S+ UTC \[\d+\] /, '');
}

async function end(
  child: ChildProcess,
  { cluster, gone }: { cluster: PostgresCluster; gone: Promise<void> },
): Promise<void> {
  if (process.platform === 'win32') {
    // Signals kill at once there; pg_ctl asks through a pipe.
    const { file, args, options } = cluster.account.command(cluster.binaries.pgCtl, [
      'stop',
      '-D',
      cluster.dataDir,
      '-m',
      'fast',
    ]);
    await promisify(execFile)(file, [...args], options).catch(() => child.kill());
  } else child.kill('SIGINT');
  const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
  await gone.finally(() => clearTimeout(timer));
}

/** Null where no place is short enough, or the one in the common temporary folder is in strange hands. */
async function socketFolder({ dataDir, account }: PostgresCluster): Promise<string | null> {
  if (process.platform === 'win32') return null;
  if (fitsSocket(dataDir)) return dataDir;
  const folder = join(tmpdir(), `tenon-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`);
  if (!fitsSocket(folder)) return null;
  await mkdir(folder, { mode: 0o700 }).catch(() => null);
  const uid = process.getuid?.();
  const found = await lstat(folder).catch(() => null);
  if (found?.isDirectory() !== true || (found.mode & 0o077) !== 0) return null;
  if (account.owner === null) return found.uid === uid ? folder : null;
  if (found.uid !== uid && found.uid !== account.owner.uid) return null;
  await lchown(folder, account.owner.uid, account.owner.gid);
  return folder;
}

function fitsSocket(folder: string): boolean {
  return Buffer.byteLength(join(folder, '.s.PGSQL.65535')) <= SOCKET_PATH_MAX_BYTES;
}

function freePort(): Promise<number> {
  return new Promise((settle, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, HOST, () => {
      const address = probe.address();
      probe.close(() => settle(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** For a person or a program that wants to reach the running server. */
async function writeState(dataDir: string, state: { port: number; pid: number | undefined }): Promise<void> {
  await writeFile(stagingOf(dataDir), JSON.stringify(state), { mode: 0o600 });
  await rename(stagingOf(dataDir), stateFile(dataDir));
}

function stateFile(dataDir: string): string {
  return `${dataDir}.json`;
}

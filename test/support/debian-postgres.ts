import { execFile, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withClient } from '#kit/database-setup.ts';
import { freePort } from './programs.ts';

const FOLDER = '/usr/lib/postgresql';
/** Its account on Debian and Ubuntu, under which alone a server starts where the tests run as root. */
const ACCOUNT = 'postgres';

/** A server of the system's package, with the tools of the same version. */
export interface DebianPostgres {
  /** Superuser's address of a database. */
  url(database: string): string;
  /** Runs a tool such as pg_dump. */
  run(tool: string, args: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Returns the folder of the newest server of the system's packages that comes with all of its tools, or null. */
export function findDebianPostgres(): string | null {
  const versions = existsSync(FOLDER) ? readdirSync(FOLDER).map(Number).filter(Number.isInteger) : [];
  const folders = versions.toSorted((left, right) => right - left).map((version) => join(FOLDER, `${version}`, 'bin'));
  return (
    folders.find((bin) =>
      ['initdb', 'postgres', 'pg_dump', 'pg_restore'].every((tool) => existsSync(join(bin, tool))),
    ) ?? null
  );
}

/** Starts one on a free port, in a folder of its own. */
export async function startDebianPostgres(bin: string): Promise<DebianPostgres> {
  const folder = mkdtempSync(join(tmpdir(), 'tenon-debian-'));
  const isRoot = process.getuid?.() === 0;
  const { uid, gid } = isRoot ? await idsOf(ACCOUNT) : { uid: undefined, gid: undefined };
  if (uid !== undefined && gid !== undefined) chownSync(folder, uid, gid);
  const as = uid === undefined || gid === undefined ? {} : { uid, gid };
  const data = join(folder, 'data');
  await promisify(execFile)(join(bin, 'initdb'), ['-D', data, '-U', ACCOUNT, '-A', 'trust', '-N'], {
    ...as,
    cwd: folder,
  });
  const port = await freePort();
  const settings = [`listen_addresses=127.0.0.1`, `port=${port}`, `unix_socket_directories=${folder}`, 'fsync=off'];
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...as,
    cwd: folder,
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => server.once('exit', () => resolve()));
  const url = (database: string) => `postgres://${ACCOUNT}@127.0.0.1:${port}/${database}`;
  await answering(url('postgres'));
  return {
    url,
    run: async (tool, args) => void (await promisify(execFile)(join(bin, tool), [...args], { cwd: tmpdir() })),
    stop: async () => {
      server.kill('SIGINT');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function idsOf(account: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (which) => Number((await promisify(execFile)('id', [which, account])).stdout)),
  );
  return { uid: uid ?? 0, gid: gid ?? 0 };
}

/** Tries until it takes connections; it is given up with the test. */
async function answering(url: string): Promise<void> {
  for (;;) {
    const answers = await withClient(url, () => Promise.resolve(true)).catch(() => false);
    if (answers) return;
  }
}

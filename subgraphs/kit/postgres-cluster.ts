import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { link, lstat, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { fail } from '#schema/errors.ts';
import { giveTo, type PostgresAccount } from './postgres-account.ts';
import { errnoOf, type PostgresBinaries } from './postgres-binaries.ts';

/** The database user that owns the cluster. */
export const SUPERUSER = 'postgres';

/** A cold disk takes some ten seconds to sync a new cluster. */
const INITDB_TIMEOUT_MS = 120_000;

/** A data folder and what is needed to run a server on it. */
export interface PostgresCluster {
  readonly dataDir: string;
  readonly binaries: PostgresBinaries;
  readonly account: PostgresAccount;
  /** The superuser's. */
  readonly password: string;
}

/**
 * Returns the cluster in `dataDir`, making it where there is none. It comes into being by a rename, so that a folder
 * under its own name is always whole; what a killed start left beside it is removed. The superuser's password is
 * random and stays in `<dataDir>.password`, mode 0600. SERVICE_UNAVAILABLE where the folder holds something else.
 */
export async function openCluster(
  place: Omit<PostgresCluster, 'password'>,
  { durable }: { durable: boolean },
): Promise<PostgresCluster> {
  const made = await isCluster(place.dataDir);
  await removeAbandoned(place.dataDir);
  const cluster = { ...place, password: await superuserPassword(place.dataDir, made) };
  if (made) await takeOver(cluster);
  else await initialise(cluster, durable);
  return cluster;
}

async function isCluster(dataDir: string): Promise<boolean> {
  const entries: string[] = await readdir(dataDir).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    return fail('SERVICE_UNAVAILABLE', `The database folder ${dataDir} cannot be read (${errnoOf(error)}).`);
  });
  if (entries.length === 0) return false;
  if (entries.includes('PG_VERSION')) return true;
  return fail('SERVICE_UNAVAILABLE', `${dataDir} is not empty and holds no PostgreSQL data; move it away.`);
}

/** Kept before the data folder is made, so that no cluster exists whose password is unknown. */
async function superuserPassword(dataDir: string, made: boolean): Promise<string> {
  const file = `${dataDir}.password`;
  const kept = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return '';
    return fail('SERVICE_UNAVAILABLE', `The password file ${file} cannot be read (${errnoOf(error)}).`);
  });
  if (kept !== '') return kept;
  if (made) fail('SERVICE_UNAVAILABLE', `The password file ${file} of the database in ${dataDir} is missing or empty.`);
  const staging = stagingOf(dataDir);
  await writeFile(staging, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true });
  // link(2) makes the file whole or not at all; where another process was first, its password is taken.
  await link(staging, file).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error;
  });
  await rm(staging);
  return readFile(file, 'utf8');
}

/**
 * Where this process makes what then gets its name beside the data folder, or the folder itself, in one step; the next
 * `openCluster` removes it where this process is killed.
 */
export function stagingOf(dataDir: string): string {
  return `${dataDir}.new-${process.pid}`;
}

async function removeAbandoned(dataDir: string): Promise<void> {
  const prefix = `${basename(dataDir)}.new-`;
  for (const entry of await readdir(dirname(dataDir))) {
    if (!entry.startsWith(prefix)) continue;
    const pid = Number(entry.slice(prefix.length));
    if (pid !== process.pid && isAlive(pid)) continue;
    await rm(join(dirname(dataDir), entry), { recursive: true, force: true, maxRetries: 3 });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

/** A folder that root copied back from a backup belongs to root. */
async function takeOver({ dataDir, account }: PostgresCluster): Promise<void> {
  if (account.owner !== null && (await lstat(dataDir)).uid !== account.owner.uid) await giveTo(account, dataDir);
}

async function initialise(cluster: PostgresCluster, durable: boolean): Promise<void> {
  const { dataDir, account, password } = cluster;
  const staging = stagingOf(dataDir);
  await mkdir(staging, { mode: 0o700 });
  try {
    await writeFile(join(staging, 'password'), password, { mode: 0o600 });
    await giveTo(account, staging);
    await initdb(cluster, { staging, durable });
    await rename(join(staging, 'data'), dataDir).catch((error: unknown) => {
      // Another process was first: its folder is used, and the server's own lock decides who runs.
      if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error;
    });
    if (durable) await syncFolder(dirname(dataDir));
  } finally {
    await rm(staging, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function initdb(
  { binaries, account }: PostgresCluster,
  { staging, durable }: { staging: string; durable: boolean },
): Promise<void> {
  const { file, args, options } = account.command(binaries.initdb, [
    `--pgdata=${join(staging, 'data')}`,
    `--username=${SUPERUSER}`,
    '--auth=scram-sha-256',
    `--pwfile=${join(staging, 'password')}`,
    '--encoding=UTF8',
    // Folds letters as Unicode says and sorts by code point, the same on every machine.
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--locale=C',
    '--no-instructions',
    ...(durable ? [] : ['--no-sync']),
  ]);
  try {
    await promisify(execFile)(file, [...args], { ...options, timeout: INITDB_TIMEOUT_MS });
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim().split('\n') : [];
    const line = said.findLast((text) => text.includes('error:') || text.includes('FATAL')) || said.at(-1);
    fail('SERVICE_UNAVAILABLE', `The database folder ${dirname(staging)} cannot be made: ${line || String(cause)}`, {
      cause,
    });
  }
}

/** Makes the rename itself survive a power loss. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}

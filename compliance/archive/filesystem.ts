import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { mkdir, readdir, realpath, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { checkKey, type Archive, type ArchivedObject } from './archive.ts';
import { isThere, link, lstat, readFile, syncFolder, unlink, writeSynced } from './durable-files.ts';

/** Where the archive lies and what tells its time. */
export interface FilesystemArchiveOptions {
  /** Made where it is missing; it must be on one file system that knows hard links. */
  readonly folder: string;
  readonly clock: () => Date;
}

/**
 * Beside each object: one JSON line for each retention or hold it was given; the latest date and the last hold count.
 */
const RETENTION_SUFFIX = '.retention.jsonl';
/** Inside the folder, so that a link from there to the object's name never crosses file systems. */
const STAGING = '.staging';
/** Nobody writes one object that long, so what is older was left by a process that was killed. */
const STAGING_LIFETIME_MS = 60 * 60 * 1000;
const NO_LINK = constants.O_NOFOLLOW;
const MODE = 'FILESYSTEM';

/**
 * Opens an archive in a folder, which may be away until it is used. Objects are read-only files under their keys. The
 * retention binds every user of this program; whoever owns the folder can still go past it, which the hashes then show.
 */
export async function filesystemArchive({ folder, clock }: FilesystemArchiveOptions): Promise<Archive> {
  const root = resolve(folder);
  await sweep(join(root, STAGING), clock()).catch(() => undefined);
  const pathOf = (key: string): string => join(root, checkName(key));
  return {
    lockMode: MODE,
    put: (key, bytes, { retainUntil }) => storing('put', () => put({ root, path: pathOf(key) }, bytes, retainUntil)),
    head: (key) => storing('head', () => headOf(pathOf(key))),
    get: (key) => storing('get', () => bytesOf(pathOf(key))),
    list: (prefix) => keysUnder(root, prefix),
    remove: (key) => storing('remove', () => remove(pathOf(key), clock())),
    retention: async (key) => (await storing('retention', () => found(pathOf(key)))).retainUntil,
    extendRetention: (key, until) => storing('extendRetention', () => extendRetention(pathOf(key), until)),
    setLegalHold: (key, isHeld) => storing('setLegalHold', () => setLegalHold(pathOf(key), isHeld)),
    legalHold: async (key) => (await storing('legalHold', () => found(pathOf(key)))).isHeld,
  };
}

/** The name of a retention would make two things of one file. */
function checkName(key: string): string {
  if (key.endsWith(RETENTION_SUFFIX)) fail('BAD_USER_INPUT', `the key ends in ${RETENTION_SUFFIX}`);
  return checkKey(key);
}

async function sweep(staging: string, now: Date): Promise<void> {
  for (const name of await readdir(staging)) {
    const { mtimeMs } = await lstat(join(staging, name));
    if (now.getTime() - mtimeMs > STAGING_LIFETIME_MS) await rm(join(staging, name), { force: true });
  }
}

async function put(place: { root: string; path: string }, bytes: Uint8Array, retainUntil: Date): Promise<void> {
  const { root, path } = place;
  if (await isFile(path)) return putAgain(path, bytes, retainUntil);
  const staging = join(root, STAGING, randomUUID());
  try {
    // Both before the object shows: at no moment does it stand there without a retention.
    await together([writeNew(root, staging, bytes), keepNew(place, retainUntil)]);
    await link(staging, path);
    await syncFolder(dirname(path));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    await putAgain(path, bytes, retainUntil);
  } finally {
    await unlink(staging).catch(() => undefined);
  }
}

/** Nothing may still be under way where the caller cleans up. */
async function together(parts: readonly Promise<void>[]): Promise<void> {
  const failure = (await Promise.allSettled(parts)).find((part) => part.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}

async function writeNew(root: string, path: string, bytes: Uint8Array): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_LINK;
  await inFolder(
    () => writeSynced(path, { flags, mode: 0o444 }, bytes),
    () => mkdir(join(root, STAGING), { recursive: true, mode: 0o700 }),
  );
}

async function keepNew({ root, path }: { root: string; path: string }, until: Date): Promise<void> {
  await inFolder(
    () => appendRetention(path, until),
    async () => {
      await mkdir(root, { recursive: true, mode: 0o700 });
      await makeFolder(root, dirname(path));
    },
  );
}

/** Folders are there for nearly every object, so nobody looks before. */
async function inFolder(write: () => Promise<void>, make: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    await make();
    await write();
  }
}

async function putAgain(path: string, bytes: Uint8Array, retainUntil: Date): Promise<void> {
  if (!(await isFile(path)) || !(await bytesOf(path)).equals(bytes))
    fail('RETENTION_LOCKED', 'something else stands there');
  const { retainUntil: current } = await keepingOf(path);
  if (current === null || current < retainUntil) await appendRetention(path, retainUntil);
  // A writer that was killed right after its link may have left the name unsynced.
  await syncFolder(dirname(path));
}

async function headOf(path: string): Promise<ArchivedObject | null> {
  const entry = await isThere(path);
  if (entry?.isFile() !== true) return null;
  const { size } = entry;
  const { retainUntil, isHeld } = await keepingOf(path);
  // Without a readable retention nobody knows that it has ended.
  return { sizeBytes: size, retainUntil: retainUntil ?? new Date(8.64e15), isHeld };
}

async function found(path: string): Promise<ArchivedObject> {
  return (await headOf(path)) ?? fail('NOT_FOUND', 'the archive holds no such object');
}

async function bytesOf(path: string): Promise<Buffer> {
  await found(path);
  return readFile(path);
}

async function remove(path: string, now: Date): Promise<void> {
  const { retainUntil, isHeld } = await found(path);
  if (isHeld) fail('RETENTION_LOCKED', 'a legal hold keeps it');
  if (now < retainUntil) fail('RETENTION_LOCKED', `it is kept until ${retainUntil.toISOString()}`);
  await unlink(path);
  await syncFolder(dirname(path));
  await rm(path + RETENTION_SUFFIX, { force: true });
}

async function extendRetention(path: string, until: Date): Promise<void> {
  const { retainUntil } = await found(path);
  if (until < retainUntil) fail('RETENTION_LOCKED', `it is kept until ${retainUntil.toISOString()}, and not for less`);
  if (until > retainUntil) await appendRetention(path, until);
  await syncFolder(dirname(path));
}

async function setLegalHold(path: string, isHeld: boolean): Promise<void> {
  const before = await found(path);
  if (before.isHeld !== isHeld) await appendLine(path, { mode: MODE, legal_hold: isHeld });
  await syncFolder(dirname(path));
}

function appendRetention(path: string, until: Date): Promise<void> {
  return appendLine(path, { mode: MODE, retain_until: until.toISOString() });
}

/**
 * Adds a line and never rewrites one, so that of two writers neither can shorten what the other promised. The line
 * break before it parts it from what a crash may have left unfinished. The caller syncs the folder.
 */
async function appendLine(path: string, line: object): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | NO_LINK;
  await writeSynced(path + RETENTION_SUFFIX, { flags, mode: 0o600 }, Buffer.from(`\n${JSON.stringify(line)}\n`));
}

const RETENTION_LINE = /^\{"mode":"FILESYSTEM","retain_until":"([^"]+)"\}$/;
const HOLD_LINE = /^\{"mode":"FILESYSTEM","legal_hold":(true|false)\}$/;

interface Keeping {
  /** Null where no retention can be read. */
  readonly retainUntil: Date | null;
  readonly isHeld: boolean;
}

async function keepingOf(path: string): Promise<Keeping> {
  const bytes = await readFile(path + RETENTION_SUFFIX).catch((error: unknown) =>
    errnoOf(error) === 'ENOENT' ? Buffer.alloc(0) : Promise.reject(error),
  );
  const lines = bytes.toString('utf8').split('\n');
  const times = lines
    .map((line) => Date.parse(RETENTION_LINE.exec(line)?.[1] ?? ''))
    .filter((time) => !Number.isNaN(time));
  const holds = lines.flatMap((line) => HOLD_LINE.exec(line)?.[1] ?? []);
  return { retainUntil: times.length === 0 ? null : new Date(Math.max(...times)), isHeld: holds.at(-1) === 'true' };
}

/** Only the folder that the prefix leads to is read, and what lies below it. */
async function* keysUnder(root: string, prefix: string): AsyncGenerator<string> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  if (!(await storing('list', () => isInside(root, folder)))) return;
  yield* keysIn(root, prefix, folder);
}

/** A folder that is none of keys, or that a link leads out of the archive to, holds no key. */
async function isInside(root: string, folder: string): Promise<boolean> {
  if (folder === '') return true;
  if (!isFolderOfKeys(folder)) return false;
  try {
    return (await realpath(join(root, folder))) === join(await realpath(root), folder).replace(/\/$/, '');
  } catch (error) {
    // Where the archive itself is away nobody can tell what it holds.
    if (errnoOf(error) === 'ENOTDIR' && (await lstat(root)).isDirectory()) return false;
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function isFolderOfKeys(folder: string): boolean {
  try {
    return checkKey(`${folder}x`) !== '';
  } catch {
    return false;
  }
}

/** Directories first looked into where their names sort, with the slash that follows them in keys. */
async function* keysIn(root: string, prefix: string, folder: string): AsyncGenerator<string> {
  const names = await storing('list', () => namesIn(join(root, folder), prefix.slice(folder.length)));
  for (const name of names.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)))) {
    const key = folder + name;
    if (name.endsWith('/')) yield* keysIn(root, key, key);
    else yield key;
  }
}

/** Returns the names of files and, with a slash, of folders that begin with the text. */
async function namesIn(folder: string, beginning: string): Promise<string[]> {
  const entries = await entriesIn(folder, beginning).catch((error: unknown) =>
    errnoOf(error) === 'ENOENT' ? [] : Promise.reject(error),
  );
  return entries
    .filter(({ name }) => !name.startsWith('.') && !name.endsWith(RETENTION_SUFFIX))
    .flatMap(({ name, entry }) => (entry.isDirectory() ? `${name}/` : entry.isFile() ? name : []));
}

type Kind = Pick<Stats, 'isFile' | 'isDirectory'>;

/** A folder may hold the objects of years, of which few are asked for: only those are looked at. */
async function entriesIn(folder: string, beginning: string): Promise<{ name: string; entry: Kind }[]> {
  if (beginning === '')
    return (await readdir(folder, { withFileTypes: true })).map((entry) => ({ name: entry.name, entry }));
  const entries: { name: string; entry: Kind }[] = [];
  for (const name of await readdir(folder)) {
    const entry = name.startsWith(beginning) ? await isThere(join(folder, name)) : null;
    if (entry !== null) entries.push({ name, entry });
  }
  return entries;
}

/** Makes a folder and its parents up to the root, each name durable. */
async function makeFolder(root: string, folder: string): Promise<void> {
  if (folder === root || (await lstat(folder).catch(() => null))?.isDirectory() === true) return;
  await makeFolder(root, dirname(folder));
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw error;
  });
  await syncFolder(dirname(folder));
}

async function isFile(path: string): Promise<boolean> {
  return (await isThere(path))?.isFile() === true;
}

/** What the operating system refuses is the store's fault, never the caller's; the internal text names the call. */
async function storing<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof TenonError) throw cause;
    return fail('SERVICE_UNAVAILABLE', `archive ${what}: ${errnoOf(cause) || String(cause)}`, { cause });
  }
}

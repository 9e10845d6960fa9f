import { constants } from 'node:fs';
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { fail } from '#schema/errors.ts';
import { MAX_FILES, type FileSource } from './file-source.ts';

/** What the archive of this program keeps beside an object; no part of what is proved. */
const RETENTION_SUFFIX = '.retention.jsonl';

/** Opens a folder. Links are never followed, and hidden files are passed over: neither belongs to an archive or a pack. */
export function folderSource(root: string): FileSource {
  const pathOf = (path: string): string => join(root, ...path.split('/'));
  return {
    list: (folder) => listFiles(pathOf, folder),
    folders: async (folder) => {
      const entries = await entriesOf(pathOf(folder));
      return entries
        .filter((entry) => entry.isDirectory() && isShown(entry.name))
        .map(({ name }) => name)
        .toSorted();
    },
    size: async (path) => {
      const found = await lstat(pathOf(path)).catch(() => null);
      return found?.isFile() === true ? found.size : null;
    },
    read: (path, maxBytes) =>
      reading(
        path,
        () => open(pathOf(path), READ),
        (file) => readAll(file, { path, maxBytes }),
      ),
    stream: (path) => streamOf(path, () => open(pathOf(path), READ)),
    close: async () => undefined,
  };
}

const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

async function listFiles(pathOf: (path: string) => string, folder: string): Promise<string[]> {
  const paths: string[] = [];
  const pending = [folder];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    for (const entry of await entriesOf(pathOf(current))) {
      if (!isShown(entry.name)) continue;
      const path = current === '' ? entry.name : `${current}/${entry.name}`;
      if (entry.isDirectory()) pending.push(path);
      // Links and devices count as files that are there and cannot be read.
      else paths.push(path);
    }
    if (paths.length + pending.length > MAX_FILES) refuse(`the folder holds more than ${MAX_FILES} files`);
  }
  return paths.toSorted();
}

function entriesOf(folder: string) {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return [];
    return refuse(`the folder ${folder} cannot be read (${errnoOf(error)})`);
  });
}

function isShown(name: string): boolean {
  return !name.startsWith('.') && !name.endsWith(RETENTION_SUFFIX);
}

async function readAll(file: FileHandle, { path, maxBytes }: { path: string; maxBytes: number }): Promise<Buffer> {
  const { size } = await file.stat();
  if (size > maxBytes) refuse(`${path} is longer than ${maxBytes} bytes`);
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  while (length < size) {
    const { bytesRead } = await file.read(bytes, length, size - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return bytes.subarray(0, length);
}

async function* streamOf(path: string, opening: () => Promise<FileHandle>): AsyncGenerator<Buffer> {
  const file = await openFile(path, opening);
  try {
    for await (const piece of file.createReadStream({ autoClose: false, highWaterMark: 1024 * 1024 })) {
      if (Buffer.isBuffer(piece)) yield piece;
    }
  } finally {
    await file.close();
  }
}

async function reading<T>(
  path: string,
  opening: () => Promise<FileHandle>,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await openFile(path, opening);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

async function openFile(path: string, opening: () => Promise<FileHandle>): Promise<FileHandle> {
  const file = await opening().catch((error: unknown) =>
    errnoOf(error) === 'ENOENT'
      ? fail('NOT_FOUND', `${path} is missing`)
      : refuse(`${path} cannot be read (${errnoOf(error)})`),
  );
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return refuse(`${path} is no file`);
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', reason);
}

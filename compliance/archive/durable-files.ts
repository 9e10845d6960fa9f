import {
  close as closeFile,
  constants,
  fsync,
  link as linkFile,
  lstat as lstatFile,
  open as openFile,
  readFile as readWhole,
  unlink as unlinkFile,
  write as writeFile,
  type Stats,
} from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '#kit/postgres-binaries.ts';

// The callbacks of node:fs cost half of what its promises do, and an archive is made of many small calls.
const open = promisify(openFile);
const close = promisify(closeFile);
const sync = promisify(fsync);
const write = promisify(writeFile);
const read: (file: number) => Promise<Buffer> = promisify(readWhole);

export const link = promisify(linkFile);
export const lstat: (path: string) => Promise<Stats> = promisify(lstatFile);
export const unlink = promisify(unlinkFile);

/** Returns what stands under a path, a link as itself, or null. */
export async function isThere(path: string): Promise<Stats | null> {
  return lstat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    throw error;
  });
}

/** Returns the bytes of a file that is no link. */
export async function readFile(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return await read(file);
  } finally {
    await close(file);
  }
}

/** Opens a file, writes the bytes, and returns when the disk has them; its name is the folder's to sync. */
export async function writeSynced(
  path: string,
  { flags, mode }: { readonly flags: number; readonly mode: number },
  bytes: Uint8Array,
): Promise<void> {
  const file = await open(path, flags, mode);
  try {
    for (let start = 0; start < bytes.length;) start += (await write(file, bytes, start)).bytesWritten;
    await sync(file);
  } finally {
    await close(file);
  }
}

/** Returns when the disk has the names in a folder. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; NTFS journals their names by itself.
  if (process.platform === 'win32') return;
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await sync(handle);
  } finally {
    await close(handle);
  }
}

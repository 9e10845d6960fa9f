import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import yauzl, { type Entry, type LocalFileHeader, type ZipFile } from 'yauzl';
import { fail, TenonError } from '#schema/errors.ts';
import type { FileSource } from './file-source.ts';

const DEFLATED = 8;
const STORED = 0;
/** Sizes and sum stand behind the data, since they were not known before it. */
const DATA_DESCRIPTOR = 0x08;
const UTF8_NAMES = 0x800;
/** Deflate makes at most 1,032 bytes of one (zlib's technical notes), and a few of nothing. */
const MAX_RATIO = 1032;
const ZIP64_FROM = 0xffffffff;

/**
 * Opens a zip. Nothing is ever unpacked to disk. Hostile input enters here: encryption, folders, unsafe or repeated
 * names, extra fields, comments, sizes beyond what deflate can make, entries that overlap or leave bytes between them,
 * and local headers that differ from the directory are BAD_USER_INPUT, so every program sees the same files in it.
 */
export async function zipSource(path: string): Promise<FileSource> {
  const zip = await reading(() => yauzl.openPromise(path, { autoClose: false, strictFileNames: true }));
  try {
    const entries = await reading(() => readDirectory(zip));
    await reading(() => checkLayout({ zip, path, entries: [...entries.values()] }));
    return sourceOf(zip, entries);
  } catch (error) {
    zip.close();
    throw error;
  }
}

function sourceOf(zip: ZipFile, entries: ReadonlyMap<string, Entry>): FileSource {
  const paths = [...entries.keys()].toSorted();
  const below = (folder: string): string[] => {
    const prefix = folder === '' ? '' : `${folder}/`;
    return paths.filter((path) => path.startsWith(prefix));
  };
  const find = (path: string): Entry => entries.get(path) ?? fail('NOT_FOUND', `${path} is missing`);
  return {
    list: async (folder) => below(folder),
    folders: async (folder) => {
      const start = folder === '' ? 0 : folder.length + 1;
      const names = below(folder).map((path) => path.slice(start).split('/'));
      return [...new Set(names.filter((parts) => parts.length > 1).map(([name = '']) => name))].toSorted();
    },
    size: async (path) => entries.get(path)?.uncompressedSize ?? null,
    read: async (path, maxBytes) => {
      const entry = find(path);
      if (entry.uncompressedSize > maxBytes) refuse(`${path} is longer than ${maxBytes} bytes`);
      const pieces: Buffer[] = [];
      for await (const piece of streamOf(zip, entry)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
    stream: (path) => streamOf(zip, find(path)),
    close: async () => zip.close(),
  };
}

/** All that is said of each stays in memory. */
const MAX_ENTRIES = 500_000;

async function readDirectory(zip: ZipFile): Promise<Map<string, Entry>> {
  if (zip.entryCount > MAX_ENTRIES) refuse(`it holds more than ${MAX_ENTRIES} files`);
  if (zip.comment !== '') refuse('it carries a comment');
  const entries = new Map<string, Entry>();
  for await (const entry of zip.eachEntry()) {
    checkEntry(entry);
    if (entries.has(entry.fileName)) refuse(`${entry.fileName} is there twice`);
    entries.set(entry.fileName, entry);
  }
  return entries;
}

function checkEntry(entry: Entry): void {
  const { fileName, compressionMethod, compressedSize, uncompressedSize } = entry;
  if (fileName.endsWith('/')) refuse(`${fileName} is a folder`);
  if (entry.isEncrypted() || (entry.generalPurposeBitFlag & ~DATA_DESCRIPTOR) !== UTF8_NAMES)
    refuse(`${fileName} has unusual flags`);
  if (compressionMethod !== DEFLATED && compressionMethod !== STORED)
    refuse(`${fileName} is packed by an unknown method`);
  if (uncompressedSize > compressedSize * MAX_RATIO) refuse(`${fileName} claims a size that it cannot have`);
  if (entry.fileCommentLength > 0) refuse(`${fileName} carries a comment`);
  if (entry.extraFields.some(({ id }) => id !== 1 || !isLarge(entry))) refuse(`${fileName} carries an extra field`);
  if (entry.internalFileAttributes !== 0) refuse(`${fileName} has unusual attributes`);
}

function isLarge({ compressedSize, uncompressedSize, relativeOffsetOfLocalHeader }: Entry): boolean {
  return Math.max(compressedSize, uncompressedSize, relativeOffsetOfLocalHeader) >= ZIP64_FROM;
}

interface Layout {
  readonly zip: ZipFile;
  readonly path: string;
  readonly entries: readonly Entry[];
}

/** Every byte of the file belongs to exactly one entry, or to the directory at its end. */
async function checkLayout({ zip, path, entries }: Layout): Promise<void> {
  const file = await open(path);
  try {
    const [first] = entries;
    let offset = 0;
    for (const entry of entries) {
      if (entry.relativeOffsetOfLocalHeader !== offset)
        refuse(`bytes that belong to no file, or to two, stand before ${entry.fileName}`);
      if (first !== undefined && !isAlike(first, entry))
        refuse(`${entry.fileName} has another time or mode than the others`);
      const local = await zip.readLocalFileHeaderPromise(entry);
      checkLocal(entry, local);
      offset = local.fileDataStart + entry.compressedSize;
      offset += await checkDescriptor(file, { entry, offset });
    }
    await checkEnd(file, { entries, offset });
  } finally {
    await file.close();
  }
}

/** Returns the bytes that stand behind the data of an entry: its sum and sizes once more, where its flags say so. */
async function checkDescriptor(file: FileHandle, { entry, offset }: { entry: Entry; offset: number }): Promise<number> {
  if ((entry.generalPurposeBitFlag & DATA_DESCRIPTOR) === 0) return 0;
  const isLong = isLarge(entry);
  const expected = Buffer.alloc(isLong ? 24 : 16);
  expected.writeUInt32LE(0x08074b50, 0);
  expected.writeUInt32LE(entry.crc32, 4);
  for (const [index, size] of [entry.compressedSize, entry.uncompressedSize].entries()) {
    if (isLong) expected.writeBigUInt64LE(BigInt(size), 8 + index * 8);
    else expected.writeUInt32LE(size, 8 + index * 4);
  }
  const found = await readAt(file, offset, expected.length);
  if (!found.equals(expected)) refuse(`${entry.fileName} is described twice, and differently`);
  return expected.length;
}

/** The directory follows at once, its entries belong to one disk, and nothing follows it but the record of its end. */
async function checkEnd(
  file: FileHandle,
  { entries, offset }: { entries: readonly Entry[]; offset: number },
): Promise<void> {
  const directory = entries.map(({ fileNameLength, extraFieldLength }) => 46 + fileNameLength + extraFieldLength);
  const end = directory.reduce((sum, length) => sum + length, offset);
  const { size } = await file.stat();
  // Very large or full zips have 76 more bytes before the record.
  if (size !== end + 22 && size !== end + 22 + 76) refuse('bytes that belong to no file stand at its end');
  let at = offset;
  for (const [index, length] of directory.entries()) {
    const disk = await readAt(file, at + 34, 2);
    if (disk.readUInt16LE() !== 0) refuse(`${entries[index]?.fileName} is said to lie on another disk`);
    at += length;
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

function checkLocal(entry: Entry, local: LocalFileHeader): void {
  const deferred = (entry.generalPurposeBitFlag & DATA_DESCRIPTOR) !== 0;
  const sums = [local.crc32, local.compressedSize, local.uncompressedSize];
  const same =
    local.fileName.equals(entry.fileNameRaw) &&
    local.extraFieldLength === 0 &&
    local.generalPurposeBitFlag === entry.generalPurposeBitFlag &&
    local.compressionMethod === entry.compressionMethod &&
    local.lastModFileDate === entry.lastModFileDate &&
    local.lastModFileTime === entry.lastModFileTime &&
    // Where a size needs it, the directory alone asks for a newer program.
    (isLarge(entry) || local.versionNeededToExtract === entry.versionNeededToExtract) &&
    (deferred
      ? sums.every((sum) => sum === 0)
      : local.crc32 === entry.crc32 &&
        local.compressedSize === entry.compressedSize &&
        local.uncompressedSize === entry.uncompressedSize);
  if (!same) refuse(`${entry.fileName} is described twice, and differently`);
}

function isAlike(first: Entry, entry: Entry): boolean {
  return (
    first.lastModFileDate === entry.lastModFileDate &&
    first.lastModFileTime === entry.lastModFileTime &&
    first.externalFileAttributes === entry.externalFileAttributes &&
    first.versionMadeBy === entry.versionMadeBy
  );
}

/** yauzl ends the stream with an error where more or fewer bytes come out than the directory says. */
async function* streamOf(zip: ZipFile, entry: Entry): AsyncGenerator<Buffer> {
  const stream: Readable = await reading(() => zip.openReadStreamPromise(entry));
  let sum = 0;
  try {
    for await (const piece of stream) {
      if (!Buffer.isBuffer(piece)) continue;
      sum = crc32(piece, sum);
      yield piece;
    }
  } catch (cause) {
    if (cause instanceof TenonError) throw cause;
    refuse(`${entry.fileName} cannot be unpacked: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  if (sum !== entry.crc32) refuse(`${entry.fileName} has another check sum than the zip says`);
}

async function reading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof TenonError) throw cause;
    return refuse(`the zip cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function refuse(reason: string): never {
  return fail('BAD_USER_INPUT', reason);
}

import { fail } from '#schema/errors.ts';
import type { FileSource } from '../verify/file-source.ts';
import type { PackFile } from '../verify/pack-manifest.ts';
import type { Spool, SpooledContent } from './spool.ts';

/** A file of a pack that is being written. */
export interface PackFileWriter {
  write(bytes: Uint8Array | string): Promise<void>;
  /** `rows`: data rows of a table, without its header; null for other files. */
  end(rows: number | null): Promise<void>;
}

/** The files of a pack, by path; a path is given once. */
export interface PackFiles {
  begin(path: string): PackFileWriter;
  put(path: string, bytes: Uint8Array | string): Promise<void>;
  /** Takes the files of another set over; the bytes stay where they are. */
  adopt(other: PackFiles): void;
  /** What the manifest says of the files, sorted by path. */
  list(): PackFile[];
  content(path: string): SpooledContent;
  read(path: string): AsyncGenerator<Buffer, void, undefined>;
  /** The whole file, for small ones. */
  bytes(path: string): Promise<Buffer>;
  /** An empty set over the same spool, for work that may fail as a whole. */
  fresh(): PackFiles;
}

interface StoredFile {
  readonly content: SpooledContent;
  readonly rows: number | null;
}

/** Begins an empty set of files. */
export function createPackFiles(spool: Spool): PackFiles {
  const files = new Map<string, StoredFile>();
  const add = (path: string, file: StoredFile): void => {
    if (files.has(path)) fail('INTERNAL_SERVER_ERROR', `the pack holds ${path} twice`);
    files.set(path, file);
  };
  const content = (path: string): SpooledContent =>
    files.get(path)?.content ?? fail('NOT_FOUND', `the pack has no file ${path}`);
  const begin = (path: string): PackFileWriter => {
    const writer = spool.begin();
    return {
      write: (bytes) => writer.write(bytes),
      end: async (rows) => add(path, { content: await writer.end(), rows }),
    };
  };
  return {
    begin,
    put: async (path, bytes) => {
      const writer = begin(path);
      await writer.write(bytes);
      await writer.end(null);
    },
    adopt: (other) => {
      for (const { path, rows } of other.list()) add(path, { content: other.content(path), rows });
    },
    list: () =>
      [...files]
        .map(
          ([
            path,
            {
              content: { sizeBytes, sha256 },
              rows,
            },
          ]) => ({ path, sha256, bytes: sizeBytes, rows }),
        )
        .toSorted(byPath),
    content,
    read: (path) => spool.read(content(path)),
    bytes: async (path) => {
      const pieces: Buffer[] = [];
      for await (const piece of spool.read(content(path))) pieces.push(piece);
      return Buffer.concat(pieces);
    },
    fresh: () => createPackFiles(spool),
  };
}

/** Shows files to the verifier as if they lay in a folder. */
export function packFileSource(files: PackFiles): FileSource {
  const paths = files.list().map(({ path }) => path);
  const below = (folder: string): string[] => paths.filter((path) => folder === '' || path.startsWith(`${folder}/`));
  return {
    list: async (folder) => below(folder),
    folders: async (folder) => {
      const start = folder === '' ? 0 : folder.length + 1;
      const parts = below(folder).map((path) => path.slice(start).split('/'));
      return [...new Set(parts.filter(({ length }) => length > 1).map(([name = '']) => name))].toSorted();
    },
    size: async (path) => (paths.includes(path) ? files.content(path).sizeBytes : null),
    read: async (path, maxBytes) => {
      if (files.content(path).sizeBytes > maxBytes) fail('BAD_USER_INPUT', `${path} is longer than ${maxBytes} bytes`);
      return files.bytes(path);
    },
    stream: (path) => files.read(path),
    close: async () => undefined,
  };
}

/** By UTF-16 code units, in which manifest and zip are sorted. */
function byPath(left: { readonly path: string }, right: { readonly path: string }): number {
  if (left.path === right.path) return 0;
  return left.path < right.path ? -1 : 1;
}

import { fail } from '#schema/errors.ts';
import type { FileSource } from '../../compliance/verify/file-source.ts';

/** Files by their paths, as both verifiers read them: nothing touches a disk, so thousands of copies cost little. */
export type MemoryFiles = ReadonlyMap<string, Buffer>;

/** Shows files to `tenon verify` as if they lay in a folder. */
export function memorySource(files: MemoryFiles): FileSource {
  const paths = [...files.keys()].toSorted();
  const find = (path: string): Buffer => files.get(path) ?? fail('NOT_FOUND', `${path} is missing`);
  const below = (folder: string): string[] =>
    folder === '' ? paths : paths.filter((path) => path.startsWith(`${folder}/`));
  return {
    list: async (folder) => below(folder),
    folders: async (folder) => {
      const start = folder === '' ? 0 : folder.length + 1;
      const parts = below(folder).map((path) => path.slice(start).split('/'));
      return [...new Set(parts.filter(({ length }) => length > 1).map(([name = '']) => name))].toSorted();
    },
    size: async (path) => files.get(path)?.length ?? null,
    read: async (path, maxBytes) => {
      const bytes = find(path);
      return bytes.length > maxBytes ? fail('BAD_USER_INPUT', `${path} is longer than ${maxBytes} bytes`) : bytes;
    },
    stream: async function* (path) {
      yield find(path);
    },
    close: async () => undefined,
  };
}

/** Shows the same files to the single-file verifier. */
export function singleFileSource(files: MemoryFiles): {
  readonly paths: readonly string[];
  readonly read: (path: string, maxBytes: number) => Buffer;
} {
  return {
    paths: [...files.keys()].toSorted(),
    read: (path, maxBytes) => {
      const bytes = files.get(path);
      if (bytes === undefined || bytes.length > maxBytes) throw new Error(`${path} is missing or too long`);
      return bytes;
    },
  };
}

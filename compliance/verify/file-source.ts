/** The files of a folder or a zip, reached by their relative paths with slashes; nothing of it is trusted. */
export interface FileSource {
  /** Returns the paths of all files below a folder (`''` is the root), by UTF-16 code units; a missing folder has none. */
  list(folder: string): Promise<string[]>;
  /** Returns the names of the folders in a folder, sorted. */
  folders(folder: string): Promise<string[]>;
  /** Returns the size of a file in bytes, or null where there is none. */
  size(path: string): Promise<number | null>;
  /**
   * Returns the bytes of a file. A missing one is NOT_FOUND, one that is longer than `maxBytes` or that the container
   * holds broken is BAD_USER_INPUT.
   */
  read(path: string, maxBytes: number): Promise<Buffer>;
  /** Yields the bytes of a file in pieces, so that its size does not matter; fails like `read`. */
  stream(path: string): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** Files below one folder: five years of a platform log's minutes, and few enough to keep their names (half a gigabyte). */
export const MAX_FILES = 3_000_000;

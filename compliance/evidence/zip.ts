import { Readable } from 'node:stream';
import { ZipFile } from 'yazl';

/** A file to put into a zip; its bytes are asked for when its turn comes. */
export interface ZipEntry {
  readonly path: string;
  readonly read: () => AsyncIterable<Buffer>;
}

/**
 * Yields the bytes of a zip over the entries, which are sorted by path. The same entries give the same bytes wherever
 * the same zlib runs: one time, mode and level for all. The date is made of local parts because yazl writes local parts.
 */
export async function* zipOf(entries: readonly ZipEntry[]): AsyncGenerator<Buffer, void, undefined> {
  const zip = new ZipFile();
  const output = zip.outputStream;
  if (!(output instanceof Readable)) throw new Error('yazl writes into a stream of Node.js');
  const mtime = new Date(1980, 0, 1);
  for (const { path, read } of entries) {
    const options = { mtime, mode: 0o100644, forceDosTimestamp: true, compressionLevel: isPacked(path) ? 0 : 6 };
    zip.addReadStreamLazy(path, options, (take) => {
      const stream = Readable.from(read(), { objectMode: false });
      // yazl looks at no error of what it reads, and would wait for its end.
      stream.on('error', (error) => output.destroy(error));
      take(null, stream);
    });
  }
  zip.on('error', (error) => output.destroy(error instanceof Error ? error : new Error(String(error))));
  zip.end();
  for await (const piece of output) yield piece;
}

/** Compressing again would only cost time. */
function isPacked(path: string): boolean {
  return path.endsWith('.gz');
}

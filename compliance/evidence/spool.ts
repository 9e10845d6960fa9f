import { createHash } from 'node:crypto';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What was written of one file: its size, its hash in lower-case hex, and where its bytes lie in the spool. */
export interface SpooledContent {
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly extents: readonly { readonly position: number; readonly length: number }[];
}

/** Writes one file into the spool, a piece at a time; several may be open at once. */
export interface SpoolWriter {
  write(bytes: Uint8Array | string): Promise<void>;
  end(): Promise<SpooledContent>;
}

/** One temporary file that holds the files of a pack until their hashes are known. */
export interface Spool {
  begin(): SpoolWriter;
  read(content: SpooledContent): AsyncGenerator<Buffer, void, undefined>;
  /** Gives the disk space back; what was read or written afterwards fails. */
  close(): Promise<void>;
}

/** Enough to write seldom, and little for the handful of files that are open at once. */
const PIECE_BYTES = 256 * 1024;

/**
 * Opens a spool. The file has no name from the first moment on, where the operating system allows that, so that a
 * process that is killed leaves no personal data behind; else it is readable by its owner alone and removed at the end.
 */
export async function openSpool(): Promise<Spool> {
  const folder = await mkdtemp(join(tmpdir(), 'tenon-evidence-'));
  const file = await open(join(folder, 'spool'), 'wx+', 0o600);
  // Windows keeps a file that is open; it goes with the folder when the spool is closed.
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  let size = 0;
  const append = async (bytes: Buffer): Promise<{ position: number; length: number }> => {
    const position = size;
    size += bytes.length;
    await writeAll(file, bytes, position);
    return { position, length: bytes.length };
  };
  return {
    begin: () => writerOver(append),
    read: (content) => readFrom(file, content),
    close: async () => {
      await file.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function writerOver(append: (bytes: Buffer) => Promise<{ position: number; length: number }>): SpoolWriter {
  const digest = createHash('sha256');
  const extents: { position: number; length: number }[] = [];
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let sizeBytes = 0;
  const flush = async (): Promise<void> => {
    if (pendingBytes === 0) return;
    const bytes = Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    extents.push(await append(bytes));
  };
  return {
    write: async (given) => {
      const bytes = typeof given === 'string' ? Buffer.from(given) : Buffer.from(given);
      digest.update(bytes);
      pending.push(bytes);
      pendingBytes += bytes.length;
      sizeBytes += bytes.length;
      if (pendingBytes >= PIECE_BYTES) await flush();
    },
    end: async () => {
      await flush();
      return { sizeBytes, sha256: digest.digest('hex'), extents };
    },
  };
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function* readFrom(file: FileHandle, { extents }: SpooledContent): AsyncGenerator<Buffer, void, undefined> {
  for (const { position, length } of extents) {
    for (let done = 0; done < length;) {
      const buffer = Buffer.allocUnsafe(Math.min(PIECE_BYTES, length - done));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position + done);
      if (bytesRead === 0) throw new Error('the spool is shorter than what was written to it');
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  }
}

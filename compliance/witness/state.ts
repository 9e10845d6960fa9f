import { hash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#kit/postgres-binaries.ts';
import { fail } from '#schema/errors.ts';

/** The newest checkpoint of a log that the witness has cosigned. */
export interface SeenHead {
  /** Counts what was cosigned of this log from 0. */
  readonly number: number;
  /** The note with the cosignature. */
  readonly note: string;
}

/** What a witness must never forget: files of one folder, each written once and durable before it counts. */
export interface WitnessState {
  /** Returns the newest head of a log, or null for a log that was never seen. */
  read(origin: string): Promise<SeenHead | null>;
  /** Returns the newest head of every log. */
  heads(): Promise<SeenHead[]>;
  /**
   * Puts a note in the place of `seen`. False where another process was first: then nothing has changed, and nothing may
   * be answered. When it resolves with true the note is durable.
   */
  advance(origin: string, seen: SeenHead | null, note: string): Promise<boolean>;
  /** Keeps files that show a fault, once for the same content, and returns their folder. */
  keepEvidence(kind: string, files: Readonly<Record<string, string>>): Promise<string>;
  /** Keeps a statement of a rotation, once. */
  keepRotation(statement: string): Promise<void>;
  rotations(): Promise<string[]>;
  /** The file that always holds the newest head of a log, for other programs. */
  newestFile(origin: string): string;
}

const NUMBERED = /^(\d{12})\.note$/;

/** Opens the state in a folder, which is made where it is missing. Several processes may use one folder. */
export async function openWitnessState(folder: string): Promise<WitnessState> {
  for (const name of ['logs', 'evidence', 'rotations']) await makeFolder(folder, name);
  const folderOf = (origin: string): string => join(folder, 'logs', nameOf(origin));
  return {
    read: (origin) => newest(folderOf(origin)),
    heads: async () => {
      const found = await Promise.all(
        (await names(join(folder, 'logs'))).map((name) => newest(join(folder, 'logs', name))),
      );
      return found.filter((head) => head !== null);
    },
    advance: async (origin, seen, note) => {
      await makeFolder(join(folder, 'logs'), nameOf(origin));
      return advance(folderOf(origin), seen, note);
    },
    keepEvidence: (kind, files) => keepEvidence(join(folder, 'evidence'), kind, files),
    keepRotation: async (statement) => {
      await writeOnce(join(folder, 'rotations'), `${digest(statement)}.note`, { text: statement });
    },
    rotations: async () => {
      const files = (await names(join(folder, 'rotations'))).filter((name) => name.endsWith('.note'));
      return Promise.all(files.map((name) => readFile(join(folder, 'rotations', name), 'utf8')));
    },
    newestFile: (origin) => join(folderOf(origin), 'newest.note'),
  };
}

/** Writes a file that is not there yet, whole and durable; false where it is there already. */
export async function writeOnce(
  folder: string,
  name: string,
  { text, mode = 0o644 }: { readonly text: string; readonly mode?: number },
): Promise<boolean> {
  const staging = await staged(folder, text, mode);
  try {
    // Of several links to one name exactly one is made: this is the lock of the whole state.
    await link(staging, join(folder, name));
    await syncFolder(folder);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(staging, { force: true });
  }
}

async function advance(folder: string, seen: SeenHead | null, note: string): Promise<boolean> {
  const number = seen === null ? 0 : seen.number + 1;
  if (!(await writeOnce(folder, fileOf(number), { text: note }))) return false;
  // Whoever slept while others went on, and removed what lies behind them, has written into the past.
  if ((await newestNumber(folder)) !== number) {
    await rm(join(folder, fileOf(number)), { force: true });
    return false;
  }
  const staging = await staged(folder, note, 0o644);
  await rename(staging, join(folder, 'newest.note'));
  if (number >= KEPT) await rm(join(folder, fileOf(number - KEPT)), { force: true });
  return true;
}

/** The one that counts and those before it, for whoever reads while another writes. */
const KEPT = 3;

async function newest(folder: string): Promise<SeenHead | null> {
  const number = await newestNumber(folder);
  if (number === null) return null;
  const note = await readFile(join(folder, fileOf(number)), 'utf8').catch((error: unknown) =>
    errnoOf(error) === 'ENOENT' ? null : Promise.reject(error),
  );
  return note === null ? newest(folder) : { number, note };
}

async function newestNumber(folder: string): Promise<number | null> {
  const numbers = (await names(folder)).map((name) => NUMBERED.exec(name)?.[1]).filter((text) => text !== undefined);
  return numbers.length === 0 ? null : Math.max(...numbers.map(Number));
}

async function keepEvidence(folder: string, kind: string, files: Readonly<Record<string, string>>): Promise<string> {
  const name = `${kind}-${digest(Object.values(files).join('\0'))}`;
  await makeFolder(folder, name);
  for (const [file, text] of Object.entries(files)) await writeOnce(join(folder, name), file, { text });
  return join(folder, name);
}

function fileOf(number: number): string {
  return `${String(number).padStart(12, '0')}.note`;
}

/** An origin may hold what no file name can; the hash keeps two apart that look alike. */
function nameOf(origin: string): string {
  return `${digest(origin)}-${origin.replaceAll(/[^A-Za-z0-9.-]+/g, '_').slice(0, 100)}`;
}

function digest(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 16);
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) =>
    errnoOf(error) === 'ENOENT' ? [] : fail('SERVICE_UNAVAILABLE', `${folder} cannot be read (${errnoOf(error)})`),
  );
}

async function makeFolder(folder: string, name: string): Promise<void> {
  await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
  await syncFolder(folder);
}

async function staged(folder: string, text: string, mode: number): Promise<string> {
  const path = join(folder, `.${randomUUID()}`);
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return path;
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; NTFS journals their names by itself.
  if (process.platform === 'win32') return;
  const handle = await open(folder, constants.O_RDONLY);
  await handle.sync().finally(() => handle.close());
}

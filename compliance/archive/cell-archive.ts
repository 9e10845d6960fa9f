import { canonicalBytes } from '#schema/canonical-json.ts';
import { asTenonError, fail } from '#schema/errors.ts';
import type { CellSettings } from '#schema/setting-readers.ts';
import type { Archive } from './archive.ts';
import { openArchive, type OpenArchiveOptions } from './open.ts';

/** Where an archive says whose it is. */
const STAMP_KEY = 'cell.json';
/** The stamp proves nothing and is written again where it is gone: it need not outlive anything. */
const STAMP_RETENTION_MS = 24 * 3_600_000;

/**
 * Opens the archive of a cell, as `openArchive` does, so that it is used for nothing else: before the first use it has to
 * say that it is this cell's, and one that says nothing yet is stamped before the first object goes into it. Every
 * function of the archive of another cell is SERVICE_UNAVAILABLE.
 */
export async function openCellArchive(
  cell: Pick<CellSettings, 'name' | 'region' | 'archive'>,
  options: OpenArchiveOptions,
): Promise<Archive> {
  return archiveOfCell(await openArchive(cell.archive, options), cell, options.clock);
}

/** Returns the archive as `openCellArchive` opens it. */
export function archiveOfCell(
  archive: Archive,
  { name, region }: Pick<CellSettings, 'name' | 'region'>,
  clock: () => Date,
): Archive {
  const stamp = canonicalBytes({ v: 1, cell: name, region });
  const readable = once(() => isStamped(archive, stamp));
  const writable = once(async () => {
    if (await readable()) return true;
    await archive.put(STAMP_KEY, stamp, { retainUntil: new Date(clock().getTime() + STAMP_RETENTION_MS) });
    // Of two cells that met in an empty archive one has written first.
    return isStamped(archive, stamp);
  });
  const reading = <T>(work: () => Promise<T>): Promise<T> => readable().then(work);
  const writing = <T>(work: () => Promise<T>): Promise<T> => writable().then(work);
  const { attack } = archive;
  return {
    lockMode: archive.lockMode,
    put: (key, bytes, options) => writing(() => archive.put(key, bytes, options)),
    head: (key) => reading(() => archive.head(key)),
    get: (key) => reading(() => archive.get(key)),
    list: async function* (prefix) {
      await readable();
      yield* archive.list(prefix);
    },
    remove: (key) => reading(() => archive.remove(key)),
    retention: (key) => reading(() => archive.retention(key)),
    extendRetention: (key, until) => reading(() => archive.extendRetention(key, until)),
    setLegalHold: (key, isHeld) => reading(() => archive.setLegalHold(key, isHeld)),
    legalHold: (key) => reading(() => archive.legalHold(key)),
    ...(attack === undefined ? {} : { attack: (key, until) => writing(() => attack(key, until)) }),
  };
}

/** Whether the archive says that it is this cell's; false where it says nothing. */
async function isStamped(archive: Archive, stamp: Buffer): Promise<boolean> {
  const found = await archive.get(STAMP_KEY).catch((error: unknown) => {
    if (asTenonError(error).code === 'NOT_FOUND') return null;
    throw error;
  });
  if (found === null) return false;
  if (!stamp.equals(found))
    fail('SERVICE_UNAVAILABLE', `the archive belongs to ${found.toString('utf8', 0, 200)}, not to ${stamp.toString()}`);
  return true;
}

/** Asks until the answer is yes, and then no more: an archive that is away, or is not stamped yet, is asked again. */
function once(work: () => Promise<boolean>): () => Promise<boolean> {
  let known: Promise<boolean> | null = null;
  return () => {
    if (known !== null) return known;
    const asked = work();
    known = asked;
    const forget = () => {
      known = null;
    };
    asked.then((isYes) => (isYes ? undefined : forget()), forget);
    return asked;
  };
}

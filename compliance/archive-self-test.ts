import { randomUUID } from 'node:crypto';
import { TenonError } from '#schema/errors.ts';
import type { Archive } from './archive/archive.ts';

/** One promise of an archive, and whether it was kept. */
export interface ArchivePromise {
  readonly promise: string;
  readonly isKept: boolean;
  /** What happened where it was not kept; empty where it was. */
  readonly sentence: string;
}

const PREFIX = 'self-test/';
/** Long enough for the tries below, short enough that the object can go at the next self-test. */
const RETENTION_MS = 60_000;

/**
 * Puts an object under retention into the archive and tries to do with it what nobody may. The object stays until its
 * retention ends; the next self-test takes it away.
 */
export async function selfTestArchive(archive: Archive, clock: () => Date): Promise<ArchivePromise[]> {
  await removeOlder(archive);
  const now = clock();
  const key = `${PREFIX}${now.toISOString().replaceAll(/\D/g, '')}-${randomUUID()}`;
  const bytes = Buffer.from(`self-test ${key}\n`);
  const retainUntil = new Date(now.getTime() + RETENTION_MS);
  const shorter = new Date(now.getTime() + RETENTION_MS / 2);
  const written = await keeps('takes an object under retention', () => archive.put(key, bytes, { retainUntil }));
  if (!written.isKept) return [written];
  return [
    written,
    await refuses('refuses other bytes under its name', () => archive.put(key, Buffer.from('other'), { retainUntil })),
    await refuses('refuses to remove it', () => archive.remove(key)),
    await refuses('refuses to keep it for less', () => archive.extendRetention(key, shorter)),
    await keeps('still holds it unchanged', async () => {
      if (!bytes.equals(await archive.get(key))) throw new Error('other bytes came back');
    }),
    await keeps('still keeps it as long as was promised', async () => {
      const until = await archive.retention(key);
      if (until < retainUntil) throw new Error(`it is kept until ${until.toISOString()} alone`);
    }),
  ];
}

/** What an earlier self-test left and the archive lets go of now. */
async function removeOlder(archive: Archive): Promise<void> {
  try {
    for await (const key of archive.list(PREFIX)) await archive.remove(key).catch(() => undefined);
  } catch {
    // An archive that cannot list will say so below.
  }
}

async function keeps(promise: string, work: () => Promise<void>): Promise<ArchivePromise> {
  try {
    await work();
    return { promise, isKept: true, sentence: '' };
  } catch (error) {
    return { promise, isKept: false, sentence: error instanceof Error ? error.message : String(error) };
  }
}

async function refuses(promise: string, work: () => Promise<void>): Promise<ArchivePromise> {
  try {
    await work();
  } catch (error) {
    if (error instanceof TenonError && error.code === 'RETENTION_LOCKED')
      return { promise, isKept: true, sentence: '' };
    return { promise, isKept: false, sentence: error instanceof Error ? error.message : String(error) };
  }
  return { promise, isKept: false, sentence: 'it was done' };
}

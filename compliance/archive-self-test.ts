import { randomUUID } from 'node:crypto';
import { TenonError } from '#schema/errors.ts';
import { signNote, type NoteSigner } from '#schema/signed-note.ts';
import type { Archive, StoreAttack } from './archive/archive.ts';

/** One promise of an archive, and whether it was kept. */
export interface ArchivePromise {
  readonly promise: string;
  readonly isKept: boolean;
  /** What happened where it was not kept; empty where it was. */
  readonly sentence: string;
}

/** What a self-test found: the promises as this program keeps them, and what the store itself does. */
export interface SelfTest {
  readonly lockMode: Archive['lockMode'];
  readonly testedAt: Date;
  readonly promises: readonly ArchivePromise[];
  /** Empty where this program is all that enforces the retention. */
  readonly attacks: readonly StoreAttack[];
  readonly isSound: boolean;
}

const PREFIX = 'self-test/';
/** Long enough for the tries below, short enough that the object can go at the next self-test. */
const RETENTION_MS = 60_000;

/**
 * Puts objects under retention into the archive and tries to do with them what nobody may, first through the archive
 * and then, where a server enforces the retention, on that server past this program. They stay until their retention
 * ends; the next self-test takes them away. A store that breaks off is judged by what was seen until then.
 */
export async function testArchive(archive: Archive, clock: () => Date): Promise<SelfTest> {
  const testedAt = clock();
  const promises = await selfTestArchive(archive, clock);
  const attacks = promises.every(({ isKept }) => isKept) ? await attack(archive, clock()) : [];
  const isSound = promises.every(({ isKept }) => isKept) && attacks.every(({ verdict }) => verdict !== 'broken');
  return { lockMode: archive.lockMode, testedAt, promises, attacks, isSound };
}

/**
 * Returns a signed note that says what was found, one line for each try (docs/archive.md):
 * `<deployment>/archive/<cell>`, the time, the lock mode, `sound` or `broken`, then `<attempt> <verdict> <answer>`.
 */
export function selfTestNote(test: SelfTest, { cell, signer }: { cell: string; signer: NoteSigner }): string {
  const lines = [
    `${signer.name}/archive/${cell}`,
    test.testedAt.toISOString(),
    test.lockMode,
    test.isSound ? 'sound' : 'broken',
    ...test.promises.map(({ promise, isKept, sentence }) =>
      line(promise.replaceAll(' ', '_'), isKept ? 'kept' : 'broken', isKept ? '-' : sentence),
    ),
    ...test.attacks.map(({ attempt, verdict, answer }) => line(attempt, verdict, answer)),
  ];
  return signNote(`${lines.join('\n')}\n`, signer);
}

/** The promises of the archive as this program keeps them. */
export async function selfTestArchive(archive: Archive, clock: () => Date): Promise<ArchivePromise[]> {
  await removeOlder(archive);
  const now = clock();
  const key = keyAt(now);
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
    await keeps('takes a legal hold and lifts it', async () => {
      await archive.setLegalHold(key, true);
      if (!(await archive.legalHold(key))) throw new Error('it is not held');
      await archive.setLegalHold(key, false);
      if (await archive.legalHold(key)) throw new Error('it is still held');
    }),
    await keeps('still holds it unchanged', async () => {
      if (!bytes.equals(await archive.get(key))) throw new Error('other bytes came back');
    }),
    await keeps('still keeps it as long as was promised', async () => {
      const until = await archive.retention(key);
      if (until < retainUntil) throw new Error(`it is kept until ${until.toISOString()} alone`);
    }),
  ];
}

async function attack(archive: Archive, now: Date): Promise<StoreAttack[]> {
  if (archive.attack === undefined) return [];
  try {
    return await archive.attack(keyAt(now), new Date(now.getTime() + RETENTION_MS));
  } catch (error) {
    return [{ attempt: 'attack', answer: messageOf(error), verdict: 'broken' }];
  }
}

function keyAt(now: Date): string {
  return `${PREFIX}${now.toISOString().replaceAll(/\D/g, '')}-${randomUUID()}`;
}

function line(attempt: string, verdict: string, answer: string): string {
  const printable = answer.replaceAll(/[^\u0021-\u007e]+/g, ' ').trim();
  return `${attempt} ${verdict} ${printable === '' ? '-' : printable.slice(0, 200)}`;
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
    return { promise, isKept: false, sentence: messageOf(error) };
  }
}

async function refuses(promise: string, work: () => Promise<void>): Promise<ArchivePromise> {
  try {
    await work();
  } catch (error) {
    if (error instanceof TenonError && error.code === 'RETENTION_LOCKED')
      return { promise, isKept: true, sentence: '' };
    return { promise, isKept: false, sentence: messageOf(error) };
  }
  return { promise, isKept: false, sentence: 'it was done' };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

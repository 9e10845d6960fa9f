import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Archive } from '../../compliance/archive/archive.ts';

/** An empty archive of one case, and the time as its store sees it. */
export interface ArchiveCase {
  /** Opens the archive once more, as another process would. */
  open(): Promise<Archive>;
  now(): Date;
  /** Resolves when the store's time has reached the date. */
  reach(date: Date): Promise<void>;
}

const KEY = 'v1/eu/tnt_0/1/seg/000000000.jsonl.gz';
const BYTES = Buffer.from('first');
const SOON_MS = 2_000;
const HOUR_MS = 3_600_000;

/** Expects an error of the table. */
export const refused = (code: string) => expect.objectContaining({ name: 'TenonError', code });

/** Returns all keys that an archive lists. */
export async function keysOf(archive: Archive, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const key of archive.list(prefix)) keys.push(key);
  return keys;
}

/** The promises of `Archive`, as tests of any driver: `begin` gives each case an archive of its own. */
export function describeArchive(begin: () => Promise<ArchiveCase>): void {
  let store: ArchiveCase;
  let archive: Archive;
  let soon: Date;
  let later: Date;
  beforeEach(async () => {
    store = await begin();
    archive = await store.open();
    const whole = Math.ceil(store.now().getTime() / 1000) * 1000;
    soon = new Date(whole + SOON_MS);
    later = new Date(whole + HOUR_MS);
  });
  const put = (key = KEY, bytes: Uint8Array = BYTES, retainUntil = later) => archive.put(key, bytes, { retainUntil });

  describe('an object', () => {
    test.each([0, 1, 65_537, 4 * 1024 * 1024])(
      'of %i bytes is read back as it was put, by another process too',
      async (sizeBytes) => {
        const bytes = randomBytes(sizeBytes);
        await put(KEY, bytes);
        const other = await store.open();
        expect((await other.get(KEY)).equals(bytes)).toBe(true);
        expect(await other.head(KEY)).toEqual({ sizeBytes, retainUntil: later, isHeld: false });
        expect(await other.retention(KEY)).toEqual(later);
        expect(await keysOf(other)).toEqual([KEY]);
      },
    );

    test('that does not exist has no head and cannot be read, kept or removed', async () => {
      await put(`${KEY}.more`);
      expect(await archive.head(KEY)).toBeNull();
      await expect(archive.get(KEY)).rejects.toEqual(refused('NOT_FOUND'));
      await expect(archive.retention(KEY)).rejects.toEqual(refused('NOT_FOUND'));
      await expect(archive.extendRetention(KEY, later)).rejects.toEqual(refused('NOT_FOUND'));
      await expect(archive.remove(KEY)).rejects.toEqual(refused('NOT_FOUND'));
      await expect(archive.legalHold(KEY)).rejects.toEqual(refused('NOT_FOUND'));
      await expect(archive.setLegalHold(KEY, true)).rejects.toEqual(refused('NOT_FOUND'));
    });
  });

  describe('overwriting', () => {
    test.each(['other', 'longer than it'])('with %j is refused and leaves the first bytes', async (other) => {
      await put();
      await expect(put(KEY, Buffer.from(other))).rejects.toEqual(refused('RETENTION_LOCKED'));
      expect(await archive.get(KEY)).toEqual(BYTES);
    });

    test('with the same bytes succeeds and keeps the later retention', async () => {
      await put(KEY, BYTES, soon);
      await put(KEY, BYTES, later);
      await put(KEY, BYTES, soon);
      expect(await archive.retention(KEY)).toEqual(later);
    });

    test('is won by exactly one of many writers, and the others learn of it', async () => {
      const writers = await Promise.all(Array.from({ length: 8 }, () => store.open()));
      const results = await Promise.allSettled(
        writers.map((writer, index) => writer.put(KEY, Buffer.from(`writer ${index}`), { retainUntil: later })),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const winner = results.findIndex(({ status }) => status === 'fulfilled');
      expect((await archive.get(KEY)).toString()).toBe(`writer ${winner}`);
      for (const result of results)
        if (result.status === 'rejected') expect(result.reason).toEqual(refused('RETENTION_LOCKED'));
      expect(await keysOf(archive)).toEqual([KEY]);
    });

    test('by many writers of the same bytes succeeds for all', async () => {
      await Promise.all(Array.from({ length: 8 }, () => put()));
      expect(await archive.head(KEY)).toEqual({ sizeBytes: BYTES.length, retainUntil: later, isHeld: false });
      expect(await keysOf(archive)).toEqual([KEY]);
    });
  });

  describe('retention', () => {
    test('refuses removal until it has ended, then the key is free again', async () => {
      await put(KEY, BYTES, soon);
      await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
      expect(await archive.get(KEY)).toEqual(BYTES);
      await store.reach(soon);
      await archive.remove(KEY);
      expect(await archive.head(KEY)).toBeNull();
      expect(await keysOf(archive)).toEqual([]);
      await put(KEY, Buffer.from('second'));
      expect((await archive.get(KEY)).toString()).toBe('second');
    });

    test('can be extended and never shortened', async () => {
      await put(KEY, BYTES, soon);
      await archive.extendRetention(KEY, later);
      await archive.extendRetention(KEY, later);
      await expect(archive.extendRetention(KEY, soon)).rejects.toEqual(refused('RETENTION_LOCKED'));
      expect(await archive.retention(KEY)).toEqual(later);
      await store.reach(soon);
      await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    });

    test('of many extensions at once is the latest', async () => {
      await put(KEY, BYTES, soon);
      const dates = Array.from({ length: 8 }, (_, hours) => new Date(later.getTime() + hours * HOUR_MS));
      await Promise.allSettled(dates.toReversed().map((date) => archive.extendRetention(KEY, date)));
      expect(await archive.retention(KEY)).toEqual(dates.at(-1));
    });

    test('reaches a date within a second, and takes that date again', async () => {
      const date = new Date(later.getTime() + 1);
      await put(KEY, BYTES, date);
      await put(KEY, BYTES, date);
      await archive.extendRetention(KEY, date);
      expect((await archive.retention(KEY)).getTime()).toBeGreaterThanOrEqual(date.getTime());
    });
  });

  describe('a legal hold', () => {
    test('keeps an object whose retention has ended, until it is lifted', async () => {
      await put(KEY, BYTES, soon);
      await archive.setLegalHold(KEY, true);
      await archive.setLegalHold(KEY, true);
      await store.reach(soon);
      const other = await store.open();
      expect(await other.legalHold(KEY)).toBe(true);
      expect(await other.head(KEY)).toEqual({ sizeBytes: BYTES.length, retainUntil: soon, isHeld: true });
      await expect(other.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
      expect(await other.get(KEY)).toEqual(BYTES);
      await other.setLegalHold(KEY, false);
      expect(await archive.legalHold(KEY)).toBe(false);
      await archive.remove(KEY);
      expect(await archive.head(KEY)).toBeNull();
    });

    test('leaves the retention as it is, and the retention the hold', async () => {
      await put(KEY, BYTES, soon);
      await archive.setLegalHold(KEY, true);
      await archive.extendRetention(KEY, later);
      expect(await archive.head(KEY)).toEqual({ sizeBytes: BYTES.length, retainUntil: later, isHeld: true });
      await archive.setLegalHold(KEY, false);
      await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    });

    test('that was lifted is gone with its object: the next one of the key has none', async () => {
      await put(KEY, BYTES, soon);
      await archive.setLegalHold(KEY, true);
      await archive.setLegalHold(KEY, false);
      await store.reach(soon);
      await archive.remove(KEY);
      await put();
      expect(await archive.legalHold(KEY)).toBe(false);
    });
  });

  describe('a key', () => {
    test.each([
      '',
      '..',
      '/etc/passwd',
      'a//b',
      'a/',
      '../a',
      'a/../../b',
      'a/.hidden',
      'a\\b',
      'a\0b',
      'A/b',
      'a b',
      'é',
      '-a',
      'a%2e',
      'a?versionId=x',
      'a'.repeat(129),
    ])('%j is refused by every function', async (key) => {
      const bad = refused('BAD_USER_INPUT');
      await expect(put(key)).rejects.toEqual(bad);
      await expect(archive.get(key)).rejects.toEqual(bad);
      await expect(archive.head(key)).rejects.toEqual(bad);
      await expect(archive.remove(key)).rejects.toEqual(bad);
      await expect(archive.retention(key)).rejects.toEqual(bad);
      await expect(archive.extendRetention(key, later)).rejects.toEqual(bad);
      await expect(archive.setLegalHold(key, true)).rejects.toEqual(bad);
      await expect(archive.legalHold(key)).rejects.toEqual(bad);
      expect(await keysOf(archive)).toEqual([]);
    });
  });

  describe('listing', () => {
    test('yields what begins with the prefix in the order of the bytes', async () => {
      const all = ['a-b', 'a.b', 'a/b-c', 'a/b/c', 'a0', 'a_b', 'b/000000001-x', 'b/000000002-x', 'b/000000010-x'];
      for (const key of all.toReversed()) await put(key);
      expect(await keysOf(archive)).toEqual(all);
      expect(await keysOf(archive, 'a/')).toEqual(['a/b-c', 'a/b/c']);
      expect(await keysOf(archive, 'b/00000000')).toEqual(['b/000000001-x', 'b/000000002-x']);
      expect(await keysOf(archive, 'b/000000001-')).toEqual(['b/000000001-x']);
      expect(await keysOf(archive, '../')).toEqual([]);
      expect(await keysOf(archive, 'c')).toEqual([]);
      expect(await keysOf(archive, 'b/000000001-x/')).toEqual([]);
      expect(await keysOf(archive, 'a/b')).toEqual(['a/b-c', 'a/b/c']);
      expect(await keysOf(archive, 'a/b/')).toEqual(['a/b/c']);
    });
  });
}

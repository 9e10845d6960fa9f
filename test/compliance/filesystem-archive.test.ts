import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { TINY_DISK, withTinyDisk } from './tiny-disk.ts';

const root = mkdtempSync(join(tmpdir(), 'tenon-archive-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const NOW = new Date('2026-05-01T00:00:00Z');
const TOMORROW = new Date('2026-05-02T00:00:00Z');
const NEXT_YEAR = new Date('2027-05-01T00:00:00Z');
const KEY = 'v1/eu/tnt_0/1/seg/000000000.jsonl.gz';
const BYTES = Buffer.from('first');

let folder: string;
let now: Date;
let archive: Archive;

beforeEach(async () => {
  folder = mkdtempSync(join(root, 'case-'));
  now = NOW;
  archive = await filesystemArchive({ folder, clock: () => now });
});

const refused = (code: string) => expect.objectContaining({ name: 'TenonError', code });
const keys = async (prefix = '', of = archive): Promise<string[]> => {
  const found: string[] = [];
  for await (const key of of.list(prefix)) found.push(key);
  return found;
};
const put = (key = KEY, bytes = BYTES, retainUntil = TOMORROW) => archive.put(key, bytes, { retainUntil });

describe('an object', () => {
  test('is read back as it was put, by another process too', async () => {
    await put();
    const other = await filesystemArchive({ folder, clock: () => now });
    expect(await other.get(KEY)).toEqual(BYTES);
    expect(await other.head(KEY)).toEqual({ sizeBytes: 5, retainUntil: TOMORROW, isHeld: false });
    expect(await other.retention(KEY)).toEqual(TOMORROW);
    expect(await keys('', other)).toEqual([KEY]);
  });

  test('is a read-only file under its key, in folders of the owner alone', async () => {
    await put();
    expect(statSync(join(folder, KEY)).mode & 0o777).toBe(0o444);
    expect(statSync(join(folder, 'v1')).mode & 0o777).toBe(0o700);
  });

  test('that does not exist has no head and cannot be read, kept or removed', async () => {
    expect(await archive.head(KEY)).toBeNull();
    await expect(archive.get(KEY)).rejects.toEqual(refused('NOT_FOUND'));
    await expect(archive.retention(KEY)).rejects.toEqual(refused('NOT_FOUND'));
    await expect(archive.extendRetention(KEY, NEXT_YEAR)).rejects.toEqual(refused('NOT_FOUND'));
    await expect(archive.remove(KEY)).rejects.toEqual(refused('NOT_FOUND'));
  });
});

describe('overwriting', () => {
  test('is refused and leaves the first bytes, also after their retention', async () => {
    await put();
    await expect(put(KEY, Buffer.from('other'))).rejects.toEqual(refused('RETENTION_LOCKED'));
    now = NEXT_YEAR;
    await expect(put(KEY, Buffer.from('other'))).rejects.toEqual(refused('RETENTION_LOCKED'));
    expect(await archive.get(KEY)).toEqual(BYTES);
  });

  test('with the same bytes succeeds and keeps the later retention', async () => {
    await put(KEY, BYTES, TOMORROW);
    await put(KEY, BYTES, NEXT_YEAR);
    await put(KEY, BYTES, TOMORROW);
    expect(await archive.retention(KEY)).toEqual(NEXT_YEAR);
  });

  test('is won by exactly one of many writers, and the others learn of it', async () => {
    const writers = await Promise.all(Array.from({ length: 8 }, () => filesystemArchive({ folder, clock: () => now })));
    const results = await Promise.allSettled(
      writers.map((writer, index) => writer.put(KEY, Buffer.from(`writer ${index}`), { retainUntil: TOMORROW })),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = results.findIndex(({ status }) => status === 'fulfilled');
    expect((await archive.get(KEY)).toString()).toBe(`writer ${winner}`);
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toEqual(refused('RETENTION_LOCKED'));
    expect(readdirSync(join(folder, '.staging'))).toEqual([]);
  });
});

describe('retention', () => {
  test('refuses removal up to its last moment and allows it then', async () => {
    await put();
    await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    now = new Date(TOMORROW.getTime() - 1);
    await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    expect(await archive.get(KEY)).toEqual(BYTES);
    now = TOMORROW;
    await archive.remove(KEY);
    expect(await archive.head(KEY)).toBeNull();
    expect(await keys()).toEqual([]);
    expect(readdirSync(join(folder, 'v1/eu/tnt_0/1/seg'))).toEqual([]);
  });

  test('can be extended and never shortened', async () => {
    await put();
    await archive.extendRetention(KEY, NEXT_YEAR);
    await expect(archive.extendRetention(KEY, TOMORROW)).rejects.toEqual(refused('RETENTION_LOCKED'));
    expect(await archive.retention(KEY)).toEqual(NEXT_YEAR);
    now = TOMORROW;
    await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
  });

  test('of many extensions at once is the latest', async () => {
    await put();
    const days = Array.from({ length: 20 }, (_, day) => new Date(TOMORROW.getTime() + day * 86_400_000));
    await Promise.allSettled(days.toReversed().map((day) => archive.extendRetention(KEY, day)));
    expect(await archive.retention(KEY)).toEqual(days.at(-1));
  });

  test('survives a line that a crash left unfinished', async () => {
    await put();
    appendFileSync(join(folder, `${KEY}.retention.jsonl`), '\n{"mode":"FILESYSTEM","retain_until":"2026-05-0');
    expect(await archive.retention(KEY)).toEqual(TOMORROW);
    await archive.extendRetention(KEY, NEXT_YEAR);
    expect(await archive.retention(KEY)).toEqual(NEXT_YEAR);
  });

  test('that is lost locks the object for good, until it is put again', async () => {
    await put();
    rmSync(join(folder, `${KEY}.retention.jsonl`));
    now = NEXT_YEAR;
    await expect(archive.remove(KEY)).rejects.toEqual(refused('RETENTION_LOCKED'));
    await put();
    await archive.remove(KEY);
    expect(await archive.head(KEY)).toBeNull();
  });
});

describe('a key', () => {
  test.each([
    '',
    '.',
    '..',
    '/',
    '/etc/passwd',
    'a//b',
    'a/',
    '/a',
    '../a',
    'a/../../b',
    'a/./b',
    '.staging/x',
    'a/.hidden',
    'a\\..\\b',
    'a\0b',
    'A/b',
    'a b',
    'é',
    '-a',
    'a%2e%2e',
    'a'.repeat(129),
    Array.from({ length: 130 }, () => 'abcd').join('/'),
    'a/b.retention.jsonl',
  ])('%j is refused by every function', async (key) => {
    const bad = refused('BAD_USER_INPUT');
    await expect(put(key)).rejects.toEqual(bad);
    await expect(archive.get(key)).rejects.toEqual(bad);
    await expect(archive.head(key)).rejects.toEqual(bad);
    await expect(archive.remove(key)).rejects.toEqual(bad);
    await expect(archive.retention(key)).rejects.toEqual(bad);
    await expect(archive.extendRetention(key, NEXT_YEAR)).rejects.toEqual(bad);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('never leads through a link to a file outside', async () => {
    const secret = join(root, 'secret');
    writeFileSync(secret, 'secret');
    mkdirSync(join(folder, 'v1'));
    symlinkSync(secret, join(folder, 'v1/link'));
    await expect(archive.get('v1/link')).rejects.toEqual(refused('NOT_FOUND'));
    await expect(put('v1/link')).rejects.toEqual(refused('RETENTION_LOCKED'));
    expect(readFileSync(secret, 'utf8')).toBe('secret');
    expect(await keys()).toEqual([]);
  });
});

describe('listing', () => {
  test('yields what begins with the prefix in the order of the bytes, as S3 does', async () => {
    const all = ['a-b', 'a.b', 'a/b-c', 'a/b/c', 'a0', 'a_b', 'b/000000001-x', 'b/000000002-x', 'b/000000010-x'];
    for (const key of all.toReversed()) await put(key);
    expect(await keys()).toEqual(all);
    expect(await keys('a/')).toEqual(['a/b-c', 'a/b/c']);
    expect(await keys('b/00000000')).toEqual(['b/000000001-x', 'b/000000002-x']);
    expect(await keys('b/000000001-')).toEqual(['b/000000001-x']);
    expect(await keys('../')).toEqual([]);
    expect(await keys('c')).toEqual([]);
  });

  test('looks into no folder but the one that the prefix leads to', async () => {
    for (const key of ['a/b/1', 'a/c/1', 'd/1']) await put(key);
    rmSync(join(folder, 'a/c'), { recursive: true });
    // A folder that cannot be read: listing the root would fail.
    symlinkSync(join(folder, 'no-such'), join(folder, 'a/c'));
    writeFileSync(join(folder, 'e'), '');
    expect(await keys('a/b/')).toEqual(['a/b/1']);
    expect(await keys('a/b/1')).toEqual(['a/b/1']);
    expect(await keys('e/f/')).toEqual([]);
    expect(await keys('no-such/f/')).toEqual([]);
  });

  test('follows no link out of the archive', async () => {
    mkdirSync(join(root, 'outside'), { recursive: true });
    writeFileSync(join(root, 'outside/secret'), 'secret');
    symlinkSync(join(root, 'outside'), join(folder, 'link'));
    expect(await keys('link/')).toEqual([]);
    expect(await keys('../outside/')).toEqual([]);
  });

  test('of an archive that is away is unavailable, not empty', async () => {
    const place = join(folder, 'mount');
    writeFileSync(place, '');
    const away = await filesystemArchive({ folder: place, clock: () => now });
    await expect(keys('v1/eu/', away)).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
  });

  test('shows nothing of what is half-written', async () => {
    for (const name of ['.staging', 'v1']) mkdirSync(join(folder, name));
    writeFileSync(join(folder, '.staging/left-over'), 'half');
    writeFileSync(
      join(folder, 'v1/object.retention.jsonl'),
      '\n{"mode":"FILESYSTEM","retain_until":"2026-05-02T00:00:00.000Z"}\n',
    );
    expect(await keys()).toEqual([]);
    expect(await archive.head('v1/object')).toBeNull();
    await put('v1/object');
    expect(await keys()).toEqual(['v1/object']);
  });
});

describe('opening', () => {
  test('removes what a killed writer left long ago, and nothing that may still be written', async () => {
    mkdirSync(join(folder, '.staging'));
    const [old, young] = [join(folder, '.staging/old'), join(folder, '.staging/young')];
    for (const [path, time] of [
      [old, new Date(NOW.getTime() - 3_700_000)],
      [young, NOW],
    ] as const) {
      writeFileSync(path, 'half');
      utimesSync(path, time, time);
    }
    await filesystemArchive({ folder, clock: () => now });
    expect(readdirSync(join(folder, '.staging'))).toEqual(['young']);
  });

  test('succeeds while the folder is away, which is then unavailable until it is there', async () => {
    const place = join(folder, 'mount');
    writeFileSync(place, '');
    const away = await filesystemArchive({ folder: join(place, 'archive'), clock: () => now });
    await expect(away.put(KEY, BYTES, { retainUntil: TOMORROW })).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
    rmSync(place);
    await away.put(KEY, BYTES, { retainUntil: TOMORROW });
    expect(await away.get(KEY)).toEqual(BYTES);
  });
});

describe.skipIf(!TINY_DISK)('a full disk', () => {
  test('is unavailable, leaves nothing visible, and takes the object once there is room', async () => {
    await withTinyDisk('256k', async (disk) => {
      const tiny = await filesystemArchive({ folder: join(disk, 'archive'), clock: () => now });
      await tiny.put('v1/small', BYTES, { retainUntil: TOMORROW });
      const large = Buffer.alloc(200_000, 'x');
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(150_000));
      await expect(tiny.put('v1/large', large, { retainUntil: TOMORROW })).rejects.toEqual(
        refused('SERVICE_UNAVAILABLE'),
      );
      expect(await keys('', tiny)).toEqual(['v1/small']);
      expect(await tiny.head('v1/large')).toBeNull();
      expect(readdirSync(join(disk, 'archive/.staging'))).toEqual([]);
      rmSync(join(disk, 'ballast'));
      await tiny.put('v1/large', large, { retainUntil: TOMORROW });
      expect(await tiny.get('v1/large')).toEqual(large);
    });
  });

  test('that turns read-only is unavailable for writing and still read', async () => {
    await withTinyDisk('256k', async (disk) => {
      const tiny = await filesystemArchive({ folder: join(disk, 'archive'), clock: () => now });
      await tiny.put('v1/small', BYTES, { retainUntil: TOMORROW });
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      await expect(tiny.put('v1/other', BYTES, { retainUntil: TOMORROW })).rejects.toEqual(
        refused('SERVICE_UNAVAILABLE'),
      );
      expect(await tiny.get('v1/small')).toEqual(BYTES);
    });
  });
});

describe.skipIf(process.getuid?.() === 0)('a folder without rights', () => {
  test('is unavailable', async () => {
    await put();
    chmodSync(join(folder, 'v1/eu/tnt_0/1/seg'), 0o500);
    await expect(put(KEY.replace('0-', '1-'))).rejects.toEqual(refused('SERVICE_UNAVAILABLE'));
    chmodSync(join(folder, 'v1/eu/tnt_0/1/seg'), 0o700);
  });
});

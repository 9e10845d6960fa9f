import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { fail } from '#schema/errors.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { head, log, prepareSealing, sealer, sealing, state } from './sealing.ts';
import { archivedEntries, expectSound, signedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';
import { TINY_DISK, withTinyDisk } from './tiny-disk.ts';

prepareSealing();
afterEach(() => vi.restoreAllMocks());

const MINUTE_MS = 60_000;
const STEP_MINUTES = 2.5;

describe('an archive that is away for an hour', () => {
  test('gets everything when it is back; the alarm stands until then', { timeout: 120_000 }, async () => {
    const notes = signedNotes();
    let isAway = false;
    const archive = notes.watch(awayArchive(() => isAway));
    const tenants = [sealing.tenant, await sealing.cell.addTenant(), await sealing.cell.addTenant()];
    const ids = new Map(tenants.map((tenant) => [tenant, [] as string[]]));
    const startMs = performance.now();
    const turn = sealer({ archive, sealIntervalMs: 10_000 });
    const begin = sealing.now;
    for (let minute = 0; minute < 75; minute += STEP_MINUTES) {
      isAway = minute >= 10 && minute < 70;
      // The worker's own clock, by which it waits, is told the same time as the other one.
      vi.spyOn(performance, 'now').mockReturnValue(startMs + minute * MINUTE_MS);
      sealing.now = new Date(begin.getTime() + minute * MINUTE_MS);
      for (const [index, tenant] of tenants.entries()) {
        ids.get(tenant)?.push(...(await log(20 * (1 + index), { of: tenant })));
      }
      await turn();
      const { alarm, alarm_since: since } = await head();
      expect(alarm, `minute ${minute}`).toEqual(isAlarmed(minute) ? expect.stringContaining('does not take') : null);
      expect(since, `minute ${minute}`).toEqual(isAlarmed(minute) ? new Date(begin.getTime() + 10 * MINUTE_MS) : null);
    }
    await sealer({ archive })();
    await notes.collect(sealing.cell.superuserOfAudit);
    await expectSound(sealing.folder, notes);
    for (const tenant of tenants) {
      const entries = archivedEntries(sealing.folder, tenant);
      expect(entries.map(({ event }) => event.id)).toEqual(ids.get(tenant));
      expect(entries).toEqual(await entriesInDatabase(sealing.cell.superuserOfAudit, tenant));
    }
    expect([...ids.values()].flat().length).toBeGreaterThan(2000);
  });
});

const isAlarmed = (minute: number) => minute >= 10 && minute < 70;

function awayArchive(asked: () => boolean): Archive {
  const { archive } = sealing;
  const reach = (): void => {
    if (asked()) fail('SERVICE_UNAVAILABLE', 'connect ECONNREFUSED');
  };
  return {
    ...archive,
    put: async (...args) => (reach(), archive.put(...args)),
    head: async (key) => (reach(), archive.head(key)),
    get: async (key) => (reach(), archive.get(key)),
    list: async function* (prefix) {
      reach();
      yield* archive.list(prefix);
    },
  };
}

describe.skipIf(!TINY_DISK)('an archive whose disk is full', () => {
  test(
    'at whatever point of a segment goes on with the same bytes once there is room',
    { timeout: 120_000 },
    async () => {
      const notes = signedNotes();
      const states = new Set<string>();
      await withTinyDisk('3m', async (disk) => {
        const archive = notes.watch(await filesystemArchive({ folder: disk, clock: () => sealing.now }));
        const ids = await log(1);
        await sealer({ archive })();
        for (let roomKiB = 0; roomKiB <= 40; roomKiB += 4) {
          ids.push(...(await log(20)));
          fillBut(disk, roomKiB * 1024);
          await sealer({ archive })();
          states.add((await state()).at(-1) ?? '');
          rmSync(join(disk, '.ballast'), { force: true });
          rmSync(join(disk, '.room'), { force: true });
          await sealer({ archive })();
          expect(await head()).toMatchObject({ sealed_size: String(ids.length), alarm: null });
        }
        await notes.collect(sealing.cell.superuserOfAudit);
        await expectSound(disk, notes);
        expect(archivedEntries(disk, sealing.tenant).map(({ event }) => event.id)).toEqual(ids);
      });
      expect([...states].toSorted()).toEqual(['planned', 'sealed', 'segment_put']);
    },
  );
});

/** Fills a disk but for some room. */
function fillBut(disk: string, roomBytes: number): void {
  if (roomBytes > 0) writeFileSync(join(disk, '.room'), Buffer.alloc(roomBytes));
  expect(() => writeFileSync(join(disk, '.ballast'), Buffer.alloc(4 * 1024 * 1024))).toThrow('ENOSPC');
  rmSync(join(disk, '.room'), { force: true });
}

import { describe, expect, test } from 'vitest';
import type { Archive } from '../../compliance/archive/archive.ts';
import { backUp } from './backups.ts';
import { log, prepareSealing, sealer, sealing } from './sealing.ts';
import { archivedEntries, epochsOf, expectSound, signedNotes, type SignedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

prepareSealing();

describe('a worker that slept while another went on', () => {
  test.each([
    ['before it puts the segment', 'put', 1],
    ['before it puts the manifest', 'put', 2],
    ['before it looks at the segment', 'head', 3],
    ['before it looks at the manifest', 'head', 4],
  ] as const)('%s signs nothing else when it wakes up', async (_, name, call) => {
    const notes = watched();
    const ids = await log(3);
    const stale = sleeping(name, call);
    const waking = sealer({ archive: stale.archive })();
    await stale.asleep;
    ids.push(...(await log(2)));
    await sealer()();
    await sealer()();
    ids.push(...(await log(2)));
    await sealer()();
    stale.wake();
    expect(await waking).toMatchObject({ sealed: 0, failures: [] });
    await sealer()();
    await expectLog(notes, ids, [1]);
  });

  test('over a database that was set back to where it fell asleep finds what the other has sealed', async () => {
    const notes = watched();
    const ids = await log(3);
    const stale = sealer();
    await stale();
    const backup = await backUp(sealing.cell.auditDatabase);
    ids.push(...(await log(2)));
    await sealer()();
    await backup.restore();
    ids.push(...(await log(4)));
    await stale();
    await stale();
    await expectLog(notes, ids, [1, 2]);
  });

  test('over a database that was set back to before its plan signs nothing', async () => {
    const notes = watched();
    await log(3);
    await sealer()();
    const backup = await backUp(sealing.cell.auditDatabase);
    await log(2);
    const stale = sleeping('put', 1);
    const waking = sealer({ archive: stale.archive })().catch(() => null);
    await stale.asleep;
    await backup.restore();
    const late = await log(4);
    await sealer()();
    stale.wake();
    await waking;
    await sealer()();
    await notes.collect(sealing.cell.superuserOfAudit);
    notes.check();
    const events = archivedEntries(sealing.folder, sealing.tenant).map(({ event }) => event.id);
    expect(events.slice(3)).toEqual(late);
  });
});

interface Sleeping {
  readonly archive: Archive;
  readonly asleep: Promise<void>;
  wake(): void;
}

/** An archive that lets a worker wait before its n-th call of a function until it is woken. */
function sleeping(name: 'put' | 'head', call: number): Sleeping {
  let calls = 0;
  let wake = (): void => undefined;
  let fallAsleep = (): void => undefined;
  const awake = new Promise<void>((resolve) => (wake = resolve));
  const asleep = new Promise<void>((resolve) => (fallAsleep = resolve));
  const pass = async (of: string): Promise<void> => {
    if (of !== name) return;
    calls += 1;
    if (calls !== call) return;
    fallAsleep();
    await awake;
  };
  const { archive } = sealing;
  return {
    asleep,
    wake: () => wake(),
    archive: {
      ...archive,
      put: async (key, bytes, kept) => {
        await pass('put');
        return archive.put(key, bytes, kept);
      },
      head: async (key) => {
        await pass('head');
        return archive.head(key);
      },
    },
  };
}

function watched(): SignedNotes {
  const notes = signedNotes();
  sealing.archive = notes.watch(sealing.archive);
  return notes;
}

async function expectLog(notes: SignedNotes, ids: readonly string[], epochs: readonly number[]): Promise<void> {
  await notes.collect(sealing.cell.superuserOfAudit);
  await expectSound(sealing.folder, notes);
  const entries = archivedEntries(sealing.folder, sealing.tenant);
  const events = entries.filter(({ event }) => event.action !== 'log.epoch_opened').map(({ event }) => event.id);
  expect(events.toSorted()).toEqual(ids.toSorted());
  expect(epochsOf(sealing.folder, sealing.tenant)).toEqual(epochs);
  expect(await entriesInDatabase(sealing.cell.superuserOfAudit, sealing.tenant)).toEqual(entries);
}

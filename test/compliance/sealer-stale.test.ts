import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Archive } from '../../compliance/archive/archive.ts';
import { outboxOf, type OutboxRow } from '../../compliance/outbox-reader.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { backUp } from './backups.ts';
import { DAY_MS, head, log, prepareSealing, sealer, sealing } from './sealing.ts';
import { archivedEntries, epochsOf, expectSound, signedNotes, type SignedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

prepareSealing();

describe('a worker that slept while another went on', () => {
  test.each([
    ['before it puts the segment', 'put', 1],
    ['before it asks for other segments', 'list', 4],
    ['before it puts the manifest', 'put', 2],
    ['before it looks at the segment', 'head', 2],
    ['before it looks at the manifest', 'head', 3],
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

describe('two workers over two databases that part ways', () => {
  test('sign one history: whoever sees the segment of the other stops', async () => {
    const notes = watched();
    const ids = await log(3);
    await sealer()();
    const backup = await backUp(sealing.cell.auditDatabase);
    const first = await log(2);
    // The other database is the same one, set back while the first worker has put its segment and is about to sign it.
    const slow = sleeping('list', 2, '/seg/');
    const signing = sealer({ archive: slow.archive })().catch(() => null);
    await slow.asleep;
    await backup.restore();
    const second = await log(4);
    const turn = sealer();
    for (let left = 1; left > 0;) left = (await turn()).unsealed;
    slow.wake();
    await signing;
    await expectLog(notes, [...ids, ...first, ...second], [1, 2]);
    expect(await head()).toMatchObject({ alarm: null });
  });
});

describe('two workers over two databases that went on apart', () => {
  test('sign nothing where both have put a segment of the same number', async () => {
    const notes = watched();
    await log(3);
    await sealer()();
    const twin = new pg.Pool({ connectionString: await (await backUp(sealing.cell.auditDatabase)).open(), max: 2 });
    onTestFinished(() => twin.end());
    await log(2);
    const other = sleeping('put', 1);
    await sequence(twin, await rowsOf(2), sealing.now);
    const signing = createSealer({ ...options(), audit: twin, archive: other.archive })();
    await other.asleep;
    const own = sleeping('list', 2, '/seg/');
    const alsoSigning = sealer({ archive: own.archive })();
    await own.asleep;
    other.wake();
    expect((await signing).sealed).toBe(0);
    own.wake();
    expect((await alsoSigning).sealed).toBe(0);
    await notes.collect(sealing.cell.superuserOfAudit);
    expect(notes.check()).toHaveLength(1);
  });
});

const options = () => ({
  region: 'eu',
  signer: TEST_SIGNING_KEY,
  clock: () => sealing.now,
  sealIntervalMs: 0,
  retentionMs: 90 * DAY_MS,
  log: () => undefined,
});

async function rowsOf(count: number): Promise<OutboxRow[]> {
  await sealing.cell.write(
    sealing.tenant,
    Array.from({ length: count }, () => anEvent(sealing.tenant)),
  );
  const outbox = outboxOf(sealing.cell.tenants);
  for (;;) {
    const rows = await outbox.take({ limit: 1000, skipPositions: [], skipTenants: [] });
    if (rows.length < count) continue;
    await sealing.cell.superuserOfTenants.query('delete from app.outbox');
    return rows;
  }
}

interface Sleeping {
  readonly archive: Archive;
  readonly asleep: Promise<void>;
  wake(): void;
}

/** An archive that lets a worker wait before its n-th call of a function until it is woken. */
function sleeping(name: 'put' | 'head' | 'list', call: number, part = ''): Sleeping {
  let calls = 0;
  let wake = (): void => undefined;
  let fallAsleep = (): void => undefined;
  const awake = new Promise<void>((resolve) => (wake = resolve));
  const asleep = new Promise<void>((resolve) => (fallAsleep = resolve));
  const pass = async (of: string, key: string): Promise<void> => {
    if (of !== name || !key.includes(part)) return;
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
        await pass('put', key);
        return archive.put(key, bytes, kept);
      },
      head: async (key) => {
        await pass('head', key);
        return archive.head(key);
      },
      list: async function* (prefix) {
        await pass('list', prefix);
        yield* archive.list(prefix);
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

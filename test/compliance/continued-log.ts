import { expect } from 'vitest';
import { log, sealer, sealing } from './sealing.ts';
import { archivedEntries, epochsOf, expectSound, signedNotes, type SignedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

/** From now on every checkpoint that is to be put is remembered. */
export function watched(): SignedNotes {
  const notes = signedNotes();
  sealing.archive = notes.watch(sealing.archive);
  return notes;
}

/** Writes, sequences and seals that many events and returns their ids. */
export async function sealed(count: number): Promise<string[]> {
  const ids = await log(count);
  await seal();
  return ids;
}

/** Seals until nothing is left to seal or to bring back; a new sealer each time, as after a restore. */
export async function seal(): Promise<void> {
  const turn = sealer();
  for (;;) {
    const { unsealed, failures } = await turn();
    expect(failures).toEqual([]);
    if (unsealed === 0) return;
  }
}

/** Every event stands once, oldest first but for the epochs, in the archive and in the database. */
export async function expectLog(notes: SignedNotes, ids: readonly string[], epochs: unknown): Promise<void> {
  await notes.collect(sealing.cell.superuserOfAudit);
  await expectSound(sealing.folder, notes);
  const entries = archivedEntries(sealing.folder, sealing.tenant);
  const events = entries.filter(({ event }) => event.action !== 'log.epoch_opened').map(({ event }) => event.id);
  expect(events.toSorted()).toEqual([...ids].toSorted());
  expect(epochsOf(sealing.folder, sealing.tenant)).toEqual(epochs);
  expect(await entriesInDatabase(sealing.cell.superuserOfAudit, sealing.tenant)).toEqual(entries);
}

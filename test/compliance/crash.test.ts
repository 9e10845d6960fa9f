import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { finish, randomOf, writeSome } from './crash-world.ts';
import { runUntilCrash } from './crashing-worker.ts';
import { archivedEntries, epochsOf, expectSound, signedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

const CRASHES = 220;
const TENANTS = 3;
/** More than the operations of a turn of sequencing and of sealing together, so that the latter is reached as often. */
const MOST_OPERATIONS = 70;

const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(
  `a worker cut off at ${CRASHES} random operations loses, doubles and renumbers no event and signs nothing twice (CRASH_SEED=${seed})`,
  { timeout: 180_000 },
  async () => {
    const random = randomOf(seed);
    const cell = await openTestCell();
    const folder = mkdtempSync(join(cell.archiveFolder, 'crash-'));
    const notes = signedNotes();
    const clock = () => new Date();
    const archive = notes.watch(await filesystemArchive({ folder, clock }));
    const tenants = await Promise.all(Array.from({ length: TENANTS }, () => cell.addTenant()));
    const written = new Map(tenants.map((tenant) => [tenant, [] as string[]]));
    const crashes = new Map<string, number>();
    const states = new Set<string>();
    for (let crash = 0; crash < CRASHES; crash++) {
      const point = { operation: 1 + random(MOST_OPERATIONS), when: random(2) === 0 ? 'before' : 'after' } as const;
      const write = () => writeSome(cell, { tenants, written, random });
      const { at } = await runUntilCrash(cell, { archive, clock, point, write });

      crashes.set(at, (crashes.get(at) ?? 0) + 1);
      await notes.collect(cell.superuserOfAudit);
      for (const state of await openStates(cell)) states.add(state);
    }
    await finish(cell, { archive, clock });
    await notes.collect(cell.superuserOfAudit);
    await expectSound(folder, notes);
    for (const [tenant, ids] of written) {
      const entries = archivedEntries(folder, tenant);
      expect(entries.map(({ event }) => event.id)).toEqual(ids);
      expect(epochsOf(folder, tenant)).toEqual([1]);
      expect(await entriesInDatabase(cell.superuserOfAudit, tenant)).toEqual(entries);
    }
    expect([...states].toSorted()).toEqual(['manifest_put', 'planned', 'segment_put']);
    expect(crashes.size, 'kinds of operations at which it was cut off').toBeGreaterThan(20);
  },
);

async function openStates(cell: TestCell): Promise<string[]> {
  const { rows } = await cell.superuserOfAudit.query<{ state: string }>(
    `select distinct state from app.segments where state <> 'sealed'`,
  );
  return rows.map(({ state }) => state);
}

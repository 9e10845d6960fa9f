import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { backUp, type Backup } from './backups.ts';
import { openTestCell } from './cell.ts';
import { finish, randomOf, writeSome } from './crash-world.ts';
import { runUntilCrash } from './crashing-worker.ts';
import { archivedEntries, expectSound, signedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

const CRASHES = 200;
const TENANTS = 3;
const MOST_OPERATIONS = 90;
/** Of so many crashes one is followed by an audit database that was set back. */
const RESTORED = 5;

const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(
  `a worker cut off at ${CRASHES} random operations, its audit database set back after one in ${RESTORED}, loses and doubles no event and signs nothing twice (CRASH_SEED=${seed})`,
  { timeout: 300_000 },
  async () => {
    const random = randomOf(seed);
    const cell = await openTestCell();
    const folder = mkdtempSync(join(cell.archiveFolder, 'crash-'));
    const notes = signedNotes();
    const clock = () => new Date();
    const archive = notes.watch(await filesystemArchive({ folder, clock }));
    const tenants = await Promise.all(Array.from({ length: TENANTS }, () => cell.addTenant()));
    const written = new Map(tenants.map((tenant) => [tenant, [] as string[]]));
    let backup: Backup = await backUp(cell.auditDatabase);
    let lost = 0;
    for (let crash = 1; crash <= CRASHES; crash++) {
      const point = { operation: 1 + random(MOST_OPERATIONS), when: random(2) === 0 ? 'before' : 'after' } as const;
      await runUntilCrash(cell, { archive, clock, point, write: () => writeSome(cell, { tenants, written, random }) });
      await notes.collect(cell.superuserOfAudit);
      if (random(RESTORED) !== 0) continue;
      const before = await entriesOf(cell.superuserOfAudit);
      await backup.restore();
      lost += before - (await entriesOf(cell.superuserOfAudit));
      // From one that is years old to one from right now.
      if (random(2) === 0) backup = await backUp(cell.auditDatabase);
    }
    expect(lost, 'entries that restores have taken away').toBeGreaterThan(50);
    await finish(cell, { archive, clock });
    await notes.collect(cell.superuserOfAudit);
    await expectSound(folder, notes);
    for (const [tenant, ids] of written) {
      const entries = archivedEntries(folder, tenant);
      const events = entries.filter(({ event }) => event.action !== 'log.epoch_opened').map(({ event }) => event.id);
      expect(events.toSorted()).toEqual(ids.toSorted());
      expect(await entriesInDatabase(cell.superuserOfAudit, tenant)).toEqual(entries);
    }
  },
);

async function entriesOf(audit: Parameters<typeof entriesInDatabase>[0]): Promise<number> {
  const { rows } = await audit.query<{ count: number }>('select count(*)::integer as count from app.log_entries');
  return rows[0]?.count ?? 0;
}

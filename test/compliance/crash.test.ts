import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Id } from '#schema/ids.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { runUntilCrash } from './crashing-worker.ts';
import { archivedEntries, epochsOf, expectSound, signedNotes } from './signed-notes.ts';
import { entriesInDatabase } from './stored-log.ts';

const CRASHES = 220;
const TENANTS = 3;
/** More than the operations of a turn of sequencing and of sealing together, so that the latter is reached as often. */
const MOST_OPERATIONS = 50;

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

interface Writing {
  readonly tenants: readonly Id<'tnt'>[];
  readonly written: ReadonlyMap<Id<'tnt'>, string[]>;
  readonly random: (below: number) => number;
}

async function writeSome(cell: TestCell, { tenants, written, random }: Writing): Promise<void> {
  for (const tenant of tenants) {
    const events = Array.from({ length: random(4) }, () => anEvent(tenant));
    if (events.length === 0) continue;
    await cell.write(tenant, events);
    written.get(tenant)?.push(...events.map(({ id }) => id));
  }
}

async function openStates(cell: TestCell): Promise<string[]> {
  const { rows } = await cell.superuserOfAudit.query<{ state: string }>(
    `select distinct state from app.segments where state <> 'sealed'`,
  );
  return rows.map(({ state }) => state);
}

async function finish(
  cell: TestCell,
  { archive, clock }: { archive: Awaited<ReturnType<typeof filesystemArchive>>; clock: () => Date },
): Promise<void> {
  const sequenceNext = createSequencer({ outbox: outboxOf(cell.tenants), audit: cell.audit, clock, batchSize: 1000 });
  const sealDue = createSealer({
    audit: cell.audit,
    archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 0,
    retentionMs: 90 * 86_400_000,
    log: () => undefined,
  });
  await expect
    .poll(async () => (await sequenceNext(), (await cell.tenants.query('select from outbox')).rowCount))
    .toBe(0);
  for (;;) {
    const { unsealed, failures } = await sealDue();
    expect(failures).toEqual([]);
    if (unsealed === 0) return;
  }
}

/** Mulberry32: the same numbers for the same seed, on every machine. */
function randomOf(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

import { expect } from 'vitest';
import type { Id } from '#schema/ids.ts';
import type { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { createRecoveryCheck } from '../../compliance/sealing/recovery-check.ts';
import { sequenceAgain } from '../../compliance/sequenced-events.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import type { TestCell } from './cell.ts';

/** What writes events and remembers which. */
export interface Writing {
  readonly tenants: readonly Id<'tnt'>[];
  readonly written: ReadonlyMap<Id<'tnt'>, string[]>;
  readonly random: (below: number) => number;
}

/** Writes up to three events for each tenant. */
export async function writeSome(cell: TestCell, { tenants, written, random }: Writing): Promise<void> {
  for (const tenant of tenants) {
    const events = Array.from({ length: random(4) }, () => anEvent(tenant));
    if (events.length === 0) continue;
    await cell.write(tenant, events);
    written.get(tenant)?.push(...events.map(({ id }) => id));
  }
}

/** Lets a worker that nothing happens to bring everything into the archive. */
export async function finish(
  cell: TestCell,
  { archive, clock }: { archive: Awaited<ReturnType<typeof filesystemArchive>>; clock: () => Date },
): Promise<void> {
  const check = createRecoveryCheck({
    audit: cell.audit,
    archive,
    region: 'eu',
    signer: TEST_SIGNING_KEY,
    clock,
    log: () => undefined,
    retentionMs: 90 * 86_400_000,
    sequenceAgain: () => sequenceAgain({ tenants: cell.tenants, audit: cell.audit, clock }),
  });
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
  await check();
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
export function randomOf(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

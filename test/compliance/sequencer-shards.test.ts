import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf, type Outbox, type OutboxRequest } from '../../compliance/outbox-reader.ts';
import { createSequencer } from '../../compliance/sequencer.ts';
import { startWorker } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInDatabase } from './stored-log.ts';

let cell: TestCell;

beforeAll(async () => {
  cell = await openTestCell();
});

beforeEach(async () => {
  await cell.superuserOfTenants.query('truncate app.outbox, app.sequenced_events');
});

const clock = () => new Date();
const ALL: OutboxRequest = { limit: 10_000, skipPositions: [], skipTenants: [] };

async function waiting(): Promise<number> {
  return (await cell.tenants.query('select from outbox')).rowCount ?? 0;
}

/** Takes until so many were there: other databases of the server have transactions of their own. */
async function takeAll(outbox: Outbox, count: number) {
  const taken = async () => (await outbox.take(ALL)).length;
  await expect.poll(taken, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  return outbox.take(ALL);
}

describe('shards', () => {
  test('part the tenants: every event is in one of them, and all of a tenant in the same', async () => {
    const tenants = await Promise.all(Array.from({ length: 24 }, () => cell.addTenant()));
    for (const tenant of tenants) await cell.write(tenant, [anEvent(tenant), anEvent(tenant)]);
    await takeAll(outboxOf(cell.tenants), 48);
    const shards = await Promise.all(
      Array.from({ length: 3 }, (_, index) => outboxOf(cell.tenants, { index, count: 3 }).take(ALL)),
    );
    const tenantsOf = shards.map((rows) => [...new Set(rows.map(({ tenantId }) => tenantId))]);
    expect(shards.flat()).toHaveLength(48);
    expect(tenantsOf.flat().toSorted()).toEqual(tenants.map((tenant) => uuidOf('tnt', tenant)).toSorted());
    expect(tenantsOf.filter((each) => each.length > 0).length).toBeGreaterThan(1);
  });

  test('look only for the oldest event of their own', async () => {
    const tenant = await cell.addTenant();
    await cell.write(tenant, [anEvent(tenant)]);
    const oldest = await Promise.all(
      Array.from({ length: 5 }, (_, index) => outboxOf(cell.tenants, { index, count: 5 }).oldest([])),
    );
    expect(oldest.filter((date) => date !== null)).toHaveLength(1);
  });
});

describe('a backlog', () => {
  test('is taken in batches that grow while they are full, and are as small as before after that', async () => {
    const tenant = await cell.addTenant();
    const events = Array.from({ length: 160 }, () => anEvent(tenant));
    await cell.write(tenant, events);
    const outbox = outboxOf(cell.tenants);
    await takeAll(outbox, 160);
    const limits: number[] = [];
    const watched: Outbox = { ...outbox, take: (request) => (limits.push(request.limit), outbox.take(request)) };
    const turn = createSequencer({ outbox: watched, audit: cell.audit, clock, batchSize: 10 });
    while ((await waiting()) > 0) await turn();
    const more = anEvent(tenant);
    await cell.write(tenant, [more]);
    while ((await waiting()) > 0) await turn();
    expect(limits.slice(0, 4)).toEqual([10, 20, 40, 80]);
    expect(Math.max(...limits)).toBeLessThanOrEqual(80);
    expect(limits.at(-1)).toBe(10);
    expect((await entriesInDatabase(cell.superuserOfAudit, tenant)).map(({ event }) => event.id)).toEqual(
      [...events, more].map(({ id }) => id),
    );
  });

  test('of large events is taken in pieces of at most 16 MiB', async () => {
    const tenant = await cell.addTenant();
    for (let part = 0; part < 10; part++) {
      await cell.write(
        tenant,
        Array.from({ length: 35 }, () => anEvent(tenant, { size: 28_000 })),
      );
    }
    const outbox = outboxOf(cell.tenants);
    const sizeOf = async () => (await outbox.take(ALL)).reduce((sum, { event }) => sum + Buffer.byteLength(event), 0);
    await expect.poll(sizeOf, { timeout: 60_000, interval: 1_000 }).toBeGreaterThan(15 * 2 ** 20);
    expect(await sizeOf()).toBeLessThanOrEqual(16 * 2 ** 20);
  }, 120_000);
});

const WRITERS = 6;
const TENANTS = 9;
const TRANSACTIONS = 15;

/** A transaction that was committed: what it wrote, and when it did what among all of them. */
interface Committed {
  readonly tenant: Id<'tnt'>;
  readonly ids: readonly string[];
  /** Of the first statement. */
  readonly firstIds: readonly string[];
  readonly began: number;
  readonly wroteFirst: number;
  readonly ended: number;
}

describe('many writers and several workers', () => {
  test('put every event into its log once, in an order that all transactions agree with', async () => {
    const tenants = await Promise.all(Array.from({ length: TENANTS }, () => cell.addTenant()));
    const workers = [1, 2, 3].map(() => startWorkerOf({ shards: 3, batchSize: 7 }));
    for (const worker of workers) onTestFinished(async () => (await worker).stop());
    const committed: Committed[] = [];
    let time = 0;
    const writer = async (number: number): Promise<void> => {
      for (let round = 0; round < TRANSACTIONS; round++) {
        // One transaction stays open while others begin and end: its positions are lower than theirs.
        const tenant = tenants[(number + round * 5) % TENANTS] ?? expect.fail('no tenant');
        const began = time++;
        const late = await cell.begin(tenant);
        const first = [anEvent(tenant), anEvent(tenant)];
        await late.write(...first);
        const wroteFirst = time++;
        const between = Array.from({ length: round % 3 }, () => anEvent(tenant));
        const beganBetween = time++;
        await cell.write(tenant, between);
        const ids = between.map(({ id }) => id);
        const endedBetween = time++;
        const own = { tenant, ids, firstIds: ids, began: beganBetween, wroteFirst: endedBetween, ended: endedBetween };
        committed.push(own);
        const last = anEvent(tenant);
        await late.write(last);
        if (round % 5 === 4) {
          await late.rollback();
          continue;
        }
        await late.commit();
        const firstIds = first.map(({ id }) => id);
        committed.push({ tenant, ids: [...firstIds, last.id], firstIds, began, wroteFirst, ended: time++ });
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
    await expect.poll(waiting, { timeout: 60_000 }).toBe(0);
    for (const tenant of tenants) {
      const entries = await entriesInDatabase(cell.superuserOfAudit, tenant);
      const ids = entries.map(({ event }) => event.id);
      const own = committed.filter((each) => each.tenant === tenant);
      expect(entries.map(({ seq }) => seq)).toEqual(ids.map((_, seq) => seq));
      expect(ids.toSorted()).toEqual(own.flatMap((each) => each.ids).toSorted());
      const places = new Map(ids.map((id, place) => [id, place]));
      const placesOf = (each: Committed) => each.ids.map((id) => places.get(id) ?? -1);
      for (const each of own) {
        expect(placesOf(each)).toEqual(placesOf(each).toSorted((a, b) => a - b));
        for (const later of own.filter(({ began }) => began > each.ended)) {
          expect(Math.max(...placesOf(each))).toBeLessThan(Math.min(...placesOf(later)));
        }
        // Also where it was committed after one that came later: that one has waited for it.
        for (const later of own.filter(({ began }) => began > each.wroteFirst)) {
          expect(Math.max(...placesOf({ ...each, ids: each.firstIds }))).toBeLessThan(Math.min(...placesOf(later)));
        }
      }
    }
  }, 120_000);

  test('share the shards: each worker sequences, and what one leaves the others finish', async () => {
    const tenants = await Promise.all(Array.from({ length: 12 }, () => cell.addTenant()));
    const workers = await Promise.all([1, 2].map(() => startWorkerOf({ shards: 4, batchSize: 2 })));
    onTestFinished(async () => void (await Promise.all(workers.map((worker) => worker.stop()))));
    let written = 0;
    const sequenced = () => workers.map((worker) => worker.counters['eu-1']?.eventsSequenced ?? 0);
    await expect
      .poll(
        async () => {
          for (const tenant of tenants) await cell.write(tenant, [anEvent(tenant), anEvent(tenant), anEvent(tenant)]);
          written += tenants.length * 3;
          return Math.min(...sequenced());
        },
        { timeout: 60_000 },
      )
      .toBeGreaterThan(0);
    await workers[0]?.stop();
    await expect.poll(waiting, { timeout: 60_000 }).toBe(0);
    // A worker counts what it did right after.
    await expect.poll(() => sequenced().reduce((sum, count) => sum + count, 0)).toBe(written);
  }, 120_000);
});

async function startWorkerOf(options: { shards: number; batchSize: number }) {
  const { name, region, database, auditDatabase } = cell;
  const archive = await filesystemArchive({ folder: `${cell.archiveFolder}/${mintId('seg')}`, clock });
  return startWorker({
    cells: [{ name, region, database, auditDatabase, archive }],
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 3_600_000,
    log: () => undefined,
    ...options,
  });
}

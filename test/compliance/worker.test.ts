import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { startWorker, type Worker, type WorkerOptions } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInArchive, entriesInDatabase } from './stored-log.ts';

let cell: TestCell;
let tenant: Id<'tnt'>;
let folder: string;
let archive: Archive;
let lines: string[];

const clock = () => new Date();

beforeAll(async () => {
  cell = await openTestCell();
});

beforeEach(async () => {
  await cell.superuserOfTenants.query('truncate app.outbox, app.sequenced_events');
  await cell.superuserOfAudit.query(
    'truncate app.log_heads, app.log_entries, app.log_tiles, app.segments, app.log_refusals',
  );
  tenant = await cell.addTenant();
  folder = mkdtempSync(join(cell.archiveFolder, 'case-'));
  archive = await filesystemArchive({ folder, clock });
  lines = [];
});

function start(options: Partial<WorkerOptions> & { archive?: Archive } = {}): Worker {
  const { name, region, database, auditDatabase } = cell;
  const worker = startWorker({
    cells: [{ name, region, database, auditDatabase, archive: options.archive ?? archive }],
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 0,
    log: (level, message, fields) => void lines.push(JSON.stringify({ level, message, ...fields })),
    ...options,
  });
  onTestFinished(() => worker.stop());
  return worker;
}

const idsOf = (entries: readonly { event: { id: string } }[]): string[] => entries.map(({ event }) => event.id);
const counters = (worker: Worker) => worker.counters['eu-1'] ?? expect.fail('no counters');

async function write(count: number, of = tenant): Promise<string[]> {
  const events = Array.from({ length: count }, () => anEvent(of));
  await cell.write(of, events);
  return events.map(({ id }) => id);
}

describe('a worker', () => {
  test('takes events from the outbox to the archive, counts them, and says nothing while all is well', async () => {
    const worker = start();
    const other = await cell.addTenant();
    const ids = [...(await write(30)), ...(await write(20))];
    const foreign = await write(5, other);
    await worker.idle();
    await untilSequenced(55);
    await worker.idle();
    expect(idsOf(await entriesInDatabase(cell.superuserOfAudit, tenant))).toEqual(ids);
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
    expect(idsOf(entriesInArchive(folder, other))).toEqual(foreign);
    expect(counters(worker)).toMatchObject({
      eventsSequenced: 55,
      eventsRefused: 0,
      lagMs: 0,
      unsealedLogs: 0,
      alarms: 0,
      failedTurns: 0,
    });
    expect(counters(worker).segmentsSealed).toBeGreaterThanOrEqual(2);
    expect(lines).toEqual([]);
  });

  test('does not wait for a transaction that stays open, and tells how far behind it is', async () => {
    const worker = start();
    const late = await cell.begin(tenant);
    await late.write(anEvent(tenant));
    const [behind] = await write(1);
    await expect.poll(() => counters(worker).lagMs).toBeGreaterThan(200);
    await worker.idle();
    expect((await cell.audit.query('select from log_entries')).rowCount).toBe(0);
    await late.commit();
    await untilSequenced(2);
    await worker.idle();
    expect(idsOf(entriesInArchive(folder, tenant))[1]).toBe(behind);
  });

  test('goes on sequencing while the archive is full, shows an alarm, and seals all of it once there is room', async () => {
    let full = true;
    const filling: Archive = {
      ...archive,
      put: (...args) => (full ? fail('SERVICE_UNAVAILABLE', 'ENOSPC') : archive.put(...args)),
    };
    const worker = start({ archive: filling });
    const ids = await write(3);
    await expect.poll(() => counters(worker).alarms).toBe(1);
    ids.push(...(await write(4)));
    await untilSequenced(7);
    const head = await cell.audit.query('select alarm, alarm_since from log_heads where tenant_id = $1', [
      uuidOf('tnt', tenant),
    ]);
    expect(head.rows).toEqual([
      {
        alarm: 'The archive does not take the segment; it is tried again until it does.',
        alarm_since: expect.any(Date),
      },
    ]);
    full = false;
    await worker.idle();
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
    await expect.poll(() => counters(worker).alarms).toBe(0);
    expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual({
      level: 'error',
      message: 'log not sealed: ENOSPC',
      cell: 'eu-1',
      tenant,
      code: 'SERVICE_UNAVAILABLE',
    });
  });

  test('names a refused event in its log by id alone', async () => {
    const worker = start();
    const event = anEvent(tenant, { name: 'Secret plan of Zoë' });
    await cell.writeRaw(tenant, { id: uuidOf('aud', event.id), event: JSON.stringify(event, null, 1) });
    await expect.poll(() => counters(worker).eventsRefused).toBe(1);
    await worker.idle();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(event.id);
    expect(lines[0]).not.toContain('Zoë');
    expect(lines[0]).not.toContain('203.0.113.7');
    expect(counters(worker)).toMatchObject({ alarms: 1, lagMs: 0 });
  });

  test('survives a database that ends its connections', async () => {
    const worker = start();
    const ids = await write(2);
    await worker.idle();
    for (const database of [cell.superuserOfTenants, cell.superuserOfAudit]) {
      await database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tenon-worker' and datname = current_database()`,
      );
    }
    ids.push(...(await write(2)));
    await untilSequenced(4);
    await worker.idle();
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
  });

  test('runs other periodic work, and outlives its failures', async () => {
    const turns: string[] = [];
    const worker = start({
      extraTurns: [
        () => Promise.resolve(turns.push('worked') <= 3),
        () => (turns.push('failed') === 1 ? Promise.resolve(true) : Promise.reject(new Error('broken'))),
      ],
    });
    await expect.poll(() => turns.filter((turn) => turn === 'failed').length).toBeGreaterThan(2);
    expect(turns.filter((turn) => turn === 'worked').length).toBeGreaterThan(2);
    const ids = await write(1);
    await untilSequenced(1);
    await expect.poll(() => lines.some((line) => line.includes('periodic work failed: broken'))).toBe(true);
    await expect.poll(() => counters(worker).segmentsSealed).toBe(1);
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
  });

  test('stops when its signal says so, once, and is idle no more', async () => {
    const ended = new AbortController();
    const worker = start({ signal: ended.signal });
    await worker.idle();
    ended.abort();
    await worker.stop();
    await expect(worker.idle()).rejects.toThrow('stopped');
    const open = `select count(*)::int as count from pg_stat_activity where application_name = 'tenon-worker' and datname = current_database()`;
    for (const database of [cell.superuserOfTenants, cell.superuserOfAudit]) {
      await expect.poll(async () => (await database.query<{ count: number }>(open)).rows[0]?.count).toBe(0);
    }
  });
});

describe('two workers at once', () => {
  test('take turns, and what one leaves the other finishes', async () => {
    const first = start();
    const second = start();
    const ids: string[] = [];
    for (let round = 0; round < 20; round++) ids.push(...(await write(10)));
    await untilSequenced(200);
    await first.stop();
    ids.push(...(await write(10)));
    await untilSequenced(210);
    await second.idle();
    expect(idsOf(await entriesInDatabase(cell.superuserOfAudit, tenant))).toEqual(ids);
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
    expect(counters(first).eventsSequenced + counters(second).eventsSequenced).toBe(210);
  });

  test('can part the work: one moves events into their logs and seals none, the other seals them and moves none', async () => {
    const sequencing = start({ part: 'sequencing' });
    const rest = start({ part: 'rest' });
    const ids: string[] = [];
    for (let round = 0; round < 20; round++) ids.push(...(await write(10)));
    await untilSequenced(200);
    await rest.idle();
    expect(idsOf(entriesInArchive(folder, tenant))).toEqual(ids);
    expect(counters(sequencing)).toMatchObject({ eventsSequenced: 200, segmentsSealed: 0 });
    expect(counters(rest)).toMatchObject({ eventsSequenced: 0, unsealedLogs: 0 });
    expect(counters(rest).segmentsSealed).toBeGreaterThan(0);
  });
});

/** Other databases of the server have transactions of their own, which an event may have to wait for. */
async function untilSequenced(count: number): Promise<void> {
  const size = async () =>
    Number(
      (await cell.audit.query<{ size: string }>('select coalesce(sum(size), 0) as size from log_heads')).rows[0]?.size,
    );
  await expect.poll(size, { timeout: 20_000 }).toBe(count);
}

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import type { Id } from '#schema/ids.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { startWorker } from '../../compliance/worker.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInArchive, entriesInDatabase } from './stored-log.ts';

const KILLS = 25;
const TENANTS = 3;

test(
  `a worker killed ${KILLS} times while events come in loses, doubles and renumbers none`,
  { timeout: 240_000 },
  async () => {
    const cell = await openTestCell();
    const tenants = await Promise.all(Array.from({ length: TENANTS }, () => cell.addTenant()));
    const writer = writeOnAndOn(cell, tenants);
    const states = new Set<string>();
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, puts } = await startChild(cell);
      // Any moment will do, and every run has others: half of them any time, half right behind an object's put.
      await (kill % 2 === 0 ? pause(Math.random() * 300) : puts(1 + Math.floor(Math.random() * 4)));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const { rows } = await cell.audit.query<{ state: string }>(`select state from segments where state <> 'sealed'`);
      for (const { state } of rows) states.add(state);
    }
    const written = await writer.stop();
    await finish(cell);
    let total = 0;
    for (const tenant of tenants) {
      const ids = written.get(tenant) ?? [];
      total += ids.length;
      const stored = await entriesInDatabase(cell.superuserOfAudit, tenant);
      expect(stored.map(({ event }) => event.id)).toEqual(ids);
      expect(entriesInArchive(cell.archiveFolder, tenant)).toEqual(stored);
    }
    expect((await cell.tenants.query('select from outbox')).rowCount).toBe(0);
    expect(total).toBeGreaterThan(KILLS * TENANTS);
    expect([...states], 'kills fell into the middle of segments').toContain('planned');
  },
);

/** One transaction after the other, of a tenant at a time; what was committed is what must arrive. */
function writeOnAndOn(cell: TestCell, tenants: readonly Id<'tnt'>[]): { stop(): Promise<Map<Id<'tnt'>, string[]>> } {
  const written = new Map(tenants.map((tenant) => [tenant, [] as string[]]));
  const writing = { stopping: false };
  const write = async (tenant: Id<'tnt'>): Promise<void> => {
    while (!writing.stopping) {
      const events = Array.from({ length: 1 + Math.floor(Math.random() * 8) }, () => anEvent(tenant));
      await cell.write(tenant, events);
      written.get(tenant)?.push(...events.map(({ id }) => id));
      await pause(10);
    }
  };
  const ended = Promise.all(tenants.map(write));
  return {
    stop: async () => {
      writing.stopping = true;
      await ended;
      return written;
    },
  };
}

interface Child {
  readonly child: ChildProcess;
  /** Resolves as soon as the worker has put so many objects. */
  readonly puts: (count: number) => Promise<void>;
}

async function startChild({ name, region, database, auditDatabase, archiveFolder }: TestCell): Promise<Child> {
  const file = fileURLToPath(new URL('./worker-process.ts', import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', file, JSON.stringify({ name, region, database, auditDatabase, archiveFolder })],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe('started');
  const puts = async (count: number): Promise<void> => {
    for (let seen = 0; seen < count; seen++) expect((await lines.next()).value).toBe('put');
  };
  return { child, puts };
}

async function finish({ name, region, database, auditDatabase, archiveFolder, tenants }: TestCell): Promise<void> {
  const clock = () => new Date();
  const archive = await filesystemArchive({ folder: archiveFolder, clock });
  const worker = startWorker({
    cells: [{ name, region, database, auditDatabase, archive }],
    signer: TEST_SIGNING_KEY,
    clock,
    sealIntervalMs: 0,
  });
  await expect.poll(async () => (await tenants.query('select from outbox')).rowCount, { timeout: 60_000 }).toBe(0);
  await worker.idle();
  await worker.stop();
}

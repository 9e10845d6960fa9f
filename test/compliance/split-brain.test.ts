import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { s3Archive, type S3ArchiveOptions } from '../../compliance/archive/s3.ts';
import { s3Client } from '../../compliance/archive/s3-client.ts';
import { createRecoveryCheck } from '../../compliance/sealing/recovery-check.ts';
import { isInstalled } from '../support/programs.ts';
import { RADOSGW_PROGRAMS, startRadosgw, type Radosgw } from '../support/radosgw.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { backUp } from './backups.ts';
import { openTestCell } from './cell.ts';
import { DAY_MS, log, sealer, sealing } from './sealing.ts';
import { expectSound, signedNotes, type SignedNotes } from './signed-notes.ts';
import { archivedIds, logApart, sealApart, type Tails, type Worker } from './split-brain.ts';
import { entriesInDatabase } from './stored-log.ts';

const TAILS: readonly (readonly [string, Tails])[] = [
  ['the same events', { common: 3, own: [0, 0] }],
  ['other events', { common: 0, own: [2, 3] }],
  ['the same events, and one of them more', { common: 2, own: [0, 2] }],
  ['the same events, and each others behind them', { common: 1, own: [2, 1] }],
];
/** Beyond what a turn asks of the archive. */
const CALLS = 9;

/** Tenants with a log of two sealed entries in a database and its copy, each for one case. */
interface World {
  readonly tenants: Id<'tnt'>[];
  readonly used: Map<Id<'tnt'>, string[]>;
  readonly notes: SignedNotes;
  readonly workers: readonly [Worker, Worker];
  readonly superusers: readonly [pg.Pool, pg.Pool];
  end(): Promise<void>;
}

async function openWorld(cases: number, open: () => Promise<Archive>): Promise<World> {
  sealing.cell = await openTestCell();
  sealing.now = new Date();
  const notes = signedNotes();
  const archives = [notes.watch(await open()), notes.watch(await open())] as const;
  sealing.archive = archives[0];
  const tenants: Id<'tnt'>[] = [];
  const { cell } = sealing;
  for (let made = 0; made < cases; made++) {
    sealing.tenant = await cell.addTenant();
    tenants.push(sealing.tenant);
    await log(2);
  }
  await sealer()();
  const drops: (() => Promise<void>)[] = [];
  const backup = await backUp(cell.auditDatabase, (drop) => void drops.push(drop));
  const url = await backup.open();
  const twin = new pg.Pool({ connectionString: url, max: 8 });
  const { username, password } = new URL(cell.superuserOfAudit.options.connectionString ?? '');
  const superuser = new pg.Pool({ connectionString: Object.assign(new URL(url), { username, password }).href, max: 2 });
  for (const pool of [twin, superuser]) pool.on('error', () => undefined);
  return {
    tenants,
    used: new Map(),
    notes,
    workers: [
      { audit: cell.audit, archive: archives[0], lateMs: 0 },
      { audit: twin, archive: archives[1], lateMs: 1500 },
    ],
    superusers: [cell.superuserOfAudit, superuser],
    end: async () => {
      await Promise.all([twin.end(), superuser.end()]);
      for (const drop of drops) await drop();
    },
  };
}

/** One case: a tenant of its own, whose every event has to stand in the archive once. */
async function sealOne({ tenants, used, workers }: World, tails: Tails, schedule: readonly (0 | 1)[]): Promise<void> {
  const tenant = tenants.pop() ?? expect.fail('a case too many');
  const before = await archivedIds(workers[0].archive, tenant);
  const ids = await logApart(
    workers.map(({ audit }) => audit),
    tenant,
    tails,
  );
  used.set(tenant, [...before, ...ids]);
  await sealApart(workers, schedule);
  expect((await archivedIds(workers[0].archive, tenant)).toSorted()).toEqual([...before, ...ids].toSorted());
}

/** Nothing was signed twice for different content, an auditor finds all in order, and both databases hold it. */
async function expectOneHistory({ used, notes, workers, superusers }: World, folder: string): Promise<void> {
  for (const superuser of superusers) await notes.collect(superuser);
  await expectSound(folder, notes);
  for (const { audit, archive } of workers) {
    const clock = () => sealing.now;
    const check = { audit, archive, region: 'eu', signer: TEST_SIGNING_KEY, clock, retentionMs: 90 * DAY_MS };
    await createRecoveryCheck({ ...check, log: () => undefined })();
  }
  for (const tenant of used.keys()) {
    const [first, second] = await Promise.all(superusers.map((pool) => entriesInDatabase(pool, tenant)));
    expect(second).toEqual(first);
  }
}

/** Lets the first come so far, then the second, then the first to its end, then the second. */
const oneSwitch = (first: number, second: number): (0 | 1)[] => [
  ...Array.from({ length: first }, () => 0 as const),
  ...Array.from({ length: second }, () => 1 as const),
];

const LONG = { timeout: 240_000 };
const anySchedule = fc.array(fc.constantFrom(0 as const, 1 as const), { minLength: 4, maxLength: 40 });
const anyTails = fc.constantFrom(...TAILS.map(([, tails]) => tails));

describe('two databases with one past that seal at once into a folder', () => {
  let world: World;
  beforeAll(async () => {
    const open = () => filesystemArchive({ folder: sealing.folder, clock: () => sealing.now });
    const cell = await openTestCell();
    sealing.folder = mkdtempSync(join(cell.archiveFolder, 'split-'));
    world = await openWorld(TAILS.length * CALLS * CALLS + 200, open);
  }, 120_000);
  afterAll(() => world?.end());

  test.each(TAILS)('behind it %s: wherever one stops for the other, they sign one history', LONG, async (_, tails) => {
    for (let first = 0; first < CALLS; first++) {
      for (let second = 0; second < CALLS; second++) await sealOne(world, tails, oneSwitch(first, second));
    }
  });

  test('sign one history in whatever order their calls reach the archive', LONG, async () => {
    await fc.assert(
      fc.asyncProperty(anyTails, anySchedule, (tails, schedule) => sealOne(world, tails, schedule)),
      { numRuns: 150, endOnFailure: true },
    );
  });

  test('leave an archive that an auditor finds in order, and know all of it', LONG, async () => {
    await expectOneHistory(world, sealing.folder);
  });
});

/** A way to the server that lets the beginning of an object through and holds the rest back. */
async function slowDoor(target: string) {
  let [hold, release] = [(): void => undefined, (): void => undefined];
  const held = new Promise<void>((resolve) => (hold = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  const server = createServer(async (req, res) => {
    const { method, url, headers } = req;
    const forwarded = request(new URL(url ?? '', target), { method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(res);
    });
    const body = await buffer(req);
    if (method === 'PUT') {
      forwarded.write(body.subarray(0, 1), hold);
      await released;
    }
    forwarded.end(body.subarray(method === 'PUT' ? 1 : 0));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const close = () => server.close() && server.closeAllConnections();
  return { endpoint: `http://127.0.0.1:${port}`, held, release, close };
}

describe.skipIf(!isInstalled(RADOSGW_PROGRAMS, 'two databases over one bucket of a real server'))(
  'two databases with one past that seal at once into a bucket',
  () => {
    let world: World;
    let gateway: Radosgw;
    let options: S3ArchiveOptions;
    beforeAll(async () => {
      gateway = await startRadosgw();
      const address = { endpoint: new URL(gateway.endpoint), region: 'eu-central-1', bucket: 'split', prefix: '' };
      options = { address, credentials: gateway.credentials, clock: () => new Date() };
      await s3Client(options)({ method: 'PUT', headers: { 'x-amz-bucket-object-lock-enabled': 'true' } });
      world = await openWorld(60, async () => s3Archive(options));
    }, 120_000);
    afterAll(async () => {
      await world?.end();
      await gateway?.stop();
    });

    test('find under a name what was there first, even if its writer began later', async () => {
      const door = await slowDoor(gateway.endpoint);
      onTestFinished(() => door.close());
      const address = { ...options.address, endpoint: new URL(door.endpoint) };
      const retainUntil = new Date(Date.now() + 60_000);
      const late = s3Archive({ ...options, address }).put('a/key', Buffer.from('began first'), { retainUntil });
      await door.held;
      const archive = s3Archive(options);
      await archive.put('a/key', Buffer.from('ended first'), { retainUntil });
      door.release();
      await expect(late).rejects.toMatchObject({ code: 'RETENTION_LOCKED' });
      expect((await archive.get('a/key')).toString()).toBe('ended first');
    });

    test('sign one history in whatever order their calls reach the archive', LONG, async () => {
      await fc.assert(
        fc.asyncProperty(anyTails, anySchedule, (tails, schedule) => sealOne(world, tails, schedule)),
        { numRuns: 40, endOnFailure: true },
      );
    });

    test('leave an archive that an auditor finds in order, and know all of it', LONG, async () => {
      const folder = mkdtempSync(join(sealing.cell.archiveFolder, 'bucket-'));
      for await (const key of world.workers[0].archive.list('')) {
        mkdirSync(dirname(join(folder, key)), { recursive: true });
        writeFileSync(join(folder, key), await world.workers[0].archive.get(key));
      }
      await expectOneHistory(world, folder);
    });
  },
);

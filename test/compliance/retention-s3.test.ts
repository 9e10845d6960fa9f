import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { uuidOf, uuidv7, type Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { s3Archive, type S3ArchiveOptions } from '../../compliance/archive/s3.ts';
import { s3Client, type S3Client } from '../../compliance/archive/s3-client.ts';
import { selfTestNote, testArchive } from '../../compliance/archive-self-test.ts';
import { createRetentionTurn, newRetentionCounters } from '../../compliance/retention/turn.ts';
import { createSealer } from '../../compliance/sealer.ts';
import { isInstalled } from '../support/programs.ts';
import { RADOSGW_PROGRAMS, startRadosgw, type Radosgw } from '../support/radosgw.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { log, prepareSealing, sealing } from './sealing.ts';

const BUCKET = 'retention';
const SHORT_MS = 3_000;
const clock = () => new Date();

describe.skipIf(!isInstalled(RADOSGW_PROGRAMS, 'retention in S3 against a real server'))('retention in S3', () => {
  prepareSealing();
  let gateway: Radosgw;
  let options: S3ArchiveOptions;
  let raw: S3Client;
  let archive: Archive;
  let cases = 0;
  /** The worker's clock runs ahead, so that a comparison is due. */
  let aheadMs = 0;
  const ended = new Set<string>();
  const directory = { query: async () => ({ rows: [...ended].map((id) => ({ id })) }) } as unknown as pg.Pool;

  beforeAll(async () => {
    gateway = await startRadosgw();
    await s3Client(optionsFor(''))({ method: 'PUT', headers: { 'x-amz-bucket-object-lock-enabled': 'true' } });
  });
  afterAll(() => gateway?.stop());
  beforeEach(async () => {
    ended.clear();
    aheadMs = 0;
    options = optionsFor(`case-${++cases}/`);
    raw = s3Client(options);
    archive = s3Archive(options);
    await sealing.cell.superuserOfAudit.query('truncate app.archive_objects, app.archive_retention, app.archive_scans');
    await sealing.cell.superuserOfTenants.query('truncate app.legal_holds');
  });

  function optionsFor(prefix: string): S3ArchiveOptions {
    const address = { endpoint: new URL(gateway.endpoint), region: 'eu-central-1', bucket: BUCKET, prefix };
    return { address, credentials: gateway.credentials, clock };
  }

  async function seal(of: Id<'tnt'>, retentionMs: number): Promise<string[]> {
    await log(2, { of });
    const { audit } = sealing.cell;
    const sealed = await createSealer({
      audit,
      archive,
      region: 'eu',
      signer: TEST_SIGNING_KEY,
      clock,
      sealIntervalMs: 0,
      retentionMs,
    })();
    expect(sealed.failures).toEqual([]);
    return keysOf(of);
  }

  async function keysOf(of: Id<'tnt'>): Promise<string[]> {
    const keys: string[] = [];
    for await (const key of archive.list(`v1/eu/${of}/`)) keys.push(key);
    return keys;
  }

  async function settle(scanIntervalMs: number) {
    const counters = newRetentionCounters();
    const { tenants, audit } = sealing.cell;
    const turn = createRetentionTurn({
      cell: 'eu-1',
      region: 'eu',
      tenants,
      audit,
      directory,
      archive,
      clock: () => new Date(Date.now() + aheadMs),
      defaultDays: 90,
      wishIntervalMs: 0,
      objectsPerSecond: 1000,
      scanIntervalMs,
      counters,
      log: () => undefined,
    });
    let turns = 0;
    while ((await turn()) !== 'idle') if (++turns > 1000) throw new Error('the turns do not end');
    return counters;
  }
  const compare = async () => {
    aheadMs += 60_000;
    return settle(30_000);
  };
  const faults = async () => {
    const { rows } = await sealing.cell.audit.query<{ key: string; fault: string }>(
      'select key, fault from archive_objects where fault is not null',
    );
    return rows;
  };

  test('ends for an ended tenant, not under a legal hold, and never for others', async () => {
    const [over, held, alive] = [sealing.tenant, await sealing.cell.addTenant(), await sealing.cell.addTenant()];
    const hold = uuidv7();
    await sealing.cell.superuserOfTenants.query(
      `insert into app.legal_holds (tenant_id, id, reason, placed_by, placed_at) values ($1, $2, 'a case', 'usr_1', now())`,
      [uuidOf('tnt', held), hold],
    );
    for (const tenant of [over, held, alive]) expect(await seal(tenant, SHORT_MS)).toHaveLength(2);
    const until = Date.now() + SHORT_MS + 1_000;
    for (const tenant of [over, held]) ended.add(uuidOf('tnt', tenant));
    const before = await settle(1e9);
    expect(before.held).toBe(2);
    await pause(until - Date.now());
    const after = await settle(1e9);
    expect([before.removed + after.removed, before.extended + after.extended, after.faults]).toEqual([2, 2, 0]);
    expect(await keysOf(over)).toEqual([]);
    for (const key of await keysOf(held))
      await expect(archive.remove(key)).rejects.toMatchObject({ code: 'RETENTION_LOCKED' });
    for (const key of await keysOf(alive))
      expect((await archive.retention(key)).getTime()).toBeGreaterThan(Date.now() + 89 * 86_400_000);
    await sealing.cell.superuserOfTenants.query(
      `update app.legal_holds set released_by = 'usr_2', released_at = now() where id = $1`,
      [hold],
    );
    expect(await settle(1e9)).toMatchObject({ released: 2, removed: 2 });
    expect(await keysOf(held)).toEqual([]);
    expect(await keysOf(alive)).toHaveLength(2);
  });

  test('is not above the operator of the storage, whose removal the comparison shows', async () => {
    const keys = await seal(sealing.tenant, 3_600_000);
    const key = keys.find((each) => each.includes('/seg/')) ?? '';
    const name = options.address.prefix + key;
    const bytes = await archive.get(key);
    expect(await compare()).toMatchObject({ checked: 2, faults: 0 });

    // A later version under the key neither weakens the first one nor hides it.
    expect((await raw({ method: 'PUT', key: name, body: Buffer.alloc(bytes.length, 'x') })).status).toBe(200);
    expect(await compare()).toMatchObject({ checked: 2, repaired: 0, faults: 0 });

    const versions = await raw({ method: 'HEAD', key: name });
    await raw({ method: 'DELETE', key: name, query: { versionId: versions.header('x-amz-version-id') ?? '' } });
    await gateway.admin(
      'object',
      'rm',
      `--bucket=${BUCKET}`,
      `--object=${name}`,
      `--object-version=${await versionOf(name)}`,
    );
    expect(await archive.head(key)).toBeNull();
    expect(await compare()).toMatchObject({ faults: 1 });
    expect(await faults()).toEqual([{ key, fault: 'missing' }]);

    // Something else of the same size in its place gets no lock.
    const forged = await raw({ method: 'PUT', key: name, body: Buffer.alloc(bytes.length, 'x') });
    expect(await compare()).toMatchObject({ faults: 1, repaired: 0 });
    expect(await faults()).toEqual([{ key, fault: 'content' }]);
    await raw({ method: 'DELETE', key: name, query: { versionId: forged.header('x-amz-version-id') ?? '' } });

    // The same bytes without a lock do.
    await raw({ method: 'PUT', key: name, body: bytes });
    expect(await archive.retention(key)).toEqual(new Date(0));
    expect(await compare()).toMatchObject({ faults: 0, repaired: 1 });
    expect((await archive.retention(key)).getTime()).toBeGreaterThan(Date.now() + 3_500_000);
  });

  test('is tested on the server itself, in a note that the platform log has room for', async () => {
    const found = await testArchive(archive, clock);
    expect(found).toMatchObject({ lockMode: 'COMPLIANCE', isSound: true });
    expect(found.attacks).toHaveLength(13);
    const note = selfTestNote(found, { cell: 'eu-1', signer: TEST_SIGNING_KEY });
    expect(note).toContain('\ndelete_version kept 403 AccessDenied\n');
    expect(note).toContain('\nmultipart differs 200 no lock\n');
    expect(note.length).toBeLessThan(8_000);
  });

  async function versionOf(key: string): Promise<string> {
    return (await raw({ method: 'HEAD', key })).header('x-amz-version-id') ?? '';
  }
});

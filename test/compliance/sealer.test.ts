import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { outboxOf } from '../../compliance/outbox-reader.ts';
import { createSealer, type SealingTurn } from '../../compliance/sealer.ts';
import { sequence } from '../../compliance/sequencer.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { anEvent } from './an-event.ts';
import { openTestCell, type TestCell } from './cell.ts';
import { entriesInArchive, objectsIn } from './stored-log.ts';
import { TINY_DISK, withTinyDisk } from './tiny-disk.ts';

const DAY_MS = 86_400_000;

let cell: TestCell;
let tenant: Id<'tnt'>;
let folder: string;
let archive: Archive;
let now: Date;

beforeAll(async () => {
  cell = await openTestCell();
});

beforeEach(async () => {
  // One log at a time, so that a sealer's turn is about the tenant of the test.
  await cell.superuserOfAudit.query('truncate app.log_heads, app.log_entries, app.log_tiles, app.segments, app.log_refusals');
  tenant = await cell.addTenant();
  folder = mkdtempSync(join(cell.archiveFolder, 'case-'));
  now = new Date('2026-05-01T10:00:00Z');
  archive = await filesystemArchive({ folder, clock: () => now });
});

interface SealerCase {
  readonly archive?: Archive;
  readonly sealIntervalMs?: number;
}

function sealer({ archive: into = archive, sealIntervalMs = 0 }: SealerCase = {}): () => Promise<SealingTurn> {
  return createSealer({
    audit: cell.audit, archive: into, region: 'eu', signer: TEST_SIGNING_KEY, clock: () => now, sealIntervalMs, retentionMs: 90 * DAY_MS,
  });
}

async function log(count: number, options: { size?: number; of?: Id<'tnt'> } = {}): Promise<string[]> {
  return logEvents(Array.from({ length: count }, () => anEvent(options.of ?? tenant, options)), options.of);
}

/** Writes the events and sequences them; other databases of the server have transactions of their own to wait for. */
async function logEvents(events: readonly AuditEvent[], of = tenant): Promise<string[]> {
  await cell.write(of, events);
  const outbox = outboxOf(cell.tenants);
  for (let left = events.length; left > 0;) {
    const rows = await outbox.take({ limit: 5000, skipPositions: [], skipTenants: [] });
    await sequence(cell.audit, rows, now);
    await outbox.remove(rows);
    left -= rows.length;
  }
  return events.map(({ id }) => id);
}

async function bytesFrom(seq: number): Promise<number> {
  const { rows } = await cell.audit.query<{ bytes: string }>(
    'select sum(octet_length(entry) + 1) as bytes from log_entries where tenant_id = $1 and seq >= $2', [uuidOf('tnt', tenant), seq],
  );
  return Number(rows[0]?.bytes);
}

const archived = (of = tenant, from = folder): string[] => entriesInArchive(from, of).map(({ event }) => event.id);

interface HeadState {
  readonly size: string;
  readonly sealed_size: string;
  readonly next_segment: number;
  readonly unsealed_bytes: string;
  readonly alarm: string | null;
  readonly alarm_since: Date | null;
}

async function head(): Promise<HeadState> {
  const { rows } = await cell.audit.query<HeadState>(
    'select size, sealed_size, next_segment, unsealed_bytes, alarm, alarm_since from log_heads where tenant_id = $1', [uuidOf('tnt', tenant)],
  );
  return rows[0] ?? expect.fail('no head');
}

async function state(): Promise<string[]> {
  const { rows } = await cell.audit.query<{ state: string }>('select state from segments where tenant_id = $1 order by number', [uuidOf('tnt', tenant)]);
  return rows.map((row) => row.state);
}

/** An archive whose n-th call of a function fails, before or after it has done its work, as a full disk or a crash may. */
function failing(when: 'before' | 'after', call: number, name: 'put' | 'head' | 'list' | 'get'): Archive {
  let calls = 0;
  const stop = (at: string): void => {
    if (at === when && calls === call) fail('SERVICE_UNAVAILABLE', 'no space left');
  };
  const through = async <T>(of: string, work: () => Promise<T>): Promise<T> => {
    if (of === name) calls += 1;
    if (of === name) stop('before');
    const result = await work();
    if (of === name) stop('after');
    return result;
  };
  return {
    ...archive,
    put: (...args) => through('put', () => archive.put(...args)),
    head: (key) => through('head', () => archive.head(key)),
    get: (key) => through('get', () => archive.get(key)),
  };
}

describe('sealing', () => {
  test('puts entries into numbered segments whose manifests chain and whose checkpoints are signed', async () => {
    const turn = sealer();
    const ids: string[] = [];
    for (const count of [1, 2, 300, 5]) {
      ids.push(...(await log(count)));
      expect(await turn()).toEqual({ sealed: 1, unsealed: 1, failures: [] });
    }
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ size: '308', sealed_size: '308', next_segment: 4, unsealed_bytes: '0', alarm: null });
    expect(await state()).toEqual(['sealed', 'sealed', 'sealed', 'sealed']);
    expect(await turn()).toEqual({ sealed: 0, unsealed: 0, failures: [] });
  });

  test('keeps segment and manifest for the retention', async () => {
    await log(1);
    await sealer()();
    const until = new Date(now.getTime() + 90 * DAY_MS);
    for (const kind of ['seg', 'man']) {
      for (const name of objectsIn(join(folder, `v1/eu/${tenant}/1/${kind}`))) {
        const key = `v1/eu/${tenant}/1/${kind}/${name}`;
        expect(await archive.retention(key)).toEqual(until);
        await expect(archive.remove(key)).rejects.toMatchObject({ code: 'RETENTION_LOCKED' });
      }
    }
  });

  test('waits for the interval, except for what was there when the sealer started', async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await log(1);
    expect(await turn()).toMatchObject({ sealed: 1 });
    await log(1);
    expect(await turn()).toMatchObject({ sealed: 0, unsealed: 1 });
    expect(await sealer({ sealIntervalMs: 3_600_000 })()).toMatchObject({ sealed: 1 });
  });

  test('does not wait for the interval once a segment is full of bytes', { timeout: 60_000 }, async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await turn();
    const ids = await log(130, { size: 15_000 });
    expect(await turn()).toMatchObject({ sealed: 0 });
    ids.push(...(await log(30, { size: 15_000 })));
    expect(await turn()).toMatchObject({ sealed: 1 });
    const { unsealed_bytes: rest } = await head();
    expect(archived().length).toBeLessThan(160);
    expect(Number(rest)).toBe(await bytesFrom(archived().length));
    expect(await bytesFrom(0) - Number(rest)).toBeGreaterThan(4 * 1024 * 1024 - 65_536);
    await sealer()();
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ unsealed_bytes: '0' });
  });

  test('does not wait for the interval once a segment is full of entries', { timeout: 60_000 }, async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await turn();
    const small = (): AuditEvent => ({
      ...anEvent(tenant), actor: { type: 'anonymous', id: null, ip: null, ua: null }, action: 'a.b', resource: { type: 'd', id: 'd', name: null },
      context: {}, request_id: null,
    });
    await logEvents(Array.from({ length: 9_999 }, small));
    expect(await turn()).toMatchObject({ sealed: 0 });
    await logEvents([small(), small()]);
    expect(await turn()).toMatchObject({ sealed: 1 });
    expect(await head()).toMatchObject({ size: '10001', sealed_size: '10000' });
    expect(archived()).toHaveLength(10_000);
  });

  test('of several logs is not held up by one that fails', async () => {
    const others = [await cell.addTenant(), await cell.addTenant()];
    const ids = [await log(3, { of: others[0] ?? tenant }), await log(2, { of: others[1] ?? tenant })];
    await log(2);
    await cell.superuserOfAudit.query(`update app.log_entries set entry = replace(entry, 'viewer', 'editor') where tenant_id = $1`, [uuidOf('tnt', tenant)]);
    expect(await sealer()()).toMatchObject({ sealed: 2, unsealed: 3, failures: [{ tenantId: uuidOf('tnt', tenant) }] });
    for (const [index, other] of others.entries()) expect(archived(other)).toEqual(ids[index]);
  });
});

describe('two sealers at once', () => {
  test('seal every entry once', async () => {
    const ids: string[] = [];
    for (let round = 0; round < 6; round++) {
      ids.push(...(await log(20)));
      await Promise.all(Array.from({ length: 4 }, () => sealer()()));
    }
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ sealed_size: '120', next_segment: 6, unsealed_bytes: '0', alarm: null });
  });
});

describe('a sealer that is ended', () => {
  test.each([
    ['before the segment is put', 'before', 1, 'put', 'planned'],
    ['after the segment is put', 'after', 1, 'put', 'planned'],
    ['before the manifest is put', 'before', 2, 'put', 'segment_put'],
    ['after the manifest is put', 'after', 2, 'put', 'segment_put'],
    ['before the archive is looked at again', 'before', 1, 'head', 'manifest_put'],
    ['before the manifest is looked at again', 'before', 2, 'head', 'manifest_put'],
  ] as const)('%s leaves a segment that the next one finishes with the same bytes', async (_, when, call, name, expected) => {
    const ids = await log(3);
    await sealer()();
    ids.push(...(await log(4)));
    const broken = await sealer({ archive: failing(when, call, name) })();
    expect(broken.failures).toHaveLength(1);
    expect(await state()).toEqual(['sealed', expected]);
    expect(await head()).toMatchObject({ alarm: 'The archive does not take the segment; it is tried again until it does.', alarm_since: now });
    ids.push(...(await log(2)));
    now = new Date(now.getTime() + DAY_MS);
    const next = sealer();
    await next();
    expect(archived()).toEqual(ids.slice(0, 7));
    await next();
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ sealed_size: '9', next_segment: 3, unsealed_bytes: '0', alarm: null, alarm_since: null });
  });

  test('and followed by one with another zlib goes on with the segment that stands', async () => {
    const ids = await log(50);
    await sealer({ archive: failing('before', 1, 'put') })();
    const { rows } = await cell.audit.query<{ segment_key: string }>('select segment_key from segments where tenant_id = $1', [uuidOf('tnt', tenant)]);
    const key = rows[0]?.segment_key ?? '';
    const entries = await cell.audit.query<{ entry: string }>('select entry from log_entries where tenant_id = $1 order by seq', [uuidOf('tnt', tenant)]);
    const other = gzipSync(entries.rows.map(({ entry }) => `${entry}\n`).join(''), { level: 1 });
    await archive.put(key, other, { retainUntil: now });
    await sealer()();
    expect(archived()).toEqual(ids);
    expect(readFileSync(join(folder, key))).toEqual(other);
    expect(await archive.retention(key)).toEqual(new Date(now.getTime() + 90 * DAY_MS));
  });
});

describe('an archive that does not take the segment', () => {
  test('shows an alarm from its first failure on, keeps every event, and is asked less and less often', async () => {
    const ids = await log(2);
    let calls = 0;
    const full: Archive = {
      ...archive,
      put: () => {
        calls += 1;
        return fail('SERVICE_UNAVAILABLE', 'ENOSPC');
      },
    };
    const turn = sealer({ archive: full });
    const since = now;
    expect((await turn()).failures).toMatchObject([{ error: { code: 'SERVICE_UNAVAILABLE' } }]);
    now = new Date(now.getTime() + DAY_MS);
    ids.push(...(await log(1)));
    expect(await turn()).toEqual({ sealed: 0, unsealed: 1, failures: [] });
    expect(calls).toBe(1);
    expect(await head()).toMatchObject({ size: '3', sealed_size: '0', alarm_since: since });
    const recovered = sealer();
    await recovered();
    await recovered();
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ alarm: null, alarm_since: null });
  });

  test.skipIf(!TINY_DISK)('because its disk is full gets it once there is room', async () => {
    await withTinyDisk('512k', async (disk) => {
      const tiny = await filesystemArchive({ folder: disk, clock: () => now });
      const ids = await log(3);
      await sealer({ archive: tiny })();
      expect(() => writeFileSync(join(disk, '.ballast'), Buffer.alloc(600_000))).toThrow('ENOSPC');
      ids.push(...(await log(600)));
      expect((await sealer({ archive: tiny })()).failures).toMatchObject([{ error: { code: 'SERVICE_UNAVAILABLE' } }]);
      expect(await head()).toMatchObject({ sealed_size: '3', alarm: expect.stringContaining('does not take') });
      expect(archived(tenant, disk)).toEqual(ids.slice(0, 3));
      rmSync(join(disk, '.ballast'));
      await sealer({ archive: tiny })();
      expect(archived(tenant, disk)).toEqual(ids);
      expect(await head()).toMatchObject({ sealed_size: '603', alarm: null });
    });
  });

  test('but says it did is found out before the segment counts as sealed', async () => {
    await log(1);
    const forgetful: Archive = { ...archive, put: () => Promise.resolve() };
    expect((await sealer({ archive: forgetful })()).failures).toHaveLength(1);
    expect(await state()).toEqual(['manifest_put']);
    expect(await head()).toMatchObject({ sealed_size: '0', alarm: expect.stringContaining('does not take') });
  });

  test('with the retention asked for is told again, and believed only when it does', async () => {
    await log(1);
    const short: Archive = { ...archive, put: (key, bytes) => archive.put(key, bytes, { retainUntil: now }) };
    expect(await sealer({ archive: short })()).toMatchObject({ sealed: 1, failures: [] });
    const [name] = objectsIn(join(folder, `v1/eu/${tenant}/1/seg`));
    expect(await archive.retention(`v1/eu/${tenant}/1/seg/${name}`)).toEqual(new Date(now.getTime() + 90 * DAY_MS));
    await log(1);
    const stubborn: Archive = { ...short, extendRetention: () => Promise.resolve() };
    expect((await sealer({ archive: stubborn })()).failures).toHaveLength(1);
    expect(await state()).toEqual(['sealed', 'manifest_put']);
  });
});

describe('nothing is signed', () => {
  const contradiction = expect.stringContaining('does not continue what was signed before');

  async function expectRefusal(segments: number): Promise<void> {
    const { sealed, failures } = await sealer()();
    expect(sealed).toBe(0);
    expect(failures).toMatchObject([{ error: { code: 'CONFLICT' } }]);
    expect(await head()).toMatchObject({ alarm: contradiction });
    expect(objectsIn(join(folder, `v1/eu/${tenant}/1/man`))).toHaveLength(segments);
  }

  beforeEach(async () => {
    await log(4);
    await sealer()();
    await log(4);
  });

  const damage = (statement: string) => cell.superuserOfAudit.query(statement, [uuidOf('tnt', tenant)]);

  test('where an entry was changed', async () => {
    await damage(`update app.log_entries set entry = replace(entry, 'viewer', 'editor') where tenant_id = $1 and seq = 5`);
    await expectRefusal(1);
  });

  test('where an entry was deleted', async () => {
    await damage('delete from app.log_entries where tenant_id = $1 and seq = 5');
    await expectRefusal(1);
  });

  test('where a stored leaf was changed', async () => {
    await damage(`update app.log_entries set leaf = decode(repeat('00', 32), 'hex') where tenant_id = $1 and seq = 6`);
    await expectRefusal(1);
  });

  test('where the sealed size was set back', async () => {
    await damage('update app.log_heads set sealed_size = 3 where tenant_id = $1');
    await expectRefusal(1);
  });

  test('where the frontier of the last segment was changed', async () => {
    await damage(`update app.segments set frontier = jsonb_build_array(repeat('ab', 32)) where tenant_id = $1`);
    await expectRefusal(1);
  });

  test('where the manifest in the database is not the one in the archive', async () => {
    await damage(`update app.segments set manifest = replace(manifest, 'FILESYSTEM', 'COMPLIANCE') where tenant_id = $1`);
    await expectRefusal(1);
  });

  test('where an entry of a planned segment was changed, with every hash behind it', async () => {
    await sealer({ archive: failing('before', 1, 'put') })();
    await damage('delete from app.log_entries where tenant_id = $1 and seq = 7');
    await expectRefusal(1);
  });

  test('where the database was set back to before what the archive holds', async () => {
    await sealer()();
    expect(archived()).toHaveLength(8);
    await damage('delete from app.segments where tenant_id = $1 and number = 1');
    await damage('update app.log_heads set sealed_size = 4, next_segment = 1 where tenant_id = $1');
    await expectRefusal(2);
  });

  test('where the archive no longer holds the last manifest', async () => {
    rmSync(join(folder, `v1/eu/${tenant}/1/man`), { recursive: true });
    const { failures } = await sealer()();
    expect(failures).toMatchObject([{ error: { code: 'NOT_FOUND' } }]);
    expect(await head()).toMatchObject({ alarm: 'The archive no longer holds what was sealed before.' });
  });

  test('under the name of a segment that stands there with other content', async () => {
    await sealer({ archive: failing('before', 1, 'put') })();
    const { rows } = await cell.audit.query<{ segment_key: string }>(`select segment_key from segments where tenant_id = $1 and state = 'planned'`, [uuidOf('tnt', tenant)]);
    await archive.put(rows[0]?.segment_key ?? '', gzipSync('something else\n'), { retainUntil: now });
    const { failures } = await sealer()();
    expect(failures).toMatchObject([{ error: { code: 'RETENTION_LOCKED' } }]);
    expect(await head()).toMatchObject({ alarm: 'The archive holds something else under the name of the segment.' });
    expect(gunzipSync(readFileSync(join(folder, rows[0]?.segment_key ?? ''))).toString()).toBe('something else\n');
  });
});

describe('an alarm about a refused event', () => {
  test('outlasts the sealing of the others', async () => {
    await log(1);
    await cell.superuserOfAudit.query(
      `insert into app.log_refusals (tenant_id, event_id, reason, refused_at) values ($1, $1, 'event is refused', '2026-04-01')`, [uuidOf('tnt', tenant)],
    );
    await sealer({ archive: failing('before', 1, 'put') })();
    await sealer()();
    expect(await head()).toMatchObject({
      sealed_size: '1', alarm: 'An event cannot enter the log; it waits in the outbox of the cell.', alarm_since: new Date('2026-04-01T00:00:00Z'),
    });
  });
});

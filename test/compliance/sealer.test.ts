import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { filesystemArchive } from '../../compliance/archive/filesystem.ts';
import { anEvent } from './an-event.ts';
import {
  archived,
  bytesFrom,
  DAY_MS,
  failing,
  head,
  log,
  logEvents,
  prepareSealing,
  sealer,
  sealing,
  state,
} from './sealing.ts';
import { objectsIn } from './stored-log.ts';
import { TINY_DISK, withTinyDisk } from './tiny-disk.ts';

prepareSealing();

describe('sealing', () => {
  test('puts entries into numbered segments whose manifests chain and whose checkpoints are signed', async () => {
    const turn = sealer();
    const ids: string[] = [];
    for (const count of [1, 2, 300, 5]) {
      ids.push(...(await log(count)));
      expect(await turn()).toEqual({ sealed: 1, unsealed: 1, failures: [] });
    }
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({
      size: '308',
      sealed_size: '308',
      next_segment: 4,
      unsealed_bytes: '0',
      alarm: null,
    });
    expect(await state()).toEqual(['sealed', 'sealed', 'sealed', 'sealed']);
    expect(await turn()).toEqual({ sealed: 0, unsealed: 0, failures: [] });
  });

  test('keeps segment and manifest for the retention', async () => {
    await log(1);
    await sealer()();
    const until = new Date(sealing.now.getTime() + 90 * DAY_MS);
    for (const kind of ['seg', 'man']) {
      for (const name of objectsIn(join(sealing.folder, `v1/eu/${sealing.tenant}/1/${kind}`))) {
        const key = `v1/eu/${sealing.tenant}/1/${kind}/${name}`;
        expect(await sealing.archive.retention(key)).toEqual(until);
        await expect(sealing.archive.remove(key)).rejects.toMatchObject({ code: 'RETENTION_LOCKED' });
      }
    }
  });

  test('asks of the archive no more than to take two objects and to show them', async () => {
    const calls: string[] = [];
    const { archive } = sealing;
    const counted: Archive = {
      ...archive,
      put: (...args) => (calls.push('put'), archive.put(...args)),
      head: (key) => (calls.push('head'), archive.head(key)),
      get: (key) => (calls.push('get'), archive.get(key)),
      list: (prefix) => (calls.push('list'), archive.list(prefix)),
    };
    const turn = sealer({ archive: counted });
    await log(1);
    await turn();
    calls.length = 0;
    await log(1);
    expect(await turn()).toMatchObject({ sealed: 1 });
    expect(calls).toEqual(['put', 'put', 'head', 'head']);
  });

  test('waits for the interval, except for what was there when the sealer started', async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await log(1);
    expect(await turn()).toMatchObject({ sealed: 1 });
    await log(1);
    expect(await turn()).toMatchObject({ sealed: 0, unsealed: 1 });
    expect(await sealer({ sealIntervalMs: 3_600_000 })()).toMatchObject({ sealed: 1 });
  });

  test('does not wait for the interval once a segment is worth its objects', async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await turn();
    const ids = await log(2, { size: 15_000 });
    expect(await turn()).toMatchObject({ sealed: 0 });
    ids.push(...(await log(3, { size: 15_000 })));
    expect(await turn()).toMatchObject({ sealed: 1 });
    expect(archived()).toEqual(ids);
  });

  test('ends where a segment is full of bytes', { timeout: 60_000 }, async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await turn();
    const ids = await log(160, { size: 15_000 });
    expect(await turn()).toMatchObject({ sealed: 1 });
    const { unsealed_bytes: rest } = await head();
    expect(archived().length).toBeLessThan(160);
    expect(Number(rest)).toBe(await bytesFrom(archived().length));
    expect((await bytesFrom(0)) - Number(rest)).toBeGreaterThan(4 * 1024 * 1024 - 65_536);
    await sealer()();
    expect(archived()).toEqual(ids);
    expect(await head()).toMatchObject({ unsealed_bytes: '0' });
  });

  test('ends where a segment is full of entries', { timeout: 60_000 }, async () => {
    const turn = sealer({ sealIntervalMs: 3_600_000 });
    await turn();
    const small = (): AuditEvent => ({
      ...anEvent(sealing.tenant),
      actor: { type: 'anonymous', id: null, ip: null, ua: null },
      action: 'a.b',
      resource: { type: 'd', id: 'd', name: null },
      context: {},
      request_id: null,
    });
    await logEvents(Array.from({ length: 8_193 }, small));
    expect(await turn()).toMatchObject({ sealed: 1 });
    expect(await head()).toMatchObject({ size: '8193', sealed_size: '8192' });
    expect(archived()).toHaveLength(8_192);
  });

  test('of several logs is not held up by one that fails', async () => {
    const others = [await sealing.cell.addTenant(), await sealing.cell.addTenant()];
    const ids = [await log(3, { of: others[0] ?? sealing.tenant }), await log(2, { of: others[1] ?? sealing.tenant })];
    await log(2);
    await sealing.cell.superuserOfAudit.query(
      `update app.log_entries set entry = replace(entry, 'viewer', 'editor') where tenant_id = $1`,
      [uuidOf('tnt', sealing.tenant)],
    );
    expect(await sealer()()).toMatchObject({
      sealed: 2,
      unsealed: 3,
      failures: [{ tenantId: uuidOf('tnt', sealing.tenant) }],
    });
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
    ['before the archive is looked at again', 'before', 3, 'head', 'manifest_put'],
    ['before the manifest is looked at again', 'before', 4, 'head', 'manifest_put'],
  ] as const)(
    '%s leaves a segment that the next one finishes with the same bytes',
    async (_, when, call, name, expected) => {
      const ids = await log(3);
      await sealer()();
      ids.push(...(await log(4)));
      const broken = await sealer({ archive: failing(when, call, name) })();
      expect(broken.failures).toHaveLength(1);
      expect(await state()).toEqual(['sealed', expected]);
      expect(await head()).toMatchObject({
        alarm: 'The archive does not take the segment; it is tried again until it does.',
        alarm_since: sealing.now,
      });
      ids.push(...(await log(2)));
      sealing.now = new Date(sealing.now.getTime() + DAY_MS);
      const next = sealer();
      await next();
      expect(archived()).toEqual(ids.slice(0, 7));
      await next();
      expect(archived()).toEqual(ids);
      expect(await head()).toMatchObject({
        sealed_size: '9',
        next_segment: 3,
        unsealed_bytes: '0',
        alarm: null,
        alarm_since: null,
      });
    },
  );

  test('and followed by one with another zlib goes on with the segment that stands', async () => {
    const ids = await log(50);
    await sealer({ archive: failing('before', 1, 'put') })();
    const { rows } = await sealing.cell.audit.query<{ segment_key: string }>(
      'select segment_key from segments where tenant_id = $1',
      [uuidOf('tnt', sealing.tenant)],
    );
    const key = rows[0]?.segment_key ?? '';
    const entries = await sealing.cell.audit.query<{ entry: string }>(
      'select entry from log_entries where tenant_id = $1 order by seq',
      [uuidOf('tnt', sealing.tenant)],
    );
    const other = gzipSync(entries.rows.map(({ entry }) => `${entry}\n`).join(''), { level: 1 });
    await sealing.archive.put(key, other, { retainUntil: sealing.now });
    await sealer()();
    expect(archived()).toEqual(ids);
    expect(readFileSync(join(sealing.folder, key))).toEqual(other);
    expect(await sealing.archive.retention(key)).toEqual(new Date(sealing.now.getTime() + 90 * DAY_MS));
  });
});

describe('an archive that does not take the segment', () => {
  test('shows an alarm from its first failure on, keeps every event, and is asked less and less often', async () => {
    const ids = await log(2);
    let calls = 0;
    const full: Archive = {
      ...sealing.archive,
      put: () => {
        calls += 1;
        return fail('SERVICE_UNAVAILABLE', 'ENOSPC');
      },
    };
    const turn = sealer({ archive: full });
    const since = sealing.now;
    expect((await turn()).failures).toMatchObject([{ error: { code: 'SERVICE_UNAVAILABLE' } }]);
    sealing.now = new Date(sealing.now.getTime() + DAY_MS);
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
      const tiny = await filesystemArchive({ folder: disk, clock: () => sealing.now });
      const ids = await log(3);
      await sealer({ archive: tiny })();
      expect(() => writeFileSync(join(disk, '.ballast'), Buffer.alloc(600_000))).toThrow('ENOSPC');
      ids.push(...(await log(600)));
      expect((await sealer({ archive: tiny })()).failures).toMatchObject([{ error: { code: 'SERVICE_UNAVAILABLE' } }]);
      expect(await head()).toMatchObject({ sealed_size: '3', alarm: expect.stringContaining('does not take') });
      expect(archived(sealing.tenant, disk)).toEqual(ids.slice(0, 3));
      rmSync(join(disk, '.ballast'));
      await sealer({ archive: tiny })();
      expect(archived(sealing.tenant, disk)).toEqual(ids);
      expect(await head()).toMatchObject({ sealed_size: '603', alarm: null });
    });
  });

  test('but says it did is found out before the segment counts as sealed', async () => {
    await log(1);
    const forgetful: Archive = { ...sealing.archive, put: () => Promise.resolve() };
    expect((await sealer({ archive: forgetful })()).failures).toHaveLength(1);
    expect(await state()).toEqual(['manifest_put']);
    expect(await head()).toMatchObject({ sealed_size: '0', alarm: expect.stringContaining('does not take') });
  });

  test('with the retention asked for is told again, and believed only when it does', async () => {
    await log(1);
    const short: Archive = {
      ...sealing.archive,
      put: (key, bytes) => sealing.archive.put(key, bytes, { retainUntil: sealing.now }),
    };
    expect(await sealer({ archive: short })()).toMatchObject({ sealed: 1, failures: [] });
    const [name] = objectsIn(join(sealing.folder, `v1/eu/${sealing.tenant}/1/seg`));
    expect(await sealing.archive.retention(`v1/eu/${sealing.tenant}/1/seg/${name}`)).toEqual(
      new Date(sealing.now.getTime() + 90 * DAY_MS),
    );
    await log(1);
    const stubborn: Archive = { ...short, extendRetention: () => Promise.resolve() };
    expect((await sealer({ archive: stubborn })()).failures).toHaveLength(1);
    expect(await state()).toEqual(['sealed', 'manifest_put']);
  });
});

describe('an alarm about a refused event', () => {
  test('outlasts the sealing of the others', async () => {
    await log(1);
    await sealing.cell.superuserOfAudit.query(
      `insert into app.log_refusals (tenant_id, event_id, reason, refused_at) values ($1, $1, 'event is refused', '2026-04-01')`,
      [uuidOf('tnt', sealing.tenant)],
    );
    await sealer({ archive: failing('before', 1, 'put') })();
    await sealer()();
    expect(await head()).toMatchObject({
      sealed_size: '1',
      alarm: 'An event cannot enter the log; it waits in the outbox of the cell.',
      alarm_since: new Date('2026-04-01T00:00:00Z'),
    });
  });
});

import { describe, expect, test } from 'vitest';
import { fail } from '#schema/errors.ts';
import { Frontier } from '#schema/merkle.ts';
import { encodePlatformHead, platformLeaf } from '#schema/platform-entry.ts';
import type { Archive } from '../../compliance/archive/archive.ts';
import { recordPlatformEvent } from '../../compliance/platform/event.ts';
import {
  logEvents,
  minutePasses,
  platform,
  platformAlarm,
  platformTurn,
  preparePlatform,
  ticksInArchive,
} from './platform-log.ts';

preparePlatform();

describe('the platform log', () => {
  test('beats every minute, also when nothing happened, and no more often', async () => {
    const turn = platformTurn();
    expect(await turn()).toBe('worked');
    expect(await turn()).toBe('idle');
    minutePasses();
    expect(await turn()).toBe('worked');
    expect(await turn()).toBe('idle');
    const ticks = ticksInArchive();
    expect(ticks.map(({ entries }) => entries.map(({ kind, at }) => [kind, at]))).toEqual([
      [['heads', '2026-05-01T10:00:10.000Z']],
      [['heads', '2026-05-01T10:01:10.000Z']],
    ]);
    expect(ticks.map(({ heads }) => heads)).toEqual([[], []]);
    expect(ticks[1]?.checkpoint).toMatchObject({ size: 2 });
  });

  test('commits to the head of every tenant, and writes only the heads that changed', async () => {
    const other = await platform.cell.addTenant();
    await logEvents(3);
    await logEvents(2, other);
    const turn = platformTurn();
    await turn();
    minutePasses();
    await logEvents(1, other);
    await turn();
    minutePasses();
    await turn();
    const [first, second, third] = ticksInArchive();
    const originOf = (tenant: string) => `tenon.test/audit/${tenant}/1`;
    expect(first?.heads.map(({ origin, size }) => [origin, size])).toEqual(
      [[originOf(platform.tenant), 3] as const, [originOf(other), 2] as const].toSorted(([left], [right]) =>
        left < right ? -1 : 1,
      ),
    );
    expect(second?.heads.map(({ origin, size }) => [origin, size])).toEqual([[originOf(other), 3]]);
    expect(third?.heads).toEqual([]);
    const current = new Map([...(first?.heads ?? []), ...(second?.heads ?? [])].map((head) => [head.origin, head]));
    const tree = new Frontier();
    for (const origin of [...current.keys()].toSorted())
      tree.append(platformLeaf(encodePlatformHead(current.get(origin) ?? expect.fail())));
    expect(third?.entries).toMatchObject([{ kind: 'heads', tenants: 2, heads_root: tree.root().toString('hex') }]);
  });

  test('takes the events of the platform into the next tick, in their order', async () => {
    const at = new Date('2026-05-01T09:59:00Z');
    await recordPlatformEvent(platform.cell.audit, { type: 'archive.self_tested', detail: { kept: true }, at });
    await recordPlatformEvent(platform.cell.audit, { type: 'key.rotated', detail: { number: 1 }, at });
    await platformTurn()();
    expect(ticksInArchive()[0]?.entries).toMatchObject([
      { number: 0, kind: 'event', type: 'archive.self_tested', detail: { kept: true }, at: at.toISOString() },
      { number: 1, kind: 'event', type: 'key.rotated' },
      { number: 2, kind: 'heads' },
    ]);
  });

  test('refuses an event that no entry can carry', async () => {
    const at = new Date();
    const { audit } = platform.cell;
    await expect(recordPlatformEvent(audit, { type: 'Bad Type', detail: {}, at })).rejects.toThrow(/noun\.verb/);
    const detail = { text: 'x'.repeat(20_000) };
    await expect(recordPlatformEvent(audit, { type: 'key.rotated', detail, at })).rejects.toThrow(/16384/);
  });

  test('plans on while the archive is away, so that no minute is missing afterwards', async () => {
    let away = true;
    const flaky: Archive = {
      ...platform.archive,
      put: async (...args) => (away ? fail('SERVICE_UNAVAILABLE', 'away') : platform.archive.put(...args)),
    };
    for (let minute = 0; minute < 5; minute++) {
      // A worker of its own each time, as its pauses after failures are its own.
      await platformTurn({ archive: flaky })();
      minutePasses();
    }
    expect(await platformAlarm()).toMatch(/archive does not take the platform log/);
    away = false;
    await platformTurn({ archive: flaky })();
    const times = ticksInArchive().map(({ entries }) => entries.at(-1)?.at);
    expect(times).toEqual([0, 1, 2, 3, 4, 5].map((minute) => `2026-05-01T10:0${minute}:10.000Z`));
    expect(await platformAlarm()).toBeNull();
  });

  test('shows an alarm where the archive does not hold what it took', async () => {
    const forgetful: Archive = { ...platform.archive, head: async () => null };
    await platformTurn({ archive: forgetful })();
    expect(await platformAlarm()).toMatch(/archive does not take the platform log/);
    await platformTurn()();
    expect(await platformAlarm()).toBeNull();
    expect(ticksInArchive()).toHaveLength(1);
  });

  test('keeps the head of a log that shrank, and raises an alarm in it', async () => {
    await logEvents(3);
    const turn = platformTurn();
    await turn();
    await platform.cell.superuserOfAudit.query(
      `create table public.heads as select * from app.log_heads; update app.log_heads set size = 0, last_leaf = null, frontier = '[]'`,
    );
    minutePasses();
    await turn();
    expect(ticksInArchive()[1]?.heads).toEqual([]);
    const { rows } = await platform.cell.audit.query<{ sentence: string }>('select sentence from log_alarms');
    expect(rows[0]?.sentence).toMatch(/less than the platform log has recorded/);
    await platform.cell.superuserOfAudit.query(
      `update app.log_heads h set size = k.size, last_leaf = k.last_leaf, frontier = k.frontier from public.heads k
        where k.tenant_id = h.tenant_id; drop table public.heads`,
    );
    minutePasses();
    await turn();
    expect((await platform.cell.audit.query('select from log_alarms')).rowCount).toBe(0);
  });

  test('signs nothing over a stored log that was changed', async () => {
    const turn = platformTurn();
    await turn();
    minutePasses();
    await platform.cell.superuserOfAudit.query(
      `update app.platform_ticks set frontier = jsonb_build_array(repeat('a', 64))`,
    );
    await turn();
    expect(ticksInArchive()).toHaveLength(1);
    expect(await platformAlarm()).toMatch(/does not continue what was signed/);
  });
});

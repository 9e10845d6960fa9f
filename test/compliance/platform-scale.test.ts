import { describe, expect, test } from 'vitest';
import { newPlatformCounters } from '../../compliance/platform/turn.ts';
import { minutePasses, platform, platformTurn, preparePlatform, ticksInArchive } from './platform-log.ts';

preparePlatform();

const TENANTS = 10_000;

describe('the platform log over ten thousand tenants', () => {
  test('writes only the heads that changed, and takes a small part of its minute', async () => {
    await platform.cell.superuserOfAudit.query(
      `insert into app.log_heads (tenant_id, size, last_leaf, frontier)
       select ('0196e000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, sha256(n::text::bytea),
              jsonb_build_array(encode(sha256(n::text::bytea), 'hex'))
         from generate_series(1, $1::integer) n`,
      [TENANTS],
    );
    const counters = newPlatformCounters();
    const turn = platformTurn({ counters });
    const timesMs: number[] = [];
    const timed = async () => {
      const startedMs = performance.now();
      await turn();
      timesMs.push(performance.now() - startedMs);
    };
    await timed();
    expect(counters.headsWritten).toBe(TENANTS);
    for (let minute = 0; minute < 3; minute++) {
      await platform.cell.superuserOfAudit.query(
        `update app.log_heads set size = 2, frontier = jsonb_build_array(encode(sha256(random()::text::bytea), 'hex'))
         where ('x' || right(tenant_id::text, 4))::bit(16)::integer % 100 = $1`,
        [minute],
      );
      minutePasses();
      await timed();
    }
    expect(ticksInArchive().map(({ heads }) => heads.length)).toEqual([TENANTS, 100, 100, 100]);
    expect(ticksInArchive().at(-1)?.entries).toMatchObject([{ kind: 'heads', tenants: TENANTS }]);
    if (process.env['SHOW_TIMES'] !== undefined) console.log(timesMs.map(Math.round));
    expect(Math.max(...timesMs.slice(1))).toBeLessThan(6_000);
    // Another worker has to read what this one remembers.
    minutePasses();
    await platformTurn()();
    expect(ticksInArchive().at(-1)).toMatchObject({ heads: [], entries: [{ tenants: TENANTS }] });
  }, 120_000);
});

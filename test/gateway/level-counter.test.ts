import { describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { newLevelCounter, type LevelCounter } from '../../gateway/service-levels/level-counter.ts';

const AT = Date.parse('2026-05-04T12:58:00Z');
const MINUTE = 60_000;
const tenant = { tenant: mintId('tnt'), tier: 'FREE', cell: 'eu-1' } as const;
const tenantsOf = (counter: LevelCounter) => cellOf(counter).tenants;
const tiersOf = (counter: LevelCounter) => cellOf(counter).tiers;
function cellOf(counter: LevelCounter, name = 'eu-1') {
  return counter.cells().find(({ cell }) => cell === name) ?? expect.fail(`nothing was served in ${name}`);
}
const answer = (nowMs: number, change: { failed?: boolean; seconds?: number } = {}) => ({
  failed: false,
  seconds: 0.1,
  nowMs,
  ...change,
});

describe('counting what is served', () => {
  it('keeps hours and windows of five minutes apart', () => {
    const counter = newLevelCounter();
    for (const minute of [0, 1, 2, 7]) counter.add(tenant, answer(AT + minute * MINUTE));
    const starts = (tallies: readonly { startMs: number; requests: number }[]) =>
      tallies.map(({ startMs, requests }) => [new Date(startMs).toISOString().slice(11, 16), requests]);
    expect(starts(tenantsOf(counter).take(10))).toEqual([
      ['12:00', 2],
      ['13:00', 2],
    ]);
    expect(starts(tiersOf(counter).take(10))).toEqual([
      ['12:55', 2],
      ['13:00', 1],
      ['13:05', 1],
    ]);
  });

  it('keeps what was served in another cell and hands out the tier of the last request', () => {
    const counter = newLevelCounter();
    counter.add(tenant, answer(AT));
    counter.add({ ...tenant, cell: 'us-1' }, answer(AT));
    counter.add({ ...tenant, cell: 'us-1', tier: 'GROWTH' }, answer(AT));
    expect(tenantsOf(counter).take(10)).toMatchObject([{ cell: 'eu-1', tier: 'FREE', requests: 1 }]);
    expect(cellOf(counter, 'us-1').tenants.take(10)).toMatchObject([{ cell: 'us-1', tier: 'GROWTH', requests: 2 }]);
  });

  it('adds what is put back to what was served meanwhile, and loses nothing', () => {
    const counter = newLevelCounter();
    counter.add(tenant, answer(AT, { seconds: 2, failed: true }));
    const taken = tenantsOf(counter).take(10);
    counter.add(tenant, answer(AT));
    for (const tally of [...taken, ...taken]) tenantsOf(counter).putBack({ ...tally });
    const again = tenantsOf(counter).take(10);
    expect(again.map(({ requests, failures, slow }) => [requests, failures, slow])).toEqual([
      [2, 2, 2],
      [1, 0, 0],
    ]);
    expect(tenantsOf(counter).take(10)).toEqual([]);
  });

  it('hands out no more than asked for, those that wait first', () => {
    const counter = newLevelCounter();
    for (let round = 0; round < 5; round += 1) counter.add({ ...tenant, tenant: mintId('tnt') }, answer(AT));
    const [waiting] = tenantsOf(counter).take(1);
    if (waiting === undefined) throw new Error('one was counted');
    tenantsOf(counter).putBack(waiting);
    const owners = tenantsOf(counter)
      .take(3)
      .map(({ owner }) => owner);
    expect(owners.length).toBe(3);
    expect(owners[0]).toBe(waiting.owner);
    expect(tenantsOf(counter).take(10).length).toBe(2);
    expect(tenantsOf(counter).take(0)).toEqual([]);
  });

  it('holds a bounded number of tallies and says how many requests it did not count', () => {
    const counter = newLevelCounter({ most: 100 });
    for (let round = 0; round < 1000; round += 1) counter.add({ ...tenant, tenant: mintId('tnt') }, answer(AT));
    expect(counter.lost()).toBe(900);
    expect(tenantsOf(counter).take(10_000).length).toBe(100);
    expect(tiersOf(counter).take(10)).toMatchObject([{ requests: 1000 }]);
  });

  it('leaves the places of a cell to that cell', () => {
    const counter = newLevelCounter({ most: 10 });
    for (let round = 0; round < 50; round += 1) counter.add({ ...tenant, tenant: mintId('tnt') }, answer(AT));
    counter.add({ ...tenant, cell: 'us-1' }, answer(AT));
    expect(counter.lost()).toBe(40);
    expect(cellOf(counter, 'us-1').tenants.take(10)).toMatchObject([{ owner: tenant.tenant, requests: 1 }]);
  });
});

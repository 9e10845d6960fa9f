import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { metricOf } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';
import { outboxEvents } from '../support/outbox.ts';
import { isInstalled } from '../support/programs.ts';
import { REDIS_PROGRAMS, startRedis, type RedisServer } from '../support/redis.ts';

/** Redis answers, or is known to be away, within this time. */
const SEEN = { timeout: 10_000, interval: 20 };

describe.skipIf(!isInstalled(REDIS_PROGRAMS, 'an outage of Redis, as tenants find it in their logs'))(
  'a tenant whose budgets are shared by Redis',
  () => {
    let redis: RedisServer;
    let house: House;

    beforeAll(async () => {
      redis = await startRedis();
      house = await openHouse({ env: { REDIS_URL: redis.url } });
    });
    afterAll(() => redis?.stop());

    const ask = (tenant: 'acme' | 'globex') => house.graphql(house[tenant].member, '{ tenant { slug } }');
    const away = () => metricOf(house, 'tenon_budget_store_away');
    const toldTo = async (tenant: 'acme' | 'globex' | 'initech') =>
      (await outboxEvents(house, tenant)).filter(({ action }) => action.startsWith('budget.'));
    const untilAway = (state: number) =>
      vi.waitFor(async () => {
        await ask('acme');
        expect(await away()).toBe(state);
      }, SEEN);

    it('finds the outage and its end in her log, once each, and one who asked for nothing finds nothing', async () => {
      await untilAway(0);
      expect(await toldTo('acme')).toEqual([]);

      await redis.end();
      await untilAway(1);
      for (let sent = 0; sent < 3; sent++) expect((await ask('acme')).status).toBe(200);
      // The event is written beside the answer, which does not wait for it.
      await vi.waitFor(async () => expect(await toldTo('acme')).toHaveLength(1), SEEN);
      expect((await toldTo('acme'))[0]).toMatchObject({
        action: 'budget.unshare',
        tenant_id: house.acme.id,
        actor: { type: 'system', id: 'gateway' },
        resource: { type: 'gateway', id: 'budgets', name: null },
      });
      expect(await toldTo('globex')).toEqual([]);

      await redis.start();
      await untilAway(0);
      for (let sent = 0; sent < 3; sent++) await ask('acme');
      await ask('globex');
      await vi.waitFor(
        async () =>
          expect((await toldTo('acme')).map(({ action }) => action)).toEqual(['budget.unshare', 'budget.share']),
        SEEN,
      );
      expect([await toldTo('globex'), await toldTo('initech')]).toEqual([[], []]);
    });

    it('is told of the next outage again', async () => {
      redis.halt();
      await untilAway(1);
      redis.resume();
      await untilAway(0);
      // The end is told with the first request after it.
      await ask('acme');
      await vi.waitFor(
        async () =>
          expect((await toldTo('acme')).map(({ action }) => action)).toEqual([
            'budget.unshare',
            'budget.share',
            'budget.unshare',
            'budget.share',
          ]),
        SEEN,
      );
    });
  },
);

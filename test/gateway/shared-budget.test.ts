import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openHouse, type House } from '../support/house.ts';
import { isInstalled } from '../support/programs.ts';
import { REDIS_PROGRAMS, startRedis, type RedisServer } from '../support/redis.ts';

describe.skipIf(!isInstalled(REDIS_PROGRAMS, 'the gateway over a real Redis'))('a gateway with REDIS_URL', () => {
  let redis: RedisServer;
  let house: House;

  beforeAll(async () => {
    redis = await startRedis();
    house = await openHouse({ env: { REDIS_URL: redis.url } });
  });
  afterAll(() => redis?.stop());

  const storeAway = async () =>
    /^tenon_budget_store_away (\d)$/m.exec(await (await house.fetch(null, '/metrics')).text())?.[1];
  const spend = () => house.graphql(house.acme.member, '{ projects(first: 10) { edges { node { name } } } }');

  /** What the answer and the metric say of it at one moment. */
  const seen = async () => ({ limit: (await spend()).headers.get('x-ratelimit-limit'), away: await storeAway() });
  const until = (state: Awaited<ReturnType<typeof seen>>) =>
    vi.waitFor(async () => expect(await seen()).toEqual(state), 10_000);

  it('keeps the budget of a tenant there, and answers from half of it while Redis is away', async () => {
    await until({ limit: '10000', away: '0' });
    const admin = new Redis(redis.url);
    const commands = await admin.info('commandstats');
    admin.disconnect();
    expect(commands).toContain('cmdstat_evalsha');

    await redis.end();
    expect((await spend()).status).toBe(200);
    expect(await seen()).toEqual({ limit: '5000', away: '1' });

    await redis.start();
    await until({ limit: '10000', away: '0' });
  });
});

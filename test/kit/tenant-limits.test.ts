import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openChangeFeed, type ChangeFeed } from '#kit/change-feed.ts';
import { newCredentialCache } from '#kit/credential-cache.ts';
import { systemContext } from '#kit/credential.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import { effectiveLimits, openTierLimits } from '#kit/tenant-limits.ts';
import { TIER_LIMITS, type SubjectLimits } from '#schema/budget-limits.ts';
import { readConfig } from '#schema/config.ts';
import { firstRaise, readLimitsChange, readSubjectChange } from '#schema/limits-change.ts';
import type { Id } from '#schema/ids.ts';
import { TIERS } from '#schema/tenant-context.ts';
import { makeDemoTenants, type DemoTenant } from '#subgraphs';
import { makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

let stores: TestStores;
let databases: Databases;
let feed: ChangeFeed;
let acme: DemoTenant | undefined;

beforeAll(async () => {
  stores = await makeStores();
  databases = await stores.open();
  const { directoryUrl, cells } = stores.settingsFor('tenon_app', 'file:///nowhere');
  feed = await openChangeFeed({ directoryUrl, cells });
  const platform = { config: readConfig({}), databases, clock: () => new Date(), publicUrl: 'http://tenon.test' };
  [acme] = await makeDemoTenants(platform);
});

afterAll(async () => {
  await feed.close();
  await databases.close();
});

const rate = (capacity: number) => ({ capacity, restorePerSecond: 1 });
const numbersOf = ({ points, requests }: SubjectLimits) =>
  [points.query, points.mutation, points.bulk, requests].flatMap(({ capacity, restorePerSecond }) => [
    capacity,
    restorePerSecond,
  ]);

describe('effective limits', () => {
  it('are the tier’s, with the operators’ numbers in their place, at most the tenant’s for the client', () => {
    const tenant = { concurrency: 2, client: { points: { query: rate(400) } }, tenant: { requests: rate(9) } };
    const client = { points: { query: rate(300), bulk: rate(1_000_000) } };
    const { GROWTH } = TIER_LIMITS;
    expect(effectiveLimits(GROWTH, { tenant: null, client: null })).toBe(GROWTH);
    expect(effectiveLimits(GROWTH, { tenant, client })).toEqual({
      ...GROWTH,
      concurrency: 2,
      tenant: { ...GROWTH.tenant, requests: rate(9) },
      client: {
        ...GROWTH.client,
        points: {
          ...GROWTH.client.points,
          query: rate(300),
          bulk: { ...GROWTH.client.points.bulk, restorePerSecond: 1 },
        },
      },
    });
  });

  it('are whole and within bounds whatever the rows hold, and a client’s row raises nothing', () => {
    const number = fc.oneof(fc.double(), fc.integer(), fc.constant(null), fc.string());
    const anyRate = fc.oneof(fc.record({ capacity: number, restorePerSecond: number }), fc.anything());
    const anySubject = fc.oneof(
      fc.record({ points: fc.record({ query: anyRate, mutation: anyRate, bulk: anyRate }), requests: anyRate }),
      fc.anything(),
    );
    const anyLimits = fc.record({ maxQueryCost: number, concurrency: number, tenant: anySubject, client: anySubject });
    fc.assert(
      fc.property(fc.constantFrom(...TIERS), anyLimits, anySubject, (tier, tenant, client) => {
        const without = effectiveLimits(TIER_LIMITS[tier], { tenant, client: null });
        const limits = effectiveLimits(TIER_LIMITS[tier], { tenant, client });
        const numbers = [limits.tenant, limits.client, limits.user].flatMap(numbersOf);
        expect([limits.maxQueryCost, limits.concurrency, ...numbers].every((value) => value > 0)).toBe(true);
        expect({ ...limits, client: null }).toEqual({ ...without, client: null });
        numbersOf(limits.client).forEach((value, index) => {
          expect(value).toBeLessThanOrEqual(numbersOf(without.client)[index] ?? 0);
        });
        expect(firstRaise(without.client, readSubjectChange(limits.client))).toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  it('are written by the tiers as the program has them, which is within bounds', () => {
    for (const tier of TIERS) {
      const faults: string[] = [];
      expect(readLimitsChange(TIER_LIMITS[tier], (path) => faults.push(path))).toEqual(TIER_LIMITS[tier]);
      expect(faults).toEqual([]);
    }
  });
});

describe('a caller', () => {
  it('is bound by the tier, the operators’ word on the tenant and the tenant’s on the client, as they change', async () => {
    const tiers = await openTierLimits(databases, feed);
    const cache = newCredentialCache({ databases, feed, tiers });
    const limitsOf = async (token = '') =>
      (await cache.authenticate(token, { requestId: 'req', ip: null, ua: null, now: new Date() })).limits;
    const base = TIER_LIMITS.ENTERPRISE;
    expect([await limitsOf(acme?.admin), await limitsOf(acme?.partner)]).toEqual([base, base]);
    const insert = 'insert into budget_limits (client, limits) values ($1, $2)';
    await inAcme(insert, ['', { concurrency: 5 }]);
    await inAcme(insert, ['partner-app', { requests: rate(1) }]);
    await inAcme(insert, ['another-app', { requests: rate(2) }]);
    const whole = { ...base, concurrency: 5 };
    expect(await limitsOf(acme?.admin)).toEqual(whole);
    expect(await limitsOf(acme?.partner)).toEqual({ ...whole, client: { ...base.client, requests: rate(1) } });
    await inAcme('delete from budget_limits', []);
    expect([await limitsOf(acme?.admin), await limitsOf(acme?.partner)]).toEqual([base, base]);
    tiers.close();
    cache.close();
  });

  it('is bound by the new numbers of her tier without being looked up again, on every gateway', async () => {
    const tiers = await openTierLimits(databases, feed);
    // The lookup and what is remembered of it stay; only the tier's numbers are read anew.
    const silent = { ...feed, subscribe: () => () => undefined };
    const cache = newCredentialCache({ databases, feed: silent, tiers });
    const ask = () => cache.authenticate(acme?.admin ?? '', { requestId: 'r', ip: null, ua: null, now: new Date() });
    await ask();
    await setTier({ maxQueryCost: 77 });
    await until(() => tiers.of('ENTERPRISE').maxQueryCost === 77);
    const answer = ask();
    expect(answer).not.toBeInstanceOf(Promise);
    expect(await answer).toMatchObject({ limits: { maxQueryCost: 77 } });
    expect(tiers.of('FREE')).toEqual(TIER_LIMITS.FREE);
    await setTier({ maxQueryCost: 'many', concurrency: 33 });
    await until(() => tiers.of('ENTERPRISE').concurrency === 33);
    expect(await ask()).toMatchObject({ limits: { ...TIER_LIMITS.ENTERPRISE, concurrency: 33 } });
    tiers.close();
  });

  it('is bound by the program’s numbers as long as the directory is away', async () => {
    const directory = { query: () => Promise.reject(new Error('away')) } as unknown as Databases['directory'];
    const tiers = await openTierLimits({ directory }, feed);
    expect(TIERS.map((tier) => tiers.of(tier))).toEqual(TIERS.map((tier) => TIER_LIMITS[tier]));
    tiers.close();
  });
});

/** Waits for what a round trip to the directory brings. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await databases.directory.query('select 1');
}

async function setTier(limits: object): Promise<void> {
  await withClient(stores.url('directory'), (client) =>
    client.query(`update app.tier_limits set limits = $1 where tier = 'ENTERPRISE'`, [limits]),
  );
}

async function inAcme(sql: string, values: readonly unknown[]): Promise<void> {
  const tenant = await systemContext(databases, acme?.id as Id<'tnt'>, { name: 'test', requestId: 'req_t' });
  await inTenant({ tenant, databases }, (tx) => tx.query(sql, values));
  await feed.caughtUp({ cell: 'eu-1' });
}

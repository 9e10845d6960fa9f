import { describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { bucketOf } from '#schema/latency-histogram.ts';
import { provisionTenant, type ProvisionedTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { withClient } from '../../support/postgres.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';

const LEVELS = `query ($hours: Int) { tenant { serviceLevels(hours: $hours) {
  hour requests availability p50Ms p95Ms p99Ms objective { p99Ms availability } met } } }`;

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active' }), ORIGIN);
const as = (tenant: ProvisionedTenant) => requestOf(house.platform, tenant.context, { scopes: ['tenant:read'] });

/** Counts by time in seconds become the row of an hour, as gateways write it. */
async function served(
  tenant: ProvisionedTenant,
  hour: string,
  times: Readonly<Record<string, number>>,
  change: { tier?: string; failures?: number; slow?: number } = {},
): Promise<void> {
  const buckets: number[] = [];
  for (const [seconds, count] of Object.entries(times)) buckets[bucketOf(Number(seconds))] = count;
  const requests = Object.values(times).reduce((sum, count) => sum + count, 0);
  const { tier = 'GROWTH', failures = 0, slow = 0 } = change;
  await withClient(house.stores.url('eu-1'), (client) =>
    client.query(
      `insert into app.service_levels (tenant_id, hour, tier, requests, failures, slow, buckets) values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        uuidOf('tnt', tenant.tenant.id),
        hour,
        tier,
        requests,
        failures,
        slow,
        Array.from(buckets, (count) => count ?? 0),
      ],
    ),
  );
}

interface Level {
  readonly hour: string;
  readonly requests: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}
const levelsOf = (data: unknown) => (data as { tenant: { serviceLevels: Level[] } }).tenant.serviceLevels;

await served(acme, '2026-05-04T12:00:00Z', { 0.02: 990, 0.4: 10 });
await served(acme, '2026-05-04T11:00:00Z', { 0.02: 900, 0.7: 100 }, { failures: 10, slow: 100 });
await served(acme, '2026-05-03T12:00:00Z', { 0.1: 1 }, { tier: 'FREE' });
await served(acme, '2026-04-01T12:00:00Z', { 0.1: 1 });

describe('the service levels of a tenant', () => {
  it('are the hours that had requests, newest first, each beside its objective', async () => {
    const { data, errors } = await ask(as(acme), LEVELS);
    expect(errors).toBeUndefined();
    expect(levelsOf(data)).toMatchObject([
      {
        hour: '2026-05-04T12:00:00.000Z',
        requests: 1000,
        availability: 1,
        objective: { p99Ms: 500, availability: 0.999 },
        met: true,
      },
      { hour: '2026-05-04T11:00:00.000Z', requests: 1000, availability: 0.99, met: false },
    ]);
  });

  it('have quantiles within 5 % of those of the requests', async () => {
    const { data } = await ask(as(acme), LEVELS);
    const [, level] = levelsOf(data);
    for (const [read, exact] of [
      [level?.p50Ms, 20],
      [level?.p95Ms, 700],
      [level?.p99Ms, 700],
    ] as const) {
      expect(Math.abs((read ?? 0) - exact) / exact).toBeLessThanOrEqual(0.051);
    }
  });

  it('go back as many hours as asked for, with the objective of the tier in that hour', async () => {
    const hours = async (count: number) => levelsOf((await ask(as(acme), LEVELS, { hours: count })).data).length;
    expect([await hours(1), await hours(2), await hours(24), await hours(25), await hours(744)]).toEqual([
      1, 2, 2, 3, 3,
    ]);
    const { data } = await ask(as(acme), LEVELS, { hours: 744 });
    expect(levelsOf(data)[2]).toMatchObject({ objective: { p99Ms: 1500, availability: 0.995 }, met: true });
  });

  it.each([0, -1, 745, 2_147_483_647])('are refused for %d hours', async (hours) => {
    expect(codeOf(await ask(as(acme), LEVELS, { hours }))).toBe('BAD_USER_INPUT');
  });

  it('are her own and need the right to read her', async () => {
    expect(levelsOf((await ask(as(globex), LEVELS, { hours: 744 })).data)).toEqual([]);
    const refused = await ask(requestOf(house.platform, acme.context, { scopes: [] }), LEVELS);
    expect(codeOf(refused)).toBe('FORBIDDEN');
  });
});

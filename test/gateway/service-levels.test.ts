import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { inTenant, type Databases } from '#kit/database.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { bucketOf } from '#schema/latency-histogram.ts';
import { PLATFORM_ID } from '#schema/service-levels.ts';
import { databaseToken, type Tier } from '#schema/tenant-context.ts';
import { newBurnWatch } from '../../gateway/service-levels/burn-watch.ts';
import { platformContext } from '../../gateway/service-levels/platform-context.ts';
import { openServiceLevels, type ServiceLevels } from '../../gateway/service-levels/service-levels.ts';
import { readStatus } from '../../gateway/service-levels/status.ts';
import { statusPage } from '../../gateway/service-levels/status-page.ts';
import { connectAs, refusal, within } from '../isolation/two-tenants.ts';
import { CONTEXT_KEYS, makeStores, type TestStores } from '../support/databases.ts';
import { withClient } from '../support/postgres.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let stores: TestStores;
let databases: Databases;
let now = new Date('2026-05-04T12:03:00Z');
const opened: ServiceLevels[] = [];

beforeAll(async () => {
  stores = await makeStores();
  databases = await stores.open();
});
beforeEach(async () => {
  now = new Date('2026-05-04T12:03:00Z');
  for (const cell of ['eu-1', 'us-1'] as const) {
    await withClient(stores.url(cell), (client) =>
      client.query('truncate app.tier_service_levels, app.service_levels'),
    );
  }
});
afterAll(async () => {
  for (const gateway of opened) await gateway.close();
  await databases.close();
});

function openGateway(over: Databases = databases): ServiceLevels {
  const gateway = openServiceLevels({ databases: over, clock: () => now });
  opened.push(gateway);
  return gateway;
}

const noCell = () => fail('SERVICE_UNAVAILABLE', 'the cell is away');

let slugs = 0;
async function newTenant(cell: 'eu-1' | 'us-1' = 'eu-1', tier: Tier = 'GROWTH') {
  const tenant = mintId('tnt');
  slugs += 1;
  await withClient(stores.url(cell), (client) =>
    client.query(
      `insert into app.tenants (tenant_id, slug, name, tier, region, cell, state)
       values ($1, $2, $2, $3, 'eu', $4, 'active')`,
      [uuidOf('tnt', tenant), `tenant-${slugs}`, tier, cell],
    ),
  );
  return { tenant, tier, cell } as const;
}

type Served = Awaited<ReturnType<typeof newTenant>>;
function serve(
  { metrics }: ServiceLevels,
  tenant: Served,
  times: number,
  change: { status?: number; seconds?: number } = {},
) {
  for (let time = 0; time < times; time += 1) {
    metrics.observe({ tenant, status: 200, seconds: 0.02, code: null, estimated: null, actual: null, ...change });
  }
}

/** Rows past row security. */
async function rows(table: string, cell: 'eu-1' | 'us-1' = 'eu-1'): Promise<Record<string, unknown>[]> {
  return withClient(
    stores.url(cell),
    async (client) => (await client.query(`select * from app.${table} order by 1, 2, 3`)).rows,
  );
}
const countsOf = ({ requests, failures, slow }: Record<string, unknown>) => [requests, failures, slow].map(Number);

describe('what gateways have served', () => {
  it('adds up to one row a tenant and hour, whichever gateway served it', async () => {
    const acme = await newTenant();
    const [one, two] = [openGateway(), openGateway()];
    serve(one, acme, 10);
    serve(two, acme, 5, { seconds: 0.9 });
    expect(await one.flush()).toEqual({ stored: 2, kept: 0, dropped: 0 });
    await Promise.all([two.flush(), (serve(one, acme, 2, { status: 500, seconds: 3 }), one.flush())]);
    const [row, ...others] = await rows('service_levels');
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      tenant_id: uuidOf('tnt', acme.tenant),
      tier: 'GROWTH',
      hour: new Date('2026-05-04T12:00:00Z'),
    });
    expect(countsOf(row ?? {})).toEqual([17, 2, 7]);
    const buckets = row?.['buckets'] as number[];
    expect([0.02, 0.9, 3].map((seconds) => buckets[bucketOf(seconds)])).toEqual([10, 5, 2]);
    expect(buckets.length).toBe(bucketOf(3) + 1);
  });

  it('adds up by tier to rows of five minutes, an hour and a day, under the platform itself', async () => {
    const [acme, bolt, initech] = [await newTenant(), await newTenant(), await newTenant('us-1', 'FREE')];
    const gateway = openGateway();
    serve(gateway, acme, 3);
    serve(gateway, bolt, 4);
    serve(gateway, initech, 1);
    now = new Date('2026-05-04T12:08:00Z');
    serve(gateway, acme, 2);
    await gateway.flush();
    const euro = await rows('tier_service_levels');
    expect(new Set(euro.map((row) => row['tenant_id']))).toEqual(new Set([uuidOf('tnt', PLATFORM_ID)]));
    expect(
      euro.map((row) => [
        row['minutes'],
        (row['starts_at'] as Date).toISOString().slice(11, 16),
        Number(row['requests']),
      ]),
    ).toEqual([
      [5, '12:00', 7],
      [5, '12:05', 2],
      [60, '12:00', 9],
      [1440, '00:00', 9],
    ]);
    expect((await rows('tier_service_levels', 'us-1')).map((row) => row['tier'])).toEqual(['FREE', 'FREE', 'FREE']);
  });

  it('waits for a cell that is away, while the others get theirs', async () => {
    const [acme, initech] = [await newTenant(), await newTenant('us-1')];
    let isAway = true;
    const reached: string[] = [];
    const gateway = openGateway({
      ...databases,
      tenantSource: (cell) => {
        reached.push(cell);
        if (cell === 'us-1' && isAway) noCell();
        return databases.tenantSource(cell);
      },
    });
    serve(gateway, acme, 1);
    serve(gateway, initech, 2);
    for (let more = 0; more < 20; more += 1) serve(gateway, { ...initech, tenant: mintId('tnt') }, 1);
    expect(await gateway.flush()).toEqual({ stored: 2, kept: 22, dropped: 0 });
    // Statements that were under way when the first one failed, and none after it.
    expect(reached.filter((cell) => cell === 'us-1').length).toBeLessThanOrEqual(3);
    isAway = false;
    serve(gateway, initech, 3);
    // The twenty of whom the cell knows nothing are given up.
    expect(await gateway.flush()).toEqual({ stored: 4, kept: 0, dropped: 20 });
    expect((await rows('service_levels', 'us-1')).map(countsOf)).toEqual([[5, 0, 0]]);
    expect((await rows('tier_service_levels', 'us-1')).map(countsOf)).toEqual([
      [25, 0, 0],
      [25, 0, 0],
      [25, 0, 0],
    ]);
  });

  it('is given up after a day', async () => {
    const gateway = openGateway({ ...databases, tenantSource: noCell });
    serve(gateway, await newTenant(), 1);
    now = new Date(now.getTime() + 23 * HOUR);
    expect(await gateway.flush()).toMatchObject({ kept: 2, dropped: 0 });
    now = new Date(now.getTime() + 3 * HOUR);
    expect(await gateway.flush()).toMatchObject({ kept: 0, dropped: 2 });
    expect(await gateway.flush()).toEqual({ stored: 0, kept: 0, dropped: 0 });
  });

  it('goes out a part at a time, and all of it when the gateway drains', async () => {
    const tenants = await Promise.all(Array.from({ length: 6 }, () => newTenant()));
    const gateway = openGateway();
    for (const tenant of tenants) serve(gateway, tenant, 1);
    expect(await gateway.flush({ tenants: 2, timeMs: 5_000 })).toEqual({ stored: 3, kept: 0, dropped: 0 });
    expect(await gateway.flush({ tenants: 2, timeMs: 0 })).toEqual({ stored: 0, kept: 2, dropped: 0 });
    await gateway.close();
    expect((await rows('service_levels')).map(countsOf)).toEqual(tenants.map(() => [1, 0, 0]));
  });

  it('takes rows of 13 months ago with it, the tenant own and the oldest windows', async () => {
    const [acme, bolt] = [await newTenant(), await newTenant()];
    const gateway = openGateway();
    for (const tenant of [acme, bolt]) serve(gateway, tenant, 1);
    await gateway.flush();
    now = new Date(now.getTime() + 5 * DAY);
    serve(gateway, acme, 1);
    await gateway.flush();
    expect((await rows('tier_service_levels')).map((row) => row['minutes'])).toEqual([5, 60, 60, 1440, 1440]);
    expect((await rows('service_levels')).length).toBe(3);
    now = new Date(now.getTime() + 400 * DAY);
    serve(gateway, acme, 1);
    await gateway.flush();
    expect(new Set((await rows('service_levels')).map((row) => row['tenant_id']))).toEqual(
      new Set([acme, bolt].map(({ tenant }) => uuidOf('tnt', tenant))),
    );
    expect((await rows('service_levels')).length).toBe(2);
    expect((await rows('tier_service_levels')).map((row) => row['minutes'])).toEqual([5, 60, 1440]);
  });
});

describe('the rows', () => {
  const reader = (tenant: Id<'tnt'>) => ({
    databases,
    tenant: platformContext(databases, { tenant, cell: 'eu-1', tier: 'FREE' }),
  });

  it('of a tenant are read and changed by nobody else, those of the tiers by no tenant', async () => {
    const [acme, bolt] = [await newTenant(), await newTenant()];
    const gateway = openGateway();
    serve(gateway, acme, 1);
    await gateway.flush();
    const seen = async (tenant: Id<'tnt'>, sql: string) =>
      (await inTenant(reader(tenant), (tx) => tx.query(sql))).length;
    expect(await seen(acme.tenant, 'select from service_levels')).toBe(1);
    for (const other of [bolt.tenant, PLATFORM_ID]) {
      expect(await seen(other, 'select from service_levels')).toBe(0);
      expect(await seen(other, 'delete from service_levels returning requests')).toBe(0);
    }
    expect(await seen(PLATFORM_ID, 'select from tier_service_levels')).toBe(3);
    for (const tenant of [acme.tenant, bolt.tenant]) {
      expect(await seen(tenant, 'select from tier_service_levels')).toBe(0);
      expect(await seen(tenant, 'update tier_service_levels set requests = 0 returning requests')).toBe(0);
    }
    expect((await rows('service_levels')).length).toBe(1);
  });

  it('of the tiers are written under no tenant, not even as her own', async () => {
    const { tenant } = await newTenant();
    const client = await connectAs(stores, 'tenon_app');
    const insert = (owner: string) =>
      within(client, databaseToken({ tenant, cell: 'eu-1' }, CONTEXT_KEYS, Date.now()), () =>
        client.query(
          `insert into tier_service_levels (tenant_id, minutes, starts_at, tier, requests, failures, slow, buckets)
           values ($1, 60, '2026-05-04T12:00:00Z', 'FREE', 1, 0, 0, '{1}')`,
          [owner],
        ),
      );
    expect((await refusal(insert(uuidOf('tnt', PLATFORM_ID)))).code).toBe('42501');
    expect((await refusal(insert(uuidOf('tnt', tenant)))).code).toBe('23514');
    await client.end();
  });

  it('are only read by the worker, and only under the context of their tenant', async () => {
    const acme = await newTenant();
    const gateway = openGateway();
    serve(gateway, acme, 1);
    await gateway.flush();
    const worker = await connectAs(stores, 'tenon_worker');
    const token = databaseToken({ tenant: acme.tenant, cell: 'eu-1' }, CONTEXT_KEYS, Date.now());
    expect((await worker.query('select from service_levels')).rowCount).toBe(0);
    await within(worker, token, async () =>
      expect((await worker.query('select from service_levels')).rowCount).toBe(1),
    );
    for (const sql of ['delete from service_levels', 'update tier_service_levels set requests = 0']) {
      expect((await refusal(within(worker, token, () => worker.query(sql)))).code).toBe('42501');
    }
    await worker.end();
  });
});

describe('the status of the platform', () => {
  it('is what all gateways served in all cells, and not what this one did', async () => {
    const [acme, initech] = [await newTenant(), await newTenant('us-1')];
    const [one, two] = [openGateway(), openGateway()];
    serve(one, acme, 90);
    serve(two, initech, 9, { seconds: 0.4 });
    serve(two, initech, 1, { status: 503, seconds: 2 });
    await Promise.all([one.flush(), two.flush()]);
    const { tiers, away } = await openGateway().status();
    const growth = tiers.find(({ tier }) => tier === 'GROWTH');
    expect(away).toEqual([]);
    for (const span of ['lastHour', 'lastDay', 'last30Days'] as const) {
      expect(growth?.spans[span]).toMatchObject({ requests: 100, availability: 0.99, met: false });
      expect(growth?.spans[span].p50Seconds).toBeCloseTo(0.02, 2);
      expect(growth?.spans[span].p99Seconds).toBeGreaterThan(0.38);
      expect(growth?.spans[span].p99Seconds).toBeLessThan(0.42);
    }
    expect(growth?.state).toBe('burning');
    expect(tiers.find(({ tier }) => tier === 'FREE')).toMatchObject({
      state: 'ok',
      spans: { lastHour: { requests: 0, availability: null, p99Seconds: null, met: true } },
    });
  });

  it('lets each span and window see as far back as it is long', async () => {
    const acme = await newTenant();
    const gateway = openGateway();
    const end = now.getTime();
    for (const ago of [40 * DAY, 20 * DAY, 2 * DAY, 5 * HOUR, 30 * MINUTE, 0]) {
      now = new Date(end - ago);
      serve(gateway, acme, 1, { status: ago === 0 ? 500 : 200 });
      await gateway.flush();
    }
    const { tiers } = await readStatus(databases, now);
    const growth = tiers.find(({ tier }) => tier === 'GROWTH');
    expect(Object.values(growth?.spans ?? {}).map(({ requests }) => requests)).toEqual([2, 3, 5]);
    const rates = growth?.burnRates.filter(({ indicator }) => indicator === 'availability') ?? [];
    // One failure among 1, 2, 3 and 4 requests, where one in a thousand may be.
    expect(rates.map(({ longRate, shortRate }) => [Math.round(longRate), Math.round(shortRate)])).toEqual([
      [500, 1000],
      [333, 500],
      [333, 500],
      [250, 333],
    ]);
  });

  it('burns while both windows do, and says so once when it begins and once when it ends', async () => {
    const acme = await newTenant();
    const gateway = openGateway();
    const lines: [string, string, unknown][] = [];
    const watch = newBurnWatch(gateway.metrics, (level, message, fields) =>
      lines.push([level, message, fields?.['longMinutes']]),
    );
    const look = async () => {
      await gateway.flush();
      watch(await readStatus(databases, now));
    };
    serve(gateway, acme, 100);
    await look();
    serve(gateway, acme, 100, { status: 500 });
    await look();
    await look();
    expect(lines).toEqual([
      ['error', 'the error budget of a tier burns', 60],
      ['error', 'the error budget of a tier burns', 360],
      ['warn', 'the error budget of a tier burns', 1440],
      ['warn', 'the error budget of a tier burns', 4320],
    ]);
    expect(await gateway.metrics.text()).toContain(
      'tenon_slo_alert{tier="GROWTH",indicator="availability",severity="page",window="60m"} 1',
    );
    lines.length = 0;
    now = new Date(now.getTime() + 15 * MINUTE);
    await look();
    expect(lines).toEqual([['info', 'the error budget of a tier burns no more', 60]]);
    expect(await gateway.metrics.text()).toContain(
      'tenon_slo_alert{tier="GROWTH",indicator="availability",severity="page",window="60m"} 0',
    );
  });

  it('names a cell that is away and shows the others', async () => {
    const acme = await newTenant();
    const gateway = openGateway({
      ...databases,
      tenantSource: (cell) => (cell === 'us-1' ? noCell() : databases.tenantSource(cell)),
    });
    serve(gateway, acme, 3);
    const status = await gateway.status();
    expect(status.away).toEqual(['us-1']);
    expect(status.tiers.find(({ tier }) => tier === 'GROWTH')?.spans.lastHour.requests).toBe(3);
    expect(statusPage(status)).toContain('missing from 1 of');
    expect(statusPage(status)).not.toContain('us-1');
  });

  it('is read once for many who ask at the same time', async () => {
    let readings = 0;
    const gateway = openGateway({
      ...databases,
      tenantSource: (cell) => {
        readings += 1;
        return databases.tenantSource(cell);
      },
    });
    const answers = await Promise.all(Array.from({ length: 50 }, () => gateway.status()));
    expect(readings).toBe(2);
    expect(new Set(answers).size).toBe(1);
  });
});

describe('a minute of a gateway', () => {
  it('stores, reads and shows', async () => {
    const acme = await newTenant();
    const gateway = openGateway();
    serve(gateway, acme, 4, { seconds: 0.9 });
    await gateway.tick();
    expect((await rows('service_levels')).map(countsOf)).toEqual([[4, 0, 4]]);
    expect(await gateway.metrics.text()).toContain(
      'tenon_slo_burn_rate{tier="GROWTH",indicator="latency",window="60m"} 100',
    );
  });
});

describe('a gateway that ends', () => {
  it('does so where no store answers', async () => {
    const gateway = openGateway({ ...databases, tenantSource: noCell });
    serve(gateway, await newTenant(), 1);
    await expect(gateway.close()).resolves.toBeUndefined();
  });
});

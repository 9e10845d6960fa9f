import { expect, it } from 'vitest';
import { findTenantBySlug } from '#kit/directory.ts';
import { readConfig } from '#schema/config.ts';
import { uuidOf } from '#schema/ids.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { makeStores, type StoreName } from '../../support/databases.ts';
import { withClient } from '../../support/postgres.ts';
import { inputOf, open, ORIGIN } from './tenants-platform.ts';

const stores = await makeStores(['eu-1', 'us-1', 'ap-1']);
const { cells } = stores.settingsFor('tenon_app', 'file:///nowhere');

async function platformOf(names: readonly string[]) {
  const databases = await open(
    stores,
    cells.filter(({ name }) => names.includes(name)),
  );
  return {
    config: readConfig({}),
    databases,
    clock: () => new Date('2026-05-04T12:00:00Z'),
    publicUrl: 'http://tenon.test',
  };
}

/** Everything that a database holds, table by table. */
const contents = async (store: StoreName) =>
  withClient(stores.url(store), async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('app', 'tenon') order by 1`,
    );
    const tables: Record<string, unknown> = {};
    for (const { name } of rows)
      tables[name] = (await client.query(`select count(*), sum(hashtext(t::text)) from ${name} t`)).rows[0];
    return tables;
  });

it('a third cell is configuration alone: it takes tenants, and nothing else moves or changes', async () => {
  const before = await platformOf(['eu-1', 'us-1']);
  for (const region of ['eu', 'us']) await provisionTenant(before, inputOf(`old-${region}`, { region }), ORIGIN);
  const asia = inputOf('new-ap', { region: 'ap' });
  await expect(provisionTenant(before, asia, ORIGIN)).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
  const old = ['eu-1', 'eu-1 audit', 'us-1', 'us-1 audit'] as const;
  const held = await Promise.all(old.map(contents));
  const places = await Promise.all(['old-eu', 'old-us'].map((slug) => findTenantBySlug(before.databases, slug)));

  const after = await platformOf(['eu-1', 'us-1', 'ap-1']);
  const { tenant } = await provisionTenant(after, asia, ORIGIN);

  expect(tenant).toMatchObject({ region: 'ap', cell: 'ap-1' });
  expect(await Promise.all(old.map(contents))).toEqual(held);
  expect(await Promise.all(['old-eu', 'old-us'].map((slug) => findTenantBySlug(after.databases, slug)))).toEqual(
    places,
  );
  await withClient(stores.url('ap-1'), async (client) => {
    const { rows } = await client.query('select tenant_id as id, cell, region from app.tenants');
    expect(rows).toEqual([{ id: uuidOf('tnt', tenant.id), cell: 'ap-1', region: 'ap' }]);
  });
});

it('a process whose settings do not name her cell serves everybody else and not her', async () => {
  const { databases } = await platformOf(['eu-1', 'us-1']);
  expect(() => databases.tenantSource('ap-1')).toThrow(expect.objectContaining({ code: 'SERVICE_UNAVAILABLE' }));
  expect(databases.tenantSource('eu-1').isInitialized).toBe(true);
});

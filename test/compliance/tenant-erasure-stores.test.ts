import { beforeAll, describe, expect, it } from 'vitest';
import { findTenantBySlug } from '#kit/directory.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf } from '#schema/ids.ts';
import { inStore, POOL, schemaNumber, storeUrl } from '#schema/tenant-store.ts';
import { listErasures } from '../../subgraphs/audit/personal-erasure.ts';
import { endTenant } from '../../subgraphs/tenants/ending.ts';
import { systemOrigin } from '../../subgraphs/tenants/operator.ts';
import { provisionTenant } from '../../subgraphs/tenants/provisioning.ts';
import { withClient } from '../support/postgres.ts';
import { openEvidenceHouse, type EvidenceHouse } from './evidence-fixture.ts';
import { act, dumpOf, dumpOfSchemas, erasureTurn, requestOf } from './privacy-world.ts';

const ORIGIN = systemOrigin('test', 'req_test');

describe.each(['silo', 'bridge'] as const)('a tenant in a %s who has ended', (placement) => {
  const word = `${placement}field`;
  let house: EvidenceHouse;
  let ctx: RequestContext;

  beforeAll(async () => {
    house = await openEvidenceHouse();
    if (placement === 'silo') await house.stores.addSilo('eu-1');
    else await house.stores.addBridges('eu-1', 1);
    const input = { slug: word, name: word, tier: 'ENTERPRISE_PLUS', region: 'eu', placement } as const;
    const admin = { adminEmail: `root@${word}.example`, adminName: 'Root' };
    await provisionTenant(house.platform, { ...input, ...admin }, ORIGIN);
    const tenant = await findTenantBySlug(house.platform.databases, word);
    if (tenant === null) throw new Error('she was made');
    ctx = await house.contextOf(tenant.id);
    const person = await house.addPerson(tenant.id, `dora.gone@${word}.example`);
    await act(await requestOf(house, { tenant: tenant.id, person }));
    await house.seal();
    await inHerStore(
      `update app.tenants set state = 'soft_deleted', state_since = now() - interval '31 days' where tenant_id = $1`,
    );
    await endTenant(house.platform, { tenant: tenant.id, origin: ORIGIN });
    await house.seal();
  });

  it('is erased from it, with nothing left in any store but her id', async () => {
    expect((await tablesOfHers()).length).toBeGreaterThan(5);
    expect(await textOfHerStore()).toContain(word);
    for (let turns = 0; (await stateOfErasure()) !== 'erased'; turns += 1) {
      await erasureTurn(house)();
      expect(turns).toBeLessThan(20);
    }
    await house.seal();
    await house.seal();
    expect(await tablesOfHers()).toEqual(['tenant_contracts', 'tenant_keys', 'tenants']);
    expect(await textOfHerStore()).not.toContain(word);
    for (const shared of ['directory', 'eu-1'] as const)
      expect(await dumpOf(house, shared), shared).not.toContain(word);
  });

  const store = () => ctx.tenant.store ?? POOL;

  async function inHerStore<Row extends object>(
    text: string,
    values = [uuidOf('tnt', ctx.tenant.tenant)],
  ): Promise<Row[]> {
    return withClient(storeUrl(house.stores.url('eu-1'), store()), async (client) => {
      await client.query('set session_replication_role = replica');
      return (await client.query<Row>(inStore(text, store()), values)).rows;
    });
  }

  async function stateOfErasure(): Promise<string | undefined> {
    return (await listErasures(ctx, { first: 1 })).edges[0]?.node.state;
  }

  /** Events leave a store whenever the archive has them. */
  async function tablesOfHers(): Promise<string[]> {
    const names: string[] = [];
    for (const name of await tables())
      if ((await inHerStore(`select from app.${name} where tenant_id = $1 limit 1`)).length > 0) names.push(name);
    return names.filter((name) => name !== 'sequenced_events');
  }

  async function tables(): Promise<string[]> {
    const rows = await inHerStore<{ name: string }>(
      "select tablename as name from pg_tables where schemaname = 'app' order by 1",
      [],
    );
    return rows.map(({ name }) => name);
  }

  const textOfHerStore = () => {
    const number = schemaNumber(store());
    const schemas = ['app', 'tenon'].map((name) => (number === null ? name : `${name}_${number}`));
    return dumpOfSchemas(storeUrl(house.stores.url('eu-1'), store()), schemas);
  };
});

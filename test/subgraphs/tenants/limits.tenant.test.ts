import { describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { provisionTenant, type ProvisionedTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';
import { LIMITS, REMOVE_CLIENT, SET_CLIENT, SET_TENANT, limitsIn } from './limits-operations.ts';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const initech = await provisionTenant(house.platform, inputOf('initech', { state: 'active' }), ORIGIN);
const operator = await house.operator();
const as = (tenant: ProvisionedTenant) =>
  requestOf(house.platform, tenant.context, { scopes: Object.keys(SCOPES) as Scope[] });

const CLIENT = { client: 'partner-app', requests: { capacity: 5, restorePerSecond: 1 } };

describe('the limits of a tenant', () => {
  it('are neither seen, changed nor removed by another in the same cell', async () => {
    const before = limitsIn(await ask(as(initech), LIMITS));
    await ask(operator, SET_TENANT, { input: { tenantId: acme.tenant.id, concurrency: 2 } });
    const mine = limitsIn(await ask(as(acme), SET_CLIENT, { input: CLIENT }));
    expect(mine).toMatchObject({ concurrency: 2, clients: [{ client: 'partner-app' }] });
    expect(limitsIn(await ask(as(initech), LIMITS))).toEqual(before);
    expect(codeOf(await ask(as(initech), REMOVE_CLIENT, { input: { client: 'partner-app' } }))).toBe('NOT_FOUND');
    expect(codeOf(await ask(as(initech), SET_TENANT, { input: { tenantId: acme.tenant.id } }))).toBe('FORBIDDEN');
    expect(limitsIn(await ask(as(acme), LIMITS))).toEqual(mine);
  });

  it('are rows that another tenant’s transaction neither reads nor writes, whatever it says', async () => {
    const uuid = uuidOf('tnt', acme.tenant.id);
    await inTenant(as(initech), async (tx) => {
      expect(await tx.query('select from budget_limits where tenant_id = $1', [uuid])).toEqual([]);
      expect(await tx.query(`update budget_limits set limits = '{}' returning client`)).toEqual([]);
    });
    const insert = `insert into budget_limits (tenant_id, client, limits) values ($1, 'mine', '{}')`;
    await expect(inTenant(as(initech), (tx) => tx.query(insert, [uuid]))).rejects.toThrow(/row-level security/);
  });

  it('of a tenant that never was are NOT_FOUND for an operator', async () => {
    for (const tenantId of [mintId('tnt'), 'nonsense'])
      expect(codeOf(await ask(operator, SET_TENANT, { input: { tenantId, concurrency: 1 } }))).toBe('NOT_FOUND');
  });
});

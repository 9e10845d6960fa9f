import { describe, expect, it } from 'vitest';
import { BUILT_IN_ROLES, SCOPES, type Scope } from '#schema/scopes.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';
import { LIMITS, REMOVE_CLIENT, SET_CLIENT, SET_TENANT, SET_TIER } from './limits-operations.ts';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const operator = await house.operator();
const as = (scopes: readonly Scope[]) => requestOf(house.platform, acme.context, { scopes });
const CLIENT = { client: 'partner-app', requests: { capacity: 5, restorePerSecond: 1 } };

describe('the limits of a tenant', () => {
  it.each(['admin', 'member', 'auditor'] as const)('are seen by her %s', async (role) => {
    expect(codeOf(await ask(as(BUILT_IN_ROLES[role]), LIMITS))).toBeNull();
  });

  it.each(['member', 'auditor'] as const)('are not changed by her %s', async (role) => {
    for (const [document, input] of [
      [SET_CLIENT, CLIENT],
      [REMOVE_CLIENT, { client: 'partner-app' }],
    ] as const) {
      const answer = await ask(as(BUILT_IN_ROLES[role]), document, { input });
      expect([codeOf(answer), answer.errors?.[0]?.message]).toEqual([
        'FORBIDDEN',
        expect.stringContaining('tenant:write'),
      ]);
    }
  });

  it('of a client are changed by her administrator, those of herself or of a tier by nobody of hers', async () => {
    const everything = Object.keys(SCOPES) as Scope[];
    expect(codeOf(await ask(as(BUILT_IN_ROLES.admin), SET_CLIENT, { input: CLIENT }))).toBeNull();
    for (const scopes of [BUILT_IN_ROLES.admin, everything]) {
      const own = { tenantId: acme.tenant.id, concurrency: 100 };
      expect(codeOf(await ask(as(scopes), SET_TENANT, { input: own }))).toBe('FORBIDDEN');
      expect(codeOf(await ask(as(scopes), SET_TIER, { input: { tier: 'GROWTH', concurrency: 100 } }))).toBe(
        'FORBIDDEN',
      );
    }
  });

  it('of any tenant and tier are changed by an operator, who sees them where she acts', async () => {
    expect(codeOf(await ask(operator, SET_TENANT, { input: { tenantId: acme.tenant.id, concurrency: 9 } }))).toBeNull();
    expect(codeOf(await ask(operator, SET_TIER, { input: { tier: 'FREE', concurrency: 7 } }))).toBeNull();
    const move = `mutation ($input: ChangeTenantStateInput!) {
      changeTenantState(input: $input) { tenant { budgetLimits { concurrency } } } }`;
    const { data } = await ask(operator, move, { input: { tenantId: acme.tenant.id, to: 'SUSPENDED' } });
    expect(data).toMatchObject({ changeTenantState: { tenant: { budgetLimits: { concurrency: 9 } } } });
  });
});

import { describe, expect, it } from 'vitest';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { TIER_LIMITS } from '#schema/budget-limits.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';
import { LIMITS, REMOVE_CLIENT, SET_CLIENT, SET_TENANT, SET_TIER, limitsIn } from './limits-operations.ts';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active', region: 'us' }), ORIGIN);
const operator = await house.operator();
const scopes = Object.keys(SCOPES) as Scope[];
const admin = requestOf(house.platform, acme.context, { scopes });
const query = { capacity: 500, restorePerSecond: 12.5 };
const GROWTH = { ...TIER_LIMITS.GROWTH, clients: [] };
const hintOf = async (answer: ReturnType<typeof ask>) => (await answer).errors?.[0]?.message;

describe('the budgets of a tenant', () => {
  it('are those of her tier, as the database was made with', async () => {
    expect(limitsIn(await ask(admin, LIMITS))).toEqual(GROWTH);
    const rows = await house.peek<{ tier: string; limits: unknown }>(
      'directory',
      'select tier, limits from tier_limits',
    );
    expect(Object.fromEntries(rows.map(({ tier, limits }) => [tier, limits]))).toEqual(TIER_LIMITS);
  });

  it('differ where an operator says so, with the event in her log and in the operators’', async () => {
    const input = {
      tenantId: globex.tenant.id,
      concurrency: 3,
      tenant: { points: { query } },
      user: { requests: query },
    };
    const expected = {
      ...GROWTH,
      concurrency: 3,
      tenant: { ...GROWTH.tenant, points: { ...GROWTH.tenant.points, query } },
      user: { ...GROWTH.user, requests: query },
    };
    expect(limitsIn(await ask(operator, SET_TENANT, { input }))).toEqual(expected);
    expect(limitsIn(await ask(requestOf(house.platform, globex.context, { scopes }), LIMITS))).toEqual(expected);
    const rate = { capacity: 500, restore_per_second: 12.5 };
    const event = {
      action: 'limits.change',
      actor: { type: 'api_key', ip: '203.0.113.9' },
      resource: { type: 'tenant', id: globex.tenant.id, name: 'Name of globex' },
      context: {
        before: null,
        after: { concurrency: 3, tenant: { points: { query: rate } }, user: { requests: rate } },
      },
    };
    expect((await house.events(globex.tenant.id, 'us-1')).at(-1)).toMatchObject(event);
    expect((await house.events(operator.tenant.tenant)).at(-1)).toMatchObject(event);
  });

  it('are those of her tier again when the operator names no number', async () => {
    const input = { tenantId: globex.tenant.id, tenant: { points: {} }, maxQueryCost: null };
    expect(limitsIn(await ask(operator, SET_TENANT, { input }))).toEqual(GROWTH);
    expect(await house.peek('us-1', 'select * from budget_limits')).toEqual([]);
    expect((await house.events(globex.tenant.id, 'us-1')).at(-1)?.context).toMatchObject({
      before: { concurrency: 3 },
      after: {},
    });
  });

  it('change with those of the tier, of which an operator names some', async () => {
    const input = { tier: 'GROWTH', maxQueryCost: 900, client: { points: { bulk: query } } };
    const changed = limitsIn(await ask(operator, SET_TIER, { input }));
    expect(changed).toEqual({
      ...GROWTH,
      maxQueryCost: 900,
      client: { ...GROWTH.client, points: { ...GROWTH.client.points, bulk: query } },
    });
    expect(limitsIn(await ask(admin, LIMITS))).toEqual(changed);
    expect((await house.events(operator.tenant.tenant)).at(-1)).toMatchObject({
      action: 'limits.change_tier',
      resource: { type: 'tier', id: 'GROWTH' },
      context: { before: { max_query_cost: 1_000 }, after: { max_query_cost: 900 } },
    });
    const { maxQueryCost, client } = GROWTH;
    const back = await ask(operator, SET_TIER, { input: { tier: 'GROWTH', maxQueryCost, client } });
    expect(limitsIn(back)).toEqual(GROWTH);
  });

  it('of a tier stay as they are when their event cannot be written', async () => {
    await house.peek('eu-1', 'revoke insert on outbox from tenon_app');
    const answer = await ask(operator, SET_TIER, { input: { tier: 'GROWTH', maxQueryCost: 7 } });
    await house.peek('eu-1', 'grant insert on outbox to tenon_app');
    expect(codeOf(answer)).toBe('INTERNAL_SERVER_ERROR');
    expect(limitsIn(await ask(admin, LIMITS))).toEqual(GROWTH);
  });

  const number = (name: string, value: number) => ({ tenantId: acme.tenant.id, [name]: value });
  const rate = (value: object) => ({
    tenantId: acme.tenant.id,
    user: { points: { mutation: { ...query, ...value } } },
  });
  it.each([
    ['"maxQueryCost" takes a whole number from 1 to 1000000.', number('maxQueryCost', 0)],
    ['"maxQueryCost" takes', number('maxQueryCost', 1_000_001)],
    ['"concurrency" takes a whole number from 1 to 10000.', number('concurrency', -5)],
    ['"user.points.mutation.capacity" takes', rate({ capacity: 0 })],
    ['"user.points.mutation.restorePerSecond" takes a number from 0.001 to 10000000.', rate({ restorePerSecond: 0 })],
    ['"user.points.mutation.restorePerSecond" takes', rate({ restorePerSecond: 1e9 })],
  ])('take no number out of bounds: %s', async (hint, input) => {
    const answer = await ask(operator, SET_TENANT, { input });
    expect([codeOf(answer), answer.errors?.[0]?.message]).toEqual(['BAD_USER_INPUT', expect.stringContaining(hint)]);
    expect(limitsIn(await ask(admin, LIMITS))).toEqual(GROWTH);
  });
});

describe('a client of a tenant', () => {
  const input = { client: 'partner-app', points: { query }, requests: { capacity: 10, restorePerSecond: 1 } };
  const budget = { points: { ...GROWTH.client.points, query }, requests: input.requests };

  it('may be allowed less by its tenant, with an event in the same transaction', async () => {
    const limits = limitsIn(await ask(admin, SET_CLIENT, { input }));
    expect(limits).toEqual({ ...GROWTH, clients: [{ client: 'partner-app', budget }] });
    expect((await house.events(acme.tenant.id)).at(-1)).toMatchObject({
      action: 'limits.change_client',
      resource: { type: 'client', id: 'partner-app' },
      context: { before: null, after: { requests: { capacity: 10, restore_per_second: 1 } } },
    });
    await house.peek('eu-1', 'revoke insert on outbox from tenon_app');
    const refused = await ask(admin, SET_CLIENT, { input: { client: 'other', requests: input.requests } });
    await house.peek('eu-1', 'grant insert on outbox to tenon_app');
    expect(codeOf(refused)).not.toBeNull();
    expect(limitsIn(await ask(admin, LIMITS))).toEqual(limits);
  });

  it('is never allowed more than each client, also where an operator lowers these later', async () => {
    const more = { client: 'partner-app', points: { query: { capacity: 1_501, restorePerSecond: 1 } } };
    expect(await hintOf(ask(admin, SET_CLIENT, { input: more }))).toContain('"points.query.capacity" is above');
    const faster = { client: 'partner-app', requests: { capacity: 1, restorePerSecond: 37.6 } };
    expect(await hintOf(ask(admin, SET_CLIENT, { input: faster }))).toContain('"requests.restorePerSecond" is above');
    const less = { capacity: 7, restorePerSecond: 0.5 };
    const whole = { tenantId: acme.tenant.id, client: { requests: less } };
    const [client] = limitsIn(await ask(operator, SET_TENANT, { input: whole })).clients;
    expect(client).toEqual({ client: 'partner-app', budget: { ...budget, requests: less } });
    await ask(operator, SET_TENANT, { input: { tenantId: acme.tenant.id } });
  });

  it('does not change its own limits by its own key', async () => {
    const key = requestOf(house.platform, acme.context, { scopes, client: 'partner-app' });
    expect(codeOf(await ask(key, SET_CLIENT, { input }))).toBe('FORBIDDEN');
    expect(codeOf(await ask(key, REMOVE_CLIENT, { input: { client: 'partner-app' } }))).toBe('FORBIDDEN');
  });

  it.each(['', 'Partner', 'a b', `a${'b'.repeat(63)}`])('is named as keys name it, not %j', async (client) => {
    expect(codeOf(await ask(admin, SET_CLIENT, { input: { ...input, client } }))).toBe('BAD_USER_INPUT');
  });

  it('needs a number, and is one of at most 200', async () => {
    expect(await hintOf(ask(admin, SET_CLIENT, { input: { client: 'x' } }))).toContain('at least one number');
    await house.peek(
      'eu-1',
      `insert into budget_limits (tenant_id, client, limits) select tenant_id, 'c' || n, '{}' from tenants, generate_series(1, 199) n where slug = 'acme'`,
    );
    expect(await hintOf(ask(admin, SET_CLIENT, { input: { ...input, client: 'x' } }))).toContain('At most 200 clients');
    expect(codeOf(await ask(admin, SET_CLIENT, { input }))).toBeNull();
    await house.peek('eu-1', `delete from budget_limits where client like 'c%'`);
  });

  it('has what each client has when its limits are removed, once', async () => {
    const remove = { input: { client: 'partner-app' } };
    expect(limitsIn(await ask(admin, REMOVE_CLIENT, remove))).toEqual(GROWTH);
    expect((await house.events(acme.tenant.id)).at(-1)).toMatchObject({
      action: 'limits.remove_client',
      context: { before: { requests: { capacity: 10 } }, after: {} },
    });
    expect(codeOf(await ask(admin, REMOVE_CLIENT, remove))).toBe('NOT_FOUND');
  });
});

import { describe, expect, it } from 'vitest';
import { inTenant, type Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { requestContext } from '#kit/request-context.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { provisionTenant, type ProvisionedTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';

const TENANT = '{ tenant { id slug name tier region cell state createdAt } }';
const TENANTS =
  'query ($first: Int, $after: String) { tenants(first: $first, after: $after) { edges { cursor node { id slug tier region cell state } } pageInfo { hasNextPage endCursor } } }';
const CREATE =
  'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { adminSignInUrl tenant { id slug cell state } } }';
const CHANGE_TIER = 'mutation ($input: ChangeTierInput!) { changeTier(input: $input) { tenant { id tier } } }';
const REPORT_PAYMENT = 'mutation ($input: ReportPaymentInput!) { reportPayment(input: $input) { tenant { state } } }';
const CHANGE_STATE =
  'mutation ($input: ChangeTenantStateInput!) { changeTenantState(input: $input) { tenant { id state } } }';
const REFERENCE = 'query ($of: [_Any!]!) { _entities(representations: $of) { ... on Tenant { id name } } }';

const house = await openTenants();
const acme = await provisionTenant(house.platform, inputOf('acme', { state: 'active' }), ORIGIN);
const globex = await provisionTenant(house.platform, inputOf('globex', { state: 'active' }), ORIGIN);
const operator = await house.operator();

const allScopes = Object.keys(SCOPES) as Scope[];
const without = (scope: Scope) => allScopes.filter((held) => held !== scope);
const as = (tenant: ProvisionedTenant, scopes: readonly Scope[] = allScopes) =>
  requestOf(house.platform, tenant.context, { scopes });
const away = () => Promise.reject(new TypeError('away'));
const directoryState = async (slug: string) => findTenantBySlug(house.platform.databases, slug);

describe('a tenant who asks', () => {
  it('sees herself', async () => {
    const { data } = await ask(as(acme), TENANT);
    expect(data).toEqual({
      tenant: {
        id: acme.tenant.id,
        slug: 'acme',
        name: 'Name of acme',
        tier: 'GROWTH',
        region: 'eu',
        cell: 'eu-1',
        state: 'ACTIVE',
        createdAt: acme.tenant.createdAt.toISOString(),
      },
    });
  });

  it('finds herself by reference, and nobody else', async () => {
    const of = [globex.tenant.id, acme.tenant.id, mintId('tnt'), 'nonsense'].map((id) => ({
      __typename: 'Tenant',
      id,
    }));
    const { data, errors } = await ask(as(acme), REFERENCE, { of });
    expect(errors).toBeUndefined();
    expect(data).toEqual({ _entities: [null, { id: acme.tenant.id, name: 'Name of acme' }, null, null] });
  });

  it('changes her own tier, with the event in her log and the copy in the directory', async () => {
    const { data } = await ask(as(acme), CHANGE_TIER, { input: { tier: 'ENTERPRISE' } });
    expect(data).toEqual({ changeTier: { tenant: { id: acme.tenant.id, tier: 'ENTERPRISE' } } });
    expect((await house.events(acme.tenant.id)).at(-1)).toMatchObject({
      action: 'tenant.change_tier',
      actor: { type: 'user', ip: '203.0.113.5' },
      resource: { type: 'tenant', id: acme.tenant.id },
      context: { from: 'GROWTH', to: 'ENTERPRISE' },
    });
    expect(await directoryState('acme')).toMatchObject({ tier: 'ENTERPRISE' });
    expect(await directoryState('globex')).toMatchObject({ tier: 'GROWTH' });
    const { data: other } = await ask(as(globex), TENANT);
    expect(other).toMatchObject({ tenant: { tier: 'GROWTH' } });
  });

  it('keeps her new tier when the directory is away', async () => {
    const databases = { ...house.platform.databases, directory: { query: away } as unknown as Databases['directory'] };
    const ctx = requestContext({ ...house.platform, databases }, as(globex).tenant);
    const { data } = await ask(ctx, CHANGE_TIER, { input: { tier: 'ENTERPRISE_PLUS' } });
    expect(data).toMatchObject({ changeTier: { tenant: { tier: 'ENTERPRISE_PLUS' } } });
    expect(await directoryState('globex')).toMatchObject({ tier: 'GROWTH' });
  });

  it('does not move the directory back when an older change arrives late', async () => {
    await ask(as(globex), CHANGE_TIER, { input: { tier: 'ENTERPRISE' } });
    await house.peek('directory', `update tenants set tier = 'FREE', version = 1000 where id = $1`, [
      uuidOf('tnt', globex.tenant.id),
    ]);
    await ask(as(globex), CHANGE_TIER, { input: { tier: 'GROWTH' } });
    expect(await directoryState('globex')).toMatchObject({ tier: 'FREE' });
  });
});

describe('a right that is missing', () => {
  it.each([
    ['tenant:read', TENANT, {}],
    ['tenant:read', REFERENCE, { of: [{ __typename: 'Tenant', id: 'tnt_00000000000000000000000000' }] }],
    ['tenant:write', CHANGE_TIER, { input: { tier: 'FREE' } }],
    ['platform:tenants', TENANTS, {}],
    ['platform:tenants', CREATE, { input: inputOf('forbidden') }],
    ['platform:tenants', CHANGE_STATE, { input: { tenantId: 'tnt_00000000000000000000000000', to: 'SUSPENDED' } }],
  ] as const)('is FORBIDDEN: %s', async (scope, document, variables) => {
    expect(codeOf(await ask(as(acme, without(scope)), document, variables))).toBe('FORBIDDEN');
  });

  it.each([
    [TENANTS, {}],
    [CREATE, { input: inputOf('smuggled') }],
    [CHANGE_STATE, { input: { tenantId: 'tnt_00000000000000000000000000', to: 'SUSPENDED' } }],
  ])(
    'is not given by a tenant to herself: platform:tenants counts among operators alone (%#)',
    async (document, variables) => {
      expect(codeOf(await ask(as(acme), document, variables))).toBe('FORBIDDEN');
      expect(await directoryState('smuggled')).toBeNull();
    },
  );
});

describe('an operator', () => {
  it('creates a tenant, which both logs tell in her name', async () => {
    const { state: _, ...input } = { ...inputOf('newcomer', { region: 'us' }), state: null };
    const { data, errors } = await ask(operator, CREATE, { input });
    expect(errors).toBeUndefined();
    const { tenant, adminSignInUrl } = (data as { createTenant: { tenant: { id: string }; adminSignInUrl: string } })
      .createTenant;
    expect(tenant).toMatchObject({ slug: 'newcomer', cell: 'us-1', state: 'TRIAL' });
    expect(adminSignInUrl).toContain('/sso/link?token=tnl_');
    const [first] = await house.events(tenant.id, 'us-1');
    const own = (await house.events(operator.tenant.tenant)).at(-1);
    for (const event of [first, own]) {
      expect(event).toMatchObject({
        action: 'tenant.create',
        actor: { type: 'api_key', id: operator.tenant.actor.id, ua: 'operator/1' },
        resource: { type: 'tenant', id: tenant.id },
      });
    }
    expect([first?.tenant_id, own?.tenant_id]).toEqual([tenant.id, operator.tenant.tenant]);
    expect(codeOf(await ask(operator, CREATE, { input }))).toBe('UNIQUENESS');
  });

  it('whose own log cannot take the creation asks again, and both logs have it', async () => {
    const input = inputOf('unheard');
    const tenantSource = (cell: string) => {
      const source = house.platform.databases.tenantSource(cell);
      if (++opened > 1) throw new TypeError('away');
      return source;
    };
    let opened = 0;
    const platform = { ...house.platform, databases: { ...house.platform.databases, tenantSource } };
    expect(codeOf(await ask(requestContext(platform, operator.tenant), CREATE, { input }))).toBe(
      'INTERNAL_SERVER_ERROR',
    );
    expect(await directoryState('unheard')).toMatchObject({ state: 'provisioning' });
    expect(codeOf(await ask(operator, CREATE, { input }))).toBeNull();
    const place = await directoryState('unheard');
    expect((await house.events(operator.tenant.tenant)).at(-1)?.resource.id).toBe(place?.id);
  });

  it('reads which regions there are when she names another', async () => {
    const { errors } = await ask(operator, CREATE, { input: inputOf('lost', { region: 'mars' }) });
    expect(errors?.[0]).toMatchObject({
      extensions: { code: 'BAD_USER_INPUT' },
      message: expect.stringContaining('"region" takes eu, us.') as string,
    });
  });

  it('lists all tenants, newest first, each once', async () => {
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const { data }: { data?: unknown } = await ask(operator, TENANTS, { first: 2, after });
      const page = (
        data as {
          tenants: { edges: { node: { slug: string } }[]; pageInfo: { hasNextPage: boolean; endCursor: string } };
        }
      ).tenants;
      seen.push(...page.edges.map(({ node }) => node.slug));
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after !== null);
    expect(seen).toEqual(['unheard', 'newcomer', 'platform', 'globex', 'acme']);
    expect(codeOf(await ask(operator, TENANTS, { after: 'bm9uc2Vuc2U' }))).toBe('BAD_USER_INPUT');
    expect(codeOf(await ask(operator, TENANTS, { first: 101 }))).toBe('BAD_USER_INPUT');
  });

  it('takes a tenant through her life, step by step, with the event in both logs', async () => {
    const { tenant } = await provisionTenant(house.platform, inputOf('mortal'), ORIGIN);
    const move = (to: string) => ask(operator, CHANGE_STATE, { input: { tenantId: tenant.id, to } });
    expect((await move('CANCELLED')).data).toEqual({
      changeTenantState: { tenant: { id: tenant.id, state: 'CANCELLED' } },
    });
    expect(await directoryState('mortal')).toMatchObject({ state: 'cancelled' });
    const note = {
      action: 'tenant.change_state',
      resource: { type: 'tenant', id: tenant.id },
      context: { from: 'trial', to: 'cancelled', step: 'cancel' },
    };
    expect((await house.events(tenant.id)).at(-1)).toMatchObject({ ...note, tenant_id: tenant.id });
    expect((await house.events(operator.tenant.tenant)).at(-1)).toMatchObject({
      ...note,
      tenant_id: operator.tenant.tenant,
    });
    const refused = await move('TRIAL');
    expect(refused.errors?.[0]).toMatchObject({
      extensions: { code: 'INVALID_TRANSITION' },
      message: expect.stringContaining('From cancelled it can go to active, soft_deleted.') as string,
    });
    expect((await house.events(tenant.id)).at(-1)).toMatchObject(note);
  });

  it('cannot shorten the days of grace', async () => {
    const { tenant } = await provisionTenant(house.platform, inputOf('debtor', { state: 'active' }), ORIGIN);
    const move = (to: string) => ask(operator, CHANGE_STATE, { input: { tenantId: tenant.id, to } });
    const missed = { tenantId: tenant.id, outcome: 'MISSED', reference: 'INV-1' };
    expect(codeOf(await move('PAST_DUE'))).toBe('INVALID_TRANSITION');
    expect((await ask(operator, REPORT_PAYMENT, { input: missed })).data).toMatchObject({
      reportPayment: { tenant: { state: 'PAST_DUE' } },
    });
    expect(codeOf(await move('READ_ONLY'))).toBe('INVALID_TRANSITION');
    house.setNow('2026-05-11T12:00:00Z');
    expect((await move('READ_ONLY')).data).toMatchObject({ changeTenantState: { tenant: { state: 'READ_ONLY' } } });
  });

  it('gets NOT_FOUND for a tenant of nobody, and cannot lock herself out', async () => {
    const move = (tenantId: string) => ask(operator, CHANGE_STATE, { input: { tenantId, to: 'SUSPENDED' } });
    expect(codeOf(await move(mintId('tnt')))).toBe('NOT_FOUND');
    expect(codeOf(await move('nonsense'))).toBe('NOT_FOUND');
    expect(codeOf(await move(operator.tenant.tenant))).toBe('INVALID_TRANSITION');
  });
});

describe('the row of a tenant', () => {
  it("is hers alone: nobody writes another tenant's", async () => {
    const scope = { tenant: acme.context, databases: house.platform.databases };
    const changed = await inTenant(scope, (tx) =>
      tx.query('update tenants set name = $2 where id = $1 returning slug', [
        uuidOf('tnt', globex.tenant.id),
        'taken over',
      ]),
    );
    expect(changed).toEqual([]);
    const seen = await inTenant(scope, (tx) => tx.query<{ id: string }>('select id from tenants'));
    expect(seen.map(({ id }) => idOf('tnt', id))).toEqual([acme.tenant.id]);
  });
});

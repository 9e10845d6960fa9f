import { describe, expect, it } from 'vitest';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { requestContext } from '#kit/request-context.ts';
import { STATE_DOORS } from '#schema/tenant-doors.ts';
import { TENANT_STATES, type TenantState } from '#schema/tenant-context.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import { provisionTenant } from '../../../subgraphs/tenants/provisioning.ts';
import { changeTenantState } from '../../../subgraphs/tenants/service.ts';
import { openHouse, type House } from '../../support/house.ts';
import { withClient } from '../../support/postgres.ts';
import { ask, codeOf, inputOf, openTenants, ORIGIN, requestOf } from './tenants-platform.ts';

const world = await openTenants();
const LIFE =
  '{ tenant { state life { trialEndsAt confirmedAt unpaidSince days { trial eraseAfter } coming { action to from } } } }';
const SET_DAYS =
  'mutation ($input: SetLifeDaysInput!) { setLifeDays(input: $input) { tier days { trial readOnlyAfter suspendAfter eraseAfter } } }';

async function request(slug: string, change: Parameters<typeof inputOf>[1] = {}) {
  const { context } = await provisionTenant(world.platform, inputOf(slug, change), ORIGIN);
  return requestOf(world.platform, context, { scopes: ['tenant:read', 'tenant:write'] });
}

describe('a tenant', () => {
  it('sees what comes next, agrees to pay, and takes it back before anything is charged', async () => {
    const ctx = await request('agrees');
    expect((await ask(ctx, LIFE)).data).toMatchObject({
      tenant: {
        state: 'TRIAL',
        life: {
          confirmedAt: null,
          coming: { action: 'end_trial', to: 'READ_ONLY', from: '2026-05-19T12:00:00.000Z' },
        },
      },
    });
    const confirm = 'mutation { confirmTrial { tenant { state life { confirmedAt coming { action } } } } }';
    const confirmed = {
      state: 'TRIAL',
      life: { confirmedAt: '2026-05-04T12:00:00.000Z', coming: { action: 'convert' } },
    };
    expect((await ask(ctx, confirm)).data).toMatchObject({ confirmTrial: { tenant: confirmed } });
    expect((await ask(ctx, confirm)).data).toMatchObject({ confirmTrial: { tenant: confirmed } });
    expect(
      (await ask(ctx, 'mutation { withdrawConfirmation { tenant { life { confirmedAt } } } }')).data,
    ).toMatchObject({
      withdrawConfirmation: { tenant: { life: { confirmedAt: null } } },
    });
    const actions = (await world.events(ctx.tenant.tenant)).map(({ action }) => action);
    expect(actions.slice(-3)).toEqual(['tenant.confirm_trial', 'mutation.unchanged', 'tenant.withdraw_confirmation']);
  });

  it('cancels herself, and resumes only what she agreed to pay for', async () => {
    const [paying, trying] = [await request('paying', { state: 'active' }), await request('trying')];
    for (const ctx of [paying, trying]) {
      expect((await ask(ctx, 'mutation { cancelTenant { tenant { state } } }')).data).toMatchObject({
        cancelTenant: { tenant: { state: 'CANCELLED' } },
      });
    }
    const resume = 'mutation { resumeTenant { tenant { state } } }';
    expect((await ask(paying, resume)).data).toMatchObject({ resumeTenant: { tenant: { state: 'ACTIVE' } } });
    expect(codeOf(await ask(trying, resume))).toBe('INVALID_TRANSITION');
    expect(codeOf(await ask(paying, 'mutation { confirmTrial { tenant { state } } }'))).toBe('INVALID_TRANSITION');
    const reader = requestContext(world.platform, { ...paying.tenant, scopes: ['tenant:read'] });
    expect(codeOf(await ask(reader, 'mutation { cancelTenant { tenant { state } } }'))).toBe('FORBIDDEN');
  });
});

describe('an operator', () => {
  it('changes the days of a tier while the platform runs, on record and within bounds', async () => {
    const operator = await world.operator();
    const input = { tier: 'ENTERPRISE', days: { trial: 60, eraseAfter: 90 } };
    expect((await ask(operator, SET_DAYS, { input })).data).toEqual({
      setLifeDays: { tier: 'ENTERPRISE', days: { trial: 60, readOnlyAfter: 7, suspendAfter: 30, eraseAfter: 90 } },
    });
    const ctx = await request('enterprise', { tier: 'ENTERPRISE' });
    expect((await ask(ctx, LIFE)).data).toMatchObject({
      tenant: { life: { trialEndsAt: '2026-07-03T12:00:00.000Z', days: { trial: 60, eraseAfter: 90 } } },
    });
    const event = (await world.events(operator.tenant.tenant)).at(-1);
    expect(event).toMatchObject({
      action: 'tenant.set_life_days',
      resource: { id: 'ENTERPRISE' },
      context: { before: { trial: 14, erase_after: 30 }, after: { trial: 60, erase_after: 90 } },
    });
    for (const days of [
      { eraseAfter: 1 },
      { trial: 0 },
      { trialGraceHours: 1 },
      { suspendAfter: 7 },
      { readOnlyAfter: 30 },
    ]) {
      expect(codeOf(await ask(operator, SET_DAYS, { input: { tier: 'GROWTH', days } }))).toBe('BAD_USER_INPUT');
    }
    expect(codeOf(await ask(ctx, SET_DAYS, { input }))).toBe('FORBIDDEN');
  });

  it('makes a tenant with days of her own contract, who has signed it', async () => {
    const operator = await world.operator();
    const { slug, name, region, adminEmail, adminName } = inputOf('signed');
    const contract = { days: { trial: 90 }, confirmed: true };
    const input = { slug, name, tier: 'GROWTH', region, adminEmail, adminName, contract };
    const create = 'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id state } } }';
    const { data } = await ask(operator, create, { input });
    expect(data).toMatchObject({ createTenant: { tenant: { state: 'TRIAL' } } });
    const made = data?.['createTenant'] as { tenant: { id: string } } | undefined;
    const [row] = await world.peek(
      'eu-1',
      'select trial_ends_at, confirmed_by, days from tenant_contracts where tenant_id = $1',
      [uuidOf('tnt', made?.tenant.id ?? '')],
    );
    expect(row).toEqual({
      trial_ends_at: new Date('2026-08-02T12:00:00Z'),
      confirmed_by: operator.tenant.actor.id,
      days: { trial: 90 },
    });
    const bad = { ...input, slug: 'signed-badly', contract: { days: { trial: 9999 } } };
    expect(codeOf(await ask(operator, create, { input: bad }))).toBe('BAD_USER_INPUT');
  });
});

it('signs everybody out of a tenant that is recovered', async () => {
  const ctx = await request('recovered', { state: 'active' });
  const [user] = await world.peek<{ id: string }>('eu-1', 'select id from users where tenant_id = $1', [
    uuidOf('tnt', ctx.tenant.tenant),
  ]);
  const session = { kind: 'session', userId: idOf('usr', user?.id ?? ''), name: 'test' } as const;
  const expiresAt = new Date('2027-01-01T00:00:00Z');
  const { id } = await inTenant(ctx, (tx) => issueCredential(tx, ctx.tenant.tenant, { ...session, expiresAt }));
  const isOver = async () =>
    (await world.peek('eu-1', 'select from credentials where id = $1 and revoked_at is not null', [uuidOf('ses', id)]))
      .length === 1;
  const operator = await world.operator();
  for (const to of ['suspended', 'soft_deleted'] as const)
    await changeTenantState(operator, { tenantId: ctx.tenant.tenant, to });
  expect(await isOver()).toBe(false);
  await changeTenantState(operator, { tenantId: ctx.tenant.tenant, to: 'suspended' });
  expect(await isOver()).toBe(true);
});

describe('what a state leaves open, at the front door', () => {
  it('is what the table says: reading, work, administration, payment and export', { timeout: 60_000 }, async () => {
    const house = await openHouse();
    const probes = {
      read: '{ users(first: 1) { edges { cursor } } }',
      work: 'mutation { createProject(input: {name: "p"}) { project { id } } }',
      admin: 'mutation { createRole(input: {name: "odd", scopes: ["nonsense"]}) { role { id } } }',
      payment: '{ invoices(first: 1) { edges { cursor } } }',
      export: '{ tenant { state } }',
    };
    const states = TENANT_STATES.filter((one) => one !== 'provisioning');
    // A token that a gateway meets for the first time is read then, whether it has heard of the change or not.
    const tokens = await newSessions(house, states.length);
    for (const [index, state] of states.entries()) {
      await setState(house.stores.url('eu-1'), house.acme.id, state);
      for (const [door, document] of Object.entries(probes)) {
        const { errors } = await house.graphql(tokens[index] ?? '', document);
        const code = errors?.[0]?.extensions.code ?? 'none';
        const refused = ['TENANT_READ_ONLY', 'TENANT_SUSPENDED'].includes(code);
        expect([state, door, refused], code).toEqual([
          state,
          door,
          !STATE_DOORS[state].has(door as keyof typeof probes),
        ]);
      }
    }
    await setState(house.stores.url('eu-1'), house.acme.id, 'suspended');
    const usage = await house.fetch(house.acme.partner, '/v1/usage', {
      method: 'POST',
      body: '[]',
      headers: { 'content-type': 'application/json' },
    });
    expect([usage.status, ((await usage.json()) as { code: string }).code]).toEqual([403, 'TENANT_SUSPENDED']);
  });
});

async function setState(url: string, tenant: string, state: TenantState): Promise<void> {
  await withClient(url, (client) =>
    client.query('update app.tenants set state = $2 where tenant_id = $1', [uuidOf('tnt', tenant), state]),
  );
}

/** Sessions of the administrator of acme that no gateway has met. */
async function newSessions({ stores, platform, acme }: House, count: number): Promise<string[]> {
  const { rows } = await withClient(stores.url('eu-1'), (client) =>
    client.query<{ id: string }>('select id from app.users where tenant_id = $1 and user_name = $2', [
      uuidOf('tnt', acme.id),
      'admin@acme.example',
    ]),
  );
  const userId = idOf('usr', rows[0]?.id ?? '');
  const context = await systemContext(platform.databases, acme.id as Id<'tnt'>, {
    name: 'test',
    requestId: 'req_test',
  });
  const session = { kind: 'session', userId, name: 'test', expiresAt: new Date(Date.now() + 3_600_000) } as const;
  return inTenant(requestContext(platform, context), async (tx) => {
    const tokens: string[] = [];
    for (let index = 0; index < count; index += 1)
      tokens.push((await issueCredential(tx, context.tenant, session)).token);
    return tokens;
  });
}

import { describe, expect, it } from 'vitest';
import { authenticate, consumeSignInLink, parseToken } from '#kit/credential.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import type { Platform } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { uuidOf } from '#schema/ids.ts';
import { BUILT_IN_ROLES } from '#schema/scopes.ts';
import { reconcileDirectory } from '../../../subgraphs/tenants/directory-entry.ts';
import {
  ensureOperatorTenant,
  provisionTenant,
  type ProvisionedTenant,
} from '../../../subgraphs/tenants/provisioning.ts';
import { withClient } from '../../support/postgres.ts';
import { inputOf, open, openTenants, ORIGIN } from './tenants-platform.ts';

const house = await openTenants();
const { platform } = house;

/** What is left when the process dies before the cell's transaction. */
const dyingBeforeCell = (): Platform => ({
  ...platform,
  databases: {
    ...platform.databases,
    tenantSource: () => {
      throw new TypeError('died');
    },
  },
});

/** What is left when the process dies behind the cell's commit: the directory never hears of it. */
const dyingBehindCell = (): Platform => {
  const query = (text: string, values: unknown[]) =>
    text.startsWith('update')
      ? Promise.reject(new TypeError('died'))
      : platform.databases.directory.query(text, values);
  return {
    ...platform,
    databases: { ...platform.databases, directory: { query } as unknown as Databases['directory'] },
  };
};

const tokenOf = (url: string) => new URL(url).searchParams.get('token') ?? '';

function useLink({ context, adminSignInUrl }: ProvisionedTenant, now: string) {
  const parts = parseToken(tokenOf(adminSignInUrl));
  if (parts === null) throw new Error('a link carries a token');
  return inTenant({ tenant: context, databases: platform.databases }, (tx) =>
    consumeSignInLink(tx, parts, new Date(now)),
  );
}

const countOf = async (table: string, tenant: string): Promise<number> => {
  const rows = await house.peek<{ count: number }>(
    'eu-1',
    `select count(*)::integer from ${table} where tenant_id = $1`,
    [uuidOf('tnt', tenant)],
  );
  return rows[0]?.count ?? -1;
};

describe('a new tenant', () => {
  it('stands in directory and cell with the built-in roles and an administrator who can sign in once', async () => {
    const made = await provisionTenant(platform, inputOf('whole'), ORIGIN);
    expect(made.tenant).toMatchObject({
      slug: 'whole',
      name: 'Name of whole',
      tier: 'GROWTH',
      region: 'eu',
      cell: 'eu-1',
      state: 'trial',
    });
    expect(await findTenantBySlug(platform.databases, 'whole')).toMatchObject({
      id: made.tenant.id,
      state: 'trial',
      tier: 'GROWTH',
    });
    const roles = await house.peek<{ name: string; scopes: string[] }>(
      'eu-1',
      'select name, scopes from roles where built_in and tenant_id = $1',
      [uuidOf('tnt', made.tenant.id)],
    );
    expect(Object.fromEntries(roles.map(({ name, scopes }) => [name, scopes]))).toEqual(BUILT_IN_ROLES);
    const admins = await house.peek(
      'eu-1',
      'select user_name, email, display_name, name from users u join user_roles ur on ur.user_id = u.id join roles r on r.id = ur.role_id where u.tenant_id = $1',
      [uuidOf('tnt', made.tenant.id)],
    );
    expect(admins).toEqual([
      { user_name: 'ada@whole.example', email: 'ada@whole.example', display_name: 'Ada', name: 'admin' },
    ]);
    expect(made.adminSignInUrl).toMatch(/^http:\/\/tenon\.test\/sso\/link\?token=tnl_/);
    expect(await useLink(made, '2026-05-04T13:00:00Z')).toBe(made.adminUserId);
    await expect(useLink(made, '2026-05-04T13:00:00Z')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('has a link that is dead after a day', async () => {
    const made = await provisionTenant(platform, inputOf('late'), ORIGIN);
    await expect(useLink(made, '2026-05-05T12:00:00.000Z')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(await useLink(made, '2026-05-05T11:59:59.999Z')).toBe(made.adminUserId);
  });

  it('begins her log with her own creation, in the name of whoever asked for it', async () => {
    const { tenant, adminUserId } = await provisionTenant(platform, inputOf('logged'), ORIGIN);
    const events = await house.events(tenant.id);
    expect(events.map(({ action }) => action)).toEqual([
      'tenant.create',
      'user.create',
      'role.grant',
      'sign_in_link.create',
    ]);
    expect(events[0]).toMatchObject({
      tenant_id: tenant.id,
      actor: ORIGIN.actor,
      resource: { type: 'tenant', id: tenant.id, name: 'Name of logged' },
      context: { tier: 'GROWTH', region: 'eu', cell: 'eu-1' },
    });
    expect(events[2]?.context).toEqual({ user: adminUserId, source: 'provisioning' });
  });

  it('is active at once when free, and in the state that is asked for', async () => {
    const free = await provisionTenant(platform, inputOf('free', { tier: 'FREE' }), ORIGIN);
    const asked = await provisionTenant(platform, inputOf('asked', { state: 'active' }), ORIGIN);
    expect([free.tenant.state, asked.tenant.state, asked.context.state]).toEqual(['active', 'active', 'active']);
  });

  it('goes to the cell of her region with the fewest tenants', async () => {
    const [eu, us] = platform.databases.cells;
    if (eu === undefined || us === undefined) throw new Error('there are two cells');
    await setRegion('eu');
    const databases = await open(house.stores, [eu, { ...us, region: 'eu' }]);
    const { tenant } = await provisionTenant({ ...platform, databases }, inputOf('emptiest'), ORIGIN);
    await setRegion('us');
    expect(tenant.cell).toBe('us-1');
  });

  it.each([
    ['another region', { region: 'mars' }, '"region" takes eu, us.'],
    ['a slug with capitals', { slug: 'Acme' }, 'slug takes'],
    ['a slug that SQL would like', { slug: "a';--" }, 'slug takes'],
    ['no address', { adminEmail: 'ada' }, 'adminEmail must be an email'],
    ['an endless name', { name: 'x'.repeat(201) }, 'name must be shorter'],
  ])('with %s is BAD_USER_INPUT and leaves nothing', async (_, change, hint) => {
    const input = inputOf('refused', change);
    const error: unknown = await provisionTenant(platform, input, ORIGIN).catch((fault: unknown) => fault);
    expect(error).toBeInstanceOf(TenonError);
    expect(error).toMatchObject({ code: 'BAD_USER_INPUT', hint: expect.stringContaining(hint) as string });
    expect(await findTenantBySlug(platform.databases, input.slug)).toBeNull();
  });

  it('whose slug is taken or reserved is UNIQUENESS', async () => {
    await provisionTenant(platform, inputOf('taken'), ORIGIN);
    await expect(provisionTenant(platform, inputOf('taken'), ORIGIN)).rejects.toMatchObject({ code: 'UNIQUENESS' });
    await expect(provisionTenant(platform, inputOf('platform'), ORIGIN)).rejects.toMatchObject({ code: 'UNIQUENESS' });
  });
});

/** Says that the cell us-1 lies in a region. */
async function setRegion(region: string): Promise<void> {
  await withClient(house.stores.url('us-1'), (client) => client.query('update tenon.store set region = $1', [region]));
}

describe('a creation that broke off', () => {
  it('before the cell is finished by the same call, and by no other', async () => {
    await expect(provisionTenant(dyingBeforeCell(), inputOf('early'), ORIGIN)).rejects.toThrow('died');
    const claim = await findTenantBySlug(platform.databases, 'early');
    expect(claim).toMatchObject({ state: 'provisioning' });
    await expect(provisionTenant(platform, inputOf('early', { tier: 'FREE' }), ORIGIN)).rejects.toMatchObject({
      code: 'UNIQUENESS',
    });
    await expect(provisionTenant(platform, inputOf('early', { region: 'us' }), ORIGIN)).rejects.toMatchObject({
      code: 'UNIQUENESS',
    });
    const { tenant } = await provisionTenant(platform, inputOf('early'), ORIGIN);
    expect(tenant).toMatchObject({ id: claim?.id, state: 'trial' });
  });

  it('behind the cell is finished by the same call with a fresh link, and nothing is doubled', async () => {
    await expect(provisionTenant(dyingBehindCell(), inputOf('torn'), ORIGIN)).rejects.toThrow('died');
    await expect(
      provisionTenant(platform, inputOf('torn', { adminEmail: 'eve@torn.example' }), ORIGIN),
    ).rejects.toMatchObject({ code: 'UNIQUENESS' });
    await expect(provisionTenant(platform, inputOf('torn', { name: 'Other' }), ORIGIN)).rejects.toMatchObject({
      code: 'UNIQUENESS',
    });
    const made = await provisionTenant(platform, inputOf('torn'), ORIGIN);
    expect(await useLink(made, '2026-05-04T13:00:00Z')).toBe(made.adminUserId);
    expect([await countOf('users', made.tenant.id), await countOf('roles', made.tenant.id)]).toEqual([1, 3]);
    const actions = (await house.events(made.tenant.id)).map(({ action }) => action);
    expect(actions).toEqual([
      'tenant.create',
      'user.create',
      'role.grant',
      'sign_in_link.create',
      'sign_in_link.create',
    ]);
    expect(await findTenantBySlug(platform.databases, 'torn')).toMatchObject({ state: 'trial' });
  });

  it('is not finished by a restart, which would leave nobody with a link', async () => {
    await expect(provisionTenant(dyingBehindCell(), inputOf('restarted'), ORIGIN)).rejects.toThrow('died');
    await reconcileDirectory(platform);
    expect((await provisionTenant(platform, inputOf('restarted'), ORIGIN)).tenant.slug).toBe('restarted');
  });

  it('and two that run at once make one tenant', async () => {
    const runs = await Promise.allSettled([1, 2, 3].map(() => provisionTenant(platform, inputOf('twins'), ORIGIN)));
    const made = runs.filter((run) => run.status === 'fulfilled').map(({ value }) => value);
    expect(new Set(made.map(({ tenant }) => tenant.id)).size).toBe(1);
    for (const run of runs) if (run.status === 'rejected') expect(run.reason).toMatchObject({ code: 'UNIQUENESS' });
    expect(await countOf('users', made[0]?.tenant.id ?? '')).toBe(1);
  });
});

describe("the operators' tenant", () => {
  it('is made once; its key is shown by that call alone and may create tenants', async () => {
    await expect(ensureOperatorTenant(dyingBehindCell())).rejects.toThrow('died');
    const made = await ensureOperatorTenant(platform);
    expect(await ensureOperatorTenant(platform)).toEqual({ tenant: made.tenant, apiKey: null });
    const context = await authenticate(platform.databases, made.apiKey ?? '', {
      requestId: 'req_1',
      ip: null,
      ua: null,
      now: platform.clock(),
    });
    expect(context).toMatchObject({
      tenant: made.tenant,
      scopes: ['platform:tenants'],
      client: 'operator',
      actor: { type: 'api_key' },
    });
    const actions = (await house.events(made.tenant)).map(({ action }) => action);
    expect(actions).toEqual(['tenant.create', 'api_key.create', 'api_key.create']);
  });
});

describe('the directory', () => {
  it('takes what a cell decided while it did not hear, and keeps what is newer', async () => {
    const { tenant } = await provisionTenant(platform, inputOf('behind'), ORIGIN);
    const uuid = uuidOf('tnt', tenant.id);
    await house.peek(
      'eu-1',
      `update tenants set tier = 'ENTERPRISE', state = 'suspended', version = 7 where tenant_id = $1`,
      [uuid],
    );
    expect((await reconcileDirectory(platform)).updated).toBe(1);
    expect(await findTenantBySlug(platform.databases, 'behind')).toMatchObject({
      tier: 'ENTERPRISE',
      state: 'suspended',
    });
    const second = await reconcileDirectory(platform);
    expect(second.updated).toBe(0);
    expect(second.checked).toBeGreaterThan(1);
    await house.peek('directory', `update tenants set state = 'active', version = 8 where id = $1`, [uuid]);
    expect((await reconcileDirectory(platform)).updated).toBe(0);
    expect(await findTenantBySlug(platform.databases, 'behind')).toMatchObject({ state: 'active' });
  });
});

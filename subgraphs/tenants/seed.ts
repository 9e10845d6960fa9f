import { issueCredential } from '#kit/credential.ts';
import type { TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import { DEFAULT_LIFE_DAYS, type LifeDays } from '#schema/life-days.ts';
import { BUILT_IN_ROLES, OPERATOR_SCOPES, type Scope } from '#schema/scopes.ts';
import { insertContract, type ContractTerms } from './contract.ts';
import { Tenant } from './model.ts';

// The first rows of identity's tables are written here: nobody in a new tenant could ask identity to do it. The events
// are those that identity writes for the same changes, so that a review of access starts with the first of them.

/** The first rows of a tenant for customers. */
export interface TenantSeed {
  readonly slug: string;
  readonly name: string;
  readonly state: 'trial' | 'active';
  readonly adminEmail: string;
  readonly adminName: string;
  readonly contract: ContractTerms;
  /** How long the parts of a life last in her tier. */
  readonly days: LifeDays;
}

/** What the seed has made, with a credential whose token is shown this once. */
export interface Seeded {
  readonly tenant: Tenant;
  readonly admin: Id<'usr'>;
  readonly token: string;
}

/** Long enough for a mail to be read the next morning, short enough to be worthless when found later. */
const LINK_LIFETIME_MS = 24 * 3_600_000;
/** An operator's key is replaced once a year at the latest. */
const KEY_LIFETIME_MS = 365 * 24 * 3_600_000;
/** The registered client whose operations an operator's key may run. */
const OPERATOR_CLIENT = 'operator';
const OPERATORS_NAME = 'Operators of the platform';

/**
 * Writes tenant, built-in roles, first administrator, her sign-in link and all their events. Where the rows stand
 * already, from the same seed before, only a fresh link is issued; from another seed it is UNIQUENESS.
 */
export async function seedTenant(tx: TenantTransaction, ctx: RequestContext, seed: TenantSeed): Promise<Seeded> {
  const isNew = await insertTenant(tx, ctx, seed);
  if (isNew) await insertRoles(tx, BUILT_IN_ROLES);
  const admin = isNew ? await insertAdmin(tx, ctx, seed) : await knownAdmin(tx, ctx, seed);
  const name = 'first administrator';
  const expiresAt = new Date(ctx.clock().getTime() + LINK_LIFETIME_MS);
  const link = await issueCredential(tx, ctx.tenant.tenant, { kind: 'sign_in_link', userId: admin, name, expiresAt });
  await appendAudit(tx, ctx, {
    action: 'sign_in_link.create',
    resource: { type: 'sign_in_link', id: link.id, name },
    context: { scopes: [], user: admin },
  });
  return { tenant: await readTenant(tx, ctx), admin, token: link.token };
}

/** Writes the operators' tenant and roles, where they are missing, and a fresh API key for them. */
export async function seedOperators(
  tx: TenantTransaction,
  ctx: RequestContext,
  slug: string,
): Promise<Omit<Seeded, 'admin'>> {
  const isNew = await insertTenant(tx, ctx, {
    slug,
    name: OPERATORS_NAME,
    state: 'active',
    contract: { source: 'sales' },
    days: DEFAULT_LIFE_DAYS,
  });
  if (isNew) await insertRoles(tx, { ...BUILT_IN_ROLES, operator: OPERATOR_SCOPES });
  const name = 'first operator';
  const expiresAt = new Date(ctx.clock().getTime() + KEY_LIFETIME_MS);
  const wanted = {
    kind: 'api_key',
    userId: null,
    name,
    client: OPERATOR_CLIENT,
    scopes: OPERATOR_SCOPES,
    expiresAt,
  } as const;
  const key = await issueCredential(tx, ctx.tenant.tenant, wanted);
  await appendAudit(tx, ctx, {
    action: 'api_key.create',
    resource: { type: 'api_key', id: key.id, name },
    context: { scopes: OPERATOR_SCOPES },
  });
  return { tenant: await readTenant(tx, ctx), token: key.token };
}

/** Returns false where the tenant's row stands already: from a creation that broke off, or from one beside this. */
async function insertTenant(
  tx: TenantTransaction,
  ctx: RequestContext,
  row: Pick<TenantSeed, 'slug' | 'name' | 'state' | 'contract' | 'days'>,
): Promise<boolean> {
  const { tenant, tier, region, cell } = ctx.tenant;
  const inserted = await tx.query(
    `insert into tenants (slug, name, tier, region, cell, state, state_since) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict do nothing returning slug`,
    [row.slug, row.name, tier, region, cell, row.state, ctx.clock()],
  );
  if (inserted.length === 0) return false;
  await insertContract(tx, { terms: row.contract, state: row.state, days: row.days, now: ctx.clock() });
  await appendAudit(tx, ctx, {
    action: 'tenant.create',
    resource: { type: 'tenant', id: tenant, name: row.name },
    context: { tier, region, cell },
  });
  return true;
}

async function insertRoles(tx: TenantTransaction, roles: Readonly<Record<string, readonly Scope[]>>): Promise<void> {
  for (const [name, scopes] of Object.entries(roles)) {
    await tx.query('insert into roles (id, name, scopes, built_in) values ($1, $2, $3, true)', [
      uuidOf('rol', mintId('rol')),
      name,
      scopes,
    ]);
  }
}

async function insertAdmin(tx: TenantTransaction, ctx: RequestContext, seed: TenantSeed): Promise<Id<'usr'>> {
  const admin = mintId('usr');
  const user = uuidOf('usr', admin);
  await tx.query('insert into users (id, user_name, display_name, email) values ($1, $2, $3, $2)', [
    user,
    seed.adminEmail,
    seed.adminName,
  ]);
  const [role] = await tx.query<{ id: string }>(
    `insert into user_roles (user_id, role_id) select $1, id from roles where name = 'admin' returning role_id as id`,
    [user],
  );
  if (role === undefined) return fail('INTERNAL_SERVER_ERROR', 'there is no role admin');
  await appendAudit(tx, ctx, {
    action: 'user.create',
    resource: { type: 'user', id: admin, name: seed.adminName },
    context: { source: 'provisioning' },
  });
  await appendAudit(tx, ctx, {
    action: 'role.grant',
    resource: { type: 'role', id: idOf('rol', role.id), name: 'admin' },
    context: { user: admin, source: 'provisioning' },
  });
  return admin;
}

/** Returns the administrator of a creation that broke off behind the cell's commit. */
async function knownAdmin(tx: TenantTransaction, ctx: RequestContext, seed: TenantSeed): Promise<Id<'usr'>> {
  const { name } = await readTenant(tx, ctx);
  const [user] = await tx.query<{ id: string }>(
    `select id from users where user_name = $1 and id in (
       select user_id from user_roles where role_id in (select id from roles where name = 'admin' and built_in))`,
    [seed.adminEmail],
  );
  if (name !== seed.name || user === undefined) {
    return fail('UNIQUENESS', 'the slug is claimed with another input', { hint: `The slug ${seed.slug} is taken.` });
  }
  return idOf('usr', user.id);
}

function readTenant(tx: TenantTransaction, ctx: RequestContext): Promise<Tenant> {
  return tx.manager.findOneByOrFail(Tenant, { id: ctx.tenant.tenant });
}

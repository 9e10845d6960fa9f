import { In } from 'typeorm';
import type { Connection, ConnectionArgs } from '#kit/connection.ts';
import { inTenant } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { appendAudit, recordAudit, type AuditNote } from '#kit/outbox.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { changedDays, DEFAULT_LIFE_DAYS, readDays } from '#schema/life-days.ts';
import { idOf, uuidOf, uuidOrNull } from '#schema/ids.ts';
import type { ContractTerms } from './contract.ts';
import { listPlaces } from './directory-entry.ts';
import type { ChangeTenantStateInput, ChangeTierInput, CreateTenantInput } from './inputs.ts';
import { followInDirectory, lockTenant, takeStep } from './life-step.ts';
import { Tenant, type TenantPlaceEntry } from './model.ts';
import { contextIn, OPERATOR_SLUG } from './operator.ts';
import { openTenant, prepareTenant } from './provisioning.ts';

/** Returns the caller's own tenant. */
export async function findOwnTenant(ctx: RequestContext): Promise<Tenant> {
  const [tenant] = await findTenants(ctx, [ctx.tenant.tenant]);
  return tenant ?? fail('NOT_FOUND', 'the tenant has no row in her cell');
}

/** Returns the tenants among the ids that the caller may see: her own or none. */
export async function findTenants(ctx: RequestContext, ids: readonly string[]): Promise<Tenant[]> {
  const known = ids.filter((id) => uuidOrNull('tnt', id) !== null);
  return inTenant(ctx, ({ manager }) => manager.findBy(Tenant, { id: In(known) }));
}

/** Returns a page of all tenants as the directory knows them, newest first. */
export async function listTenants(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<TenantPlaceEntry>> {
  return listPlaces(ctx.databases, args);
}

/**
 * Creates a tenant for an operator. The creation enters the log of the new tenant together with her rows, and the
 * operators' own log before the tenant is opened: should that fail, asking again finishes both, and writes it twice at
 * worst.
 */
export async function createTenant(
  ctx: RequestContext,
  input: CreateTenantInput,
): Promise<{ tenant: Tenant; adminSignInUrl: string }> {
  const { slug, name, adminEmail, adminName, placement } = input;
  const wish = placement === undefined || placement === null ? {} : { placement };
  const { tenant, adminSignInUrl } = await prepareTenant(
    ctx.platform,
    {
      slug,
      name,
      tier: input.tier,
      region: input.region,
      adminEmail,
      adminName,
      contract: termsOf(ctx, input),
      ...wish,
    },
    ctx.tenant,
  );
  const { tier, region, cell } = tenant;
  await recordAudit(ctx, { action: 'tenant.create', resource: resourceOf(tenant), context: { tier, region, cell } });
  await openTenant(ctx.platform, tenant);
  return { tenant, adminSignInUrl };
}

/** Changes the caller's own tier and writes the audit event in one transaction; the directory's copy follows. */
export async function changeTier(ctx: RequestContext, { tier }: ChangeTierInput): Promise<Tenant> {
  const tenant = await inTenant(ctx, async (tx) => {
    const before = await lockTenant(tx, ctx.tenant.tenant);
    await tx.query('update tenants set tier = $2, version = version + 1, updated_at = $3 where id = $1', [
      uuidOf('tnt', before.id),
      tier,
      ctx.clock(),
    ]);
    await appendAudit(tx, ctx, {
      action: 'tenant.change_tier',
      resource: resourceOf(before),
      context: { from: before.tier, to: tier },
    });
    return tx.manager.findOneByOrFail(Tenant, { id: before.id });
  });
  await followInDirectory(ctx, tenant);
  return tenant;
}

/**
 * Takes a tenant one step further in her life, for an operator. Row and audit event are one transaction in the tenant's
 * cell; the operators' own log gets the event after it. A step that the table does not know, or that comes too early,
 * is INVALID_TRANSITION; an unknown tenant NOT_FOUND.
 */
export async function changeTenantState(
  ctx: RequestContext,
  { tenantId, to }: ChangeTenantStateInput,
): Promise<Tenant> {
  const place = await findTenant(ctx.databases, idOf('tnt', uuidOf('tnt', tenantId)));
  if (place === null) fail('NOT_FOUND', 'the directory has no such tenant');
  if (place.slug === OPERATOR_SLUG) {
    fail('INVALID_TRANSITION', 'operators would lock themselves out', {
      hint: "The operators' own tenant stays as it is.",
    });
  }
  const target = requestContext(ctx.platform, contextIn(place, ctx.tenant));
  const { tenant, note } = await takeStep(target, { to, by: 'operator' });
  await recordAudit(ctx, note);
  return tenant;
}

/** What somebody signed counts as her agreement; who says so is on record. */
function termsOf(ctx: RequestContext, { contract }: CreateTenantInput): ContractTerms {
  const given = Object.entries(contract?.days ?? {}).filter(([, days]) => typeof days === 'number');
  const days = readDays(Object.fromEntries(given));
  changedDays(DEFAULT_LIFE_DAYS, days);
  return { source: 'sales', days, confirmedBy: contract?.confirmed === true ? ctx.tenant.actor.id : null };
}

function resourceOf(tenant: Tenant): AuditNote['resource'] {
  return { type: 'tenant', id: tenant.id, name: tenant.name };
}

import { validateSync } from 'class-validator';
import { inTenant } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { TenantContext, Tier } from '#schema/tenant-context.ts';
import type { Placement } from '#schema/tenant-store.ts';
import { claimPlace, copyToDirectory } from './directory-entry.ts';
import type { ContractTerms } from './contract.ts';
import { CreateTenantInput } from './inputs.ts';
import { daysOfTier } from './life-days.ts';
import type { Tenant } from './model.ts';
import { contextIn, OPERATOR_SLUG, systemOrigin, type Origin } from './operator.ts';
import { seedOperators, seedTenant } from './seed.ts';

/** What a new tenant is made of. */
export interface TenantInput {
  readonly slug: string;
  readonly name: string;
  readonly tier: Tier;
  readonly region: string;
  /** How her rows lie; by default as the settings say for her tier. */
  readonly placement?: Placement;
  readonly adminEmail: string;
  readonly adminName: string;
  /** By default a free tenant is active, since there is nothing to try out, and any other begins with a trial. */
  readonly state?: 'trial' | 'active';
  /** By default that of a tenant whom somebody sold to, with the days of her tier. */
  readonly contract?: ContractTerms;
}

/** A tenant that is ready for use. */
export interface ProvisionedTenant {
  readonly tenant: Tenant;
  /** For further work in the tenant on behalf of the same origin; it carries no rights. */
  readonly context: TenantContext;
  readonly adminUserId: Id<'usr'>;
  /** Signs the first administrator in, once, within a day. */
  readonly adminSignInUrl: string;
}

/** The tenant of the operators, and a key of theirs where this call made the tenant. */
export interface OperatorTenant {
  readonly tenant: Id<'tnt'>;
  /** Shown this once; null where the tenant stood already. */
  readonly apiKey: string | null;
}

/**
 * Creates a tenant: claims the slug in the directory, then writes tenant, built-in roles, first administrator, her
 * sign-in link and the audit events in one transaction of the cell, then opens the tenant in the directory. A creation
 * that broke off anywhere is finished by the next call with the same input; it yields a fresh link. A taken slug, or
 * one that is claimed with another input, is UNIQUENESS; a region without cells or a malformed value BAD_USER_INPUT; a
 * placement of which nothing stands ready SERVICE_UNAVAILABLE.
 */
export async function provisionTenant(
  platform: Platform,
  input: TenantInput,
  origin: Origin,
): Promise<ProvisionedTenant> {
  const prepared = await prepareTenant(platform, input, origin);
  await openTenant(platform, prepared.tenant);
  return prepared;
}

/** Does all of `provisionTenant` but the last step: until `openTenant`, the same call finishes it again. */
export async function prepareTenant(
  platform: Platform,
  input: TenantInput,
  origin: Origin,
): Promise<ProvisionedTenant> {
  requireValid(input);
  if (input.slug === OPERATOR_SLUG)
    fail('UNIQUENESS', 'the slug is reserved', { hint: `The slug ${OPERATOR_SLUG} is taken.` });
  const placement = input.placement ?? platform.config.tierPlacements?.[input.tier] ?? 'pool';
  const place = await claimPlace(platform.databases, { ...input, placement });
  const context = contextIn(place, origin);
  const ctx = requestContext(platform, context);
  const state = input.state ?? (input.tier === 'FREE' ? 'active' : 'trial');
  const contract = input.contract ?? { source: 'sales' };
  const days = await daysOfTier(platform.databases, input.tier);
  const { tenant, admin, token } = await inTenant(ctx, (tx) =>
    seedTenant(tx, ctx, { ...input, state, contract, days }),
  );
  const adminSignInUrl = `${platform.publicUrl}/sso/link?token=${encodeURIComponent(token)}`;
  return { tenant, context: { ...context, state: tenant.state }, adminUserId: admin, adminSignInUrl };
}

/** Opens a prepared tenant in the directory; from then on her slug is taken for good. */
export async function openTenant(platform: Platform, tenant: Tenant): Promise<void> {
  await copyToDirectory(platform.databases, tenant);
}

/**
 * Makes sure that the tenant of the platform's operators exists, in the first cell. Idempotent: the API key, which
 * carries the right to create tenants, comes back only from the call that made the tenant or finished making it.
 */
export async function ensureOperatorTenant(platform: Platform): Promise<OperatorTenant> {
  const known = await findTenantBySlug(platform.databases, OPERATOR_SLUG);
  if (known !== null && known.state !== 'provisioning') return { tenant: known.id, apiKey: null };
  const region =
    known?.region ?? platform.databases.cells[0]?.region ?? fail('SERVICE_UNAVAILABLE', 'this process serves no cell');
  const place = await claimPlace(platform.databases, { slug: OPERATOR_SLUG, tier: 'ENTERPRISE', region });
  const ctx = requestContext(platform, contextIn(place, systemOrigin('provisioning', mintId('req'))));
  const { tenant, token } = await inTenant(ctx, (tx) => seedOperators(tx, ctx, place.slug));
  await copyToDirectory(platform.databases, tenant);
  return { tenant: place.id, apiKey: token };
}

/** Passes what a tenant can be made of; else BAD_USER_INPUT. Not all who ask come by the graph, which has the same rules. */
export function requireValid(input: TenantInput): void {
  const faults = validateSync(Object.assign(new CreateTenantInput(), input));
  const hints = faults.flatMap((fault) => Object.values(fault.constraints ?? {}));
  if (hints.length > 0) fail('BAD_USER_INPUT', 'the tenant is not well described', { hint: `${hints.join('; ')}.` });
}

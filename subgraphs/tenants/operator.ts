import { authorize } from '#kit/authorize.ts';
import { findTenant, type TenantPlace } from '#kit/directory.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import type { TenantContext } from '#schema/tenant-context.ts';

/** The reserved slug of the tenant that the operators of the platform sign in to. */
export const OPERATOR_SLUG = 'platform';

/** On whose behalf something is done in a tenant; a tenant context is one. */
export type Origin = Pick<TenantContext, 'actor' | 'requestId' | 'sessionId'>;

/**
 * Passes an operator of the platform; anyone else is FORBIDDEN. The right alone is not enough: a tenant names the rights
 * of her own roles and keys, so it counts only in the operators' own tenant.
 */
export async function authorizeOperator(ctx: RequestContext): Promise<void> {
  authorize(ctx, 'platform:tenants');
  const place = await findTenant(ctx.databases, ctx.tenant.tenant);
  if (place?.slug !== OPERATOR_SLUG) {
    fail('FORBIDDEN', "platform:tenants is held outside the operators' tenant", {
      hint: 'It is for the operators of the platform.',
    });
  }
}

/**
 * Returns a context for work in a tenant that she did not ask for herself: what is written is hers, who did it is the
 * origin's actor. It is made by hand because a tenant that is just being made cannot be looked up.
 */
export function contextIn(place: Omit<TenantPlace, 'placement'>, origin: Origin): TenantContext {
  return {
    tenant: place.id,
    tier: place.tier,
    region: place.region,
    cell: place.cell,
    store: place.store,
    state: place.state,
    actor: origin.actor,
    scopes: [],
    sessionId: origin.sessionId,
    epoch: 0,
    client: null,
    requestId: origin.requestId,
  };
}

/** Returns the origin of work that no request asked for, such as a command's. */
export function systemOrigin(name: string, requestId: string): Origin {
  return { actor: { type: 'system', id: name, ip: null, ua: null }, requestId, sessionId: null };
}

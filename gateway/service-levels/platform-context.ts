import type { Databases } from '#kit/database.ts';
import { mintId } from '#schema/ids.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { POOL } from '#schema/tenant-store.ts';

/**
 * Returns the context in which the platform reads and writes figures of an owner; it carries no rights. Made by hand: the
 * request that was counted has proven the tenant, and a directory that is away stops no figures.
 */
export function platformContext(
  { cells }: Databases,
  { tenant, cell, store = POOL, tier }: Pick<TenantContext, 'tenant' | 'cell' | 'store' | 'tier'>,
): TenantContext {
  return {
    tenant,
    tier,
    cell,
    store,
    region: cells.find(({ name }) => name === cell)?.region ?? '',
    state: 'active',
    actor: { type: 'system', id: 'service-levels', ip: null, ua: null },
    scopes: [],
    sessionId: null,
    epoch: 0,
    client: null,
    requestId: mintId('req'),
  };
}

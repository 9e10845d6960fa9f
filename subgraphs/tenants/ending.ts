import { inTenant } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { isHeld } from '#kit/legal-hold.ts';
import { appendAudit } from '#kit/outbox.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { copyToDirectory } from './directory-entry.ts';
import { platformTransition } from './lifecycle.ts';
import { Tenant } from './model.ts';
import { contextIn, type Origin } from './operator.ts';

/** Which tenant ends, on whose behalf, and what that is called in the books. */
export interface TenantEnding {
  readonly tenant: Id<'tnt'>;
  readonly origin: Origin;
  readonly request?: string;
}

/**
 * Ends a tenant whose grace is over: destroys her key, and with it every key of her people, so that nobody can read what
 * is personal in her log and its archive; the log says so. Key, state and events are one transaction. Too early, or from
 * another state than `soft_deleted`, is INVALID_TRANSITION; under a legal hold CONFLICT; an unknown tenant NOT_FOUND.
 */
export async function endTenant(platform: Platform, { tenant: id, origin, request }: TenantEnding): Promise<Tenant> {
  const place = (await findTenant(platform.databases, id)) ?? fail('NOT_FOUND', 'the directory has no such tenant');
  const ctx = requestContext(platform, contextIn(place, origin));
  const tenant = await inTenant(ctx, async (tx) => {
    const before = await tx.manager.findOne(Tenant, { where: { id }, lock: { mode: 'pessimistic_write' } });
    if (before === null) return fail('NOT_FOUND', 'the tenant has no row in her cell');
    if (await isHeld(tx))
      fail('CONFLICT', 'a legal hold keeps the tenant', { hint: 'A legal hold keeps what she has.' });
    const now = ctx.clock();
    const { state: from, stateSince: since, name } = before;
    const { action: step } = platformTransition({ from, to: 'erasing', since, now });
    await tx.query(
      `update tenants set state = 'erasing', state_since = $2, version = version + 1, updated_at = $2 where id = $1`,
      [uuidOf('tnt', id), now],
    );
    const resource = { type: 'tenant', id, name };
    await appendAudit(tx, ctx, { action: 'tenant.change_state', resource, context: { from, to: 'erasing', step } });
    await platform.databases.personalKeys.destroyTenant(tx, id, now);
    await appendAudit(tx, ctx, {
      action: 'tenant.erased',
      resource: { ...resource, name: null },
      context: { basis: 'tenant_ended', request: request ?? null },
    });
    return tx.manager.findOneByOrFail(Tenant, { id });
  });
  await copyToDirectory(platform.databases, tenant);
  return tenant;
}

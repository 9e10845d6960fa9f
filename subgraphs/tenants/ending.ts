import { inTenant } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, type Id } from '#schema/ids.ts';
import { retirePlace } from './directory-entry.ts';
import { lockTenant, takeStep } from './life-step.ts';
import type { Tenant } from './model.ts';
import { contextIn, systemOrigin, type Origin } from './operator.ts';

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
  const { tenant } = await takeStep(ctx, { to: 'erasing', by: 'platform', request: request ?? null });
  return tenant;
}

/**
 * Takes a tenant of whom no store holds anything any more to the end of her life, as the worker: what is left of her in the
 * cell and in the directory is reduced to her id, and her slug is nobody's again. Done again it changes nothing, and a
 * tenant whom a backup has brought back is as erased as before.
 */
export async function finishTenant(platform: Platform, id: Id<'tnt'>): Promise<void> {
  const place = (await findTenant(platform.databases, id)) ?? fail('NOT_FOUND', 'the directory has no such tenant');
  const ctx = requestContext(platform, contextIn(place, systemOrigin('erasure', mintId('req'))));
  const now = platform.clock();
  const state = await inTenant(ctx, async (tx) => {
    await tx.query('select tenon.erase_tenant_facts()');
    await tx.query('update tenant_contracts set erased_at = coalesce(erased_at, $1), updated_at = $1', [now]);
    return (await lockTenant(tx, id)).state;
  });
  if (state === 'erasing') await takeStep(ctx, { to: 'erased', by: 'platform' });
  await retirePlace(platform.databases, place, now);
}

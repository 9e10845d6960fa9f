import { findTenant } from '#kit/directory.ts';
import { requestContext, type Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import type { Id } from '#schema/ids.ts';
import { takeStep } from './life-step.ts';
import type { Tenant } from './model.ts';
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
  const { tenant } = await takeStep(ctx, { to: 'erasing', by: 'platform', request: request ?? null });
  return tenant;
}

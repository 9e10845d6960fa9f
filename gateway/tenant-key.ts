import type { TenantContext } from '#schema/tenant-context.ts';

declare const made: unique symbol;

/**
 * Stands for a tenant and everything that may shape an answer to her: actor, scopes, client, session, state and whatever
 * else her context says. A text of another origin is no such key, so that a cache which takes it cannot mix up tenants.
 */
export type TenantKey = string & { readonly [made]: true };

/**
 * Returns the key of a context: all of it except the request id, also the parts that are added one day. Two contexts
 * have the same key only if they differ in nothing else.
 */
export function tenantKey(context: TenantContext): TenantKey {
  return JSON.stringify({ ...context, requestId: undefined }) as TenantKey;
}

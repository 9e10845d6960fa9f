import type { Config } from '#schema/config.ts';
import { openContext, sealContext, type ContextKeys, type TenantContext } from '#schema/tenant-context.ts';
import type { Databases, TenantScope } from './database.ts';

/** Tells the time; substituted in tests. */
export type Clock = () => Date;

/** What stays the same for every request of a process. */
export interface Platform {
  readonly config: Config;
  readonly databases: Databases;
  readonly clock: Clock;
  /** How the outside reaches the platform, without a slash at the end. */
  readonly publicUrl: string;
}

/** What every resolver, reference and route gets: who asks, and what the platform offers for the answer. */
export interface RequestContext extends TenantScope {
  readonly platform: Platform;
  readonly clock: Clock;
  /** Aborted when the caller has gone away or the time of the request is up; undefined where nobody waits. */
  readonly signal: AbortSignal | undefined;
  /** Loaders of this request by name: a batch never crosses requests, so never tenants. */
  readonly loaders: Map<string, unknown>;
}

/** The header that carries the signed tenant context from the gateway to a subgraph in another process. */
export const CONTEXT_HEADER = 'x-tenon-context';

/** Returns the context of one request of one tenant; its transactions are rolled back when the signal is aborted. */
export function requestContext(platform: Platform, tenant: TenantContext, signal?: AbortSignal): RequestContext {
  return { platform, tenant, databases: platform.databases, clock: platform.clock, signal, loaders: new Map() };
}

/** Returns the headers that hand the tenant context to another process. */
export function contextHeaders(tenant: TenantContext, keys: ContextKeys): Record<string, string> {
  return { [CONTEXT_HEADER]: sealContext(tenant, keys, Date.now()), 'x-request-id': tenant.requestId };
}

/** Returns the context that the gateway handed over; without a valid envelope the request is UNAUTHENTICATED. */
export function receivedContext(
  platform: Platform,
  header: string | string[] | undefined,
  signal?: AbortSignal,
): RequestContext {
  const envelope = typeof header === 'string' ? header : '';
  return requestContext(platform, openContext(envelope, platform.databases.keys, Date.now()), signal);
}

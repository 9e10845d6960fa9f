import type { Config } from '#schema/config.ts';
import { openContext, type ContextKeys, type TenantContext } from '#schema/tenant-context.ts';
import type { Databases, TenantScope } from './database.ts';
import type { Abortable } from './request-ending.ts';
import { sealedContext } from './sealed-context.ts';

/** Tells the time; substituted in tests. */
export type Clock = () => Date;

/** What stays the same for every request of a process. */
export interface Platform {
  readonly config: Config;
  readonly databases: Databases;
  readonly clock: Clock;
  /** How the outside reaches the platform, without a slash at the end. */
  readonly publicUrl: string;
  /** Looks up the TXT records of a name; substituted in tests, by default the resolver of this machine. */
  readonly resolveTxt?: (name: string) => Promise<string[][]>;
}

/** What every resolver, reference and route gets: who asks, and what the platform offers for the answer. */
export interface RequestContext extends TenantScope {
  readonly platform: Platform;
  readonly clock: Clock;
  /** Aborted when the caller has gone away or the time of the request is up; undefined where nobody waits. */
  readonly signal: Abortable | undefined;
  /** Loaders of this request by name: a batch never crosses requests, so never tenants. */
  readonly loaders: Map<string, unknown>;
}

/** The header that carries the signed tenant context from the gateway to a subgraph in another process. */
export const CONTEXT_HEADER = 'x-tenon-context';

/** Returns the context of one request of one tenant; its transactions are rolled back when the signal is aborted. */
export function requestContext(platform: Platform, tenant: TenantContext, signal?: Abortable): RequestContext {
  return { platform, tenant, databases: platform.databases, clock: platform.clock, signal, loaders: new Map() };
}

/** Returns the headers that hand the tenant context to another process. */
export function contextHeaders(
  tenant: TenantContext,
  keys: ContextKeys,
): { readonly [CONTEXT_HEADER]: string; readonly 'x-request-id': string } {
  return { [CONTEXT_HEADER]: sealedContext(tenant, keys, Date.now()), 'x-request-id': tenant.requestId };
}

/** What a subgraph in another process is handed of a request. */
export interface ReceivedRequest {
  /** The header of the signed tenant context. */
  readonly envelope: string | string[] | undefined;
  /** The id that stands beside it, checked for its shape. */
  readonly requestId: string;
  readonly signal?: Abortable | undefined;
}

/** Returns the context that the gateway handed over; without a valid envelope the request is UNAUTHENTICATED. */
export function receivedContext(platform: Platform, { envelope, requestId, signal }: ReceivedRequest): RequestContext {
  const text = typeof envelope === 'string' ? envelope : '';
  const tenant = openContext(text, platform.databases.keys, Date.now());
  return requestContext(platform, { ...tenant, requestId }, signal);
}

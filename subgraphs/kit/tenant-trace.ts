import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { TenantContext } from '#schema/tenant-context.ts';

/** The span attributes that tell whose work a span is. */
export const TENANT_ATTRIBUTES = ['tenant.id', 'tenant.tier', 'tenant.region'] as const;

/** A tenant as spans tell of it. */
type TracedTenant = Pick<TenantContext, 'tenant' | 'tier' | 'region'>;

/** Returns the attributes that tell whose work a span is. */
export function tenantAttributes(of: TracedTenant): Record<(typeof TENANT_ATTRIBUTES)[number], string> {
  return { 'tenant.id': of.tenant, 'tenant.tier': of.tier, 'tenant.region': of.region };
}

/**
 * Says whose request the span under way is: it gets `tenant.id`, `tenant.tier` and `tenant.region`, which every span that
 * starts below it from now on takes over. Without telemetry it does nothing.
 */
export function traceTenant(tenant: TracedTenant): void {
  trace.getActiveSpan()?.setAttributes(tenantAttributes(tenant));
}

/** Returns the headers with the W3C `traceparent` of the span under way; without telemetry they stay as they are. */
export function injectTrace<T extends object>(headers: T): T & { readonly traceparent?: string } {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent === undefined ? headers : { ...headers, traceparent: carrier.traceparent };
}

/** Does work that nobody waits for; what it does is no part of the request that gave rise to it. */
export function outsideTrace<T>(work: () => T): T {
  return context.with(ROOT_CONTEXT, work);
}

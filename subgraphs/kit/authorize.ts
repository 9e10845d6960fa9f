import { fail } from '#schema/errors.ts';
import type { Scope } from '#schema/scopes.ts';
import { SCOPE_CLASSES, STATE_DOORS, type DoorClass } from '#schema/tenant-doors.ts';
import type { TenantContext, TenantState } from '#schema/tenant-context.ts';

/**
 * Passes a credential that carries the right, in a tenant whose state still allows what the right is for; otherwise
 * FORBIDDEN, naming the right that is missing, TENANT_READ_ONLY or TENANT_SUSPENDED.
 */
export function authorize(ctx: { readonly tenant: TenantContext }, scope: Scope): void {
  if (!ctx.tenant.scopes.includes(scope)) {
    fail('FORBIDDEN', `scope ${scope} is missing`, { hint: `It needs the scope ${scope}.` });
  }
  requireDoor(ctx.tenant.state, SCOPE_CLASSES[scope]);
}

/** Passes what a tenant may still do in her state; otherwise TENANT_READ_ONLY or TENANT_SUSPENDED. */
export function requireDoor(state: TenantState, door: DoorClass): void {
  const open = STATE_DOORS[state];
  if (open.has(door)) return;
  fail(open.has('read') ? 'TENANT_READ_ONLY' : 'TENANT_SUSPENDED', `the tenant is ${state}`);
}

/** Passes a tenant whose state allows any request at all, be it to pay or to take her data along; otherwise TENANT_SUSPENDED. */
export function requireOpen(state: TenantState): void {
  if (STATE_DOORS[state].size === 0) fail('TENANT_SUSPENDED', `the tenant is ${state}`);
}

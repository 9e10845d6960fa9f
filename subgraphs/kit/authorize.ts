import { fail } from '#schema/errors.ts';
import type { Scope } from '#schema/scopes.ts';
import type { TenantContext, TenantState } from '#schema/tenant-context.ts';

/** States in which a tenant may read but not change her data (the deck: seven days after a missed payment). */
const READ_ONLY_STATES: ReadonlySet<TenantState> = new Set(['read_only', 'cancelled']);
/** States in which a tenant may do nothing at all. */
const CLOSED_STATES: ReadonlySet<TenantState> = new Set([
  'provisioning',
  'suspended',
  'soft_deleted',
  'erasing',
  'erased',
]);
/** Rights that stay usable in a read-only tenant: paying, exporting and administration must not be locked out. */
const ALWAYS_WRITABLE: ReadonlySet<Scope> = new Set([
  'billing:write',
  'evidence:write',
  'tenant:write',
  'credentials:write',
  'users:write',
  'identity:write',
  'scim',
]);

/** Passes a credential that carries the right; otherwise FORBIDDEN, naming the right that is missing. */
export function authorize(ctx: { readonly tenant: TenantContext }, scope: Scope): void {
  if (!ctx.tenant.scopes.includes(scope)) {
    fail('FORBIDDEN', `scope ${scope} is missing`, { hint: `It needs the scope ${scope}.` });
  }
  if (scope.endsWith(':write')) requireWritable(ctx.tenant, scope);
}

/** Passes a tenant whose state allows any request at all; otherwise TENANT_SUSPENDED. */
export function requireOpen(state: TenantState): void {
  if (CLOSED_STATES.has(state)) fail('TENANT_SUSPENDED', `the tenant is ${state}`);
}

function requireWritable(tenant: TenantContext, scope: Scope): void {
  if (READ_ONLY_STATES.has(tenant.state) && !ALWAYS_WRITABLE.has(scope)) {
    fail('TENANT_READ_ONLY', `the tenant is ${tenant.state}`);
  }
}

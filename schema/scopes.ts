/** Every right a credential may carry, with the sentence an administrator reads when she grants it. */
export const SCOPES = {
  'tenant:read': 'See the tenant, its tier, region and state.',
  'tenant:write': 'Change the tenant and its tier.',
  'tenant:export': 'Export all that the tenant has.',
  'schema:read': 'Ask the schema about itself (introspection).',
  'users:read': 'See users, groups and roles.',
  'users:write': 'Create, change and deactivate users; grant roles.',
  'credentials:write': 'Create and revoke API keys, SCIM tokens and sign-in links.',
  'projects:read': 'See projects and documents.',
  'projects:write': 'Create, change and share projects and documents.',
  'billing:read': 'See usage, plans and invoices.',
  'billing:write': 'Draft invoices.',
  'usage:write': 'Report usage events.',
  'audit:read': 'Search and export the audit log.',
  'audit:write': 'Change how the audit log is kept and delivered, and erase people from it.',
  'evidence:read': 'Download evidence packs.',
  'evidence:write': 'Have evidence packs built.',
  'operations:write': 'Register operations for the clients of the tenant.',
  'operations:approve': 'Approve and revoke registered operations.',
  'identity:read': 'See identity providers, e-mail domains and receivers of security events.',
  'identity:write':
    'Connect identity providers: single sign-on, provisioning, e-mail domains and receivers of security events.',
  'jobs:read': 'See the jobs of the tenant: how far they are and why they failed.',
  'jobs:write': 'Cancel jobs and have failed ones tried again.',
  scim: 'Provision users and groups over SCIM.',
  'platform:tenants': 'Create and see tenants; for the operators of the platform only.',
} as const;

/** One right of the table. */
export type Scope = keyof typeof SCOPES;

/** True for the name of a right in the table. */
export function isScope(text: string): text is Scope {
  return Object.hasOwn(SCOPES, text);
}

/** The roles every tenant starts with; a tenant may add her own. */
export const BUILT_IN_ROLES = {
  admin: [
    'tenant:read',
    'tenant:write',
    'tenant:export',
    'schema:read',
    'users:read',
    'users:write',
    'credentials:write',
    'projects:read',
    'projects:write',
    'billing:read',
    'billing:write',
    'usage:write',
    'audit:read',
    'audit:write',
    'evidence:read',
    'evidence:write',
    'operations:write',
    'operations:approve',
    'identity:read',
    'identity:write',
    'jobs:read',
    'jobs:write',
  ],
  member: ['tenant:read', 'schema:read', 'users:read', 'projects:read', 'projects:write', 'billing:read'],
  auditor: [
    'tenant:read',
    'schema:read',
    'users:read',
    'audit:read',
    'evidence:read',
    'evidence:write',
    'identity:read',
    'jobs:read',
  ],
} as const satisfies Record<string, readonly Scope[]>;

/** The role that operators of the platform hold in its own tenant. */
export const OPERATOR_SCOPES: readonly Scope[] = ['platform:tenants'];

import type { Scope } from './scopes.ts';
import type { TenantState } from './tenant-context.ts';

/** What a right is for: which of them a tenant may still use depends on where she stands in her life. */
export const DOOR_CLASSES = {
  read: 'See what the tenant works with.',
  work: 'Change what the tenant works with.',
  admin: 'Look after the tenant: people, credentials, sign-in, jobs, her own cancellation.',
  payment: 'See what is owed, and pay.',
  export: 'Take along what is hers: the log, evidence, exports.',
  operator: 'Run the platform.',
} as const;

/** What a right is for. */
export type DoorClass = keyof typeof DOOR_CLASSES;

/**
 * The class of every right. Each mutation asks for a right (composition fails otherwise), so each has a class; those that are
 * open to whoever is in concern her own signing in alone.
 */
export const SCOPE_CLASSES: Readonly<Record<Scope, DoorClass>> = {
  'tenant:read': 'export',
  'tenant:write': 'admin',
  'tenant:export': 'export',
  'schema:read': 'read',
  'users:read': 'read',
  'users:write': 'admin',
  'credentials:write': 'admin',
  'projects:read': 'read',
  'projects:write': 'work',
  'billing:read': 'payment',
  'billing:write': 'payment',
  'usage:write': 'work',
  'audit:read': 'export',
  'audit:write': 'admin',
  'evidence:read': 'export',
  'evidence:write': 'export',
  'operations:write': 'work',
  'operations:approve': 'admin',
  'identity:read': 'read',
  'identity:write': 'admin',
  'jobs:read': 'export',
  'jobs:write': 'admin',
  scim: 'admin',
  'platform:tenants': 'operator',
};

const ALL: ReadonlySet<DoorClass> = new Set(Object.keys(DOOR_CLASSES) as DoorClass[]);
const READ_ONLY: ReadonlySet<DoorClass> = new Set(['read', 'admin', 'payment', 'export', 'operator']);
const PAUSED: ReadonlySet<DoorClass> = new Set(['payment', 'export']);
const NONE: ReadonlySet<DoorClass> = new Set();

/** What a tenant may still do in each state of her life. */
export const STATE_DOORS: Readonly<Record<TenantState, ReadonlySet<DoorClass>>> = {
  provisioning: NONE,
  trial: ALL,
  active: ALL,
  past_due: ALL,
  read_only: READ_ONLY,
  suspended: PAUSED,
  cancelled: READ_ONLY,
  soft_deleted: NONE,
  erasing: NONE,
  erased: NONE,
};

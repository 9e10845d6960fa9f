import type { Id } from './ids.ts';
import type { Scope } from './scopes.ts';

/** What an operator may do in a tenant that let her in. */
export const SUPPORT_ACCESS = ['read', 'work'] as const;
/** One of them: see, or also change what the tenant works with. */
export type SupportAccess = (typeof SUPPORT_ACCESS)[number];

/** What a context carries while an operator acts in a tenant that let her in. */
export interface SupportSession {
  readonly grant: Id<'sup'>;
  readonly access: SupportAccess;
  /** Whether she sees what is personal; it is masked otherwise. */
  readonly personal: boolean;
  /** When it is over; no token for the database is good for longer. */
  readonly endsAtMs: number;
}

const READ: readonly Scope[] = [
  'tenant:read',
  'schema:read',
  'users:read',
  'projects:read',
  'billing:read',
  'audit:read',
  'jobs:read',
];

/** The rights of a session; none of them decides who may sign in, what is paid or what is kept. */
export const SUPPORT_SCOPES: Readonly<Record<SupportAccess, readonly Scope[]>> = {
  read: READ,
  work: [...READ, 'projects:write'],
};

/** Minutes that access may be asked for. */
export const SUPPORT_MINUTES = { least: 5, most: 480 } as const;
/** A token is good for so long; while the access lasts the operator opens the next one. */
export const SUPPORT_TOKEN_MINUTES = 30;
/** What nobody has decided on for so long has lapsed. */
export const SUPPORT_REQUEST_DAYS = 7;

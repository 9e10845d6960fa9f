import type { AuditEvent } from '#schema/audit-event.ts';
import { fail } from '#schema/errors.ts';
import { isId, type Id } from '#schema/ids.ts';
import { accessActions } from './access.ts';
import type { ActionRow, ActionRows, ActionSchema } from './action.ts';
import { auditActions } from './audit.ts';
import { billingActions } from './billing.ts';
import { objectFault } from './check.ts';
import { connectionActions } from './connections.ts';
import type { PersonalSubject } from './field.ts';
import { gatewayActions } from './gateway.ts';
import { jobActions } from './jobs.ts';
import { offerActions } from './offers.ts';
import { privacyActions } from './privacy.ts';
import { productActions } from './product.ts';
import { signInActions } from './sign-in.ts';
import { supportActions } from './support.ts';
import { tenantActions } from './tenants.ts';

/** Every action that an audit event can have, by the part of the platform that writes it. */
export const AUDIT_ACTION_PARTS: Readonly<Record<string, ActionRows>> = {
  'People and access': accessActions,
  'Signing in': signInActions,
  'Identity connections': connectionActions,
  Tenants: tenantActions,
  'Support access': supportActions,
  Jobs: jobActions,
  Billing: billingActions,
  Product: productActions,
  'Documents between tenants': offerActions,
  'Audit log': auditActions,
  Privacy: privacyActions,
  Gateway: gatewayActions,
};

/** A value of an event that is somebody's personal data. */
export interface PersonalValue {
  /** `actor.ip`, `actor.ua`, `resource.name` or `context.<field>`. */
  readonly path: string;
  /** Whose it is; null where she has no account: then it is sealed with the tenant's own key. */
  readonly subject: Id<'usr'> | null;
}

/** What is known of an event once it has been held against its action's schema. */
export interface CheckedAction {
  /** Goes into the entry as `action_version`. */
  readonly version: number;
  /** Every personal value that is there; one that is null is not. */
  readonly personal: readonly PersonalValue[];
}

/** One version of an action's schema. */
export interface ActionVersion {
  readonly action: string;
  readonly schema: ActionSchema;
}

/** The parts of an event that differ from action to action; its action itself is named beside them. */
export type ActionParts = Pick<AuditEvent, 'actor' | 'resource' | 'context'>;

const ROWS: ReadonlyMap<string, ActionRow> = new Map(
  Object.values(AUDIT_ACTION_PARTS).flatMap((rows) => Object.entries(rows)),
);

/** Returns the row of an action, or null for one that is not in the table. */
export function findAction(action: string): ActionRow | null {
  return ROWS.get(action) ?? null;
}

/** Returns every version of every action's schema, newest first within an action. */
export function actionSchemas(): ActionVersion[] {
  return [...ROWS].flatMap(([action, { earlier = [], ...newest }]) =>
    [newest, ...earlier].map((schema) => ({ action, schema })),
  );
}

/**
 * Holds an event against the newest schema of its action, and returns the version and the personal values. An action that
 * is not in the table, or a resource or context that does not fit to the letter, is AUDIT_EVENT_REFUSED; the text names
 * the fault by its path and repeats no value.
 */
export function checkAction(action: string, parts: ActionParts): CheckedAction {
  const row = ROWS.get(action);
  if (row === undefined) return refuse(action, 'the action is not in the catalogue');
  if (!row.resource.includes(parts.resource.type))
    return refuse(action, `resource.type is none of ${row.resource.join(', ')}`);
  const fault = objectFault(row.context, parts.context);
  if (fault !== null) return refuse(action, `context${fault}`);
  return { version: row.version, personal: personalValues(row, parts) };
}

/** Returns the version that an event of the action has now; an action that is not in the table is AUDIT_EVENT_REFUSED. */
export function actionVersion(action: string): number {
  return ROWS.get(action)?.version ?? refuse(action, 'the action is not in the catalogue');
}

function personalValues(row: ActionSchema, parts: ActionParts): PersonalValue[] {
  const { actor, resource, context } = parts;
  const found: PersonalValue[] = [];
  const note = (path: string, subject: PersonalSubject) => found.push({ path, subject: subjectOf(subject, parts) });
  if (actor.ip !== null) note('actor.ip', 'actor');
  if (actor.ua !== null) note('actor.ua', 'actor');
  if (resource.name !== null && row.resourceName !== 'plain' && isNamed(row.resourceName, parts))
    note('resource.name', row.resourceName);
  for (const [name, { personal }] of personalFields(row)) {
    if (personal !== undefined && context[name] !== undefined && context[name] !== null)
      note(`context.${name}`, personal);
  }
  return found;
}

/** A thing whose person is not named, such as an API key of the tenant's own, has no person's name. */
function isNamed(subject: PersonalSubject, parts: ActionParts): boolean {
  return !subject.startsWith('context.') || subjectOf(subject, parts) !== null;
}

function subjectOf(subject: PersonalSubject, { actor, resource, context }: ActionParts): Id<'usr'> | null {
  if (subject === 'tenant') return null;
  if (subject === 'actor') return actor.type === 'user' ? userOrNull(actor.id) : null;
  return userOrNull(subject === 'resource' ? resource.id : context[subject.slice('context.'.length)]);
}

function userOrNull(value: unknown): Id<'usr'> | null {
  return typeof value === 'string' && isId('usr', value) ? value : null;
}

const PERSONAL = new WeakMap<ActionSchema, ReturnType<typeof fieldsOf>>();

function personalFields(row: ActionSchema): ReturnType<typeof fieldsOf> {
  const known = PERSONAL.get(row) ?? fieldsOf(row);
  PERSONAL.set(row, known);
  return known;
}

function fieldsOf({ context }: ActionSchema) {
  return Object.entries(context).filter(([, { personal }]) => personal !== undefined);
}

/** The catalogue is public and values stay out, so whoever asked may read the fault. */
function refuse(action: string, fault: string): never {
  const named = ACTION.test(action) ? action : 'of no action';
  return fail('AUDIT_EVENT_REFUSED', `event ${named}: ${fault}`, { hint: `Audit event ${named}: ${fault}.` });
}

const ACTION = /^[a-z0-9_.]{1,160}$/;

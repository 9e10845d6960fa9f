import { LIMIT_SUBJECTS, OPERATION_CLASSES } from '#schema/budget-limits.ts';
import { MOVE_PHASES } from '#schema/tenant-move.ts';
import { TENANT_STATES, TIERS } from '#schema/tenant-context.ts';
import type { ActionRows } from './action.ts';
import {
  choice,
  count,
  hash,
  nullable,
  number,
  object,
  optional,
  text,
  time,
  type Field,
  type Fields,
} from './field.ts';

const tier = choice(...TIERS);
const state = choice(...TENANT_STATES);

const rate = optional(object({ capacity: number, restore_per_second: number }));

const subjectLimits: Fields = { points: optional(object(each(OPERATION_CLASSES, rate))), requests: rate };

/** Limits, or what of them is said anew. */
const limits = object({
  max_query_cost: optional(number),
  concurrency: optional(number),
  ...each(LIMIT_SUBJECTS, optional(object(subjectLimits))),
});

const clientLimits = object(subjectLimits);

const lifeDays = object({
  trial: count,
  trial_grace_hours: count,
  read_only_after: count,
  suspend_after: count,
  delete_suspended_after: count,
  delete_cancelled_after: count,
  erase_after: count,
});

const operation: Fields = {
  client: text(63),
  document_id: text(200),
  body_hash: hash,
  max_cost: count,
  manifest: text(128),
};

const move: Fields = {
  move: text(64),
  from_cell: text(64),
  from_store: text(64),
  to_cell: text(64),
  to_store: text(64),
};

/** Tenants, what bounds their requests, and the operations of their clients. */
export const tenantActions: ActionRows = {
  'tenant.move': {
    version: 1,
    about: "A tenant's move to another cell or store has come so far.",
    resource: ['tenant'],
    resourceName: 'plain',
    context: { ...move, phase: choice(...MOVE_PHASES) },
  },
  'tenant.start_move': {
    version: 1,
    about: "An operator has asked for a tenant's move to another cell or store; in the operators' log.",
    resource: ['tenant'],
    resourceName: 'plain',
    context: { ...move, reason: text(500) },
  },
  'tenant.cancel_move': {
    version: 1,
    about: "An operator has called off a tenant's move; in the operators' log.",
    resource: ['tenant'],
    resourceName: 'plain',
    context: move,
  },
  'tenant.create': {
    version: 1,
    about: "A tenant was made; in her own log, and in that of the platform's operators.",
    resource: ['tenant'],
    resourceName: 'plain',
    context: { tier, region: text(64), cell: text(64) },
  },
  'tenant.change_tier': {
    version: 1,
    about: 'A tenant has another tier.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { from: tier, to: tier },
  },
  'tenant.change_state': {
    version: 1,
    about: 'A tenant went one step further in her life, such as `suspend`.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { from: state, to: state, step: text(40) },
  },
  'tenant.set_life_days': {
    version: 1,
    about: 'An operator changed how long the parts of a life last in a tier.',
    resource: ['tier'],
    resourceName: 'plain',
    context: { before: lifeDays, after: lifeDays },
  },
  'tenant.confirm_trial': {
    version: 1,
    about: 'Somebody agreed to pay once the trial is over.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { trial_ends_at: nullable(time) },
  },
  'tenant.withdraw_confirmation': {
    version: 1,
    about: 'Somebody took back the agreement to pay after the trial.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { confirmed_at: time },
  },
  'tenant.report_payment': {
    version: 1,
    about: 'An operator, or what collects payments, said that an invoice is unpaid or was paid.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { outcome: choice('missed', 'paid'), reference: text(200) },
  },
  'limits.change': {
    version: 1,
    about: "An operator set what a tenant's limits differ in from those of her tier.",
    resource: ['tenant'],
    resourceName: 'plain',
    context: { before: nullable(limits), after: limits },
  },
  'limits.change_tier': {
    version: 1,
    about: 'An operator changed the limits of a tier.',
    resource: ['tier'],
    resourceName: 'plain',
    context: { before: limits, after: limits },
  },
  'limits.change_client': {
    version: 1,
    about: 'A client was allowed less than each may have.',
    resource: ['client'],
    resourceName: 'plain',
    context: { before: nullable(clientLimits), after: clientLimits },
  },
  'limits.remove_client': {
    version: 1,
    about: 'A client may have again what each may.',
    resource: ['client'],
    resourceName: 'plain',
    context: { before: nullable(clientLimits), after: clientLimits },
  },
  'operation.register': {
    version: 1,
    about: 'An operation was registered for a client; it waits for approval.',
    resource: ['registered_operation'],
    resourceName: 'plain',
    context: operation,
  },
  'operation.approve': {
    version: 1,
    about: 'An operation may run.',
    resource: ['registered_operation'],
    resourceName: 'plain',
    context: operation,
  },
  'operation.revoke': {
    version: 1,
    about: 'An operation may run no more.',
    resource: ['registered_operation'],
    resourceName: 'plain',
    context: operation,
  },
  'operation.schedule_revocation': {
    version: 1,
    about: 'It was set when an operation may run no more.',
    resource: ['registered_operation'],
    resourceName: 'plain',
    context: { ...operation, at: time },
  },
  'tenant.erased': {
    version: 1,
    about: 'The key of an ended tenant was destroyed: nobody can read any more what is personal in her log.',
    resource: ['tenant'],
    resourceName: 'plain',
    context: { basis: choice('tenant_ended'), request: nullable(text(200)) },
  },
};

function each(names: readonly string[], field: Field): Fields {
  return Object.fromEntries(names.map((name) => [name, field]));
}

import { SUPPORT_ACCESS } from '#schema/support-access.ts';
import type { ActionRows } from './action.ts';
import { choice, count, flag, list, text, time } from './field.ts';

const asked = {
  access: choice(...SUPPORT_ACCESS),
  personal_data: flag,
  minutes: count,
  ticket: text(100),
};

/** Operators whom a tenant lets in. Whatever they do there has `support` as its actor, and the grant as its session. */
export const supportActions: ActionRows = {
  'support.request': {
    version: 1,
    about: 'An operator asked to be let in; in the log of the tenant and in that of the operators.',
    resource: ['support_grant'],
    resourceName: 'plain',
    context: { ...asked, reason: text(1_000) },
  },
  'support.approve': {
    version: 1,
    about: 'Somebody of the tenant let an operator in, until a time.',
    resource: ['support_grant'],
    resourceName: 'plain',
    context: { ...asked, operator: text(200), expires_at: time },
  },
  'support.deny': {
    version: 1,
    about: 'Somebody of the tenant did not let an operator in.',
    resource: ['support_grant'],
    resourceName: 'plain',
    context: { ...asked, operator: text(200) },
  },
  'support.open_session': {
    version: 1,
    about: 'An operator who was let in got a token; in the log of the tenant and in that of the operators.',
    resource: ['support_grant'],
    resourceName: 'plain',
    context: { expires_at: time },
  },
  'support.act': {
    version: 1,
    about: 'An operator who was let in sent an operation; what it changed has events of its own.',
    resource: ['operation'],
    resourceName: 'plain',
    context: { kind: choice('query', 'mutation'), fields: list(text(200), 50), personal_data: flag },
  },
  'support.end': {
    version: 1,
    about: 'The access of an operator was ended before its time.',
    resource: ['support_grant'],
    resourceName: 'plain',
    context: { by: choice('tenant', 'operator'), operator: text(200) },
  },
};

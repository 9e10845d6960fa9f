import type { ActionRows } from './action.ts';
import { count, optional, text, type Fields } from './field.ts';

/** `suppressed` is how many like it there were since the last event: there is one in 10 seconds at most. */
const decision: Fields = { code: text(64), client: optional(text(63)), suppressed: count };

/** What the gateway decides before a subgraph is asked. */
export const gatewayActions: ActionRows = {
  'request.throttle': {
    version: 1,
    about: 'A request was refused because its budget was spent.',
    resource: ['gateway'],
    resourceName: 'plain',
    context: decision,
  },
  'request.deny': {
    version: 1,
    about: 'A request was refused because its sender has not the right, or the tenant is read-only.',
    resource: ['gateway'],
    resourceName: 'plain',
    context: decision,
  },
  'operation.refuse': {
    version: 1,
    about: 'An operation was refused that is not registered, too costly or beyond a limit.',
    resource: ['gateway'],
    resourceName: 'plain',
    context: decision,
  },
  'mutation.unchanged': {
    version: 1,
    about:
      'A mutation was let through, found nothing to change, and changed nothing; `action` is what it is audited as.',
    resource: ['mutation'],
    resourceName: 'plain',
    context: { action: text(200) },
  },
  'budget.unshare': {
    version: 1,
    about: 'The store of budgets is away: this gateway counts for itself alone.',
    resource: ['gateway'],
    resourceName: 'plain',
    context: {},
  },
  'budget.share': {
    version: 1,
    about: 'The store of budgets is back: all gateways count together again.',
    resource: ['gateway'],
    resourceName: 'plain',
    context: {},
  },
};

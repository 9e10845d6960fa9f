import type { ActionRows } from './action.ts';
import { choice, id, nullable, text, time } from './field.ts';

/** Requests under the GDPR. What answers one, a pack or an erasure, has events of its own. */
export const privacyActions: ActionRows = {
  'privacy_request.open': {
    version: 1,
    about:
      'A person has asked for what is held of her, or to be erased; it has to be answered until `due_at`. `reference` names the request in the books of the tenant.',
    resource: ['privacy_request'],
    resourceName: 'plain',
    context: {
      subject: id('usr'),
      kind: choice('access', 'erasure'),
      reference: nullable(text(200)),
      received_at: time,
      due_at: time,
    },
  },
  'privacy_request.extend': {
    version: 1,
    about: 'There is more time to answer a request, for a reason that the person is told (GDPR Article 12(3)).',
    resource: ['privacy_request'],
    resourceName: 'plain',
    context: { subject: id('usr'), reason: text(500), previous_due_at: time, due_at: time },
  },
};

import type { ActionRows } from './action.ts';
import { choice, count, flag, hash, id, list, nullable, text, time, type Fields } from './field.ts';

const kind = choice('soc2', 'gdpr_access', 'tenant_export');
const savedView: Fields = { shared: flag, filters: list(text(40), 20) };

const stream: Fields = {
  kind: choice('webhook', 'splunk', 'datadog', 's3', 'syslog'),
  form: choice('native', 'ocsf', 'cloudevents'),
  origin: text(2048),
  actions: list(text(200), 50),
  outcomes: list(choice('success', 'denied', 'failure'), 3),
  proofs: flag,
};

/** Why erasure is asked for, by the letters of Article 17(1) GDPR. */
export const ERASURE_BASES = [
  'no_longer_necessary',
  'consent_withdrawn',
  'objection',
  'unlawful_processing',
  'legal_obligation',
  'child_services',
] as const;

/** The log itself, and the evidence that is made of it. */
export const auditActions: ActionRows = {
  'audit.read': {
    version: 1,
    about: 'The audit log was read; the event says by which door and which filters, and not what was looked for.',
    resource: ['audit_log'],
    resourceName: 'plain',
    context: {
      door: choice('search', 'event', 'proof', 'export_ndjson', 'export_csv'),
      filters: list(text(40), 20),
    },
  },
  'audit_view.create': {
    version: 1,
    about: 'A filter of the log was saved under a name; the event names the fields of the filter, and a shared view.',
    resource: ['audit_view'],
    resourceName: 'plain',
    context: savedView,
  },
  'audit_view.update': {
    version: 1,
    about: 'A saved filter of the log was changed; the event says what it is now.',
    resource: ['audit_view'],
    resourceName: 'plain',
    context: savedView,
  },
  'audit_view.delete': {
    version: 1,
    about: 'A saved filter of the log was deleted; the event says what it was.',
    resource: ['audit_view'],
    resourceName: 'plain',
    context: savedView,
  },
  'audit_stream.create': {
    version: 1,
    about: 'A stream of the log to a receiver was set up; the event names the place that it goes to, and no secret.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: { ...stream, start: choice('now', 'beginning') },
  },
  'audit_stream.update': {
    version: 1,
    about: 'A stream was changed; the event says what it is now, and whether its secret was replaced.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: { ...stream, changed: list(text(40), 20) },
  },
  'audit_stream.pause': {
    version: 1,
    about: 'A stream was paused; what happens meanwhile is sent when it is resumed.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: stream,
  },
  'audit_stream.resume': {
    version: 1,
    about: 'A stream goes on where it had stopped.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: stream,
  },
  'audit_stream.delete': {
    version: 1,
    about: 'A stream was deleted.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: stream,
  },
  'audit_stream.test': {
    version: 1,
    about: 'The receiver of a stream is sent an event that is marked as a test.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: stream,
  },
  'audit_stream.fail': {
    version: 1,
    about: 'The receiver of a stream has taken nothing for a day; it is tried further.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: { ...stream, since: time },
  },
  'audit_stream.recover': {
    version: 1,
    about: 'The receiver of a stream that was failing takes events again.',
    resource: ['audit_stream'],
    resourceName: 'plain',
    context: { ...stream, since: time },
  },
  'log.epoch_opened': {
    version: 1,
    about:
      'The log goes on under a new number, because its past could not be continued; the event names the last of the old one.',
    resource: ['log'],
    resourceName: 'plain',
    context: {
      epoch: count,
      previous_origin: text(1000),
      previous_size: count,
      previous_root: hash,
      previous_checkpoint: nullable(text(4096)),
    },
  },
  'audit_retention.update': {
    version: 1,
    about: 'The tenant has decided how far ahead her log is kept in the archive.',
    resource: ['audit_retention'],
    resourceName: 'plain',
    context: { days: count, previous_days: count },
  },
  'legal_hold.place': {
    version: 1,
    about: 'A legal hold was placed: nothing of the log is removed and nobody is erased from it until it is released.',
    resource: ['legal_hold'],
    resourceName: 'plain',
    context: { reason: text(500) },
  },
  'legal_hold.release': {
    version: 1,
    about: 'A legal hold was released, by somebody else than who had placed it.',
    resource: ['legal_hold'],
    resourceName: 'plain',
    context: { reason: text(500), placed_by: text(200), placed_at: time },
  },
  'evidence.request': {
    version: 1,
    about: 'An evidence pack over a window of time was asked for; of `gdpr_access` the subject is whose data it holds.',
    resource: ['evidence_pack'],
    resourceName: 'plain',
    context: { kind, from: time, to: time, subject: nullable(id('usr')) },
  },
  'evidence.download': {
    version: 1,
    about: 'An evidence pack was downloaded.',
    resource: ['evidence_pack'],
    resourceName: 'plain',
    context: { kind, sha256: nullable(hash) },
  },
  'subject.erased': {
    version: 1,
    about:
      'The key of a person was destroyed: nobody can read any more what the log holds of her. `request` names the request in the books of the tenant.',
    resource: ['user'],
    resourceName: 'plain',
    context: { kid: text(22), basis: choice(...ERASURE_BASES), request: nullable(text(200)) },
  },
};

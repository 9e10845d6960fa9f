import { given, type StreamedEntry } from './streamed-entry.ts';
import { nativeValue } from './native.ts';

/**
 * Returns an entry as a CloudEvent 1.0 in structured JSON. `source` is the log's origin and `id` the event's, so the two
 * name it once; extensions are `sequence`, `partitionkey` (the tenant), `tenonoutcome` and of a test `tenontest`. `data`
 * is the native form.
 */
export function cloudEventsForm(streamed: StreamedEntry): string {
  const { origin, entry, isTest } = streamed;
  const { event, seq, outcome } = entry;
  return JSON.stringify(
    given({
      specversion: '1.0',
      id: event.id,
      source: origin,
      type: `tenon.audit.${event.action}`,
      subject: `${event.resource.type}/${event.resource.id}`,
      time: event.ts,
      datacontenttype: 'application/json',
      sequence: String(seq),
      partitionkey: event.tenant_id,
      tenonoutcome: outcome,
      tenontest: isTest ? true : undefined,
      data: nativeValue(streamed),
    }),
  );
}

import type { AuditActor, AuditOutcome } from '#schema/audit-event.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { nativeValue } from './native.ts';
import { ocsfClass, type OcsfClass } from './ocsf-class.ts';
import { given, type StreamedEntry } from './streamed-entry.ts';

type Json = { readonly [key: string]: JsonValue };

/** The version whose classes and attributes are used. */
const OCSF_VERSION = '1.3.0';

/** Severity and status by outcome. */
const OUTCOME: Readonly<Record<AuditOutcome, Json>> = {
  success: { severity_id: 1, severity: 'Informational', status_id: 1, status: 'Success' },
  denied: { severity_id: 3, severity: 'Medium', status_id: 2, status: 'Failure', status_detail: 'denied' },
  failure: { severity_id: 2, severity: 'Low', status_id: 2, status: 'Failure', status_detail: 'failure' },
};
/** Kinds of user: User, System and Other. */
const USER_TYPES: Readonly<Record<AuditActor['type'], Json>> = {
  user: { type_id: 1, type: 'User' },
  api_key: { type_id: 99, type: 'API key' },
  scim: { type_id: 99, type: 'SCIM token' },
  support: { type_id: 2, type: 'Admin' },
  system: { type_id: 3, type: 'System' },
  anonymous: { type_id: 0, type: 'Unknown' },
};

/**
 * Returns an entry as an OCSF event: Account Change (3001), Authentication (3002), Entity Management (3004) or API
 * Activity (6003) by its action, with its number, tenant and request in `metadata`. A sealed value is left out of the
 * attributes; `unmapped.tenon` is the native form, proof and all.
 */
export function ocsfForm(streamed: StreamedEntry): string {
  const { entry, isTest } = streamed;
  const { event, outcome } = entry;
  const kind = ocsfClass(event.action);
  return JSON.stringify(
    given({
      activity_id: kind.activityId,
      activity_name: kind.activityName,
      category_uid: kind.categoryUid,
      category_name: kind.categoryName,
      class_uid: kind.classUid,
      class_name: kind.className,
      type_uid: kind.classUid * 100 + kind.activityId,
      type_name: `${kind.className}: ${kind.activityName}`,
      time: Date.parse(event.ts),
      ...OUTCOME[outcome],
      message: isTest ? `test of a stream: ${event.action}` : `${event.action}: ${outcome}`,
      metadata: metadataOf(streamed),
      actor: actorOf(streamed),
      ...subjectOf(streamed, kind),
      src_endpoint: endpointOf(event.actor.ip),
      http_request: typeof event.actor.ua === 'string' ? { user_agent: event.actor.ua } : undefined,
      unmapped: { tenon: nativeValue(streamed) },
    }),
  );
}

function metadataOf({ origin, entry: { seq, event } }: StreamedEntry): Json {
  return given({
    version: OCSF_VERSION,
    product: { name: 'Tenon', vendor_name: 'Tenon', feature: { name: 'audit' } },
    uid: event.id,
    sequence: seq,
    tenant_uid: event.tenant_id,
    correlation_uid: event.request_id ?? undefined,
    original_time: event.ts,
    log_name: origin,
    event_code: event.action,
  });
}

function actorOf({ entry: { event } }: StreamedEntry): Json {
  const { type, id } = event.actor;
  return given({
    user: { ...USER_TYPES[type], ...(id === null ? { name: 'anonymous' } : { uid: id }) },
    session: event.session_id === null ? undefined : { uid: event.session_id },
  });
}

/** What each class must name beside the actor. */
function subjectOf({ entry: { event } }: StreamedEntry, { classUid }: OcsfClass): Json {
  const { type, id, name } = event.resource;
  const thing = given({ uid: id, name: typeof name === 'string' ? name : undefined });
  if (classUid === 3001 || classUid === 3002) {
    const { actor } = event;
    const isActor = type !== 'user' && actor.id !== null;
    return { user: isActor ? { ...USER_TYPES[actor.type], uid: actor.id } : thing };
  }
  if (classUid === 3004) return { entity: { ...thing, type } };
  return {
    api: given({ operation: event.action, request: event.request_id === null ? undefined : { uid: event.request_id } }),
    resources: [{ ...thing, type }],
  };
}

/** The class asks for one also where the address is sealed or unknown. */
function endpointOf(ip: AuditActor['ip']): Json {
  if (typeof ip === 'string') return { ip };
  return { name: ip === null ? 'unknown' : 'sealed' };
}

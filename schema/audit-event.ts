import { isIP } from 'node:net';
import { canonicalBytes, canonicalJson, parseCanonical, type JsonValue } from './canonical-json.ts';
import { fail } from './errors.ts';
import { isId } from './ids.ts';
import { leafHash } from './merkle.ts';
import { isSealedField, type SealedField } from './sealed-field.ts';

/** The kinds of actor that an event can name. */
export const ACTOR_TYPES = ['user', 'api_key', 'scim', 'support', 'system', 'anonymous'] as const;

/** How what the event tells of ended: done, refused by a rule, or broken off by a fault. */
export const OUTCOMES = ['success', 'denied', 'failure'] as const;

/** One of the outcomes. */
export type AuditOutcome = (typeof OUTCOMES)[number];

/** A text that may be a person's: as it is, sealed under her key, or null where unknown. */
export type PersonalText = string | SealedField | null;

/** Who did it. */
export type AuditActor = {
  readonly type: (typeof ACTOR_TYPES)[number];
  /** The public id of the user, key or token, or the name of the system part; null for `anonymous` alone. */
  readonly id: string | null;
  /** IPv4 or IPv6 address; null where unknown. */
  readonly ip: PersonalText;
  /** User agent; null where unknown. */
  readonly ua: PersonalText;
};

/** What it was done to. */
export type AuditResource = {
  /** Such as `document`: small letters, digits and underscores. */
  readonly type: string;
  readonly id: string;
  /** What people call it; null where unknown or nameless. */
  readonly name: PersonalText;
};

/**
 * One thing that happened in a tenant. Every key is always there; what is unknown is null. Every text is well-formed,
 * without the null character, and at most 4,096 UTF-16 units long.
 */
export type AuditEvent = {
  /** `aud_` id. */
  readonly id: string;
  /** `tnt_` id. */
  readonly tenant_id: string;
  readonly actor: AuditActor;
  /** Noun, dot, verb, such as `document.share`. */
  readonly action: string;
  readonly resource: AuditResource;
  /**
   * At most 50 keys an object, named like the resource type, at most 40 characters; at most 8 levels, itself one. Any
   * value in it may be a sealed field.
   */
  readonly context: { readonly [key: string]: JsonValue };
  readonly session_id: string | null;
  readonly request_id: string | null;
  /** RFC 3339 in UTC with `Z`, to the second or the millisecond. */
  readonly ts: string;
};

/** An event in its place in the log; its canonical bytes are the leaf's input. */
export type AuditEntry = {
  readonly v: 1;
  /** Gap-free from 0 in a log: the leaf's index. */
  readonly seq: number;
  /** The leaf hash of `seq - 1` as lower-case hex; `ZERO_PREV` for 0. */
  readonly prev: string;
  readonly outcome: AuditOutcome;
  /** Which version of its action's schema the event was checked against: 1 to `MAX_ACTION_VERSION`. */
  readonly action_version: number;
  readonly event: AuditEvent;
};

/** The `prev` of the first entry of a log. */
export const ZERO_PREV = '0'.repeat(64);

/** The most that an entry of a C2SP tile can hold: its length is written in 16 bits. */
export const MAX_ENTRY_BYTES = 65_535;

/** The highest version that an action's schema can have: a 32-bit integer of PostgreSQL. */
export const MAX_ACTION_VERSION = 2 ** 31 - 1;

const MAX_STRING_LENGTH = 4096;
const MAX_CONTEXT_KEYS = 50;
const MAX_CONTEXT_DEPTH = 8;

const EVENT_KEYS = ['id', 'tenant_id', 'actor', 'action', 'resource', 'context', 'session_id', 'request_id', 'ts'];
const ENTRY_KEYS = ['v', 'seq', 'prev', 'outcome', 'action_version', 'event'];
const NAME = /^[a-z][a-z0-9_]{0,39}$/;
const ACTION = /^[a-z][a-z0-9_]{0,39}(?:\.[a-z][a-z0-9_]{0,39}){1,3}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z$/;
const HASH_HEX = /^[0-9a-f]{64}$/;

/** An entry's bytes but for its event, at their longest: what an event must leave room for. */
const ENVELOPE_BYTES =
  canonicalBytes({
    v: 1,
    seq: Number.MAX_SAFE_INTEGER,
    prev: ZERO_PREV,
    outcome: 'success',
    action_version: MAX_ACTION_VERSION,
    event: '',
  }).length - 2;

type Fault = string | null;
type Fields = Readonly<Record<string, unknown>>;

/**
 * Returns the event, having proved that it can enter the log at any place; else AUDIT_EVENT_REFUSED, whose internal text
 * names the first fault by its path and never repeats a value. The transaction that writes the event calls this, so
 * the change and its event stand or fall together.
 */
export function checkEvent(event: unknown): AuditEvent {
  const checked = requireEvent(event);
  eventText(checked);
  return checked;
}

/** Returns the event, having proved its shape but not yet its length: it may grow while what is personal is sealed. */
export function requireEvent(event: unknown): AuditEvent {
  return isEvent(event) ? event : refuse(eventFault(event) ?? 'event is refused');
}

/** Returns the RFC 8785 text of an event of the right shape; one that is too long for an entry is AUDIT_EVENT_REFUSED. */
export function eventText(event: AuditEvent): string {
  const text = refusing(() => canonicalJson(event));
  if (Buffer.byteLength(text) + ENVELOPE_BYTES > MAX_ENTRY_BYTES)
    return refuse('event is too large for an entry of 65,535 bytes');
  return text;
}

/** Returns the RFC 8785 bytes of an entry; what `parseEntry` would not take back is AUDIT_EVENT_REFUSED. */
export function entryBytes(entry: AuditEntry): Buffer {
  const fault = entryFault(entry);
  if (fault !== null) return refuse(fault);
  const bytes = refusing(() => canonicalBytes(entry));
  return bytes.length > MAX_ENTRY_BYTES ? refuse(`entry is longer than ${MAX_ENTRY_BYTES} bytes`) : bytes;
}

/** Returns the leaf hash of an entry's bytes: its place in the tree and the next entry's `prev`. */
export function entryLeaf(bytes: Uint8Array): Buffer {
  return leafHash(bytes);
}

/**
 * Returns the entry whose canonical bytes these are. Hostile input enters here: bytes that are too many, not canonical
 * or not exactly of the entry's shape are BAD_USER_INPUT.
 */
export function parseEntry(bytes: Uint8Array): AuditEntry {
  if (bytes.length > MAX_ENTRY_BYTES) return fail('BAD_USER_INPUT', `entry is longer than ${MAX_ENTRY_BYTES} bytes`);
  const entry: unknown = parseCanonical(bytes);
  if (isEntry(entry)) return entry;
  const fault = entryFault(entry) ?? 'entry is refused';
  return fail('BAD_USER_INPUT', fault, { hint: `Audit entry: ${fault}.` });
}

function isEvent(value: unknown): value is AuditEvent {
  return eventFault(value) === null;
}

function isEntry(value: unknown): value is AuditEntry {
  return entryFault(value) === null;
}

function entryFault(entry: unknown): Fault {
  if (!hasKeys(entry, ENTRY_KEYS)) return `entry has not exactly the keys ${ENTRY_KEYS.join(', ')}`;
  const { v, seq, prev, outcome, action_version: version, event } = entry;
  if (v !== 1) return 'entry.v is not 1';
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) return 'entry.seq is no count';
  if (typeof prev !== 'string' || !HASH_HEX.test(prev)) return 'entry.prev is not 64 lower-case hex digits';
  if ((seq === 0) !== (prev === ZERO_PREV)) return 'entry.prev is zero at another place than the first';
  if (!isOneOf(OUTCOMES, outcome)) return `entry.outcome is none of ${OUTCOMES.join(', ')}`;
  if (!isActionVersion(version)) return 'entry.action_version is no positive 32-bit integer';
  return eventFault(event);
}

function eventFault(event: unknown): Fault {
  if (!hasKeys(event, EVENT_KEYS)) return `event has not exactly the keys ${EVENT_KEYS.join(', ')}`;
  const { id, tenant_id: tenantId, action, ts } = event;
  if (typeof id !== 'string' || !isId('aud', id)) return 'event.id is no aud_ id';
  if (typeof tenantId !== 'string' || !isId('tnt', tenantId)) return 'event.tenant_id is no tnt_ id';
  if (typeof action !== 'string' || !ACTION.test(action)) return 'event.action is not of the form noun.verb';
  if (!isTime(ts)) return 'event.ts is no RFC 3339 time in UTC';
  return (
    actorFault(event['actor']) ??
    resourceFault(event['resource']) ??
    idOrNullFault('event.session_id', event['session_id']) ??
    idOrNullFault('event.request_id', event['request_id']) ??
    contextFault(event['context'])
  );
}

function actorFault(actor: unknown): Fault {
  if (!hasKeys(actor, ['type', 'id', 'ip', 'ua'])) return 'event.actor has not exactly the keys type, id, ip, ua';
  const { type, id, ip, ua } = actor;
  if (!isOneOf(ACTOR_TYPES, type)) return `event.actor.type is none of ${ACTOR_TYPES.join(', ')}`;
  if ((type === 'anonymous') !== (id === null)) return 'event.actor.id is null for anonymous, and for no other actor';
  if (ip !== null && !isSealedField(ip) && (typeof ip !== 'string' || isIP(ip) === 0))
    return 'event.actor.ip is no IP address';
  return idOrNullFault('event.actor.id', id) ?? personalFault('event.actor.ua', ua);
}

function resourceFault(resource: unknown): Fault {
  if (!hasKeys(resource, ['type', 'id', 'name'])) return 'event.resource has not exactly the keys type, id, name';
  const { type, id, name } = resource;
  if (typeof type !== 'string' || !NAME.test(type)) return 'event.resource.type is not of the form a_name';
  return idFault('event.resource.id', id) ?? personalFault('event.resource.name', name);
}

function contextFault(context: unknown): Fault {
  return isFields(context) ? fieldsFault('event.context', context, 1) : 'event.context is no object';
}

function fieldsFault(path: string, fields: Fields, depth: number): Fault {
  const keys = Object.keys(fields);
  if (keys.length > MAX_CONTEXT_KEYS) return `${path} has more than ${MAX_CONTEXT_KEYS} keys`;
  // The key itself is left out of the text: it may be long, hostile or personal.
  if (!keys.every((key) => NAME.test(key)))
    return `${path} has a key that is not of the form a_name up to 40 characters`;
  return firstFault(keys, (key) => valueFault(`${path}.${key}`, fields[key], depth));
}

function valueFault(path: string, value: unknown, depth: number): Fault {
  if (typeof value === 'string') return textFault(path, value);
  // Numbers, booleans and what JSON cannot carry are judged by the canonical form.
  if (typeof value !== 'object' || value === null || isSealedField(value)) return null;
  if (depth >= MAX_CONTEXT_DEPTH) return `${path} is nested deeper than ${MAX_CONTEXT_DEPTH} levels`;
  if (!Array.isArray(value))
    return isFields(value) ? fieldsFault(path, value, depth + 1) : `${path} is no plain object`;
  const items: readonly unknown[] = value;
  return firstFault([...items.keys()], (index) => valueFault(`${path}[${index}]`, items[index], depth + 1));
}

function firstFault<T>(items: readonly T[], faultOf: (item: T) => Fault): Fault {
  for (const item of items) {
    const fault = faultOf(item);
    if (fault !== null) return fault;
  }
  return null;
}

function idOrNullFault(path: string, value: unknown): Fault {
  return value === null ? null : idFault(path, value);
}

function idFault(path: string, value: unknown): Fault {
  return value === '' ? `${path} is empty` : textFault(path, value);
}

function personalFault(path: string, value: unknown): Fault {
  return value === null || isSealedField(value) ? null : textFault(path, value);
}

function textFault(path: string, value: unknown): Fault {
  if (typeof value !== 'string') return `${path} is no text`;
  if (value.length > MAX_STRING_LENGTH) return `${path} is longer than ${MAX_STRING_LENGTH} characters`;
  // PostgreSQL stores no null character in text or jsonb.
  return value.includes('\0') ? `${path} has a null character` : null;
}

function isTime(value: unknown): boolean {
  if (typeof value !== 'string' || !TIME.test(value)) return false;
  const time = new Date(value);
  // The way back shows days that a month does not have, which Date would move to the next one.
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(value.slice(0, -1));
}

function hasKeys(value: unknown, keys: readonly string[]): value is Fields {
  return isFields(value) && Object.keys(value).length === keys.length && keys.every((key) => Object.hasOwn(value, key));
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isActionVersion(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_ACTION_VERSION;
}

function isOneOf(values: readonly string[], value: unknown): boolean {
  return typeof value === 'string' && values.includes(value);
}

/** What the canonical form refuses is here a fault of the event, not of a caller's input. */
function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    return fail('AUDIT_EVENT_REFUSED', `event: ${cause instanceof Error ? cause.message : 'no JSON'}`, { cause });
  }
}

function refuse(fault: string): never {
  return fail('AUDIT_EVENT_REFUSED', fault);
}

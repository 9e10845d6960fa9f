import type { AuditActor, AuditEvent, AuditResource, PersonalText } from './audit-event.ts';
import type { JsonValue } from './canonical-json.ts';
import { isSealedField, type SealedField } from './sealed-field.ts';

/** A sealed field and where it stands in its event. */
export interface PlacedField {
  readonly path: string;
  readonly sealed: SealedField;
}

/** An event whose personal values are readable again, as far as their keys are there. */
export interface OpenedEvent extends Omit<AuditEvent, 'actor' | 'resource'> {
  readonly actor: Omit<AuditActor, 'ip' | 'ua'> & { readonly ip: string | null; readonly ua: string | null };
  readonly resource: Omit<AuditResource, 'name'> & { readonly name: string | null };
  /** Paths of the values that nobody can read any more; a text of these is null, a value of the context `ERASED`. */
  readonly erased: readonly string[];
}

/** What stands in an opened context where a value can be read no more. */
export const ERASED = { erased: true } as const;

/** Returns the event with the values at these paths replaced; a path is `actor.ip`, `actor.ua`, `resource.name` or `context.<key>`. */
export function sealValues(event: AuditEvent, values: ReadonlyMap<string, SealedField>): AuditEvent {
  if (values.size === 0) return event;
  const { actor, resource, context } = event;
  return {
    ...event,
    actor: { ...actor, ip: values.get('actor.ip') ?? actor.ip, ua: values.get('actor.ua') ?? actor.ua },
    resource: { ...resource, name: values.get('resource.name') ?? resource.name },
    context: Object.fromEntries(
      Object.entries(context).map(([key, value]) => [key, values.get(`context.${key}`) ?? value]),
    ),
  };
}

/** Returns the value that stands at a path that `sealValues` knows, or null where nothing does. */
export function valueAt({ actor, resource, context }: AuditEvent, path: string): JsonValue {
  if (path === 'actor.ip') return actor.ip;
  if (path === 'actor.ua') return actor.ua;
  if (path === 'resource.name') return resource.name;
  const key = path.slice('context.'.length);
  return path.startsWith('context.') && Object.hasOwn(context, key) ? (context[key] ?? null) : null;
}

/** Returns every sealed field of an event. */
export function sealedFields({ actor, resource, context }: AuditEvent): PlacedField[] {
  const texts = [
    { path: 'actor.ip', value: actor.ip },
    { path: 'actor.ua', value: actor.ua },
    { path: 'resource.name', value: resource.name },
  ];
  return [...texts.flatMap(({ path, value }) => fieldsIn(path, value)), ...fieldsIn('context', context)];
}

/** Returns the event with every sealed field opened; null of `open` means that it cannot be, any more. */
export function openEvent(event: AuditEvent, open: (field: PlacedField) => { value: JsonValue } | null): OpenedEvent {
  const erased: string[] = [];
  const opened = (path: string, sealed: SealedField): JsonValue => {
    const found = open({ path, sealed });
    if (found === null) erased.push(path);
    return found === null ? ERASED : found.value;
  };
  const text = (path: string, value: PersonalText): string | null => {
    const shown = isSealedField(value) ? opened(path, value) : value;
    return typeof shown === 'string' ? shown : null;
  };
  const { actor, resource, context } = event;
  return {
    ...event,
    actor: { ...actor, ip: text('actor.ip', actor.ip), ua: text('actor.ua', actor.ua) },
    resource: { ...resource, name: text('resource.name', resource.name) },
    context: openIn('context', context, opened) as AuditEvent['context'],
    erased,
  };
}

function fieldsIn(path: string, value: JsonValue): PlacedField[] {
  if (typeof value !== 'object' || value === null) return [];
  if (isSealedField(value)) return [{ path, sealed: value }];
  return partsOf(value, path).flatMap(([inner, part]) => fieldsIn(inner, part));
}

function openIn(path: string, value: JsonValue, opened: (path: string, sealed: SealedField) => JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (isSealedField(value)) return opened(path, value);
  if (isList(value)) return value.map((item, index) => openIn(`${path}[${index}]`, item, opened));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, openIn(`${path}.${key}`, part, opened)]));
}

function partsOf(value: object, path: string): [string, JsonValue][] {
  const parts: [string, JsonValue][] = Object.entries(value);
  return parts.map(([key, part]) => [Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, part]);
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}

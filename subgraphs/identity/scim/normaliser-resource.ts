import type { Rewriting } from './rewrites.ts';
import { booleanIn, normaliseValue } from './normaliser-value.ts';
import { COMMON_ATTRIBUTES, attributeNamed, findAttribute, findSchema } from './schema.ts';
import type { Attribute, ResourceType, ScimObject } from './schema.ts';
import { boundedBody, isObject, memberOf } from './value.ts';

const LEGACY_GROUP_URN = 'http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/2.0/group';

/**
 * Returns the body of a POST or PUT in the form of RFC 7643. Hostile input enters here. `current` is the resource that a
 * PUT replaces: a client that deactivates somebody and blanks her userName on the way does not mean to take her name.
 */
export function normaliseResource(
  body: unknown,
  { type, current }: { readonly type: ResourceType; readonly current?: ScimObject },
  rewriting: Rewriting,
): unknown {
  const message = boundedBody(body);
  checkSchemas(memberOf(message, 'schemas'), type, rewriting);
  const reading: Reading = { type, rewriting, extensions: new Map() };
  const own = Object.entries(message).flatMap(([key, part]) => normaliseMember(reading, key, part));
  const merged = mergedMembers(own, reading.extensions);
  return current === undefined ? merged : withRequired(merged, { type, current }, rewriting);
}

interface Reading {
  readonly type: ResourceType;
  readonly rewriting: Rewriting;
  /** What was found outside of the object of its extension, or of its attribute. */
  readonly extensions: Map<string, Record<string, unknown>>;
}

type Member = [name: string, value: unknown];

function checkSchemas(schemas: unknown, type: ResourceType, { note }: Rewriting): void {
  if (schemas === undefined || schemas === null) return note('schemas_added');
  for (const urn of Array.isArray(schemas) ? schemas : []) {
    if (typeof urn !== 'string' || findSchema(type, urn) !== undefined) continue;
    note(urn.toLowerCase() === LEGACY_GROUP_URN ? 'legacy_schema' : 'unknown_dropped');
  }
}

function normaliseMember(reading: Reading, key: string, part: unknown): Member[] {
  const { type, rewriting } = reading;
  const attribute = attributeNamed([...COMMON_ATTRIBUTES, ...type.schema.attributes], key);
  if (attribute !== undefined) return [[key, normaliseAttribute(reading, attribute, part)]];
  const schema = findSchema(type, key);
  if (schema !== undefined)
    return isObject(part) ? [[key, extensionOf(reading, schema.attributes, part)]] : [[key, part]];
  return normaliseStray(reading, key, part) ? [] : dropped(rewriting);
}

function normaliseAttribute({ rewriting }: Reading, attribute: Attribute, part: unknown): unknown {
  if (attribute.mutability === 'writeOnly' && rewriting.allows('password_dropped')) rewriting.note('password_dropped');
  return normaliseValue(attribute, part, rewriting).value;
}

function extensionOf(
  { rewriting }: Reading,
  attributes: readonly Attribute[],
  part: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const members = Object.entries(part).flatMap(([name, value]): Member[] => {
    const attribute = attributeNamed(attributes, name);
    return attribute === undefined ? dropped(rewriting) : [[name, normaliseValue(attribute, value, rewriting).value]];
  });
  return Object.fromEntries(members);
}

/** A member that stands where the RFC puts none, such as `name.givenName` or `urn:...:User:department`. */
function normaliseStray({ type, rewriting, extensions }: Reading, key: string, part: unknown): boolean {
  const target = findAttribute(type, key);
  if (target === undefined) return false;
  const { attribute, sub, extension } = target;
  if (extension !== undefined) rewriting.note(key.includes(':') ? 'urn_key' : 'unqualified_extension');
  else rewriting.note(sub === undefined ? 'urn_key' : 'dotted_key');
  if (sub !== undefined && (attribute.multiValued || extension !== undefined)) return false;
  const holder = extension ?? (sub === undefined ? '' : attribute.name);
  const name = sub?.name ?? attribute.name;
  const value = normaliseValue(sub ?? attribute, part, rewriting).value;
  extensions.set(holder, { ...extensions.get(holder), [name]: value });
  return true;
}

function dropped({ note }: Rewriting): never[] {
  note('unknown_dropped');
  return [];
}

/** What stands in its place wins over what stands elsewhere. */
function mergedMembers(own: readonly Member[], strays: Reading['extensions']): Record<string, unknown> {
  const merged: Record<string, unknown> = Object.fromEntries(own);
  for (const [holder, parts] of strays) {
    const name = Object.keys(merged).find((key) => key.toLowerCase() === holder.toLowerCase()) ?? holder;
    if (holder === '') {
      for (const [key, value] of Object.entries(parts)) merged[key] ??= value;
      continue;
    }
    const known = merged[name];
    merged[name] = isObject(known) ? { ...parts, ...known } : parts;
  }
  return merged;
}

function withRequired(
  body: Record<string, unknown>,
  { type, current }: { readonly type: ResourceType; readonly current: ScimObject },
  rewriting: Rewriting,
): Record<string, unknown> {
  const isEnd = memberOf(body, 'active') === false || booleanIn(memberOf(body, 'active')) === false;
  const blank = type.schema.attributes.filter(({ name, required }) => required && (memberOf(body, name) ?? '') === '');
  if (!isEnd || blank.length === 0) return body;
  rewriting.note('blank_required_kept');
  const others = Object.entries(body).filter(([key]) => attributeNamed(blank, key) === undefined);
  const kept = blank.map(({ name }): Member => [name, current[name]]);
  return Object.fromEntries([...others, ...kept]);
}

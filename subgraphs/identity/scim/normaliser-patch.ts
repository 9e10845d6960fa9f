import { fail, TenonError, type ErrorCode } from '#schema/errors.ts';
import { parsePath, type PatchPath } from './filter.ts';
import { normaliseFilter } from './normaliser-filter.ts';
import { normaliseElement, normaliseValue, type NormalValue } from './normaliser-value.ts';
import type { Rewriting } from './rewrites.ts';
import { attributeNamed, findAttribute, findSchema, pathOf } from './schema.ts';
import type { Attribute, AttributeReference, ResourceType, Schema } from './schema.ts';
import { boundedBody, isObject, memberOf } from './value.ts';

/** What a PATCH body is read for. */
export interface PatchTarget {
  readonly type: ResourceType;
  /** Public id of the resource in the address. */
  readonly id: string;
}

/**
 * Returns a PATCH body in the form of RFC 7644 section 3.5.2. Hostile input enters here. What names nothing that can be
 * changed is dropped from a request that says something else as well; a request that says nothing else is refused, so
 * that no client is told that something was done.
 */
export function normalisePatch(body: unknown, target: PatchTarget, rewriting: Rewriting): unknown {
  const message = boundedBody(body);
  if (memberOf(message, 'schemas') === undefined) rewriting.note('schemas_added');
  const operations = memberOf(message, 'Operations');
  if (!Array.isArray(operations) || operations.length === 0) return message;
  const reading: Reading = { ...target, rewriting, dropped: null };
  const normal = operations.flatMap((operation: unknown) => normaliseOperation(reading, operation));
  if (normal.length === 0) refuseEmpty(reading);
  const others = Object.entries(message).filter(([name]) => name.toLowerCase() !== 'operations');
  return { ...Object.fromEntries(others), Operations: normal };
}

interface Reading extends PatchTarget {
  readonly rewriting: Rewriting;
  /** Why something was left out. */
  dropped: ErrorCode | null;
}

type Json = Readonly<Record<string, unknown>>;

function refuseEmpty({ dropped }: Reading): never {
  return fail(dropped ?? 'BAD_USER_INPUT', 'nothing of the PATCH is left', {
    hint: 'The request names nothing that it could change.',
  });
}

function normaliseOperation(reading: Reading, operation: unknown): unknown[] {
  if (!isObject(operation)) return [operation];
  const given = memberOf(operation, 'op');
  const op = typeof given === 'string' ? given.toLowerCase() : given;
  if (op !== given) reading.rewriting.note('op_case');
  const path = memberOf(operation, 'path') ?? undefined;
  const value = memberOf(operation, 'value');
  if (typeof path === 'string' && path !== '') return normaliseAtPath(reading, { op, path, value });
  const isObjectChange = path === undefined && (op === 'add' || op === 'replace') && isObject(value);
  return isObjectChange ? normaliseKeys(reading, op, value) : [{ ...operation, op }];
}

interface PathChange {
  readonly op: unknown;
  readonly path: string;
  readonly value: unknown;
}

function normaliseAtPath(reading: Reading, change: PathChange): unknown[] {
  const { type, rewriting } = reading;
  const path = normaliseFilter(change.path, type, rewriting);
  const parsed = parsedPath(path, type);
  if (parsed === undefined) return [{ ...change, path }];
  if (parsed.kind === 'schema') return [normaliseSchema(reading, { ...change, path }, parsed.schema)].flat();
  const { target, filter } = parsed;
  if (target.attribute.mutability === 'writeOnly') rewriting.note('password_dropped');
  const isUnqualified = target.extension !== undefined && !path.includes(':') && filter === undefined;
  if (isUnqualified) rewriting.note('unqualified_extension');
  const qualified = { ...change, path: isUnqualified ? pathOf(target) : path };
  return change.op === 'remove' ? [removal(rewriting, qualified)] : normaliseChange(reading, qualified, parsed);
}

function removal({ note }: Rewriting, { path, value }: PathChange): unknown {
  if (value === undefined || value === null) return { op: 'remove', path };
  note('remove_by_value');
  return { op: 'remove', path, value };
}

function normaliseChange(
  reading: Reading,
  { op, path, value }: PathChange,
  { target, filter }: Extract<PatchPath, { kind: 'attribute' }>,
): unknown[] {
  const { attribute, sub } = target;
  const isSelected = filter !== undefined;
  const normal =
    isSelected && sub === undefined
      ? normaliseElement(attribute, value, reading.rewriting)
      : normaliseValue(sub ?? attribute, value, reading.rewriting);
  if (normal.isEmptied) return drop(reading, 'INVALID_PATH');
  const isSet = isSelected && sub !== undefined && normal.value !== null && normal.value !== '';
  const meant = op === 'replace' && isSet ? replacing(reading.rewriting) : op;
  return [{ op: meant, path, value: normal.value }];
}

/** For one value of an element the two differ where the filter selects nothing: there, an add creates the element. */
function replacing({ allows, note }: Rewriting): 'add' | 'replace' {
  if (!allows('replace_as_add')) return 'replace';
  note('replace_as_add');
  return 'add';
}

function normaliseSchema(reading: Reading, change: PathChange, schema: Schema): unknown {
  if (!isObject(change.value)) return change;
  const { value, isEmptied } = normaliseMembers(schema, change.value, reading.rewriting);
  return isEmptied ? drop(reading, 'INVALID_PATH') : { ...change, value };
}

/** The members below the URN of a schema. */
function normaliseMembers(schema: Schema, value: Json, rewriting: Rewriting): NormalValue {
  const parts = Object.entries(value).flatMap(([name, part]): [string, unknown][] => {
    const attribute = attributeNamed(schema.attributes, name);
    if (attribute !== undefined) return [[name, normaliseValue(attribute, part, rewriting).value]];
    const [head = '', sub = ''] = name.split('.');
    const isDotted = attributeNamed(attributeNamed(schema.attributes, head)?.subAttributes, sub) !== undefined;
    rewriting.note(isDotted ? 'dotted_key' : 'unknown_dropped');
    return isDotted ? [[name, part]] : [];
  });
  return { value: Object.fromEntries(parts), isEmptied: parts.length === 0 && Object.keys(value).length > 0 };
}

/** Keys that are attributes stay together; each other one becomes an operation with a path, in the order of the keys. */
function normaliseKeys(reading: Reading, op: 'add' | 'replace', value: Json): unknown[] {
  const operations: { op: unknown; path?: string; value: unknown }[] = [];
  let together: Record<string, unknown> | null = null;
  for (const [key, part] of Object.entries(value)) {
    const found = normaliseKey(reading, op, { key, part });
    if (found === null) continue;
    if ('path' in found) {
      operations.push(found);
      together = null;
      continue;
    }
    if (together === null) {
      together = {};
      operations.push({ op, value: together });
    }
    together[key] = found.value;
  }
  return operations;
}

interface Key {
  readonly key: string;
  readonly part: unknown;
}

/** An operation with a path, the value of a key that stays one, or null for what is left out. */
type NormalKey =
  | { readonly op: unknown; readonly path: string; readonly value: unknown }
  | { readonly value: unknown }
  | null;

function normaliseKey(reading: Reading, op: 'add' | 'replace', { key, part }: Key): NormalKey {
  const { type, rewriting } = reading;
  if (key.includes('[')) return normalisePathKey(reading, op, { key, part });
  const schema = findSchema(type, key);
  if (schema !== undefined) return normaliseSchemaKey(reading, schema, part);
  const target = findAttribute(type, key);
  if (target === undefined) return leaveOut(reading, 'unknown_dropped', 'INVALID_PATH');
  const { attribute, sub } = target;
  if (attribute.mutability === 'readOnly') return readOnlyKey(reading, attribute, part);
  if (attribute.mutability === 'writeOnly') rewriting.note('password_dropped');
  if (attribute.required && (part ?? '') === '') return leaveOut(reading, 'blank_required_kept', 'BAD_USER_INPUT');
  const { value, isEmptied } = normaliseValue(sub ?? attribute, part, rewriting);
  if (isEmptied) return leaveOut(reading, null, 'INVALID_PATH');
  return isPathKey(rewriting, target, key) ? { op, path: pathOf(target), value } : { value };
}

/** Tells whether a key names more than an attribute of the core schema; in the RFC that is a path. */
function isPathKey({ note }: Rewriting, { sub, extension }: AttributeReference, key: string): boolean {
  const isQualified = key.includes(':');
  if (isQualified) note('urn_key');
  else if (extension !== undefined) note('unqualified_extension');
  if (sub !== undefined) note('dotted_key');
  return isQualified || extension !== undefined || sub !== undefined;
}

function normalisePathKey(reading: Reading, op: 'add' | 'replace', { key, part }: Key): NormalKey {
  reading.rewriting.note('path_as_key');
  const [operation] = normaliseAtPath(reading, { op, path: key, value: part });
  return isObject(operation) ? { op, path: key, value: part, ...operation } : null;
}

function normaliseSchemaKey(reading: Reading, schema: Schema, part: unknown): { value: unknown } | null {
  if (!isObject(part)) return { value: part };
  const { value, isEmptied } = normaliseMembers(schema, part, reading.rewriting);
  return isEmptied ? leaveOut(reading, null, 'INVALID_PATH') : { value };
}

/** Clients send back what they were given; another id than that of the address is left for the engine to refuse. */
function readOnlyKey(reading: Reading, attribute: Attribute, part: unknown): { value: unknown } | null {
  if (attribute.name === 'id' && part !== reading.id) return { value: part };
  return leaveOut(reading, 'read_only_dropped', 'MUTABILITY');
}

function leaveOut(
  reading: Reading,
  rewrite: 'unknown_dropped' | 'read_only_dropped' | 'blank_required_kept' | null,
  code: ErrorCode,
): null {
  if (rewrite !== null) reading.rewriting.note(rewrite);
  reading.dropped ??= code;
  return null;
}

function drop(reading: Reading, code: ErrorCode): never[] {
  reading.dropped ??= code;
  return [];
}

function parsedPath(path: string, type: ResourceType): PatchPath | undefined {
  try {
    return parsePath(path, type);
  } catch (error) {
    if (error instanceof TenonError) return undefined;
    throw error;
  }
}

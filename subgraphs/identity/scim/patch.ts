import { isDeepStrictEqual } from 'node:util';
import { fail } from '#schema/errors.ts';
import { nextElements } from './patch-elements.ts';
import { stepsOf } from './patch-steps.ts';
import type { PatchContext, PatchOperation, PatchStep, Profile } from './patch-steps.ts';
import { attributeNamed, pathOf, valueOf } from './schema.ts';
import type { Attribute, AttributeReference, ResourceType, ScimObject, ScimValue } from './schema.ts';
import { isObject, readScalar, readValue, unwrapOne } from './value.ts';

/** What a PATCH request makes of a resource. */
export interface PatchResult {
  /** The new resource; the old one is left as it was. */
  readonly resource: ScimObject;
  readonly changed: boolean;
  /** Canonical names of the attributes that differ now, for the audit log. */
  readonly changedAttributes: readonly string[];
  /** What the request named and the profile passed over. */
  readonly ignored: readonly string[];
}

/**
 * Applies the operations of a PATCH request (RFC 7644 section 3.5.2) to a resource document with schema spelling, all
 * or none: a fault throws and the resource given stays as it was. The shapes of Okta and Entra are understood in every
 * profile; see Profile for what differs. The document should carry its `id`. Removing `active` sets it to false, so
 * that no request brings an account to life without saying so.
 *
 * Errors: INVALID_PATH, NO_TARGET, MUTABILITY (required, readOnly), BAD_USER_INPUT (type, size).
 */
export function applyPatch(
  resource: ScimObject,
  operations: readonly PatchOperation[],
  context: PatchContext,
): PatchResult {
  const { steps, ignored } = stepsOf(operations, context);
  let draft: PatchDraft = { resource, ignored };
  for (const step of steps) draft = applyStep(draft, step, context.profile);
  return resultOf(resource, draft);
}

/** A resource on its way through the steps; never changed in place. */
export interface PatchDraft {
  readonly resource: ScimObject;
  readonly ignored: readonly string[];
}

/** Returns the draft after one step. */
export function applyStep(draft: PatchDraft, step: PatchStep, profile: Profile): PatchDraft {
  if (isPassedOver(draft.resource, step, profile)) {
    return { ...draft, ignored: [...draft.ignored, pathOf(step.target)] };
  }
  if (step.op === 'add' && step.value === null) return draft;
  const before = valueAt(draft.resource, step.target);
  return { ...draft, resource: write(draft.resource, step, nextValue(step, before, profile)) };
}

/** Refuses with MUTABILITY what changes or removes an immutable attribute that has a value (RFC 7643 section 2.2). */
export function requireUnchangedImmutables(type: ResourceType, before: ScimObject, after: ScimObject): void {
  for (const { id: extension, attributes } of type.extensions) {
    for (const attribute of attributes.filter(({ mutability }) => mutability === 'immutable')) {
      const target = { attribute, extension };
      const value = valueAt(before, target);
      if (value !== undefined && !isDeepStrictEqual(value, valueAt(after, target))) immutable(target);
    }
  }
}

/** Returns what a draft has become, compared with the resource it came from. */
export function resultOf(resource: ScimObject, draft: PatchDraft): PatchResult {
  const before = flattened(resource);
  const after = flattened(draft.resource);
  const names = new Set([...before.keys(), ...after.keys()]);
  const changedAttributes = [...names].filter((name) => !isDeepStrictEqual(before.get(name), after.get(name)));
  return { ...draft, changed: changedAttributes.length > 0, changedAttributes };
}

/** Tells whether the step is to be left out; throws MUTABILITY where it may be neither left out nor done. */
function isPassedOver(resource: ScimObject, step: PatchStep, profile: Profile): boolean {
  const { attribute, sub } = step.target;
  if (attribute.mutability === 'writeOnly') return true;
  if (attribute.mutability === 'readOnly' || sub?.mutability === 'readOnly') {
    return isHarmless(resource, step, profile) || immutable(step.target);
  }
  const isBlank = step.value === null || step.value === '';
  return attribute.required && isBlank && step.implicit && profile !== 'strict';
}

/** Clients send back what they were given: nothing comes of it, and the change beside it must not fail over it. */
function isHarmless(resource: ScimObject, { target, value, implicit }: PatchStep, profile: Profile): boolean {
  if (!implicit) return false;
  if (target.attribute.name === 'schemas') return true;
  const current = valueAt(resource, target);
  if (current !== undefined && isDeepStrictEqual(current, value)) return true;
  const isOtherId = target.attribute.name === 'id' && current !== undefined;
  return profile !== 'strict' && !isOtherId;
}

function immutable(target: AttributeReference): never {
  fail('MUTABILITY', `PATCH of ${pathOf(target)}`, { hint: `"${pathOf(target)}" cannot be changed by a client.` });
}

/** The value of the whole attribute, also where the target is one of its sub-attributes. */
function valueAt(resource: ScimObject, { attribute, extension }: AttributeReference): ScimValue | undefined {
  const holder = extension === undefined ? resource : resource[extension];
  return isScimObject(holder) && Object.hasOwn(holder, attribute.name) ? holder[attribute.name] : undefined;
}

function isScimObject(value: ScimValue | undefined): value is ScimObject {
  return isObject(value);
}

function nextValue(step: PatchStep, before: ScimValue | undefined, profile: Profile): ScimValue | undefined {
  const { attribute } = step.target;
  if (attribute.multiValued) {
    const elements = nextElements(step, Array.isArray(before) ? before.filter(isScimObject) : [], profile);
    return elements.length > 0 ? elements : undefined;
  }
  if (attribute.type === 'complex') return nextComplex(step, isScimObject(before) ? before : {});
  return step.op === 'remove' ? undefined : readScalar(attribute, step.value, pathOf(step.target));
}

function nextComplex(step: PatchStep, before: ScimObject): ScimObject | undefined {
  const { op, target, value } = step;
  const { attribute, sub } = target;
  if (op === 'remove' && sub === undefined) return undefined;
  if (sub !== undefined) {
    const read = op === 'remove' ? undefined : readScalar(sub, value, pathOf(target));
    return merged(attribute, before, { [sub.name]: read === '' && isPrincipal(attribute, sub) ? undefined : read });
  }
  const given = unwrapOne(value, pathOf(target));
  const read = readValue(attribute, given, pathOf(target));
  const change = isScimObject(read) ? read : {};
  if (isObject(given)) return merged(attribute, before, { ...unassignedBy(attribute, given), ...change });
  return read === undefined ? undefined : merged(attribute, before, change);
}

type ComplexChange = Readonly<Record<string, ScimValue | undefined>>;

function unassignedBy(attribute: Attribute, given: Readonly<Record<string, unknown>>): ComplexChange {
  const subs = Object.entries(given).map(([name, part]) => ({
    sub: attributeNamed(attribute.subAttributes, name),
    part,
  }));
  const isBlank = (sub: Attribute, part: unknown): boolean =>
    part === null || (part === '' && isPrincipal(attribute, sub));
  return Object.fromEntries(
    subs.flatMap(({ sub, part }) => (sub !== undefined && isBlank(sub, part) ? [[sub.name, undefined]] : [])),
  );
}

function isPrincipal(attribute: Attribute, sub: Attribute): boolean {
  return sub === valueOf(attribute);
}

/** Sub-attributes that are not named stay, unless `value` changes: then they describe what is no longer meant. */
function merged(attribute: Attribute, before: ScimObject, change: ComplexChange): ScimObject | undefined {
  const isOther = valueOf(attribute) !== undefined && 'value' in change && change['value'] !== before['value'];
  const parts = Object.entries({ ...(isOther ? {} : before), ...change });
  const present = parts.filter((part): part is [string, ScimValue] => part[1] !== undefined);
  return present.length > 0 ? Object.fromEntries(present) : undefined;
}

function write(resource: ScimObject, { op, target }: PatchStep, after: ScimValue | undefined): ScimObject {
  const { attribute, extension } = target;
  if (attribute.required && (after === undefined || after === '')) {
    fail(op === 'remove' ? 'MUTABILITY' : 'BAD_USER_INPUT', `PATCH unassigns ${attribute.name}`, {
      hint: `"${attribute.name}" is required.`,
    });
  }
  if (extension === undefined) return assigned(resource, attribute, after);
  const holder = resource[extension];
  const next = assigned(isScimObject(holder) ? holder : {}, attribute, after);
  if (Object.keys(next).length > 0) return { ...resource, [extension]: next };
  const { [extension]: _, ...rest } = resource;
  return rest;
}

function assigned(holder: ScimObject, { name }: Attribute, value: ScimValue | undefined): ScimObject {
  if (value !== undefined) return { ...holder, [name]: value };
  if (name === 'active') return { ...holder, active: false };
  const { [name]: _, ...rest } = holder;
  return rest;
}

function flattened(resource: ScimObject): Map<string, ScimValue> {
  return new Map(
    Object.entries(resource).flatMap(([name, value]): [string, ScimValue][] =>
      name.startsWith('urn:') && isScimObject(value)
        ? Object.entries(value).map(([inner, part]) => [`${name}:${inner}`, part])
        : [[name, value]],
    ),
  );
}

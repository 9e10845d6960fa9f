import { isDeepStrictEqual } from 'node:util';
import { fail } from '#schema/errors.ts';
import type { Filter } from './filter.ts';
import { matchesElement } from './filter-match.ts';
import type { PatchStep, Profile } from './patch-steps.ts';
import { pathOf, valueOf } from './schema.ts';
import type { Attribute, ScimObject, ScimValue } from './schema.ts';
import {
  VALUE_LIMITS,
  isObject,
  isPrimary,
  listOf,
  memberOf,
  readElements,
  readScalar,
  refuse,
  unwrapOne,
} from './value.ts';

/** Sub-attributes that only describe a value; an element that has nothing else is dropped. */
const DESCRIPTIVE: ReadonlySet<string> = new Set(['type', 'primary', 'display']);

/**
 * Returns the elements of a multi-valued attribute after one step, without changing those given. An add of an element
 * that is there already changes nothing but what is new about it; a new primary element demotes the old one. Where a
 * filter selects nothing, `add` creates the element that the filter describes, and so does `replace` in the entra
 * profile; else that is NO_TARGET, as is a `remove` in the strict profile.
 */
export function nextElements(step: PatchStep, before: readonly ScimObject[], profile: Profile): ScimObject[] {
  const isWhole = step.filter === undefined && step.target.sub === undefined;
  const after = isWhole ? changeWhole(step, before) : changeSelected(step, before, profile);
  if (after.length > VALUE_LIMITS.elements) {
    refuse(`"${pathOf(step.target)}" takes at most ${VALUE_LIMITS.elements} elements.`);
  }
  return withOnePrimary(step, before, after);
}

function withOnePrimary(step: PatchStep, before: readonly ScimObject[], after: ScimObject[]): ScimObject[] {
  const touched = after.filter((element) => isPrimary(element) && !before.includes(element));
  if (touched.length > 1) refuse(`"${pathOf(step.target)}" has more than one primary element.`);
  const chosen = touched[0];
  if (chosen === undefined) return after;
  return after.map((element) => (element !== chosen && isPrimary(element) ? { ...element, primary: false } : element));
}

function changeWhole({ op, target, value }: PatchStep, before: readonly ScimObject[]): ScimObject[] {
  const { attribute } = target;
  if (op === 'remove' && (value === undefined || value === null)) return [];
  const given = readElements(attribute, value, pathOf(target));
  if (op === 'replace') return given;
  if (op === 'add') return given.reduce((elements, element) => withElement(attribute, elements, element), [...before]);
  // A selector that cannot be read must not become one that selects everything.
  if (given.length < listOf(value).length) refuse(`"${pathOf(target)}" takes the elements to remove.`);
  return before.filter((element) => !given.some((selector) => isSelected(attribute, element, selector)));
}

function withElement(attribute: Attribute, elements: ScimObject[], added: ScimObject): ScimObject[] {
  const index = elements.findIndex((element) => isSame(attribute, element, added));
  const found = elements[index];
  return found === undefined ? [...elements, added] : elements.with(index, { ...found, ...added });
}

/** Two elements are the same by value and type (RFC 7643 section 2.4), or by everything where there is no value. */
function isSame(attribute: Attribute, left: ScimObject, right: ScimObject): boolean {
  if (left['value'] === undefined || right['value'] === undefined) return isDeepStrictEqual(left, right);
  const isTypeOpen = left['type'] === undefined || right['type'] === undefined;
  return (
    isEqual(attribute, { name: 'value', left, right }) &&
    (isTypeOpen || isEqual(attribute, { name: 'type', left, right }))
  );
}

function isSelected(attribute: Attribute, element: ScimObject, selector: ScimObject): boolean {
  const names = Object.keys(selector).filter((name) => name !== '$ref' && name !== 'display');
  return names.length > 0 && names.every((name) => isEqual(attribute, { name, left: element, right: selector }));
}

function isEqual(
  attribute: Attribute,
  { name, left, right }: { name: string; left: ScimObject; right: ScimObject },
): boolean {
  const caseExact = attribute.subAttributes?.find((sub) => sub.name === name)?.caseExact ?? true;
  return folded(left[name], caseExact) === folded(right[name], caseExact);
}

function folded(value: ScimValue | undefined, caseExact: boolean): ScimValue | undefined {
  return typeof value === 'string' && !caseExact ? value.toLowerCase() : value;
}

function changeSelected(step: PatchStep, before: readonly ScimObject[], profile: Profile): ScimObject[] {
  const { op, filter } = step;
  const selected = new Set(before.filter((element) => filter === undefined || matchesElement(filter, element)));
  if (op === 'remove' && selected.size === 0 && profile === 'strict') noTarget(step);
  const change = op === 'remove' ? undefined : changeOf(step);
  if (change === undefined) return withoutSelected(step, before, selected);
  const described = filter === undefined ? {} : elementOf(filter);
  if (selected.size === 0) {
    if (described === undefined || (op === 'replace' && profile !== 'entra')) noTarget(step);
    // What a filter describes was never read as a value, so its bounds are yet to be checked.
    return [...before, ...readElements(step.target.attribute, { ...described, ...change }, pathOf(step.target))];
  }
  const isReplaced = op === 'replace' && step.target.sub === undefined;
  return before.map((element) => {
    if (!selected.has(element)) return element;
    return { ...(isReplaced ? described : element), ...change };
  });
}

function noTarget(step: PatchStep): never {
  fail('NO_TARGET', `nothing selected in ${pathOf(step.target)}`, {
    hint: `No element of "${step.target.attribute.name}" is selected.`,
  });
}

/** What the step sets in each selected element; undefined where its value is unassigned. */
function changeOf({ target, value }: PatchStep): ScimObject | undefined {
  const { attribute, sub } = target;
  const path = pathOf(target);
  if (sub !== undefined) {
    const read = readScalar(sub, value, path);
    const isBlank = read === undefined || (read === '' && sub === valueOf(attribute));
    return isBlank ? undefined : { [sub.name]: read };
  }
  const one = unwrapOne(value, path);
  const [element] = readElements(attribute, one, path);
  // An element without a name that is known must not be taken for one that is unassigned.
  if (element === undefined && isObject(one) && memberOf(one, 'value') === undefined)
    refuse(`"${path}" takes an element.`);
  return element;
}

function withoutSelected(
  { target }: PatchStep,
  before: readonly ScimObject[],
  selected: ReadonlySet<ScimObject>,
): ScimObject[] {
  const { sub } = target;
  if (sub === undefined) return before.filter((element) => !selected.has(element));
  return before.flatMap((element) => {
    if (!selected.has(element)) return [element];
    const { [sub.name]: _, ...rest } = element;
    return Object.keys(rest).every((name) => DESCRIPTIVE.has(name)) ? [] : [rest];
  });
}

/** The element that a filter of equalities describes, or undefined where a filter says less or more than that. */
function elementOf(filter: Filter): ScimObject | undefined {
  if (filter.kind === 'compare' && filter.operator === 'eq' && filter.target.sub !== undefined) {
    return { [filter.target.sub.name]: filter.value };
  }
  if (filter.kind !== 'and') return undefined;
  const parts = filter.terms.map(elementOf).filter((part) => part !== undefined);
  return parts.length < filter.terms.length ? undefined : Object.fromEntries(parts.flatMap(Object.entries<ScimValue>));
}

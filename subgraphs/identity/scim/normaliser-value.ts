import type { Rewriting } from './rewrites.ts';
import { attributeNamed, valueOf } from './schema.ts';
import type { Attribute } from './schema.ts';
import { isObject, memberOf, numberOf } from './value.ts';

/** A value in the form of the RFCs, and whether anything of what was sent is left in it. */
export interface NormalValue {
  readonly value: unknown;
  /** Names were there, and none of them is known. */
  readonly isEmptied: boolean;
}

/** Returns a value of an attribute in the form of RFC 7643; what cannot be understood stays for the reader to refuse. */
export function normaliseValue(attribute: Attribute, value: unknown, rewriting: Rewriting): NormalValue {
  if (value === undefined || value === null || attribute.mutability === 'readOnly') return kept(value);
  if (attribute.multiValued) return normaliseList(attribute, value, rewriting);
  const one = single(value, rewriting);
  if (one === undefined || one === null) return kept(one);
  return attribute.type === 'complex'
    ? normaliseComplex(attribute, one, rewriting)
    : kept(normaliseSimple(attribute, one, rewriting));
}

/** Returns one element of a multi-valued attribute in the form of RFC 7643. */
export function normaliseElement(attribute: Attribute, value: unknown, rewriting: Rewriting): NormalValue {
  const one = single(value, rewriting);
  return one === undefined || one === null ? kept(one) : normaliseComplex(attribute, one, rewriting);
}

/** Returns the boolean that a text such as "True" stands for, or undefined. */
export function booleanIn(value: unknown): boolean | undefined {
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  return word === 'true' || word === 'false' ? word === 'true' : undefined;
}

function kept(value: unknown): NormalValue {
  return { value, isEmptied: false };
}

function single(value: unknown, { note }: Rewriting): unknown {
  // A list of more than one is refused by whoever reads it, in every profile.
  if (!Array.isArray(value) || value.length !== 1) return value;
  note('list_as_single');
  return value[0];
}

function normaliseList(attribute: Attribute, value: unknown, rewriting: Rewriting): NormalValue {
  const isList = Array.isArray(value);
  if (!isList) rewriting.note('single_as_list');
  const elements: readonly unknown[] = isList ? value : [value];
  const normal = elements.map((element) =>
    element === null ? kept(element) : normaliseComplex(attribute, element, rewriting),
  );
  const left = normal.filter(({ isEmptied }) => !isEmptied);
  return { value: left.map((element) => element.value), isEmptied: elements.length > 0 && left.length === 0 };
}

function normaliseComplex(attribute: Attribute, value: unknown, rewriting: Rewriting): NormalValue {
  const principal = valueOf(attribute);
  if (value === '' && principal !== undefined && !attribute.multiValued) {
    rewriting.note('blank_as_null');
    return kept(null);
  }
  if (typeof value === 'string' && principal !== undefined) {
    rewriting.note('bare_value');
    return normaliseParts(attribute, { value }, rewriting);
  }
  return isObject(value) ? normaliseParts(attribute, value, rewriting) : kept(value);
}

function normaliseParts(
  attribute: Attribute,
  value: Readonly<Record<string, unknown>>,
  rewriting: Rewriting,
): NormalValue {
  const parts = Object.entries(value).flatMap(([name, part]): [string, unknown][] => {
    const sub = attributeNamed(attribute.subAttributes, name);
    if (sub !== undefined) return [[name, normaliseValue(sub, part, rewriting).value]];
    rewriting.note('unknown_dropped');
    return [];
  });
  if (attribute.name === 'roles' && isPackedRole(memberOf(value, 'value'))) rewriting.note('packed_role');
  return {
    value: Object.fromEntries(parts),
    isEmptied: parts.length === 0 && Object.keys(value).length > 0,
  };
}

/** Unpacked where values are read; here it is told that this was sent. */
function isPackedRole(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('{');
}

function normaliseSimple(attribute: Attribute, value: unknown, rewriting: Rewriting): unknown {
  if (isObject(value)) {
    const inner = memberOf(value, 'value');
    if (inner === undefined) return value;
    rewriting.note('wrapped_value');
    return normaliseSimple(attribute, inner, rewriting);
  }
  if (attribute.type === 'boolean') return normaliseBoolean(value, rewriting);
  const isNumber = attribute.type === 'integer' || attribute.type === 'decimal';
  const number = isNumber && typeof value === 'string' ? numberOf(value) : undefined;
  if (number === undefined) return value;
  rewriting.note('string_number');
  return number;
}

function normaliseBoolean(value: unknown, { note }: Rewriting): unknown {
  const boolean = booleanIn(value);
  if (boolean === undefined) return value;
  note('string_boolean');
  return boolean;
}

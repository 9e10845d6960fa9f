import type { CompareOperator, Filter } from './filter.ts';
import type { Attribute, AttributeReference } from './schema.ts';

/**
 * Tells whether a resource fulfils a filter, by the same rules as the SQL of `compileFilter`: text is compared without
 * case unless the attribute is caseExact, a multi-valued attribute fulfils a comparison when one of its elements does,
 * and an absent value fulfils `ne` alone. Never throws, whatever the resource holds.
 */
export function matches(filter: Filter, resource: unknown): boolean {
  return evaluate(filter, (target) => valuesAt(resource, target));
}

/** Tells whether one element of a multi-valued attribute fulfils the filter between the brackets. */
export function matchesElement(filter: Filter, element: unknown): boolean {
  return evaluate(filter, ({ sub }) => [sub === undefined ? element : own(element, sub.name)]);
}

function evaluate(filter: Filter, read: (target: AttributeReference) => unknown[]): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.terms.every((term) => evaluate(term, read));
    case 'or':
      return filter.terms.some((term) => evaluate(term, read));
    case 'not':
      return !evaluate(filter.term, read);
    case 'present':
      return read(filter.target).some(isPresent);
    case 'compare':
      return read(filter.target).some((value) => compare(value, filter));
    default:
      return read(filter.target).some((element) => matchesElement(filter.term, element));
  }
}

/** One value for a single-valued attribute, undefined where it is absent; one an element for a multi-valued one. */
function valuesAt(resource: unknown, { attribute, sub, extension }: AttributeReference): unknown[] {
  const parent = extension === undefined ? resource : own(resource, extension);
  const value = own(parent, attribute.name);
  const values = attribute.multiValued ? (Array.isArray(value) ? value : []) : [value];
  return sub === undefined ? values : values.map((element) => own(element, sub.name));
}

function own(holder: unknown, key: string): unknown {
  if (typeof holder !== 'object' || holder === null) return undefined;
  return Object.getOwnPropertyDescriptor(holder, key)?.value;
}

function isPresent(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

function compare(actual: unknown, comparison: Extract<Filter, { kind: 'compare' }>): boolean {
  const { target, operator, value: wanted } = comparison;
  if (operator === 'ne') return !compare(actual, { ...comparison, operator: 'eq' });
  if (typeof wanted === 'boolean') return actual === wanted;
  if (typeof wanted === 'number') return typeof actual === 'number' && holds(operator, actual - wanted);
  if (typeof actual !== 'string') return false;
  const attribute = target.sub ?? target.attribute;
  if (attribute.type === 'dateTime') return holds(operator, Date.parse(actual) - Date.parse(wanted));
  return compareText(operator, folded(attribute, actual), folded(attribute, wanted));
}

function folded(attribute: Attribute, text: string): string {
  return attribute.caseExact ? text : text.toLowerCase();
}

function compareText(operator: CompareOperator, actual: string, wanted: string): boolean {
  if (operator === 'co') return actual.includes(wanted);
  if (operator === 'sw') return actual.startsWith(wanted);
  if (operator === 'ew') return actual.endsWith(wanted);
  // Order by code point, as the collation "C" of PostgreSQL does over UTF-8.
  return holds(operator, Buffer.compare(Buffer.from(actual), Buffer.from(wanted)));
}

function holds(operator: CompareOperator, difference: number): boolean {
  switch (operator) {
    case 'eq':
      return difference === 0;
    case 'gt':
      return difference > 0;
    case 'ge':
      return difference >= 0;
    case 'lt':
      return difference < 0;
    case 'le':
      return difference <= 0;
    default:
      return false;
  }
}

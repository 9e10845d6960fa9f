import { fail } from '#schema/errors.ts';
import { columnOf, type FilterColumns, type ScalarColumn } from './filter-sql.ts';
import { findAttribute, keysOf, pathOf, valueOf, type AttributeReference, type ResourceType } from './schema.ts';
import { refuse } from './value.ts';

/** What resources are sorted by (RFC 7644 section 3.4.2.3). */
export interface SortQuery {
  readonly by: string;
  readonly order: 'ascending' | 'descending';
}

/** An SQL expression that orders rows, null where a resource has no value; its text needs `values` from the placeholder on. */
export interface SortExpression {
  readonly text: string;
  readonly type: 'text' | 'boolean' | 'numeric' | 'timestamptz' | 'uuid';
  readonly values: readonly unknown[];
}

/** Of the attribute's path; longer ones name nothing. */
const MAX_CHARACTERS = 300;

/**
 * Returns the attribute that a sortBy names: itself, or the sub-attribute `value` that stands for a complex one. A name
 * of nothing, or of something that has no order, is BAD_USER_INPUT; what is never shown is SENSITIVE.
 */
export function sortTargetOf({ by }: SortQuery, type: ResourceType): AttributeReference {
  const shown = by.slice(0, 100);
  const target = by.length > MAX_CHARACTERS ? undefined : findAttribute(type, by);
  if (target === undefined) return refuse(`"sortBy" takes an attribute; there is no "${shown}".`);
  if (target.attribute.returned === 'never') fail('SENSITIVE', `sorted by ${pathOf(target)}`);
  if (target.sub !== undefined || target.attribute.subAttributes === undefined) return target;
  const value = valueOf(target.attribute);
  return value === undefined
    ? refuse(`"${shown}" has no order; name a sub-attribute of it.`)
    : { ...target, sub: value };
}

/**
 * Returns the SQL that orders by the attribute: text without case unless it is caseExact, by code points; of a
 * multi-valued attribute the primary element, or the first where none is. What is not stored is BAD_USER_INPUT.
 */
export function sortExpressionOf(
  target: AttributeReference,
  columns: FilterColumns,
  firstPlaceholder: number,
): SortExpression {
  const column = columnOf(target, columns);
  if (column !== undefined) return column.kind === 'rows' ? unsortable(target) : ofColumn(column, target);
  const { attribute, sub } = target;
  if (attribute.mutability === 'readOnly' || sub?.mutability === 'readOnly') unsortable(target);
  return ofDocument(target, columns.resource, firstPlaceholder);
}

function ofColumn(column: ScalarColumn, target: AttributeReference): SortExpression {
  const { expression, kind } = column;
  if (kind === 'boolean') return { text: expression, type: 'boolean', values: [] };
  if (kind === 'timestamp') return { text: expression, type: 'timestamptz', values: [] };
  if (kind === 'id') return { text: expression, type: 'uuid', values: [] };
  const folded = isExact(target) ? expression : (column.folded ?? `lower(${expression})`);
  return { text: `${folded} collate "C"`, type: 'text', values: [] };
}

function ofDocument(target: AttributeReference, resource: string, first: number): SortExpression {
  const { sub: _, ...whole } = target;
  const isPlural = target.attribute.multiValued;
  const path = `$${first}::text[]`;
  const values = isPlural ? [keysOf(whole), target.sub?.name] : [keysOf(target)];
  const value = isPlural
    ? chosenElement(`(${resource} #> ${path})`, `$${first + 1}::text`)
    : `(${resource} #>> ${path})`;
  return { ...typed(target, value), values };
}

/** Documents hold only what was read as the type of the attribute, so that the casts cannot fail. */
function typed(target: AttributeReference, value: string): Omit<SortExpression, 'values'> {
  switch ((target.sub ?? target.attribute).type) {
    case 'boolean':
      return { text: `${value}::boolean`, type: 'boolean' };
    case 'integer':
    case 'decimal':
      return { text: `${value}::numeric`, type: 'numeric' };
    case 'dateTime':
      return { text: `${value}::timestamptz`, type: 'timestamptz' };
    default:
      return { text: `${isExact(target) ? value : `lower(${value})`} collate "C"`, type: 'text' };
  }
}

function chosenElement(array: string, name: string): string {
  return `(select e.value ->> ${name} from jsonb_array_elements(case jsonb_typeof(${array}) when 'array' then ${array} end)
    with ordinality as e(value, place) order by (e.value -> 'primary') = 'true'::jsonb desc nulls last, e.place limit 1)`;
}

function isExact({ attribute, sub }: AttributeReference): boolean {
  return (sub ?? attribute).caseExact;
}

function unsortable(target: AttributeReference): never {
  return refuse(`Nothing can be sorted by "${pathOf(target)}".`);
}

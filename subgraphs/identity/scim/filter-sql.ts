import { fail } from '#schema/errors.ts';
import type { IdPrefix } from '#schema/ids.ts';
import { uuidOrNull } from '#schema/ids.ts';
import type { CompareOperator, Filter } from './filter.ts';
import type { Attribute, AttributeReference } from './schema.ts';
import { keysOf, pathOf } from './schema.ts';

/** A typed SQL expression that holds one attribute; `id` is a uuid column whose public form carries the prefix. */
export type ScalarColumn =
  | { readonly kind: 'boolean'; readonly expression: string }
  | { readonly kind: 'timestamp'; readonly expression: string }
  /** `folded` is a stored column with the lower-cased text: under row security only a plain column can use its index. */
  | { readonly kind: 'text'; readonly expression: string; readonly folded?: string }
  | { readonly kind: 'id'; readonly expression: string; readonly prefix: IdPrefix };

/** The elements of a multi-valued attribute that are rows of their own, such as the members of a group. */
interface RowsColumn {
  readonly kind: 'rows';
  /** What follows FROM, such as `group_members m`. */
  readonly from: string;
  /** What ties the rows to the resource, such as `m.group_id = g.id`. */
  readonly where: string;
  /** By sub-attribute name; one that is not listed cannot be searched. */
  readonly columns: Readonly<Record<string, ScalarColumn>>;
}

/**
 * Where attributes live in the database. All SQL in it is the programmer's own and enters the text as it is.
 * `columns` is keyed by canonical names (`userName`, `name.familyName`, `urn:...:User:department`, `members`); what it
 * does not list is looked up in `resource`, a jsonb expression that holds the resource document.
 */
export interface FilterColumns {
  readonly resource: string;
  readonly columns: Readonly<Record<string, ScalarColumn | RowsColumn>>;
}

/** A condition for a WHERE clause and the values of its placeholders; null counts as false. */
export interface SqlCondition {
  readonly text: string;
  readonly values: readonly unknown[];
}

/**
 * Returns the SQL condition that holds for the same resources as `matches`. Names and literals of the caller are only
 * ever bind values, numbered from `firstPlaceholder`; LIKE wildcards in them are escaped. Text compares as
 * `lower(column) = lower($n)` unless the attribute is caseExact, or on the folded column where there is one. An
 * attribute that stands in no column and is readOnly, and so never in the document, is INVALID_FILTER, as is an
 * operator other than eq, ne and pr on an id.
 */
export function compileFilter(filter: Filter, columns: FilterColumns, firstPlaceholder = 1): SqlCondition {
  const values: unknown[] = [];
  const bind = (value: unknown): string => {
    values.push(value);
    return `$${firstPlaceholder + values.length - 1}`;
  };
  return {
    text: compile(filter, { columns, bind, operandOf: (target) => operandOf(target, { columns, bind }) }),
    values,
  };
}

interface Binding {
  readonly columns: FilterColumns;
  readonly bind: (value: unknown) => string;
}

interface Scope extends Binding {
  readonly operandOf: (target: AttributeReference) => Operand;
  /** Set between the brackets of an element filter. */
  readonly element?: true;
}

/** A column, or a part of the document, which is a jsonb expression and its text. */
type Operand = ScalarColumn | { readonly kind: 'document'; readonly json: string; readonly expression: string };

type Comparison = Extract<Filter, { kind: 'compare' }>;

const ORDER_OPERATORS: Partial<Record<CompareOperator, string>> = { gt: '>', ge: '>=', lt: '<', le: '<=' };

function compile(filter: Filter, scope: Scope): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.terms.map((term) => `(${compile(term, scope)})`).join(` ${filter.kind} `);
    case 'not':
      // A null inside would stay null under NOT and lose rows that the negation holds for.
      return `(${compile(filter.term, scope)}) is not true`;
    case 'element':
      return compileElement(filter.target, scope, filter.term);
    default:
      return filter.target.attribute.multiValued && !scope.element
        ? compileElement(filter.target, scope, filter)
        : compileLeaf(filter, scope);
  }
}

function compileLeaf(filter: Extract<Filter, { kind: 'present' | 'compare' }>, scope: Scope): string {
  const operand = scope.operandOf(filter.target);
  return filter.kind === 'present' ? compilePresent(operand) : compileComparison(operand, filter, scope);
}

/** One element has to fulfil the whole term; `emails pr`, which has no sub-attribute, asks for any element. */
function compileElement(target: AttributeReference, scope: Scope, term: Filter): string {
  const column = columnOf(target, scope.columns);
  if (column !== undefined && column.kind !== 'rows') unsearchable(target);
  const operand = column === undefined ? jsonOperandOf(scope) : rowOperandOf(column);
  const source = column === undefined ? elementsOf(target, scope) : `${column.from} where ${column.where}`;
  const any = term.kind === 'present' && term.target.sub === undefined;
  if (any) return `exists (select 1 from ${source})`;
  const condition = compile(term, { ...scope, operandOf: operand, element: true });
  return `exists (select 1 from ${source} ${column === undefined ? 'where' : 'and'} (${condition}))`;
}

/** Returns the column of an attribute, or of the whole where it is multi-valued; undefined where it stands in the document. */
export function columnOf(
  target: AttributeReference,
  { columns }: FilterColumns,
): ScalarColumn | RowsColumn | undefined {
  const { sub: _, ...whole } = target;
  const path = pathOf(target.attribute.multiValued ? whole : target);
  return Object.hasOwn(columns, path) ? columns[path] : undefined;
}

function operandOf(target: AttributeReference, { columns, bind }: Binding): Operand {
  const column = columnOf(target, columns);
  if (column?.kind === 'rows') return unsearchable(target);
  if (column !== undefined) return column;
  refuseReadOnly(target);
  const path = bind(keysOf(target));
  return {
    kind: 'document',
    json: `(${columns.resource} #> ${path}::text[])`,
    expression: `(${columns.resource} #>> ${path}::text[])`,
  };
}

/** Anything but an array has no elements; without the guard such a document would fail the whole query. */
function elementsOf(target: AttributeReference, { columns, bind }: Binding): string {
  refuseReadOnly(target);
  const { sub: _, ...whole } = target;
  const array = `${columns.resource} #> ${bind(keysOf(whole))}::text[]`;
  return `jsonb_array_elements(case jsonb_typeof(${array}) when 'array' then ${array} end) as element(value)`;
}

function jsonOperandOf({ bind }: Binding): Scope['operandOf'] {
  return (target) => {
    refuseReadOnly(target);
    const name = bind(target.sub?.name);
    return {
      kind: 'document',
      json: `(element.value -> ${name}::text)`,
      expression: `(element.value ->> ${name}::text)`,
    };
  };
}

function rowOperandOf({ columns }: RowsColumn): Scope['operandOf'] {
  return (target) => {
    const name = target.sub?.name ?? '';
    return (Object.hasOwn(columns, name) ? columns[name] : undefined) ?? unsearchable(target);
  };
}

function refuseReadOnly(target: AttributeReference): void {
  if (target.attribute.mutability === 'readOnly' || target.sub?.mutability === 'readOnly') unsearchable(target);
}

function unsearchable(target: AttributeReference): never {
  fail('INVALID_FILTER', `no column for ${pathOf(target)}`, { hint: `"${pathOf(target)}" cannot be searched.` });
}

function compilePresent(operand: Operand): string {
  if (operand.kind === 'text') return `${operand.expression} <> ''`;
  if (operand.kind !== 'document') return `${operand.expression} is not null`;
  return `${operand.json} not in ('null'::jsonb, '""'::jsonb, '{}'::jsonb, '[]'::jsonb)`;
}

function compileComparison(operand: Operand, comparison: Comparison, { bind }: Binding): string {
  const { target, operator, value } = comparison;
  const attribute = target.sub ?? target.attribute;
  if (operand.kind === 'id') return compileId(operand, comparison, bind);
  const left = operand.expression;
  const isText = operand.kind === 'document';
  if (attribute.type === 'dateTime') {
    return `${left}${isText ? '::timestamptz' : ''} ${signOf(operator)} ${bind(value)}::timestamptz`;
  }
  if (typeof value === 'number') {
    return operand.kind === 'document'
      ? `${numberIn(operand)} ${signOf(operator)} ${bind(value)}::numeric`
      : unsearchable(target);
  }
  if (attribute.type !== 'boolean') return compileText(operand, { attribute, operator, value: String(value) }, bind);
  const right = isText ? `${bind(String(value))}::text` : `${bind(value)}::boolean`;
  return `${left} ${signOf(operator)} ${right}`;
}

/** Anything else that stands there has no number; without the guard the cast would fail the whole query. */
function numberIn({ json, expression }: Extract<Operand, { kind: 'document' }>): string {
  return `(case jsonb_typeof(${json}) when 'number' then ${expression}::numeric end)`;
}

interface TextComparison {
  readonly attribute: Attribute;
  readonly operator: CompareOperator;
  readonly value: string;
}

function compileText(operand: Operand, { attribute, operator, value }: TextComparison, bind: Binding['bind']): string {
  const fold = (expression: string): string => (attribute.caseExact ? expression : `lower(${expression})`);
  const folded = operand.kind === 'text' && !attribute.caseExact ? operand.folded : undefined;
  const column = folded ?? fold(operand.expression);
  const pattern = likePattern(operator, value);
  if (pattern !== undefined) return `${column} like ${fold(`${bind(pattern)}::text`)} escape '\\'`;
  const right = fold(`${bind(value)}::text`);
  // The collation "C" orders by code point; that of the database would order by a language.
  const collation = operator in ORDER_OPERATORS ? ' collate "C"' : '';
  return `${column}${collation} ${signOf(operator)} ${right}${collation}`;
}

function likePattern(operator: CompareOperator, value: string): string | undefined {
  const escaped = value.replaceAll(/[\\%_]/g, String.raw`\$&`);
  if (operator === 'co') return `%${escaped}%`;
  if (operator === 'sw') return `${escaped}%`;
  return operator === 'ew' ? `%${escaped}` : undefined;
}

function signOf(operator: CompareOperator): string {
  return operator === 'eq' ? '=' : (ORDER_OPERATORS[operator] ?? 'is distinct from');
}

/** A text that is no id of the kind can equal none: `eq` then holds for nothing and `ne` for everything. */
function compileId(
  { expression, prefix }: Extract<ScalarColumn, { kind: 'id' }>,
  { target, operator, value }: Comparison,
  bind: Binding['bind'],
): string {
  if (operator !== 'eq' && operator !== 'ne') {
    fail('INVALID_FILTER', `${operator} on an id`, {
      hint: `"${pathOf(target)}" can only be compared with eq and ne.`,
    });
  }
  const uuid = uuidOrNull(prefix, String(value));
  if (uuid === null) return operator === 'eq' ? 'false' : 'true';
  return `${expression} ${signOf(operator)} ${bind(uuid)}::uuid`;
}

import { GraphQLError, Kind, Lexer, Source, TokenKind } from 'graphql';
import type { ArgumentNode, DirectiveNode, DocumentNode, FieldNode, SelectionSetNode, ValueNode } from 'graphql';
import type { FragmentDefinitionNode, OperationDefinitionNode } from 'graphql';
import { fail } from './errors.ts';
import { isBeyond } from './limits.ts';
import type { Limit, LimitName, Limits } from './limits.ts';
import { overlapsOf } from './operation-overlaps.ts';

/** The size of a document: of its largest operation for each measure, but fields and pairs of all of it together. */
export interface OperationSize {
  readonly depth: number;
  readonly aliases: number;
  readonly rootFields: number;
  readonly directives: number;
  readonly fields: number;
  readonly overlaps: number;
  readonly definitions: number;
  readonly variables: number;
  readonly literals: number;
  readonly operationName: number;
}

/** What was measured, and which limits in measure mode it is beyond. */
export interface MeasuredOperation {
  readonly size: OperationSize;
  readonly exceeded: readonly LimitName[];
}

/** Nesting of selections and chains of fragments that the measuring itself goes down; recursion stays within the stack. */
const LEVEL_MAX = 500;
/** Brackets within brackets that are handed to the parser, which is recursive. */
const BRACKETS_MAX = 200;

/**
 * Counts the tokens of a GraphQL source as the parser does (without comments and the end), at most `max` of them: one
 * more fails with MAX_TOKENS_LIMIT, before anything is parsed. What is no token fails with GRAPHQL_PARSE_FAILED, more
 * than 200 brackets within each other with MAX_DEPTH_LIMIT.
 */
export function countTokens(source: string, max: number): number {
  const lexer = new Lexer(new Source(source));
  let tokens = 0;
  let level = 0;
  for (let kind = nextKind(lexer); kind !== TokenKind.EOF; kind = nextKind(lexer)) {
    tokens += 1;
    if (tokens > max) {
      fail('MAX_TOKENS_LIMIT', `more than ${max} tokens`, { hint: `At most ${max} tokens are allowed.` });
    }
    level += LEVELS[kind] ?? 0;
    if (level > BRACKETS_MAX) fail('MAX_DEPTH_LIMIT', `more than ${BRACKETS_MAX} brackets within each other`);
  }
  return tokens;
}

/** Checks a source before it is parsed: its length, then its tokens; see countTokens. */
export function checkSource(source: string, limits: Limits): readonly LimitName[] {
  const exceeded: LimitName[] = [];
  if (isBeyond(limits, 'documentChars', source.length)) exceeded.push('documentChars');
  if (isBeyond(limits, 'tokens', countTokens(source, boundOf(limits.tokens)))) exceeded.push('tokens');
  return exceeded;
}

/**
 * Measures every operation of a document and fails with the code of the first enforced limit that one is beyond; returns
 * the largest of each measure, with the measured limits that it is beyond.
 *
 * Takes unvalidated documents: an unknown fragment counts as empty, validation refuses it later; a fragment that spreads
 * itself fails with GRAPHQL_VALIDATION_FAILED at once. Each fragment is measured once, so the time is linear in the
 * document; pairs are then counted in time linear in `fields`, and not at all (0) where those are beyond their limit.
 * What `__schema` and `__type` select counts for all but depth: validation bounds that.
 */
export function checkLimits(document: DocumentNode, limits: Limits): MeasuredOperation {
  const exceeded: LimitName[] = [];
  const check = (name: LimitName, found: number): void => {
    if (isBeyond(limits, name, found)) exceeded.push(name);
  };
  const definitions = document.definitions.length;
  check('definitions', definitions);
  const fragments = fragmentsIn(document);
  const operations = document.definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  const variables = Math.max(0, ...operations.map((one) => one.variableDefinitions?.length ?? 0));
  check('variables', variables);
  const operationName = Math.max(0, ...operations.map((one) => one.name?.value.length ?? 0));
  check('operationName', operationName);
  const meter = { fragments, measured: new Map() };
  const largest = largestOf(meter, operations);
  // Validation goes through fragments that nothing spreads, too.
  const unused = [...fragments.values()].filter((fragment) => !meter.measured.has(fragment.name.value));
  const fields = unused.reduce(
    (total, one) => sum(total, measureFragment(meter, one.name.value, 1).fields),
    largest.fields,
  );
  for (const name of MEASURED) check(name, name === 'fields' ? fields : largest[name]);
  const roots = [...operations, ...unused].map((one) => one.selectionSet);
  const overlaps = fields > limits.fields.max ? 0 : overlapsOf(roots, fragments);
  check('overlaps', overlaps);
  return { size: { ...largest, fields, overlaps, definitions, variables, operationName }, exceeded };
}

/**
 * Counts the values and levels of what a client sent as variables, before anything recursive looks at them; fails with
 * MAX_INPUT_LIMIT, or returns the measured limits that they are beyond.
 */
export function checkVariables(variables: unknown, limits: Limits): readonly LimitName[] {
  const most = { values: boundOf(limits.inputValues), depth: boundOf(limits.inputDepth) };
  const { values, depth } = sizeOfInput(variables, most);
  const exceeded: LimitName[] = [];
  if (isBeyond(limits, 'inputDepth', depth)) exceeded.push('inputDepth');
  if (isBeyond(limits, 'inputValues', values)) exceeded.push('inputValues');
  return exceeded;
}

/** Returns whether any operation of a document asks the schema about itself; `__typename` alone does not. */
export function usesIntrospection(document: DocumentNode): boolean {
  const pending: SelectionSetNode[] = [];
  for (const definition of document.definitions) {
    if ('selectionSet' in definition) pending.push(definition.selectionSet);
  }
  for (const set of pending) {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FRAGMENT_SPREAD) continue;
      if (selection.kind === Kind.FIELD && isIntrospection(selection)) return true;
      if (selection.selectionSet !== undefined) pending.push(selection.selectionSet);
    }
  }
  return false;
}

/**
 * Returns a message of the GraphQL library without the names of the schema that it guesses the caller meant:
 * `Cannot query field "x" on type "Query". Did you mean "y"?` keeps its first sentence.
 */
export function withoutSuggestions(message: string): string {
  const at = message.lastIndexOf(SUGGESTION);
  return at === -1 || !message.endsWith('?') ? message : message.slice(0, at).trimEnd();
}

/** A guess is the last sentence of its message. */
const SUGGESTION = 'Did you mean ';

const LEVELS: Readonly<Partial<Record<TokenKind, number>>> = {
  [TokenKind.BRACE_L]: 1,
  [TokenKind.BRACKET_L]: 1,
  [TokenKind.PAREN_L]: 1,
  [TokenKind.BRACE_R]: -1,
  [TokenKind.BRACKET_R]: -1,
  [TokenKind.PAREN_R]: -1,
};

/** The measures of a selection, in the order they are checked in. */
const MEASURED = ['depth', 'rootFields', 'aliases', 'directives', 'fields', 'literals'] as const;

type Measures = { readonly [Name in (typeof MEASURED)[number]]: number };

const EMPTY: Measures = { depth: 0, aliases: 0, rootFields: 0, directives: 0, fields: 0, literals: 0 };

interface Meter {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Sizes by fragment; null while one is being measured. */
  readonly measured: Map<string, Measures | null>;
}

function fragmentsIn(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  return fragments;
}

function largestOf(meter: Meter, operations: readonly OperationDefinitionNode[]): Measures {
  let largest = EMPTY;
  for (const operation of operations) {
    let size = added(measureSelections(meter, operation.selectionSet, 1), directivesOf(operation.directives));
    for (const { directives, defaultValue } of operation.variableDefinitions ?? []) {
      const values = defaultValue === undefined ? 0 : literalsIn(defaultValue);
      size = added(size, added(directivesOf(directives), { ...EMPTY, literals: values }));
    }
    largest = { ...joined(largest, size, Math.max), fields: sum(largest.fields, size.fields) };
  }
  return largest;
}

/** Measures one selection set; `rootFields` counts the fields of that very level. */
function measureSelections(meter: Meter, set: SelectionSetNode, level: number): Measures {
  checkLevel(level);
  let total = EMPTY;
  for (const selection of set.selections) {
    let size: Measures;
    if (selection.kind === Kind.FIELD) size = measureField(meter, selection, level);
    else if (selection.kind === Kind.INLINE_FRAGMENT)
      size = measureSelections(meter, selection.selectionSet, level + 1);
    else size = measureFragment(meter, selection.name.value, level + 1);
    if (selection.directives !== undefined && selection.directives.length > 0) {
      size = added(size, directivesOf(selection.directives));
    }
    total = added(total, size);
  }
  return total;
}

function measureField(meter: Meter, field: FieldNode, level: number): Measures {
  const inner = field.selectionSet === undefined ? EMPTY : measureSelections(meter, field.selectionSet, level + 1);
  return {
    depth: isIntrospection(field) ? 1 : inner.depth + 1,
    aliases: inner.aliases + (field.alias === undefined ? 0 : 1),
    rootFields: 1,
    directives: inner.directives,
    fields: sum(inner.fields, 1),
    literals: sum(inner.literals, literalsOf(field.arguments)),
  };
}

function measureFragment(meter: Meter, name: string, level: number): Measures {
  const known = meter.measured.get(name);
  const fragment = meter.fragments.get(name);
  if (known === null) {
    fail('GRAPHQL_VALIDATION_FAILED', 'fragment cycle', { hint: `Cannot spread fragment "${name}" within itself.` });
  }
  if (known !== undefined || fragment === undefined) return known ?? EMPTY;
  meter.measured.set(name, null);
  const size = added(measureSelections(meter, fragment.selectionSet, level), directivesOf(fragment.directives));
  meter.measured.set(name, size);
  return size;
}

function directivesOf(directives: readonly DirectiveNode[] | undefined): Measures {
  if (directives === undefined || directives.length === 0) return EMPTY;
  const literals = directives.reduce((total, one) => total + literalsOf(one.arguments), 0);
  return { ...EMPTY, directives: directives.length, literals };
}

function literalsOf(given: readonly ArgumentNode[] | undefined): number {
  let total = 0;
  for (const { value } of given ?? []) total += literalsIn(value);
  return total;
}

function literalsIn(value: ValueNode): number {
  if (value.kind !== Kind.LIST && value.kind !== Kind.OBJECT) return 1;
  const pending: ValueNode[] = [value];
  for (const one of pending) {
    if (one.kind === Kind.LIST) pending.push(...one.values);
    else if (one.kind === Kind.OBJECT) for (const field of one.fields) pending.push(field.value);
  }
  return pending.length;
}

function added(a: Measures, b: Measures): Measures {
  return { ...joined(a, b, sum), depth: Math.max(a.depth, b.depth) };
}

function joined(a: Measures, b: Measures, join: (a: number, b: number) => number): Measures {
  return {
    depth: join(a.depth, b.depth),
    aliases: join(a.aliases, b.aliases),
    rootFields: join(a.rootFields, b.rootFields),
    directives: join(a.directives, b.directives),
    fields: join(a.fields, b.fields),
    literals: join(a.literals, b.literals),
  };
}

/** Fragments can double a number hundreds of times. */
function sum(a: number, b: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, a + b);
}

/** Beyond this the answer is a refusal, whatever more there is. */
function boundOf({ max, mode }: Limit): number {
  return mode === 'enforce' ? max : Infinity;
}

/** Counts level by level, no further than just beyond the most that is allowed. */
function sizeOfInput(input: unknown, most: { values: number; depth: number }): { values: number; depth: number } {
  let values = 0;
  let depth = 0;
  let level = isContainer(input) ? [input] : [];
  while (level.length > 0 && values <= most.values && depth <= most.depth) {
    const next: object[] = [];
    for (const container of level) {
      const inner: readonly unknown[] = Array.isArray(container) ? container : Object.values(container);
      values += inner.length;
      if (values > most.values) break;
      for (const value of inner) if (isContainer(value)) next.push(value);
    }
    level = next;
    if (level.length > 0) depth += 1;
  }
  return { values, depth };
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isIntrospection(field: FieldNode): boolean {
  return field.name.value === '__schema' || field.name.value === '__type';
}

function checkLevel(level: number): void {
  if (level > LEVEL_MAX) fail('MAX_DEPTH_LIMIT', `selections nested deeper than ${LEVEL_MAX} levels`);
}

function nextKind(lexer: Lexer): TokenKind {
  try {
    return lexer.advance().kind;
  } catch (thrown) {
    if (!(thrown instanceof GraphQLError)) throw thrown;
    return fail('GRAPHQL_PARSE_FAILED', thrown.message, { hint: thrown.message, cause: thrown });
  }
}

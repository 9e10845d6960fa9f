import { GraphQLError, Kind, Lexer, Source, TokenKind } from 'graphql';
import type { DocumentNode, FieldNode, FragmentDefinitionNode, SelectionSetNode } from 'graphql';
import { fail } from './errors.ts';
import type { ErrorCode } from './errors.ts';

/** The largest operation that the gateway looks at any further. */
export interface OperationLimits {
  /** Fields within fields; `{ a { b } }` is 2 deep. */
  readonly maxDepth: number;
  /** Aliased fields, those of a fragment again at every place that spreads it. */
  readonly maxAliases: number;
  /** Fields of the root type, through fragments too. */
  readonly maxRootFields: number;
  /** Directives in use, counted like aliases. */
  readonly maxDirectives: number;
}

/** The size of an operation, or of the largest ones of a document. */
export interface OperationSize {
  readonly depth: number;
  readonly aliases: number;
  readonly rootFields: number;
  readonly directives: number;
}

/** Nesting of selections and chains of fragments that the measuring itself goes down; recursion stays within the stack. */
const LEVEL_MAX = 500;

/**
 * Counts the tokens of a GraphQL source as the parser does (without comments and the end), at most `max` of them: one
 * more fails with MAX_TOKENS_LIMIT, before anything is parsed. What is no token fails with GRAPHQL_PARSE_FAILED.
 */
export function countTokens(source: string, max: number): number {
  const lexer = new Lexer(new Source(source));
  let tokens = 0;
  while (nextKind(lexer) !== TokenKind.EOF) {
    tokens += 1;
    if (tokens > max) {
      fail('MAX_TOKENS_LIMIT', `more than ${max} tokens`, { hint: `At most ${max} tokens are allowed.` });
    }
  }
  return tokens;
}

/**
 * Measures every operation of a document and fails with MAX_DEPTH_LIMIT, MAX_ALIASES_LIMIT, MAX_ROOT_FIELDS_LIMIT or
 * MAX_DIRECTIVES_LIMIT where one is larger than the limits; returns the largest of each measure.
 *
 * Takes unvalidated documents: an unknown fragment and a spread back into its own fragment count as empty, validation
 * refuses them later. Each fragment is measured once, so the time is linear in the document. What `__schema` and
 * `__type` select counts for aliases and directives, not for depth: validation bounds it.
 */
export function checkLimits(document: DocumentNode, limits: OperationLimits): OperationSize {
  const meter = newMeter(document);
  let largest: OperationSize = EMPTY;
  for (const definition of document.definitions) {
    if (definition.kind !== Kind.OPERATION_DEFINITION) continue;
    const selected = measureSelections(meter, definition.selectionSet, 1);
    const variables = definition.variableDefinitions ?? [];
    const directives = variables.reduce((total, one) => total + count(one.directives), count(definition.directives));
    largest = larger(largest, { ...selected, directives: selected.directives + directives });
  }
  check(largest.depth, limits.maxDepth, 'MAX_DEPTH_LIMIT');
  check(largest.rootFields, limits.maxRootFields, 'MAX_ROOT_FIELDS_LIMIT');
  check(largest.aliases, limits.maxAliases, 'MAX_ALIASES_LIMIT');
  check(largest.directives, limits.maxDirectives, 'MAX_DIRECTIVES_LIMIT');
  return largest;
}

const EMPTY: OperationSize = { depth: 0, aliases: 0, rootFields: 0, directives: 0 };

interface Meter {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Sizes by fragment; null while one is being measured. */
  readonly measured: Map<string, OperationSize | null>;
}

function newMeter(document: DocumentNode): Meter {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  return { fragments, measured: new Map() };
}

/** Measures one selection set; `rootFields` counts the fields of that very level. */
function measureSelections(meter: Meter, set: SelectionSetNode, level: number): OperationSize {
  checkLevel(level);
  let total = EMPTY;
  for (const selection of set.selections) {
    const own = { ...EMPTY, directives: count(selection.directives) };
    let size: OperationSize;
    if (selection.kind === Kind.FIELD) size = measureField(meter, selection, level);
    else if (selection.kind === Kind.INLINE_FRAGMENT)
      size = measureSelections(meter, selection.selectionSet, level + 1);
    else size = measureFragment(meter, selection.name.value, level + 1);
    total = added(total, added(own, size));
  }
  return total;
}

function measureField(meter: Meter, field: FieldNode, level: number): OperationSize {
  const inner = field.selectionSet === undefined ? EMPTY : measureSelections(meter, field.selectionSet, level + 1);
  const isIntrospection = field.name.value === '__schema' || field.name.value === '__type';
  return {
    depth: isIntrospection ? 1 : inner.depth + 1,
    aliases: inner.aliases + (field.alias === undefined ? 0 : 1),
    rootFields: 1,
    directives: inner.directives,
  };
}

function measureFragment(meter: Meter, name: string, level: number): OperationSize {
  const known = meter.measured.get(name);
  const fragment = meter.fragments.get(name);
  if (known !== undefined || fragment === undefined) return known ?? EMPTY;
  meter.measured.set(name, null);
  const selected = measureSelections(meter, fragment.selectionSet, level);
  const size = { ...selected, directives: selected.directives + count(fragment.directives) };
  meter.measured.set(name, size);
  return size;
}

function added(a: OperationSize, b: OperationSize): OperationSize {
  return {
    depth: Math.max(a.depth, b.depth),
    aliases: sum(a.aliases, b.aliases),
    rootFields: sum(a.rootFields, b.rootFields),
    directives: sum(a.directives, b.directives),
  };
}

/** Fragments can double a number hundreds of times. */
function sum(a: number, b: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, a + b);
}

function larger(a: OperationSize, b: OperationSize): OperationSize {
  return {
    depth: Math.max(a.depth, b.depth),
    aliases: Math.max(a.aliases, b.aliases),
    rootFields: Math.max(a.rootFields, b.rootFields),
    directives: Math.max(a.directives, b.directives),
  };
}

function check(found: number, max: number, code: ErrorCode): void {
  if (found > max) fail(code, `${found} of at most ${max}`, { hint: `It has ${found}, at most ${max} are allowed.` });
}

function checkLevel(level: number): void {
  if (level > LEVEL_MAX) fail('MAX_DEPTH_LIMIT', `selections nested deeper than ${LEVEL_MAX} levels`);
}

function count(directives: readonly unknown[] | undefined): number {
  return directives?.length ?? 0;
}

function nextKind(lexer: Lexer): TokenKind {
  try {
    return lexer.advance().kind;
  } catch (thrown) {
    if (!(thrown instanceof GraphQLError)) throw thrown;
    return fail('GRAPHQL_PARSE_FAILED', thrown.message, { hint: thrown.message, cause: thrown });
  }
}

import { Kind, OperationTypeNode, valueFromASTUntyped } from 'graphql';
import type {
  FragmentDefinitionNode,
  GraphQLObjectType,
  GraphQLSchema,
  OperationDefinitionNode,
  SelectionSetNode,
  ValueNode,
} from 'graphql';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { answerCost, answerPlanOf } from './cost-answer.ts';
import type { AnswerPlan } from './cost-answer.ts';
import { LIST_SIZE_MAX } from './cost-arguments.ts';
import { formulaOf, listByField, wholePoints } from './cost-formula.ts';
import type { FieldCost, SelectionFormula } from './cost-formula.ts';
import type { CostSchema } from './cost-schema.ts';
import { groupOf } from './cost-selection.ts';
import type { CostRun } from './cost-selection.ts';
import { combine } from './cost-term.ts';
import type { Evaluation, Term, Variables } from './cost-term.ts';

/** A validated operation and what its cost depends on, all but the variables. */
export interface CostedOperation {
  readonly operation: OperationDefinitionNode;
  /** By name; see fragmentsOf. */
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** The API schema. */
  readonly schema: GraphQLSchema;
  readonly costs: CostSchema;
  /** Elements of a list that no `@listSize` describes; DEFAULT_LIST_SIZE where absent. */
  readonly defaultListSize?: number;
}

/** What an operation may cost at most, in whole points. */
export interface CostEstimate {
  readonly total: number;
  /** The places of the response from the root down, at most BY_FIELD_MAX of them. */
  byField(): readonly FieldCost[];
}

/** The cost of one operation, compiled once and evaluated for every request; safe to share between requests. */
export interface CostProgram {
  /**
   * Returns what the operation costs at most with these variables (hostile: neither types nor sizes are checked).
   * Wrong slicing arguments fail with COST_INVALID_SLICING_ARGUMENTS, inputs beyond bounds with
   * COST_ESTIMATED_TOO_EXPENSIVE or MAX_DEPTH_LIMIT.
   */
  estimate(variables: Variables): CostEstimate;
  /**
   * Returns what an answer cost, in whole points: the same model with the lengths of the returned lists and the types of
   * the returned objects. Objects may carry `__typename` beside what the client selected. A null costs its field's own
   * weight and arguments; data that is null or absent costs nothing beyond the mutation's 10.
   */
  actual(data: unknown, variables: Variables): number;
  /** Steps that compiling took: bounded by WORK_MAX for each combination of `@skip` and `@include`. */
  work(): number;
}

/** Elements of a list that nothing describes. */
export const DEFAULT_LIST_SIZE = 10;

const MUTATION_COST = 10;
/** Combinations of `@skip` and `@include` that a program remembers. */
const VARIANTS_MAX = 16;

/**
 * Compiles the cost of an operation. What no variable changes is computed here; `@skip` and `@include` by variables give
 * one formula for each combination, made when it first occurs. Fails like `estimate`; an operation that needs more than
 * WORK_MAX steps fails with COST_ESTIMATED_TOO_EXPENSIVE, one nested deeper than 200 fields with MAX_DEPTH_LIMIT.
 */
export function compileCost(costed: CostedOperation): CostProgram {
  const defaults = defaultsOf(costed.operation);
  const names = conditionNames(costed);
  const variants = new Map<string, Variant>();
  let work = 0;
  const variantFor = (variables: Variables): Variant => {
    const key = names.length === 0 ? '' : keyOf(names, defaults, variables);
    const known = variants.get(key);
    if (known !== undefined) return known;
    const variant = compileVariant(costed, valuesOf(names, defaults, variables));
    work += variant.work;
    if (variants.size === VARIANTS_MAX) variants.clear();
    variants.set(key, variant);
    return variant;
  };
  if (names.length === 0) variantFor({});
  return {
    estimate: (variables) => estimateOf(variantFor(variables), defaults, variables),
    actual: (data, variables) => actualOf(variantFor(variables), data, { defaults, variables }),
    work: () => work,
  };
}

/** The operation with its conditions decided. */
interface Variant {
  readonly formula: SelectionFormula;
  readonly answers: AnswerPlan;
  readonly total: Term;
  readonly base: number;
  readonly variablesUsed: readonly string[];
  readonly work: number;
}

function compileVariant(costed: CostedOperation, conditions: Variables): Variant {
  const { schema, costs, fragments, operation } = costed;
  const run: CostRun = {
    schema,
    costs,
    fragments,
    conditions,
    groups: new Map(),
    setIds: new Map(),
    variablesUsed: new Set(),
    inputs: new Map(),
    work: 0,
  };
  const root = { group: groupOf(run, [operation.selectionSet]), type: rootType(costed) };
  const formula = formulaOf(run, root, clampSize(costed.defaultListSize ?? DEFAULT_LIST_SIZE));
  const answers = answerPlanOf(run, root);
  const base = operation.operation === OperationTypeNode.MUTATION ? MUTATION_COST : 0;
  const total = combine([base, formula.total, 0], (own, selected) => wholePoints(own + selected));
  return { formula, answers, total, base, variablesUsed: [...run.variablesUsed], work: run.work };
}

type Defaults = ReadonlyMap<string, unknown>;

function estimateOf(variant: Variant, defaults: Defaults, variables: Variables): CostEstimate {
  return new Estimate(variant, { defaults, variables });
}

class Estimate implements CostEstimate {
  readonly total: number;
  readonly #variant: Variant;
  readonly #from: { readonly defaults: Defaults; readonly variables: Variables };

  constructor(variant: Variant, from: { readonly defaults: Defaults; readonly variables: Variables }) {
    this.#variant = variant;
    this.#from = from;
    this.total = typeof variant.total === 'number' ? variant.total : evaluated(variant, from, variant.total);
  }

  byField(): readonly FieldCost[] {
    return evaluated(this.#variant, this.#from, (evaluation) => listByField(this.#variant.formula, evaluation));
  }
}

function actualOf(variant: Variant, data: unknown, from: { defaults: Defaults; variables: Variables }): number {
  if (!isObject(data)) return variant.base;
  return evaluated(variant, from, (evaluation) =>
    wholePoints(variant.base + answerCost(variant.answers, data, evaluation)),
  );
}

/** Terms remember the last evaluation, so it lets go of the caller's variables at the end. */
function evaluated<T>(
  { variablesUsed }: Variant,
  { defaults, variables }: { defaults: Defaults; variables: Variables },
  compute: (evaluation: Evaluation) => T,
): T {
  const evaluation = { variables: valuesOf(variablesUsed, defaults, variables), work: 0 };
  try {
    return compute(evaluation);
  } finally {
    evaluation.variables = NO_VARIABLES;
  }
}

const NO_VARIABLES: Variables = {};

function valuesOf(names: readonly string[], defaults: Defaults, variables: Variables): Variables {
  if (names.length === 0) return NO_VARIABLES;
  const values: Record<string, unknown> = Object.create(null);
  for (const name of names) values[name] = variableOf(name, defaults, variables);
  return values;
}

/** Only variables that the operation declares have a value. */
function variableOf(name: string, defaults: Defaults, variables: Variables): unknown {
  if (!defaults.has(name)) return undefined;
  const sent = Object.hasOwn(variables, name) ? variables[name] : undefined;
  return sent === undefined ? defaults.get(name) : sent;
}

function defaultsOf(operation: OperationDefinitionNode): Defaults {
  const defaults = new Map<string, unknown>();
  for (const { variable, defaultValue } of operation.variableDefinitions ?? []) {
    defaults.set(variable.name.value, defaultValue === undefined ? undefined : valueFromASTUntyped(defaultValue));
  }
  return defaults;
}

function keyOf(names: readonly string[], defaults: Defaults, variables: Variables): string {
  let key = '';
  for (const name of names) {
    const value = variableOf(name, defaults, variables);
    key += value === true ? '1' : value === false ? '0' : '?';
  }
  return key;
}

/** The variables that decide what is selected. */
function conditionNames({ operation, fragments }: CostedOperation): readonly string[] {
  const names = new Set<string>();
  const pending: SelectionSetNode[] = [operation.selectionSet];
  for (const fragment of fragments.values()) pending.push(fragment.selectionSet);
  for (const set of pending) {
    for (const selection of set.selections) {
      for (const directive of selection.directives ?? []) {
        for (const { value } of directive.arguments ?? []) addVariable(names, value);
      }
      if (selection.kind !== Kind.FRAGMENT_SPREAD && selection.selectionSet !== undefined) {
        pending.push(selection.selectionSet);
      }
    }
  }
  return [...names];
}

function addVariable(names: Set<string>, value: ValueNode): void {
  if (value.kind === Kind.VARIABLE) names.add(value.name.value);
}

function rootType({ schema, operation }: CostedOperation): GraphQLObjectType {
  const type = schema.getRootType(operation.operation);
  return type ?? fail('GRAPHQL_VALIDATION_FAILED', `the schema has no ${operation.operation}`);
}

function clampSize(size: number): number {
  return Number.isNaN(size) ? DEFAULT_LIST_SIZE : Math.min(Math.max(0, size), LIST_SIZE_MAX);
}

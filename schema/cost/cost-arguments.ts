import {
  getNamedType,
  getNullableType,
  isInputObjectType,
  isLeafType,
  isListType,
  Kind,
  valueFromASTUntyped,
} from 'graphql';
import type { FieldNode, GraphQLField, GraphQLInputObjectType, GraphQLInputType, ValueNode } from 'graphql';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { argumentCoordinate } from './cost-schema.ts';
import type { CostSchema, ListSize } from './cost-schema.ts';
import { once, spend, sumOf } from './cost-term.ts';
import type { Evaluation, Term, Variables } from './cost-term.ts';

/** One field with the arguments that an operation writes at it. */
export interface FieldCall {
  /** Schema coordinate `Type.field`. */
  readonly coordinate: string;
  readonly definition: GraphQLField<unknown, unknown>;
  readonly given: ReadonlyMap<string, GivenArgument>;
}

/** An argument as it is written: a value, or a function of the variables; absent variables are absent arguments. */
export type GivenArgument = { readonly value: unknown } | { readonly read: (variables: Variables) => unknown };

/** What weighing arguments needs, and the memory that keeps the work small. */
export interface ArgumentRun {
  readonly costs: CostSchema;
  /** Variables that any cost depends on, collected on the way. */
  readonly variablesUsed: Set<string>;
  readonly inputs: Map<GraphQLInputObjectType, readonly WeighedInputField[]>;
  work: number;
}

/** A field of an input object that can weigh something. */
interface WeighedInputField {
  readonly name: string;
  readonly weight: number;
  readonly type: GraphQLInputType;
}

/** A list is never taken as longer than this, nor shorter than 0. */
export const LIST_SIZE_MAX = 2 ** 31;

/** The size of a list of which the arguments and the schema say nothing. */
export const UNKNOWN_SIZE = -1;

const INPUT_OBJECT_WEIGHT = 1;
const INPUT_LEVEL_MAX = 64;

/** Returns the arguments written at a field. A literal nested deeper than 64 levels fails with MAX_DEPTH_LIMIT. */
export function givenArguments(node: FieldNode): ReadonlyMap<string, GivenArgument> {
  const given = new Map<string, GivenArgument>();
  for (const { name, value } of node.arguments ?? []) given.set(name.value, givenArgument(value));
  return given;
}

/**
 * Returns what the given arguments weigh: each non-null one its own weight, and each input object inside 1 plus the
 * weights of its given fields. Defaults weigh nothing. Every input object is one step of work; a value nested deeper
 * than 64 levels fails with MAX_DEPTH_LIMIT.
 */
export function argumentCost(run: ArgumentRun, call: FieldCall, node: FieldNode): Term {
  const terms: Term[] = [];
  for (const argument of call.definition.args) {
    const given = call.given.get(argument.name);
    if (given === undefined) continue;
    const weight = run.costs.argumentWeights.get(argumentCoordinate(call.coordinate, argument.name)) ?? 0;
    if (weight === 0 && isLeafType(getNamedType(argument.type))) continue;
    const weigh = (value: unknown, on: { work: number }): number =>
      isSet(value) ? weight + inputCost({ run, on }, argument.type, { value, level: 0 }) : 0;
    if ('value' in given) terms.push(weigh(given.value, run));
    else terms.push((evaluation) => weigh(given.read(evaluation.variables), evaluation));
  }
  const sum = sumOf(terms);
  if (typeof sum !== 'number') useVariables(run, node);
  return once(sum);
}

/**
 * Returns how long the list behind a field can be: the largest of its slicing arguments (an Int, or the length of a
 * given list), else the assumed size, else UNKNOWN_SIZE. Where exactly one slicing argument is required, several given
 * ones, or none without a default in the schema, fail with COST_INVALID_SLICING_ARGUMENTS.
 */
export function expectedListSize(run: ArgumentRun, listSize: ListSize, at: { call: FieldCall; node: FieldNode }): Term {
  const { call, node } = at;
  const paths = listSize.slicingArguments;
  if (paths.length === 0) return listSize.assumedSize ?? UNKNOWN_SIZE;
  const isOpen = paths.some(([name = '']) => {
    const given = call.given.get(name);
    return given !== undefined && 'read' in given;
  });
  if (!isOpen) return slicedSize(listSize, call, {});
  useVariables(run, node);
  return once((evaluation: Evaluation) => slicedSize(listSize, call, evaluation.variables));
}

function slicedSize(listSize: ListSize, call: FieldCall, variables: Variables): number {
  const paths = listSize.slicingArguments;
  let given = 0;
  let effective = 0;
  let size = UNKNOWN_SIZE;
  for (const path of paths) {
    if (isSet(valueAt(path, { call, variables, withDefaults: false }))) given += 1;
    const value = valueAt(path, { call, variables, withDefaults: true });
    if (!isSet(value)) continue;
    effective += 1;
    size = Math.max(size, sizeOf(value));
  }
  if (listSize.requireOneSlicingArgument && (given > 1 || effective === 0)) {
    fail('COST_INVALID_SLICING_ARGUMENTS', `${call.coordinate}: ${given} slicing arguments given`, {
      hint: `"${call.definition.name}" takes exactly one of: ${paths.map((path) => path.join('.')).join(', ')}.`,
    });
  }
  return size === UNKNOWN_SIZE ? (listSize.assumedSize ?? UNKNOWN_SIZE) : size;
}

function givenArgument(node: ValueNode): GivenArgument {
  if (node.kind === Kind.VARIABLE) {
    const name = node.name.value;
    return { read: (variables) => variables[name] };
  }
  if (variablesIn(node, 0).length === 0) return { value: valueFromASTUntyped(node) };
  return { read: (variables) => valueFromASTUntyped(node, variables) };
}

function useVariables(run: ArgumentRun, node: FieldNode): void {
  for (const { value } of node.arguments ?? []) {
    for (const name of variablesIn(value, 0)) run.variablesUsed.add(name);
  }
}

function variablesIn(node: ValueNode, level: number): readonly string[] {
  checkInputLevel(level);
  if (node.kind === Kind.VARIABLE) return [node.name.value];
  if (node.kind === Kind.LIST) return node.values.flatMap((value) => variablesIn(value, level + 1));
  if (node.kind === Kind.OBJECT) return node.fields.flatMap((field) => variablesIn(field.value, level + 1));
  return [];
}

interface Weigher {
  readonly run: ArgumentRun;
  readonly on: { work: number };
}

function inputCost(weigher: Weigher, type: GraphQLInputType, at: { value: unknown; level: number }): number {
  // Leaf values weigh nothing of their own, so that a long list of ids takes no walk.
  if (isLeafType(getNamedType(type))) return 0;
  const level = at.level + 1;
  checkInputLevel(level);
  spend(weigher.on, 1);
  const nullable = getNullableType(type);
  if (isListType(nullable)) {
    let sum = 0;
    for (const value of elementsOf(at.value)) sum += inputCost(weigher, nullable.ofType, { value, level });
    return sum;
  }
  if (!isInputObjectType(nullable) || !isObject(at.value)) return 0;
  let cost = INPUT_OBJECT_WEIGHT;
  for (const field of weighedFields(weigher.run, nullable)) {
    const value = Object.hasOwn(at.value, field.name) ? at.value[field.name] : undefined;
    if (isSet(value)) cost += field.weight + inputCost(weigher, field.type, { value, level });
  }
  return cost;
}

function weighedFields(run: ArgumentRun, type: GraphQLInputObjectType): readonly WeighedInputField[] {
  const known = run.inputs.get(type);
  if (known !== undefined) return known;
  const fields = Object.values(type.getFields())
    .map((field) => ({
      name: field.name,
      weight: run.costs.inputFieldWeights.get(`${type.name}.${field.name}`) ?? 0,
      type: field.type,
    }))
    .filter((field) => field.weight !== 0 || !isLeafType(getNamedType(field.type)));
  run.inputs.set(type, fields);
  return fields;
}

function checkInputLevel(level: number): void {
  if (level <= INPUT_LEVEL_MAX) return;
  fail('MAX_DEPTH_LIMIT', 'input value too deep', { hint: 'An input value is nested too deep.' });
}

/** A single value where a list belongs is a list of one (GraphQL, section 3.11). */
function elementsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

/** Walks `input.page.first`; an explicit null stays null, since it also overrides a default when the field runs. */
function valueAt(
  path: readonly string[],
  at: { call: FieldCall; variables: Variables; withDefaults: boolean },
): unknown {
  const [name = '', ...inner] = path;
  const argument = at.call.definition.args.find((one) => one.name === name);
  if (argument === undefined) return undefined;
  let value = argumentValue(at.call.given.get(name), at.variables);
  if (value === undefined && at.withDefaults) value = argument.defaultValue;
  let type = getNullableType(argument.type);
  for (const segment of inner) {
    if (!isInputObjectType(type) || !isObject(value)) return undefined;
    const field = type.getFields()[segment];
    if (field === undefined) return undefined;
    const own = Object.hasOwn(value, segment) ? value[segment] : undefined;
    value = own === undefined && at.withDefaults ? field.defaultValue : own;
    type = getNullableType(field.type);
  }
  return value;
}

function argumentValue(given: GivenArgument | undefined, variables: Variables): unknown {
  if (given === undefined) return undefined;
  return 'value' in given ? given.value : given.read(variables);
}

function sizeOf(value: unknown): number {
  if (Array.isArray(value)) return value.length;
  if (typeof value !== 'number' || Number.isNaN(value)) return UNKNOWN_SIZE;
  return Math.min(Math.max(0, Math.ceil(value)), LIST_SIZE_MAX);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

import { getNamedType, getNullableType, isInputObjectType, isLeafType, isListType, valueFromASTUntyped } from 'graphql';
import type { FieldNode, GraphQLField, GraphQLInputType } from 'graphql';
import { fail } from '#schema/errors.ts';
import { argumentCoordinate } from './cost-schema.ts';
import type { CostSchema, ListSize } from './cost-schema.ts';
import { isObject } from '#schema/json-object.ts';

/** One field with the arguments that an operation gives it, variables put in; absent variables are absent arguments. */
export interface FieldCall {
  /** Schema coordinate `Type.field`. */
  readonly coordinate: string;
  readonly definition: GraphQLField<unknown, unknown>;
  readonly given: ReadonlyMap<string, unknown>;
}

/** Values of client variables by name; hostile: neither types nor sizes are checked yet. */
export type Variables = Readonly<Record<string, unknown>>;

/** A list is never taken as longer than this, nor shorter than 0. */
export const LIST_SIZE_MAX = 2 ** 31;

const INPUT_OBJECT_WEIGHT = 1;
const INPUT_LEVEL_MAX = 64;

/** Returns the arguments written at a field, as plain values. */
export function givenArguments(node: FieldNode, variables: Variables): ReadonlyMap<string, unknown> {
  const given = new Map<string, unknown>();
  for (const argument of node.arguments ?? []) {
    const value = valueFromASTUntyped(argument.value, variables);
    if (value !== undefined) given.set(argument.name.value, value);
  }
  return given;
}

/**
 * Returns what the given arguments weigh: each non-null one its own weight, and each input object inside 1 plus the
 * weights of its given fields. Defaults weigh nothing. Every input object is one step of work for `spend`; a value
 * nested deeper than 64 levels fails with MAX_DEPTH_LIMIT.
 */
export function argumentCost(costs: CostSchema, call: FieldCall, spend: (steps: number) => void): number {
  const weigher = { costs, spend };
  let cost = 0;
  for (const argument of call.definition.args) {
    const value = call.given.get(argument.name);
    if (!isSet(value)) continue;
    cost += costs.argumentWeights.get(argumentCoordinate(call.coordinate, argument.name)) ?? 0;
    cost += inputCost(weigher, argument.type, { value, level: 0 });
  }
  return cost;
}

/**
 * Returns how long the list behind a field can be: the largest of its slicing arguments (an Int, or the length of a
 * given list), else the assumed size, else null. Where exactly one slicing argument is required, several given ones,
 * or none without a default in the schema, fail with COST_INVALID_SLICING_ARGUMENTS.
 */
export function expectedListSize(listSize: ListSize, call: FieldCall): number | null {
  const paths = listSize.slicingArguments;
  if (paths.length === 0) return listSize.assumedSize;
  const given = paths.filter((path) => isSet(valueAt(path, { ...call, withDefaults: false })));
  const effective = paths.map((path) => valueAt(path, { ...call, withDefaults: true })).filter(isSet);
  if (listSize.requireOneSlicingArgument && (given.length > 1 || effective.length === 0)) {
    fail('COST_INVALID_SLICING_ARGUMENTS', `${call.coordinate}: ${given.length} slicing arguments given`, {
      hint: `"${call.definition.name}" takes exactly one of: ${paths.map((path) => path.join('.')).join(', ')}.`,
    });
  }
  const sizes = effective.map(sizeOf).filter((size) => size !== null);
  return sizes.length === 0 ? listSize.assumedSize : Math.max(...sizes);
}

interface Weigher {
  readonly costs: CostSchema;
  readonly spend: (steps: number) => void;
}

function inputCost(weigher: Weigher, type: GraphQLInputType, at: { value: unknown; level: number }): number {
  // Leaf values weigh nothing of their own, so that a long list of ids takes no walk.
  if (isLeafType(getNamedType(type))) return 0;
  const level = at.level + 1;
  if (level > INPUT_LEVEL_MAX) {
    fail('MAX_DEPTH_LIMIT', 'input value too deep', { hint: 'An input value is nested too deep.' });
  }
  weigher.spend(1);
  const nullable = getNullableType(type);
  if (isListType(nullable)) {
    let sum = 0;
    for (const value of elementsOf(at.value)) sum += inputCost(weigher, nullable.ofType, { value, level });
    return sum;
  }
  if (!isInputObjectType(nullable) || !isObject(at.value)) return 0;
  let cost = INPUT_OBJECT_WEIGHT;
  for (const field of Object.values(nullable.getFields())) {
    const value = Object.hasOwn(at.value, field.name) ? at.value[field.name] : undefined;
    if (!isSet(value)) continue;
    cost += weigher.costs.inputFieldWeights.get(`${nullable.name}.${field.name}`) ?? 0;
    cost += inputCost(weigher, field.type, { value, level });
  }
  return cost;
}

/** A single value where a list belongs is a list of one (GraphQL, section 3.11). */
function elementsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

/** Walks `input.page.first`; an explicit null stays null, since it also overrides a default when the field runs. */
function valueAt(path: readonly string[], call: FieldCall & { withDefaults: boolean }): unknown {
  const [name = '', ...inner] = path;
  const argument = call.definition.args.find((one) => one.name === name);
  if (argument === undefined) return undefined;
  let value = call.given.get(name);
  if (value === undefined && call.withDefaults) value = argument.defaultValue;
  let type = getNullableType(argument.type);
  for (const segment of inner) {
    if (!isInputObjectType(type) || !isObject(value)) return undefined;
    const field = type.getFields()[segment];
    if (field === undefined) return undefined;
    const own = Object.hasOwn(value, segment) ? value[segment] : undefined;
    value = own === undefined && call.withDefaults ? field.defaultValue : own;
    type = getNullableType(field.type);
  }
  return value;
}

function sizeOf(value: unknown): number | null {
  if (Array.isArray(value)) return value.length;
  if (typeof value !== 'number' || Number.isNaN(value)) return null;
  return Math.min(Math.max(0, Math.ceil(value)), LIST_SIZE_MAX);
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null;
}

import { Kind, OperationTypeNode, valueFromASTUntyped } from 'graphql';
import type {
  DocumentNode,
  FragmentDefinitionNode,
  GraphQLObjectType,
  GraphQLSchema,
  OperationDefinitionNode,
} from 'graphql';
import { fail } from '#schema/errors.ts';
import { LIST_SIZE_MAX } from './cost-arguments.ts';
import type { Variables } from './cost-arguments.ts';
import type { CostSchema } from './cost-schema.ts';
import { groupOf, objectWeight, planFields, possibleTypes, spend } from './cost-selection.ts';
import type { CostRun, PlannedField, SelectionGroup } from './cost-selection.ts';
import { isObject } from '#schema/json-object.ts';

/** A validated operation and what its cost depends on. */
export interface CostInput {
  readonly operation: OperationDefinitionNode;
  /** By name; see fragmentsOf. */
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** As the client sent them; hostile. */
  readonly variables: Variables;
  /** The API schema. */
  readonly schema: GraphQLSchema;
  readonly costs: CostSchema;
  /** Elements of a list that no `@listSize` describes; DEFAULT_LIST_SIZE where absent. */
  readonly defaultListSize?: number;
}

/** What one place of the response costs, children and enclosing lists included. */
export interface FieldCost {
  /** Response keys joined by dots, such as `users.edges.node`. */
  readonly path: string;
  /** Whole points. */
  readonly cost: number;
}

/** What an operation may cost at most, in whole points. */
export interface CostEstimate {
  readonly total: number;
  /** The places of the response from the root down, at most BY_FIELD_MAX of them. */
  readonly byField: readonly FieldCost[];
  /** Selections that were looked at: the work of the estimate itself. */
  readonly work: number;
}

/** Elements of a list that nothing describes. */
export const DEFAULT_LIST_SIZE = 10;

/** Entries of `byField`; one selection can stand at millions of places, so the list is cut. */
export const BY_FIELD_MAX = 200;

const MUTATION_COST = 10;
const LEVEL_MAX = 200;

/**
 * Returns what an operation costs at most, before it runs.
 *
 * Model (IBM cost specification with the two costs added up): objects, interfaces and unions weigh 1, scalars and enums
 * 0, input objects 1, a mutation 10 more. A field costs `instances x (field weight + type weight + selected fields) +
 * arguments`, never less than 0; instances is 1, or the list's size from `@listSize` of the field or of its parent's
 * sizedFields, else the default size. Further list levels multiply by the default size. An abstract type costs what
 * its dearest possible type costs. Fields merge by response key as in execution. `__schema` and `__type` cost a flat 10.
 *
 * The total saturates at Number.MAX_SAFE_INTEGER. Work is bounded by WORK_MAX (COST_ESTIMATED_TOO_EXPENSIVE beyond) and
 * nesting by 200 fields (MAX_DEPTH_LIMIT); wrong slicing arguments fail with COST_INVALID_SLICING_ARGUMENTS.
 */
export function estimateCost(input: CostInput): CostEstimate {
  const run = newRun(input);
  const estimator = { run, memo: new Map(), defaultListSize: clampSize(input.defaultListSize ?? DEFAULT_LIST_SIZE) };
  const group = groupOf(run, [input.operation.selectionSet]);
  const root = selectionCost(estimator, group, { type: rootType(input), sizing: NO_SIZING, level: 1 });
  return {
    total: wholePoints(operationCost(input) + root.cost),
    byField: listByField(root),
    work: run.work,
  };
}

/**
 * Returns what an operation cost, in whole points, by the shape of its answer: the model of estimateCost with the
 * lengths of the returned lists and the types of the returned objects. A null object costs its field's weight and
 * arguments; data that is null or absent costs nothing beyond the mutation's 10.
 */
export function actualCost(input: CostInput & { readonly data: unknown }): number {
  const run = newRun(input);
  const group = groupOf(run, [input.operation.selectionSet]);
  const cost = isObject(input.data) ? dataCost(run, group, { type: rootType(input), data: input.data, level: 1 }) : 0;
  return wholePoints(operationCost(input) + cost);
}

/** Returns the fragments of a document by name. */
export function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  return fragments;
}

interface Estimator {
  readonly run: CostRun;
  readonly memo: Map<string, SelectionCost>;
  readonly defaultListSize: number;
}

/** List sizes that a field hands down to fields of the type it returns. */
interface Sizing {
  readonly key: string;
  readonly fields: ReadonlySet<string>;
  readonly size: number;
}

interface SelectionCost {
  readonly cost: number;
  readonly fields: readonly { responseKey: string; cost: number; instances: number; inner: SelectionCost | null }[];
}

interface Place {
  readonly type: GraphQLObjectType;
  readonly sizing: Sizing;
  readonly level: number;
}

const NO_SIZING: Sizing = { key: '', fields: new Set(), size: 0 };

function selectionCost(estimator: Estimator, group: SelectionGroup, place: Place): SelectionCost {
  checkLevel(place.level);
  const { run, memo } = estimator;
  spend(run, 1);
  const key = `${group.id}|${place.type.name}|${place.sizing.key}`;
  const known = memo.get(key);
  if (known !== undefined) return known;
  const fields = planFields(run, group, place.type).map((field) => {
    const instances = instancesOf(estimator, field, place.sizing);
    const inner = dearestInner(estimator, field, place.level);
    const each = field.weight + (inner === null ? field.leafWeight : inner.typeWeight + inner.selection.cost);
    const cost = Math.max(0, saturate(instances * each + field.argumentCost));
    return { responseKey: field.responseKey, cost, instances, inner: inner?.selection ?? null };
  });
  const result = { cost: saturate(fields.reduce((sum, field) => sum + field.cost, 0)), fields };
  memo.set(key, result);
  return result;
}

function instancesOf(estimator: Estimator, field: PlannedField, sizing: Sizing): number {
  if (field.listDepth === 0) return 1;
  const own = field.expectedSize ?? estimator.defaultListSize;
  const outer = sizing.fields.has(field.name) ? sizing.size : own;
  return saturate(outer * saturate(estimator.defaultListSize ** (field.listDepth - 1)));
}

function dearestInner(
  estimator: Estimator,
  field: PlannedField,
  level: number,
): { typeWeight: number; selection: SelectionCost } | null {
  if (field.inner === null) return null;
  const { group, type } = field.inner;
  const sizing = handedDown(field);
  let dearest: { typeWeight: number; selection: SelectionCost } | null = null;
  for (const possible of possibleTypes(estimator.run, type)) {
    const typeWeight = objectWeight(estimator.run, possible);
    const selection = selectionCost(estimator, group, { type: possible, sizing, level: level + 1 });
    if (dearest === null || typeWeight + selection.cost > dearest.typeWeight + dearest.selection.cost) {
      dearest = { typeWeight, selection };
    }
  }
  return dearest;
}

function handedDown(field: PlannedField): Sizing {
  if (field.expectedSize === null || field.sizedFields.size === 0) return NO_SIZING;
  const key = `${field.expectedSize}:${[...field.sizedFields].join(',')}`;
  return { key, fields: field.sizedFields, size: field.expectedSize };
}

function listByField(root: SelectionCost): FieldCost[] {
  const listed: FieldCost[] = [];
  const pending = [{ selection: root, prefix: '', times: 1 }];
  for (const { selection, prefix, times } of pending) {
    for (const field of selection.fields) {
      if (listed.length === BY_FIELD_MAX) return listed;
      const path = prefix + field.responseKey;
      listed.push({ path, cost: wholePoints(times * field.cost) });
      if (field.inner === null) continue;
      pending.push({ selection: field.inner, prefix: `${path}.`, times: saturate(times * field.instances) });
    }
  }
  return listed;
}

interface DataPlace {
  readonly type: GraphQLObjectType;
  readonly data: Readonly<Record<string, unknown>>;
  readonly level: number;
}

function dataCost(run: CostRun, group: SelectionGroup, place: DataPlace): number {
  checkLevel(place.level);
  let cost = 0;
  for (const field of planFields(run, group, place.type)) {
    const value = ownValue(place.data, field.responseKey);
    if (value === undefined || isFree(field)) continue;
    const values = field.listDepth === 0 ? [value] : flattened(value, field.listDepth);
    const inner = values.reduce<number>(
      (sum, one) => sum + valueCost(run, field, { data: one, level: place.level }),
      0,
    );
    cost += Math.max(0, values.length * field.weight + inner + field.argumentCost);
  }
  return saturate(cost);
}

function isFree(field: PlannedField): boolean {
  return field.inner === null && field.weight === 0 && field.leafWeight === 0 && field.argumentCost === 0;
}

function valueCost(run: CostRun, field: PlannedField, at: { data: unknown; level: number }): number {
  if (field.inner === null) return field.leafWeight;
  if (!isObject(at.data)) return 0;
  const type = typeOfData(run, field.inner.group, { possible: possibleTypes(run, field.inner.type), data: at.data });
  if (type === null) return 0;
  return objectWeight(run, type) + dataCost(run, field.inner.group, { type, data: at.data, level: at.level + 1 });
}

/**
 * Finds the type whose fields are the ones that the object has. `__typename` only breaks ties, since a client may leave
 * it out or alias another field to it; then the heavier type wins.
 */
function typeOfData(
  run: CostRun,
  group: SelectionGroup,
  of: { possible: readonly GraphQLObjectType[]; data: Readonly<Record<string, unknown>> },
): GraphQLObjectType | null {
  const [only] = of.possible;
  if (of.possible.length <= 1) return only ?? null;
  const named = ownValue(of.data, '__typename');
  let best: { type: GraphQLObjectType; fit: number; rank: number } | null = null;
  for (const type of of.possible) {
    const plan = planFields(run, group, type);
    const present = plan.filter((field) => Object.hasOwn(of.data, field.responseKey)).length;
    const fit = 2 * present - plan.length;
    const rank = named === type.name ? Infinity : objectWeight(run, type);
    if (best === null || fit > best.fit || (fit === best.fit && rank > best.rank)) best = { type, fit, rank };
  }
  return best?.type ?? null;
}

function flattened(value: unknown, listDepth: number): readonly unknown[] {
  if (listDepth === 0) return [value];
  if (!Array.isArray(value)) return [];
  return listDepth === 1 ? value : value.flatMap((element: unknown) => flattened(element, listDepth - 1));
}

function newRun(input: CostInput): CostRun {
  return {
    schema: input.schema,
    costs: input.costs,
    fragments: input.fragments,
    variables: withDefaults(input),
    groups: new Map(),
    setIds: new Map(),
    work: 0,
  };
}

function withDefaults(input: CostInput): Variables {
  const variables: Record<string, unknown> = Object.create(null);
  for (const definition of input.operation.variableDefinitions ?? []) {
    const name = definition.variable.name.value;
    const sent = ownValue(input.variables, name);
    if (sent !== undefined) variables[name] = sent;
    else if (definition.defaultValue !== undefined) variables[name] = valueFromASTUntyped(definition.defaultValue);
  }
  return variables;
}

function rootType(input: CostInput): GraphQLObjectType {
  const type = input.schema.getRootType(input.operation.operation);
  return type ?? fail('GRAPHQL_VALIDATION_FAILED', `the schema has no ${input.operation.operation}`);
}

function operationCost(input: CostInput): number {
  return input.operation.operation === OperationTypeNode.MUTATION ? MUTATION_COST : 0;
}

function checkLevel(level: number): void {
  if (level > LEVEL_MAX) fail('MAX_DEPTH_LIMIT', `operation nested deeper than ${LEVEL_MAX} fields`);
}

function clampSize(size: number): number {
  return Number.isNaN(size) ? DEFAULT_LIST_SIZE : Math.min(Math.max(0, size), LIST_SIZE_MAX);
}

function saturate(cost: number): number {
  return Math.min(cost, Number.MAX_SAFE_INTEGER);
}

function wholePoints(cost: number): number {
  return saturate(Math.ceil(Math.max(0, cost)));
}

function ownValue(object: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

import {
  Kind,
  getNamedType,
  isAbstractType,
  isCompositeType,
  isListType,
  isNonNullType,
  isObjectType,
  valueFromASTUntyped,
} from 'graphql';
import type {
  FieldNode,
  FragmentDefinitionNode,
  GraphQLCompositeType,
  GraphQLField,
  GraphQLObjectType,
  GraphQLOutputType,
  GraphQLSchema,
  SelectionNode,
  SelectionSetNode,
} from 'graphql';
import { argumentCost, expectedListSize, givenArguments, UNKNOWN_SIZE } from './cost-arguments.ts';
import type { ArgumentRun } from './cost-arguments.ts';
import { spend } from './cost-term.ts';
import type { Term, Variables } from './cost-term.ts';

/** What weighing one operation needs, and the memory that keeps the work small. */
export interface CostRun extends ArgumentRun {
  readonly schema: GraphQLSchema;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  /** Values of the variables that `@skip` and `@include` name. */
  readonly conditions: Variables;
  readonly groups: Map<string, SelectionGroup>;
  readonly setIds: Map<SelectionSetNode, number>;
}

/** The selection sets that merge at one place of the response; equal ones are one object, so that they plan once. */
export interface SelectionGroup {
  readonly id: string;
  readonly sets: readonly SelectionSetNode[];
  readonly plans: Map<GraphQLObjectType, readonly PlannedField[]>;
}

/** One field of the response of one object type, with all about its cost that does not depend on its parent or on data. */
export interface PlannedField {
  readonly responseKey: string;
  readonly name: string;
  /** The field's own weight, which stands in place of its type's; null where the schema gives none. */
  readonly weight: number | null;
  readonly argumentCost: Term;
  /** List levels around the type: 0 for a single value. */
  readonly listDepth: number;
  /** Size of the list from the field's own directive, UNKNOWN_SIZE where it is silent. */
  readonly size: Term;
  /** Fields of the returned type that have that size. */
  readonly sizedFields: ReadonlySet<string>;
  /** Weight of a leaf value; composite types weigh by the concrete type. */
  readonly leafWeight: number;
  /** What is selected inside, null for a leaf. */
  readonly inner: { readonly type: GraphQLCompositeType; readonly group: SelectionGroup } | null;
  /** What the field's subgraph needs of the same object (`@requires`), null for nothing. */
  readonly requires: SelectionGroup | null;
}

/** `__schema` and `__type` answer from memory, their depth is bounded by validation: one flat price as for a short list. */
const INTROSPECTION_WEIGHT = 10;

const NO_FIELDS: ReadonlySet<string> = new Set();

/** Returns the group of these selection sets; the same sets give the same object. */
export function groupOf(run: CostRun, sets: readonly SelectionSetNode[]): SelectionGroup {
  spend(run, sets.length);
  const id = sets
    .map((set) => idOf(run, set))
    .sort((a, b) => a - b)
    .join(',');
  const known = run.groups.get(id);
  if (known !== undefined) return known;
  const group = { id, sets, plans: new Map() };
  run.groups.set(id, group);
  return group;
}

/**
 * Returns the fields that an object of the type answers with, merged by response key as the executor merges them:
 * fragments that do not apply and what `@skip` and `@include` leave out are gone, a fragment counts once a place.
 */
export function planFields(run: CostRun, group: SelectionGroup, type: GraphQLObjectType): readonly PlannedField[] {
  const known = group.plans.get(type);
  if (known !== undefined) return known;
  const plan: PlannedField[] = [];
  for (const nodes of collectFields(run, group, type).values()) plan.push(planField(run, nodes, type));
  group.plans.set(type, plan);
  return plan;
}

/** Returns what one value of a field weighs where it is an object of this type; the field's own weight goes first. */
export function itemWeight(run: CostRun, field: PlannedField, type: GraphQLObjectType): number {
  return field.weight ?? run.costs.typeWeights.get(type.name) ?? 1;
}

/** Returns the object types that a value of the type can have. */
export function possibleTypes(run: CostRun, type: GraphQLCompositeType): readonly GraphQLObjectType[] {
  return isObjectType(type) ? [type] : run.schema.getPossibleTypes(type);
}

function idOf(run: CostRun, set: SelectionSetNode): number {
  const known = run.setIds.get(set);
  if (known !== undefined) return known;
  const id = run.setIds.size;
  run.setIds.set(set, id);
  return id;
}

function collectFields(run: CostRun, group: SelectionGroup, type: GraphQLObjectType): Map<string, FieldNode[]> {
  const fields = new Map<string, FieldNode[]>();
  const visited = new Set<string>();
  // A growing list instead of recursion: a long chain of fragments cannot exhaust the stack.
  const pending = [...group.sets];
  for (const set of pending) {
    spend(run, set.selections.length + 1);
    for (const selection of set.selections) {
      if (isLeftOut(selection, run.conditions)) continue;
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value;
        const nodes = fields.get(key);
        if (nodes === undefined) fields.set(key, [selection]);
        else nodes.push(selection);
        continue;
      }
      const applied = fragmentAt(run, selection, visited);
      if (applied !== null && applies(run, applied.condition, type)) pending.push(applied.set);
    }
  }
  return fields;
}

function fragmentAt(
  run: CostRun,
  selection: Exclude<SelectionNode, FieldNode>,
  visited: Set<string>,
): { set: SelectionSetNode; condition: string | undefined } | null {
  if (selection.kind === Kind.INLINE_FRAGMENT) {
    return { set: selection.selectionSet, condition: selection.typeCondition?.name.value };
  }
  const name = selection.name.value;
  const fragment = run.fragments.get(name);
  if (visited.has(name) || fragment === undefined) return null;
  visited.add(name);
  return { set: fragment.selectionSet, condition: fragment.typeCondition.name.value };
}

function applies(run: CostRun, condition: string | undefined, type: GraphQLObjectType): boolean {
  if (condition === undefined || condition === type.name) return true;
  const conditional = run.schema.getType(condition);
  return isAbstractType(conditional) && run.schema.isSubType(conditional, type);
}

function isLeftOut(selection: SelectionNode, variables: Variables): boolean {
  for (const directive of selection.directives ?? []) {
    const name = directive.name.value;
    if (name !== 'skip' && name !== 'include') continue;
    const condition = directive.arguments?.find((one) => one.name.value === 'if');
    const value = condition === undefined ? undefined : valueFromASTUntyped(condition.value, variables);
    if (value === (name === 'skip')) return true;
  }
  return false;
}

function planField(run: CostRun, nodes: readonly FieldNode[], parent: GraphQLObjectType): PlannedField {
  const [node] = nodes;
  if (node === undefined) throw new Error('a response key without a field');
  const name = node.name.value;
  const responseKey = node.alias?.value ?? name;
  const definition: GraphQLField<unknown, unknown> | undefined = parent.getFields()[name];
  // What the API schema does not have is built in, or is hidden and only required by another field.
  if (definition === undefined) return unweighedField(responseKey, name);
  const coordinate = `${parent.name}.${name}`;
  const call = { coordinate, definition, given: givenArguments(node) };
  const listSize = run.costs.listSizes.get(coordinate);
  const type = getNamedType(definition.type);
  const sets = nodes.map((one) => one.selectionSet).filter((set) => set !== undefined);
  const requires = run.costs.requirements.get(coordinate);
  return {
    responseKey,
    name,
    weight: run.costs.fieldWeights.get(coordinate) ?? null,
    argumentCost: argumentCost(run, call, node),
    listDepth: listDepth(definition.type),
    size: listSize === undefined ? UNKNOWN_SIZE : expectedListSize(run, listSize, { call, node }),
    sizedFields: listSize?.sizedFields ?? NO_FIELDS,
    leafWeight: isCompositeType(type) ? 0 : (run.costs.typeWeights.get(type.name) ?? 0),
    inner: isCompositeType(type) ? { type, group: groupOf(run, sets) } : null,
    requires: requires === undefined ? null : groupOf(run, [requires]),
  };
}

function unweighedField(responseKey: string, name: string): PlannedField {
  return {
    responseKey,
    name,
    weight: name === '__schema' || name === '__type' ? INTROSPECTION_WEIGHT : null,
    argumentCost: 0,
    listDepth: 0,
    size: UNKNOWN_SIZE,
    sizedFields: NO_FIELDS,
    leafWeight: 0,
    inner: null,
    requires: null,
  };
}

function listDepth(type: GraphQLOutputType): number {
  let depth = 0;
  let current = type;
  while (isListType(current) || isNonNullType(current)) {
    if (isListType(current)) depth += 1;
    current = current.ofType;
  }
  return depth;
}

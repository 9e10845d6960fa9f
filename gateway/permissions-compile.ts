import {
  getNamedType,
  Kind,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { Scope } from '#schema/scopes.ts';
import {
  objectTypesOf,
  type Condition,
  type ConditionalScope,
  type NeededScope,
  type OperationPermissions,
  type SupergraphPermissions,
} from './permissions.ts';

/** A validated operation and what it is read by. */
export interface PermissionedOperation {
  readonly operation: OperationDefinitionNode;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly schema: GraphQLSchema;
  readonly permissions: SupergraphPermissions;
}

/**
 * Returns the rights that a validated operation needs: those of every field it selects, and those of every type that it
 * comes to from another subgraph. Introspection needs none here. A fragment is read once for each way of coming to it,
 * so that the time stays within the size of the document.
 */
export function compilePermissions(on: PermissionedOperation): OperationPermissions {
  const reader: Reader = { ...on, read: new Set(), always: new Map(), conditional: new Map() };
  const { operation, schema } = on;
  const root = schema.getRootType(operation.operation)?.name;
  if (root !== undefined)
    readSelections(reader, operation.selectionSet, { type: root, graphs: null, conditions: [], path: '' });
  const always = [...reader.always].map(([scope, paths]): NeededScope => ({ scope, paths }));
  const conditional = [...reader.conditional.values()].filter(({ scope }) => !reader.always.has(scope));
  return { always, conditional, defaults: defaultsOf(operation) };
}

interface Reader extends PermissionedOperation {
  readonly read: Set<string>;
  readonly always: Map<Scope, string[]>;
  readonly conditional: Map<string, ConditionalScope>;
}

/** Where a selection stands. */
interface Place {
  readonly type: string;
  /** The subgraphs that may have answered with it; null at the root, where every subgraph is entered by itself. */
  readonly graphs: ReadonlySet<string> | null;
  readonly conditions: readonly Condition[];
  readonly path: string;
}

/** Fragments that are told apart by the conditions they stand under; beyond these a field counts as asked for. */
const MOST_CONDITIONED = 1_000;
/** Paths that are remembered for each right. */
const MOST_PATHS = 5;

function readSelections(reader: Reader, { selections }: SelectionSetNode, place: Place): void {
  for (const selection of selections) {
    const conditions = conditionsOf(selection, place.conditions);
    if (conditions === null) continue;
    const isTold = reader.read.size < MOST_CONDITIONED;
    readSelection(reader, selection, { ...place, conditions: isTold ? conditions : [] });
  }
}

function readSelection(reader: Reader, selection: SelectionNode, place: Place): void {
  if (selection.kind === Kind.FIELD) return readField(reader, selection, place);
  if (selection.kind === Kind.INLINE_FRAGMENT) {
    const type = selection.typeCondition?.name.value ?? place.type;
    return readSelections(reader, selection.selectionSet, { ...place, type });
  }
  const fragment = reader.fragments.get(selection.name.value);
  const key = `${selection.name.value} ${keyOf(place)}`;
  if (fragment === undefined || reader.read.has(key)) return;
  reader.read.add(key);
  readSelections(reader, fragment.selectionSet, { ...place, type: fragment.typeCondition.name.value });
}

function readField(reader: Reader, field: FieldNode, place: Place): void {
  const name = field.name.value;
  if (name.startsWith('__')) return;
  const path = place.path === '' ? name : `${place.path}.${name}`;
  for (const type of objectTypesOf(reader.schema, place.type)) {
    const { permissions } = reader;
    const homes = permissions.graphsOf(type, name);
    const shared = new Set([...homes].filter((graph) => place.graphs?.has(graph)));
    // None of those that answered with the object has this field: another subgraph is asked for it by the object's id.
    if (place.graphs !== null && shared.size === 0) need(reader, permissions.types.get(type), { ...place, path });
    need(reader, permissions.fields.get(`${type}.${name}`), { ...place, path });
    const next = returnedType(reader.schema, type, name);
    if (field.selectionSet === undefined || next === null) continue;
    const graphs = shared.size > 0 ? shared : homes;
    readSelections(reader, field.selectionSet, { type: next, graphs, conditions: place.conditions, path });
  }
}

function need(
  reader: Reader,
  scope: Scope | undefined,
  { conditions, path }: Pick<Place, 'conditions' | 'path'>,
): void {
  if (scope === undefined) return;
  if (conditions.length > 0) {
    const key = `${scope} ${conditionKey(conditions)}`;
    if (!reader.conditional.has(key)) reader.conditional.set(key, { scope, path, conditions });
    return;
  }
  const paths = reader.always.get(scope) ?? [];
  if (paths.length < MOST_PATHS && !paths.includes(path)) paths.push(path);
  reader.always.set(scope, paths);
}

/** Returns the conditions that hold for a selection, or null for one that a literal leaves out. */
function conditionsOf({ directives }: SelectionNode, outer: readonly Condition[]): readonly Condition[] | null {
  let found = outer;
  for (const { name, arguments: given } of directives ?? []) {
    if (name.value !== 'skip' && name.value !== 'include') continue;
    const value = name.value === 'include';
    const test = given?.find((argument) => argument.name.value === 'if')?.value;
    if (test?.kind === Kind.BOOLEAN && test.value !== value) return null;
    if (test?.kind === Kind.VARIABLE) found = withCondition(found, { variable: test.name.value, value });
  }
  return found;
}

function withCondition(known: readonly Condition[], added: Condition): readonly Condition[] {
  const isKnown = known.some(({ variable, value }) => variable === added.variable && value === added.value);
  return isKnown ? known : [...known, added];
}

function keyOf({ type, graphs, conditions }: Place): string {
  return `${type} ${graphs === null ? '*' : [...graphs].toSorted().join('+')} ${conditionKey(conditions)}`;
}

function conditionKey(conditions: readonly Condition[]): string {
  return conditions
    .map(({ variable, value }) => `${variable}=${value}`)
    .toSorted()
    .join('&');
}

function returnedType(schema: GraphQLSchema, type: string, field: string): string | null {
  const owner = schema.getType(type);
  if (owner === undefined || !('getFields' in owner)) return null;
  const found = owner.getFields()[field];
  return found === undefined ? null : getNamedType(found.type).name;
}

function defaultsOf({ variableDefinitions }: OperationDefinitionNode): ReadonlyMap<string, boolean> {
  const defaults = new Map<string, boolean>();
  for (const { variable, defaultValue } of variableDefinitions ?? [])
    if (defaultValue?.kind === Kind.BOOLEAN) defaults.set(variable.name.value, defaultValue.value);
  return defaults;
}

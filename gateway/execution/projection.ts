import {
  getNamedType,
  isAbstractType,
  isLeafType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type DirectiveNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLAbstractType,
  type GraphQLInterfaceType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  type SelectionSetNode,
} from 'graphql';
import { isObject } from '#schema/json-object.ts';
import {
  constant,
  leaf,
  list,
  nonNull,
  nullable,
  object,
  type FaultFlag,
  type Shape,
  type ShapeField,
} from './answer-shape.ts';
import { leafTextOf } from './leaf-text.ts';
import type { SupergraphTypes } from './supergraph-schema.ts';

/** What the shape of an operation's answer is compiled from. */
export interface ProjectionSource {
  readonly types: SupergraphTypes;
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly rootType: GraphQLObjectType;
  readonly selectionSet: SelectionSetNode;
  /** Values of the variables that `@skip` and `@include` depend on. */
  readonly conditions: Readonly<Record<string, unknown>>;
}

interface Compiler extends ProjectionSource {
  readonly flag: FaultFlag;
}

/**
 * Returns the shape of an operation's answer: fields in the order and merged by key as CollectFields of the GraphQL
 * specification has it (section 6.3.2). What lies under a type is compiled when its first object comes.
 */
export function compileProjection(source: ProjectionSource, flag: FaultFlag): Shape {
  const compiler = { ...source, flag };
  return objectShape(compiler, source.rootType, [source.selectionSet]);
}

function objectShape(compiler: Compiler, type: GraphQLObjectType, sets: readonly SelectionSetNode[]): Shape {
  let fields: readonly ShapeField[] | undefined;
  return object(() => (fields ??= fieldsOf(compiler, type, sets)));
}

function abstractShape(compiler: Compiler, type: GraphQLAbstractType, sets: readonly SelectionSetNode[]): Shape {
  const { apiSchema } = compiler.types;
  const types = new Map<unknown, FieldsType>(apiSchema.getPossibleTypes(type).map((one) => [one.name, one]));
  // Without a name, or with the interface's own, no field was asked for that depends on which object it is.
  if (isInterfaceType(type)) types.set(type.name, type).set(undefined, type);
  const known = new Map<unknown, readonly ShapeField[]>();
  const isHidden = (name: unknown) =>
    typeof name === 'string' && compiler.types.isObjectType(name) && apiSchema.getType(name) === undefined;
  return object((value) => {
    const name = value['__typename'];
    const fields = known.get(name);
    if (fields !== undefined) return fields;
    const found = types.get(name);
    if (found === undefined) return null;
    const made = fieldsOf(compiler, found, sets);
    known.set(name, made);
    return made;
  }, isHidden);
}

/** A type that fields stand on; an interface where no subgraph had to tell which object it is. */
type FieldsType = GraphQLObjectType | GraphQLInterfaceType;

function fieldsOf(compiler: Compiler, type: FieldsType, sets: readonly SelectionSetNode[]): ShapeField[] {
  const groups = new Map<string, FieldNode[]>();
  const seen = new Set<string>();
  for (const set of sets) collect({ compiler, type, groups, seen }, set);
  const fields: ShapeField[] = [];
  for (const [key, nodes] of groups) {
    const shape = fieldShape(compiler, type, nodes);
    if (shape === null) continue;
    fields.push({
      key,
      prefix: `${fields.length === 0 ? '' : ','}${JSON.stringify(key)}:`,
      field: `${type.name}.${nodes[0]?.name.value ?? key}`,
      shape,
      inherited: key in Object.prototype,
    });
  }
  return fields;
}

interface Collection {
  readonly compiler: Compiler;
  readonly type: FieldsType;
  readonly groups: Map<string, FieldNode[]>;
  /** Fragments that were spread already. */
  readonly seen: Set<string>;
}

function collect(into: Collection, set: SelectionSetNode): void {
  for (const node of set.selections) {
    if (!isIncluded(node.directives ?? [], into.compiler.conditions)) continue;
    if (node.kind === Kind.FIELD) {
      const key = node.alias?.value ?? node.name.value;
      const group = into.groups.get(key);
      if (group === undefined) into.groups.set(key, [node]);
      else group.push(node);
    } else if (node.kind === Kind.INLINE_FRAGMENT) {
      if (fits(into, node.typeCondition?.name.value)) collect(into, node.selectionSet);
    } else if (!into.seen.has(node.name.value)) {
      into.seen.add(node.name.value);
      const fragment = into.compiler.fragments.get(node.name.value);
      if (fragment !== undefined && fits(into, fragment.typeCondition.name.value)) collect(into, fragment.selectionSet);
    }
  }
}

function fits({ compiler, type }: Collection, condition: string | undefined): boolean {
  if (condition === undefined || condition === type.name) return true;
  const { apiSchema } = compiler.types;
  const abstract = apiSchema.getType(condition);
  return isAbstractType(abstract) && apiSchema.isSubType(abstract, type);
}

function isIncluded(directives: readonly DirectiveNode[], conditions: Readonly<Record<string, unknown>>): boolean {
  return directives.every(({ name, arguments: given }) => {
    const condition = given?.find((node) => node.name.value === 'if')?.value;
    const value =
      condition?.kind === Kind.VARIABLE
        ? conditions[condition.name.value]
        : condition?.kind === Kind.BOOLEAN && condition.value;
    if (name.value === 'skip') return value !== true;
    return name.value !== 'include' || value === true;
  });
}

/** Texts of answers about the schema, which are kept and come again. */
const schemaTexts = new WeakMap<object, string>();

function schemaText(value: unknown): string | null {
  if (!isObject(value)) return null;
  const known = schemaTexts.get(value) ?? JSON.stringify(value);
  schemaTexts.set(value, known);
  return known;
}

/** Null for a field that the type does not have; validation lets none through. */
function fieldShape(compiler: Compiler, type: FieldsType, nodes: readonly FieldNode[]): Shape | null {
  const name = nodes[0]?.name.value ?? '';
  if (name === '__typename') return constant(JSON.stringify(type.name));
  if (name === '__schema' || name === '__type') return nullable(leaf(schemaText), compiler.flag);
  const definition = type.getFields()[name];
  if (definition === undefined) return null;
  const sets = nodes.flatMap(({ selectionSet }) => (selectionSet === undefined ? [] : [selectionSet]));
  return typeShape(compiler, definition.type, sets);
}

function typeShape(compiler: Compiler, type: GraphQLOutputType, sets: readonly SelectionSetNode[]): Shape {
  if (isNonNullType(type)) return nonNull(innerShape(compiler, type.ofType, sets));
  return nullable(innerShape(compiler, type, sets), compiler.flag);
}

function innerShape(compiler: Compiler, type: GraphQLOutputType, sets: readonly SelectionSetNode[]): Shape {
  if (isListType(type)) return list(typeShape(compiler, type.ofType as GraphQLOutputType, sets));
  const named = getNamedType(type);
  if (isLeafType(named)) return leaf(leafTextOf(named), (value) => compiler.types.isHiddenValue(named.name, value));
  if (isObjectType(named)) return objectShape(compiler, named, sets);
  if (isAbstractType(named)) return abstractShape(compiler, named, sets);
  throw new Error(`a field cannot be of type ${String(type)}`);
}

/** Returns the names of the variables that `@skip` and `@include` anywhere in a part of a document depend on. */
export function conditionVariables(node: unknown): string[] {
  const names = new Set<string>();
  const look = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) look(item);
    if (!isObject(value)) return;
    const directives: unknown = value['directives'];
    if (Array.isArray(directives))
      for (const directive of directives as DirectiveNode[]) addCondition(directive, names);
    for (const key of ['selectionSet', 'selections', 'definitions']) look(value[key]);
  };
  look(node);
  return [...names].sort();
}

function addCondition({ name, arguments: given }: DirectiveNode, names: Set<string>): void {
  if (name.value !== 'skip' && name.value !== 'include') return;
  const condition = given?.find((node) => node.name.value === 'if')?.value;
  if (condition?.kind === Kind.VARIABLE) names.add(condition.name.value);
}

import { Kind, parse } from 'graphql';
import { isObject } from '#schema/json-object.ts';
import type { RequiresSelection, Rewrite } from './plan.ts';
import { newRewriter } from './rewrites.ts';
import type { Tree, Variables } from './run-state.ts';
import type { SupergraphTypes } from './supergraph-schema.ts';

/** Makes the representations that one call asks entities by. */
export interface RepresentationMaker {
  /**
   * Returns a collection that writes to a list, which collections of other makers may write to as well. `holes` says
   * that a call has failed before, so that a field may lack what it should have.
   */
  collection(list: Tree[], variables: Variables, holes: boolean): RepresentationCollection;
}

/** The representations of one call. */
export interface RepresentationCollection {
  /** Returns the entity's place in the list, equal ones sharing one; -1 where it cannot be asked for. */
  add(entity: Tree): number;
}

/** What a maker is made from. */
export interface RepresentationSource {
  readonly requires: readonly RequiresSelection[];
  readonly inputRewrites: readonly Rewrite[];
  readonly subgraph: string;
  readonly types: SupergraphTypes;
}

/** The fields that represent the objects of one type. */
interface TypeShape {
  readonly fields: readonly ShapeField[];
  /** Those besides `__typename`. */
  readonly plain: readonly ShapeField[];
  /** True where none of them has fields of its own. */
  readonly flat: boolean;
  /** The fields, of which one at least must have a value for the subgraph to find anything by. */
  readonly keyFields: readonly string[];
}

interface ShapeField {
  readonly from: string;
  readonly to: string;
  readonly selections: readonly RequiresSelection[] | null;
}

/**
 * Returns the maker for a selection. An entity is left out whose key has no value at all, or, after a failure, that
 * lacks a field: the subgraph would work with half of what it requires. Without one, the field was left out by a
 * condition of the operation, and so is what needs it.
 */
export function newRepresentationMaker(source: RepresentationSource): RepresentationMaker {
  const rewrite = newRewriter(source.inputRewrites, source.types.satisfies);
  const conditions = conditionsOf(source.requires);
  const shapes = new Map<string, TypeShape>();
  const shapeOf = (typename: string, variables: Variables) => {
    const at = conditions.length === 0 ? typename : [typename, ...conditions.map((name) => variables[name])].join(' ');
    const known = shapes.get(at);
    if (known !== undefined) return known;
    const made = typeShape(source, typename, variables);
    // The subgraph that names a type is no reason to keep shapes without end.
    if (shapes.size < 1000) shapes.set(at, made);
    return made;
  };
  return {
    collection: (list, variables, holes) => {
      const types = new Map<string, TypePlaces>();
      return {
        add(entity) {
          const typename = entity['__typename'];
          if (typeof typename !== 'string') return -1;
          let places = types.get(typename);
          if (places === undefined) types.set(typename, (places = newPlaces(shapeOf(typename, variables))));
          const { shape, indexes, texts } = places;
          const identity = identityOf(entity, shape);
          const known = identity === null ? undefined : indexes.get(identity);
          if (known !== undefined) return known;
          const made = represent(entity, shape.fields, { source, variables, holes });
          if (made === null || !shape.keyFields.some((key) => hasValue(made[key]))) return -1;
          return identity === null
            ? append({ list, indexes: texts, identity: JSON.stringify(made) }, made, typename)
            : append({ list, indexes, identity }, made, typename);
        },
      };
    },
  };

  function append(to: Appending, made: Tree, typename: string): number {
    const known = to.indexes.get(to.identity);
    if (known !== undefined) return known;
    made['__typename'] ??= typename;
    rewrite(made);
    to.indexes.set(to.identity, to.list.length);
    return to.list.push(made) - 1;
  }
}

/** The entities of one type in one call: the places of those that were added, by what tells them apart. */
interface TypePlaces {
  readonly shape: TypeShape;
  readonly indexes: Map<unknown, number>;
  /** The same by whole representations, for those that nothing shorter tells apart. */
  readonly texts: Map<unknown, number>;
}

function newPlaces(shape: TypeShape): TypePlaces {
  return { shape, indexes: new Map(), texts: new Map() };
}

interface Appending {
  readonly list: Tree[];
  readonly indexes: Map<unknown, number>;
  readonly identity: unknown;
}

/** Returns what tells an entity from others of its type, without making its representation; null where only that does. */
function identityOf(entity: Tree, { plain, flat }: TypeShape): unknown {
  const [first] = plain;
  if (!flat || first === undefined) return null;
  if (plain.length === 1) {
    const value = read(entity, first);
    return typeof value === 'string' || typeof value === 'number' ? value : null;
  }
  let identity = '';
  for (const field of plain) {
    const value = read(entity, field);
    // The length keeps one value from running into the next; a number never begins like a string's.
    if (typeof value === 'string') identity += `${value.length}:${value}`;
    else if (typeof value === 'number' || typeof value === 'boolean' || value === null) identity += `=${value};`;
    else return null;
  }
  return identity;
}

function conditionsOf(selections: readonly RequiresSelection[]): string[] {
  return selections.flatMap((node) => {
    if (node.kind === 'FragmentSpread') return [];
    if (node.kind === 'Field') return conditionsOf(node.selections ?? []);
    const own = [node.skipIf, node.includeIf].filter((name) => name !== undefined);
    return [...own, ...conditionsOf(node.selections)];
  });
}

function typeShape(source: RepresentationSource, typename: string, variables: Variables): TypeShape {
  const fields = fieldsFor(source.requires, { source, variables, typename, holes: false });
  const plain = fields.filter(({ to }) => to !== '__typename');
  const names = plain.map(({ to }) => to);
  const flat = plain.every(({ selections }) => selections === null);
  return { fields, plain, flat, keyFields: keyFieldsOf(source, typename, names) };
}

/** The fields of the keys that the representation holds in full; all its fields where no key is known. */
function keyFieldsOf(source: RepresentationSource, typename: string, names: readonly string[]): string[] {
  const conditions = source.requires.flatMap((node) =>
    node.kind === 'InlineFragment' && node.typeCondition !== undefined ? [node.typeCondition] : [],
  );
  const keys = [typename, ...conditions].flatMap((name) => source.types.keysOf(name, source.subgraph));
  const held = keys.map(topFields).filter((key) => key.every((name) => names.includes(name)));
  const fields = [...new Set(held.flat())].filter((name) => name !== '__typename');
  return fields.length === 0 ? [...names] : fields;
}

function topFields(fieldSet: string): string[] {
  const [operation] = parse(`{ ${fieldSet} }`, { noLocation: true }).definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION) return [];
  return operation.selectionSet.selections.flatMap((node) => (node.kind === Kind.FIELD ? [node.name.value] : []));
}

interface Projection {
  readonly source: RepresentationSource;
  readonly variables: Variables;
  readonly holes: boolean;
  readonly typename?: unknown;
}

function fieldsFor(selections: readonly RequiresSelection[], how: Projection): ShapeField[] {
  const fields = new Map<string, ShapeField>();
  for (const node of selections) {
    if (node.kind === 'Field') {
      addField(fields, { from: node.name, to: node.alias ?? node.name, selections: node.selections ?? null });
    } else if (node.kind === 'InlineFragment' && applies(node, how)) {
      for (const field of fieldsFor(node.selections, how)) addField(fields, field);
    }
  }
  return [...fields.values()];
}

function addField(fields: Map<string, ShapeField>, field: ShapeField): void {
  const selections = [...(fields.get(field.to)?.selections ?? []), ...(field.selections ?? [])];
  fields.set(field.to, { ...field, selections: selections.length === 0 ? null : selections });
}

function applies(node: Extract<RequiresSelection, { kind: 'InlineFragment' }>, how: Projection): boolean {
  if (node.skipIf !== undefined && how.variables[node.skipIf] === true) return false;
  if (node.includeIf !== undefined && how.variables[node.includeIf] !== true) return false;
  if (node.typeCondition === undefined) return true;
  return typeof how.typename === 'string' && how.source.types.satisfies(how.typename, node.typeCondition);
}

function read(entity: Tree, field: ShapeField): unknown {
  const value = entity[field.from] ?? entity[field.to];
  return typeof value === 'function' ? undefined : value;
}

/** Returns the wanted fields of an object; null where one of them is a hole. */
function represent(entity: Tree, fields: readonly ShapeField[], how: Projection): Tree | null {
  const made: Tree = {};
  for (const field of fields) {
    const value = read(entity, field);
    const projected = field.selections === null ? value : representInner(value, field.selections, how);
    if (projected !== undefined) made[field.to] = projected;
    else if (how.holes && field.to !== '__typename') return null;
  }
  return made;
}

function representInner(value: unknown, selections: readonly RequiresSelection[], how: Projection): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => representInner(item, selections, how));
    return items.includes(undefined) ? undefined : items;
  }
  if (!isObject(value)) return value;
  const fields = fieldsFor(selections, { ...how, typename: value['__typename'] });
  return represent(value, fields, how) ?? undefined;
}

function hasValue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0 || value.some(hasValue);
  if (!isObject(value)) return value !== null && value !== undefined;
  return Object.entries(value).some(([key, inner]) => key !== '__typename' && hasValue(inner));
}

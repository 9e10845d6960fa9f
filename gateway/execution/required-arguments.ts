import {
  getNamedType,
  buildASTSchema,
  isInterfaceType,
  isObjectType,
  Kind,
  parse,
  print,
  visit,
  type ConstArgumentNode,
  type DirectiveNode,
  type DocumentNode,
  type FieldDefinitionNode,
  type FieldNode,
  type GraphQLSchema,
  type NameNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { BatchFetchNode, FetchNode, PlanNode, QueryPlan, RequiresSelection } from './plan.ts';
import { graphNames } from './supergraph-schema.ts';
import { splitByVariant, type VariantNames } from './variant-fetches.ts';

/** A supergraph in which no field is required with arguments, and the way back to the one it was made from. */
export interface PlainRequires {
  readonly sdl: string;
  /** Returns a plan over that supergraph as one over the real one. */
  readonly restore: (plan: QueryPlan) => QueryPlan;
}

const PREFIX = '_required_';

/** A field with the arguments that it is required with; by the name that stands for it. */
type Variants = Map<string, { readonly name: string; readonly arguments: readonly ConstArgumentNode[] }>;

/**
 * Returns a supergraph for planners that has, for each field that `@requires` names with arguments, a further field
 * without any in its place. One field with two sets of arguments is what planners do not tell apart: they send a subgraph
 * the wrong one, put both under one key, and for some operations the native one ends the process.
 */
export function plainRequires(supergraphSdl: string): PlainRequires {
  const document = parse(supergraphSdl, { noLocation: true });
  const variants: Variants = new Map();
  const added = new Map<string, Set<string>>();
  const schema = buildASTSchema(document, { assumeValidSDL: true });
  let around = '';
  const enter = ({ name }: { readonly name: NameNode }) => {
    around = name.value;
  };
  const replaced = visit(document, {
    ObjectTypeDefinition: { enter },
    InterfaceTypeDefinition: { enter },
    Directive: (node) =>
      node.name.value === 'join__field'
        ? withPlainSet(node, (set) => plainSet(set, around, { schema, variants, added }))
        : undefined,
  });
  if (variants.size === 0) return { sdl: supergraphSdl, restore: (plan) => plan };
  const names: Names = {
    variants,
    fieldOf: (name) => variants.get(name)?.name,
    requiredBy: standInsOf(replaced),
  };
  return { sdl: print(withFields(replaced, { added, variants })), restore: (plan) => restored(plan, names) };
}

/** Returns which stand-ins a field requires, as the supergraph with them says. */
function standInsOf(document: DocumentNode): VariantNames['requiredBy'] {
  const graphs = graphNames(document);
  const found = new Map<string, ReadonlySet<string>>();
  for (const type of document.definitions) {
    if (type.kind !== Kind.OBJECT_TYPE_DEFINITION && type.kind !== Kind.INTERFACE_TYPE_DEFINITION) continue;
    for (const field of type.fields ?? []) {
      for (const directive of field.directives ?? []) {
        const names = textIn(directive, 'requires').match(/_required_\d+/g) ?? [];
        const subgraph = graphs.get(textIn(directive, 'graph')) ?? '';
        if (names.length > 0) found.set(`${subgraph} ${type.name.value}.${field.name.value}`, new Set(names));
      }
    }
  }
  return (subgraph, type, field) => found.get(`${subgraph} ${type}.${field}`) ?? NONE;
}

const NONE: ReadonlySet<string> = new Set();

function withPlainSet(
  node: DirectiveNode,
  plain: (set: SelectionSetNode) => SelectionSetNode,
): DirectiveNode | undefined {
  const requires = node.arguments?.find(({ name }) => name.value === 'requires')?.value;
  if (requires?.kind !== Kind.STRING || !requires.value.includes('(')) return undefined;
  const [operation] = parse(`{ ${requires.value} }`, { noLocation: true }).definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION) return undefined;
  const value = print(plain(operation.selectionSet)).slice(1, -1).replaceAll(/\s+/g, ' ').trim();
  return {
    ...node,
    arguments: (node.arguments ?? []).map((each) =>
      each.name.value === 'requires' ? Object.assign({}, each, { value: { ...requires, value } }) : each,
    ),
  };
}

interface Known {
  readonly schema: GraphQLSchema;
  readonly variants: Variants;
  /** The names that stand for variants, by the type that has the field. */
  readonly added: Map<string, Set<string>>;
}

function plainSet(set: SelectionSetNode, type: string, known: Known): SelectionSetNode {
  return { ...set, selections: set.selections.map((node) => plainSelection(node, type, known)) };
}

function plainSelection(node: SelectionNode, type: string, known: Known): SelectionNode {
  if (node.kind === Kind.FRAGMENT_SPREAD) return node;
  if (node.kind === Kind.INLINE_FRAGMENT)
    return { ...node, selectionSet: plainSet(node.selectionSet, node.typeCondition?.name.value ?? type, known) };
  const { arguments: given = [], selectionSet, ...field } = node;
  const inner =
    selectionSet === undefined ? {} : { selectionSet: plainSet(selectionSet, fieldType(node, type, known), known) };
  if (given.length === 0) return { ...field, ...inner };
  const name = standIn(node, known.variants);
  for (const each of typesWith(type, known.schema))
    known.added.set(each, (known.added.get(each) ?? new Set()).add(name));
  return { ...field, ...inner, name: { kind: Kind.NAME, value: name } };
}

function fieldType({ name }: FieldNode, parent: string, { schema }: Known): string {
  const type = schema.getType(parent);
  const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name.value] : undefined;
  return field === undefined ? '' : getNamedType(field.type).name;
}

/** What an interface has, the types that implement it have too. */
function typesWith(name: string, schema: GraphQLSchema): readonly string[] {
  const type = schema.getType(name);
  if (!isInterfaceType(type)) return [name];
  const { objects, interfaces } = schema.getImplementations(type);
  return [name, ...objects.map((each) => each.name), ...interfaces.map((each) => each.name)];
}

function standIn(field: FieldNode, variants: Variants): string {
  const given = (field.arguments ?? []) as readonly ConstArgumentNode[];
  const written = textOf(field.name.value, given);
  for (const [name, known] of variants) if (textOf(known.name, known.arguments) === written) return name;
  const name = `${PREFIX}${variants.size}`;
  variants.set(name, { name: field.name.value, arguments: given });
  return name;
}

function textOf(name: string, given: readonly ConstArgumentNode[]): string {
  return [name, ...given.map((node) => print(node)).sort()].join(' ');
}

/** Each stand-in is found in the subgraphs in which its field is. */
function withFields(document: DocumentNode, { added, variants }: Omit<Known, 'schema'>): DocumentNode {
  const standIns = (type: string, fields: readonly FieldDefinitionNode[]): FieldDefinitionNode[] =>
    [...(added.get(type) ?? [])].flatMap((name) => {
      const like = fields.find((field) => field.name.value === variants.get(name)?.name);
      return like === undefined ? [] : [{ ...like, name: { kind: Kind.NAME, value: name }, arguments: [] }];
    });
  const used = fieldSetsIn(document);
  const kept = (type: string, fields: readonly FieldDefinitionNode[]) => {
    const names = new Set([...(added.get(type) ?? [])].map((name) => variants.get(name)?.name));
    return fields.map((field) => (names.has(field.name.value) ? withoutUnused(field, used) : field));
  };
  return {
    ...document,
    definitions: document.definitions.map((node) =>
      node.kind === Kind.OBJECT_TYPE_DEFINITION || node.kind === Kind.INTERFACE_TYPE_DEFINITION
        ? {
            ...node,
            fields: [...kept(node.name.value, node.fields ?? []), ...standIns(node.name.value, node.fields ?? [])],
          }
        : node,
    ),
  };
}

/** Returns a field without the subgraphs that know it for what they required of it alone; the stock planner insists. */
function withoutUnused(field: FieldDefinitionNode, used: ReadonlyMap<string, string>): FieldDefinitionNode {
  const word = new RegExp(`\\b${field.name.value}\\b`);
  const directives = (field.directives ?? []).filter(
    (node) => textIn(node, 'external') !== 'true' || word.test(used.get(textIn(node, 'graph')) ?? ''),
  );
  return { ...field, directives };
}

/** All field sets of a supergraph, by the value of `join__Graph` whose subgraph they are from. */
function fieldSetsIn(document: DocumentNode): ReadonlyMap<string, string> {
  const sets = new Map<string, string>();
  visit(document, {
    Directive: (node) => {
      const graph = textIn(node, 'graph');
      const texts = ['requires', 'provides', 'key'].map((name) => textIn(node, name));
      sets.set(graph, [sets.get(graph) ?? '', ...texts].join(' '));
    },
  });
  return sets;
}

function textIn(node: DirectiveNode, name: string): string {
  const value = node.arguments?.find((each) => each.name.value === name)?.value;
  return value !== undefined && 'value' in value ? String(value.value) : '';
}

interface Names extends VariantNames {
  readonly variants: Variants;
}

function restored(plan: QueryPlan, names: Names): QueryPlan {
  return plan.node == null ? plan : { ...plan, node: restoredNode(plan.node, names) };
}

function restoredNode(node: PlanNode, names: Names): PlanNode {
  const inner = (child: PlanNode) => restoredNode(child, names);
  switch (node.kind) {
    case 'Fetch':
      return atOnce(splitByVariant(node, names).map((call) => restoredFetch(call, names)));
    case 'BatchFetch':
      return atOnce(splitByVariant(node, names).map((call) => restoredBatch(call, names)));
    case 'Flatten':
      return { ...node, node: inner(node.node) };
    case 'Condition':
      return {
        ...node,
        ...(node.ifClause == null ? {} : { ifClause: inner(node.ifClause) }),
        ...(node.elseClause == null ? {} : { elseClause: inner(node.elseClause) }),
      };
    default:
      return { ...node, nodes: node.nodes.map(inner) };
  }
}

function atOnce(nodes: readonly PlanNode[]): PlanNode {
  const [first, ...others] = nodes;
  return first !== undefined && others.length === 0 ? first : { kind: 'Parallel', nodes };
}

function restoredFetch(call: FetchNode, { variants }: Names): FetchNode {
  const operation = restoredText(call.operation, variants);
  if (call.requires === undefined) return { ...call, operation };
  return { ...call, operation, requires: restoredRequires(call.requires, variants) };
}

function restoredBatch(call: BatchFetchNode, { variants }: Names): BatchFetchNode {
  const aliases = call.entityBatch.aliases.map((entry) => ({
    ...entry,
    requires: restoredRequires(entry.requires, variants),
  }));
  return { ...call, operation: restoredText(call.operation, variants), entityBatch: { aliases } };
}

/** A subgraph is asked for the field itself, whose answer keeps the name that stands for it. */
function restoredText(text: string, variants: Variants): string {
  if (!text.includes(PREFIX)) return text;
  return print(
    visit(parse(text, { noLocation: true }), {
      Field: (field) => {
        const variant = variants.get(field.name.value);
        if (variant === undefined) return undefined;
        const name: NameNode = { kind: Kind.NAME, value: variant.name };
        return { ...field, alias: field.alias ?? field.name, name, arguments: variant.arguments };
      },
    }),
  );
}

function restoredRequires(selections: readonly RequiresSelection[], variants: Variants): readonly RequiresSelection[] {
  return selections.map((selection) => {
    if (selection.kind === 'FragmentSpread') return selection;
    const { selections: below } = selection;
    const inner = below === undefined ? {} : { selections: restoredRequires(below, variants) };
    const alias = selection.kind === 'Field' ? variants.get(selection.alias ?? selection.name)?.name : undefined;
    return { ...selection, ...inner, ...(alias === undefined ? {} : { alias }) };
  });
}

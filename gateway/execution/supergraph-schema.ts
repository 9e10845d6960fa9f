import {
  buildASTSchema,
  Kind,
  parse,
  visit,
  type ASTNode,
  type DefinitionNode,
  type DirectiveNode,
  type DocumentNode,
  type GraphQLSchema,
} from 'graphql';

/** What the gateway knows of its types beyond the schema it shows. */
export interface SupergraphTypes {
  /** The schema that clients see: nothing of federation, nothing inaccessible. */
  readonly apiSchema: GraphQLSchema;
  /** True where an object of the first type stands under a fragment on the second; inaccessible types included. */
  readonly satisfies: (typename: string, condition: string) => boolean;
  /** True for the name of an object type, inaccessible ones included. */
  readonly isObjectType: (name: string) => boolean;
  /** True for an abstract type that an inaccessible type is one of. */
  readonly hasHiddenMember: (name: string) => boolean;
  /** True for a value of an enum that subgraphs may answer with and clients may not see. */
  readonly isHiddenValue: (enumName: string, value: unknown) => boolean;
  /** Field sets of the keys that a subgraph resolves a type by. */
  readonly keysOf: (typename: string, subgraph: string) => readonly string[];
}

const FEDERATION = /^(?:link|core|join|federation|policy|requiresScopes|context|cost)__/;
const VISIBLE_DIRECTIVES: ReadonlySet<string> = new Set(['deprecated', 'specifiedBy', 'oneOf']);

/** Returns what a supergraph's SDL says of its types. */
export function readSupergraph(supergraphSdl: string): SupergraphTypes {
  const document = parse(supergraphSdl, { noLocation: true });
  const members = membersOf(document);
  const objects = new Set(namesOf(document, Kind.OBJECT_TYPE_DEFINITION));
  const keys = keysIn(document);
  const hidden = hiddenTypes(document);
  const hiddenValues = hiddenValuesIn(document);
  return {
    apiSchema: buildASTSchema(visibleOf(document), { assumeValidSDL: true }),
    satisfies: (typename, condition) => typename === condition || members.get(condition)?.has(typename) === true,
    isObjectType: (name) => objects.has(name),
    hasHiddenMember: (name) => [...(members.get(name) ?? [])].some((member) => hidden.has(member)),
    isHiddenValue: (name, value) => hiddenValues.get(name)?.has(value) === true,
    keysOf: (typename, subgraph) => keys.get(`${typename} ${subgraph}`) ?? [],
  };
}

function namesOf(document: DocumentNode, kind: Kind): string[] {
  return document.definitions.flatMap((node) => (node.kind === kind && 'name' in node ? [node.name?.value ?? ''] : []));
}

function membersOf(document: DocumentNode): Map<string, Set<string>> {
  const members = new Map<string, Set<string>>();
  const add = (abstract: string, member: string) => {
    const known = members.get(abstract) ?? new Set<string>();
    members.set(abstract, known.add(member));
  };
  for (const node of document.definitions) {
    if (node.kind === Kind.OBJECT_TYPE_DEFINITION) {
      for (const { name } of node.interfaces ?? []) add(name.value, node.name.value);
    }
    if (node.kind === Kind.UNION_TYPE_DEFINITION) {
      for (const { name } of node.types ?? []) add(node.name.value, name.value);
    }
  }
  return members;
}

/** Keys by type and subgraph, of `@join__type(graph:, key:)`. */
function keysIn(document: DocumentNode): Map<string, string[]> {
  const graphs = graphNames(document);
  const keys = new Map<string, string[]>();
  for (const node of document.definitions) {
    if (node.kind !== Kind.OBJECT_TYPE_DEFINITION && node.kind !== Kind.INTERFACE_TYPE_DEFINITION) continue;
    for (const directive of node.directives ?? []) {
      const key = argument(directive, 'key');
      const graph = argument(directive, 'graph');
      if (directive.name.value !== 'join__type' || key === undefined || graph === undefined) continue;
      const place = `${node.name.value} ${graphs.get(graph) ?? graph}`;
      keys.set(place, [...(keys.get(place) ?? []), key]);
    }
  }
  return keys;
}

function hiddenTypes(document: DocumentNode): Set<string> {
  return new Set(
    document.definitions.flatMap((node) => ('name' in node && isHidden(node) ? [node.name?.value ?? ''] : [])),
  );
}

function hiddenValuesIn(document: DocumentNode): Map<string, Set<unknown>> {
  const enums = document.definitions.flatMap((node) => (node.kind === Kind.ENUM_TYPE_DEFINITION ? [node] : []));
  return new Map(
    enums.map(({ name, values = [] }) => [
      name.value,
      new Set(values.filter(isHidden).map((value) => value.name.value)),
    ]),
  );
}

/** Returns the names of a supergraph's subgraphs, by the values of `join__Graph`. */
export function graphNames(document: DocumentNode): Map<string, string> {
  const graphs = document.definitions.find(
    (node) => node.kind === Kind.ENUM_TYPE_DEFINITION && node.name.value === 'join__Graph',
  );
  if (graphs?.kind !== Kind.ENUM_TYPE_DEFINITION) return new Map();
  return new Map(
    (graphs.values ?? []).map((value) => {
      const name = value.directives?.map((directive) => argument(directive, 'name')).find((text) => text !== undefined);
      return [value.name.value, name ?? value.name.value];
    }),
  );
}

function argument(directive: DirectiveNode, name: string): string | undefined {
  const value = directive.arguments?.find((node) => node.name.value === name)?.value;
  return value !== undefined && 'value' in value ? String(value.value) : undefined;
}

/** The document without federation's own types, directives and inaccessible parts. */
function visibleOf(document: DocumentNode): DocumentNode {
  const marked = visit(document, { enter: (node) => (isHidden(node) ? null : undefined) });
  const gone = hiddenTypes(document);
  const hidden = (name: string) => gone.has(name) || FEDERATION.test(name);
  return visit(marked, {
    Directive: (node) => (VISIBLE_DIRECTIVES.has(node.name.value) ? undefined : null),
    DirectiveDefinition: (node) => (node.locations.some(isExecutable) ? undefined : null),
    NamedType: (node, _key, parent) => (Array.isArray(parent) && hidden(node.name.value) ? null : undefined),
  });
}

function isExecutable(location: { readonly value: string }): boolean {
  return /^(?:QUERY|MUTATION|SUBSCRIPTION|FIELD|FRAGMENT_DEFINITION|FRAGMENT_SPREAD|INLINE_FRAGMENT|VARIABLE_DEFINITION)$/.test(
    location.value,
  );
}

function isHidden(node: ASTNode | DefinitionNode): boolean {
  if ('name' in node && node.name !== undefined && isDefinition(node) && FEDERATION.test(node.name.value)) return true;
  if (!('directives' in node) || node.directives === undefined) return false;
  return node.directives.some((directive) => directive.name.value === 'inaccessible');
}

function isDefinition(node: ASTNode): boolean {
  return node.kind.endsWith('TypeDefinition') || node.kind === Kind.DIRECTIVE_DEFINITION;
}

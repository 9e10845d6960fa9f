import { Kind, parse, type ConstDirectiveNode, type FieldDefinitionNode } from 'graphql';

/** What the supergraph says of a field about a person. */
export type DataClass = {
  /** The subgraph that owns the field, in small letters. */
  readonly subgraph: string;
  readonly type: string;
  readonly field: string;
  readonly category: string;
  readonly purpose: string;
  readonly retention: string;
};

/** Returns the classes of all personal fields of a supergraph, in the order of subgraph, type and field. */
export function dataClasses(supergraphSdl: string): DataClass[] {
  const classes = parse(supergraphSdl).definitions.flatMap((node) => {
    if (node.kind !== Kind.OBJECT_TYPE_DEFINITION) return [];
    const owners = graphsOf(node.directives ?? [], 'join__type');
    return (node.fields ?? []).flatMap((field) => classesOf(field, { type: node.name.value, owners }));
  });
  return classes.toSorted((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1));
}

function classesOf(
  field: FieldDefinitionNode,
  { type, owners }: { type: string; owners: readonly string[] },
): DataClass[] {
  const directives = field.directives ?? [];
  const personal = directives.find(({ name }) => name.value === 'personalData');
  if (personal === undefined) return [];
  const graphs = graphsOf(directives, 'join__field');
  return (graphs.length > 0 ? graphs : owners).map((subgraph) => ({
    subgraph,
    type,
    field: field.name.value,
    category: textOf(personal, 'category'),
    purpose: textOf(personal, 'purpose'),
    retention: textOf(personal, 'retention'),
  }));
}

function graphsOf(directives: readonly ConstDirectiveNode[], name: string): string[] {
  const graphs = directives
    .filter((directive) => directive.name.value === name)
    .map((directive) => textOf(directive, 'graph').toLowerCase());
  return [...new Set(graphs)].filter((graph) => graph !== '');
}

function textOf(directive: ConstDirectiveNode, argument: string): string {
  const value = directive.arguments?.find(({ name }) => name.value === argument)?.value;
  return value?.kind === Kind.STRING || value?.kind === Kind.ENUM ? value.value : '';
}

function keyOf({ subgraph, type, field }: DataClass): string {
  return `${subgraph} ${type} ${field}`;
}

import {
  isAbstractType,
  Kind,
  print,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { SupergraphTypes } from './supergraph-schema.ts';

/**
 * Returns the text of an operation and the fragments that it reaches, as the planner reads it. Where an object may be
 * of an inaccessible type its type is asked for besides, which the planner does only where the operation uses it: such
 * an object has to be known to be left out.
 */
export function plannedText(
  operation: OperationDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  types: SupergraphTypes,
): string {
  const reached = new Set<FragmentDefinitionNode>();
  reach(operation, fragments, reached);
  const info = new TypeInfo(types.apiSchema);
  const document: DocumentNode = { kind: Kind.DOCUMENT, definitions: [operation, ...reached] };
  const typed = visit(
    document,
    visitWithTypeInfo(info, {
      SelectionSet: {
        leave: (set) => {
          const type = info.getParentType();
          // The planner leaves out an object as a whole whose fields may all be left out.
          if (set.selections.every(isConditional)) return withTypename(set);
          if (!isAbstractType(type)) return undefined;
          return types.hasHiddenMember(type.name) ? withTypename(set) : withPlainTypenames(set);
        },
      },
    }),
  );
  return print(typed);
}

const TYPENAME: FieldNode = { kind: Kind.FIELD, name: { kind: Kind.NAME, value: '__typename' } };

function withTypename(set: SelectionSetNode): SelectionSetNode | undefined {
  const asked = set.selections.some(
    (node) => isTypename(node) && node.alias === undefined && (node.directives ?? []).length === 0,
  );
  return asked ? undefined : { ...set, selections: [TYPENAME, ...set.selections] };
}

/** A type that is asked for under an alias is asked for under its own name too, where it is looked for. */
function withPlainTypenames(set: SelectionSetNode): SelectionSetNode | undefined {
  const aliased = set.selections.filter(isTypename).filter(({ alias }) => alias !== undefined);
  const plain = aliased.map((node): FieldNode => ({
    kind: node.kind,
    name: node.name,
    directives: node.directives ?? [],
  }));
  return plain.length === 0 ? undefined : { ...set, selections: [...plain, ...set.selections] };
}

function isConditional({ directives = [] }: SelectionNode): boolean {
  return directives.some(({ name }) => name.value === 'skip' || name.value === 'include');
}

function isTypename(node: SelectionNode): node is FieldNode {
  return node.kind === Kind.FIELD && node.name.value === '__typename';
}

function reach(
  node: OperationDefinitionNode | FragmentDefinitionNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  reached: Set<FragmentDefinitionNode>,
): void {
  visit(node, {
    FragmentSpread: ({ name }) => {
      const fragment = fragments.get(name.value);
      if (fragment === undefined || reached.has(fragment)) return;
      reached.add(fragment);
      reach(fragment, fragments, reached);
    },
  });
}

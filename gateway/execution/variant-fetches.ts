import {
  Kind,
  parse,
  print,
  visit,
  type DocumentNode,
  type FragmentDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import type { BatchFetchNode, EntityAlias, FetchNode, RequiresSelection } from './plan.ts';

/** What is known of fields that are required with arguments. */
export interface VariantNames {
  /** The field that a name stands for; undefined for any other name. */
  readonly fieldOf: (name: string) => string | undefined;
  /** The names that a field of a type requires in a subgraph. */
  readonly requiredBy: (subgraph: string, type: string, field: string) => ReadonlySet<string>;
}

/**
 * Returns the calls that one call for entities has to become so that no representation holds one field twice: one for
 * each set of variants that its fields require; the same call where they agree.
 */
export function splitByVariant<Call extends FetchNode | BatchFetchNode>(
  call: Call,
  names: VariantNames,
): readonly Call[] {
  const mixed = mixedIn(requiresOf(call), names);
  if (mixed.size === 0) return [call];
  const document = parse(call.operation, { noLocation: true });
  const groupOf: GroupOf = (type, field) =>
    [...names.requiredBy(call.serviceName, type, field)]
      .filter((name) => mixed.has(name))
      .sort()
      .join(' ');
  const groups = [...groupsIn(document, groupOf)].filter((group) => group !== '').sort();
  return groups.map((group, index) => {
    // What requires none of them goes with the first.
    const kept = reduced(document, (type, field) => {
      const its = groupOf(type, field);
      return its === group || (its === '' && index === 0);
    });
    const others = new Set([...mixed].filter((name) => !group.split(' ').includes(name)));
    return partOf(call, kept, (requires) => withoutFields(requires, others));
  });
}

type GroupOf = (type: string, field: string) => string;

function requiresOf(call: FetchNode | BatchFetchNode): readonly (readonly RequiresSelection[])[] {
  return call.kind === 'Fetch' ? [call.requires ?? []] : call.entityBatch.aliases.map(({ requires }) => requires);
}

/** The names of which two stand for one field in one selection. */
function mixedIn(all: readonly (readonly RequiresSelection[])[], names: VariantNames): ReadonlySet<string> {
  const mixed = new Set<string>();
  const look = (selections: readonly RequiresSelection[]) => {
    const fields = fieldsIn(selections);
    const found = fields.map(({ name }) => name);
    for (const name of found) {
      const field = names.fieldOf(name);
      if (field !== undefined && found.some((other) => other !== name && names.fieldOf(other) === field))
        mixed.add(name);
    }
    for (const { selections: below = [] } of fields) look(below);
  };
  for (const selections of all) look(selections);
  return mixed;
}

/** The fields of a selection, those of its fragments too: several may be for one type. */
function fieldsIn(selections: readonly RequiresSelection[]): readonly Extract<RequiresSelection, { kind: 'Field' }>[] {
  return selections.flatMap((node) => {
    if (node.kind === 'Field') return [node];
    return node.kind === 'InlineFragment' ? fieldsIn(node.selections) : [];
  });
}

function withoutFields(
  selections: readonly RequiresSelection[],
  names: ReadonlySet<string>,
): readonly RequiresSelection[] {
  return selections.flatMap((node): RequiresSelection[] => {
    if (node.kind === 'Field') return names.has(node.name) ? [] : [node];
    if (node.kind === 'FragmentSpread') return [node];
    return [{ ...node, selections: withoutFields(node.selections, names) }];
  });
}

function partOf<Call extends FetchNode | BatchFetchNode>(
  call: Call,
  { document, roots, variables }: Reduced,
  requires: (all: readonly RequiresSelection[]) => readonly RequiresSelection[],
): Call {
  const common = {
    ...call,
    operation: print(document),
    variableUsages: (call.variableUsages ?? []).filter((name) => variables.has(name)),
  };
  if (common.kind === 'Fetch') return { ...common, requires: requires(common.requires ?? []) };
  const aliases = common.entityBatch.aliases.filter(({ alias }) => roots.has(alias));
  return {
    ...common,
    entityBatch: {
      aliases: aliases.map((entry): EntityAlias => Object.assign({}, entry, { requires: requires(entry.requires) })),
    },
  };
}

/** A part of an operation, the keys of the root fields and the names of the variables that are left in it. */
interface Reduced {
  readonly document: DocumentNode;
  readonly roots: ReadonlySet<string>;
  readonly variables: ReadonlySet<string>;
}

/** Keeps some fields of entities; fragments are written out, and what has nothing left in it is left out. */
function reduced(document: DocumentNode, keeps: (type: string, field: string) => boolean): Reduced {
  const roots = new Set<string>();
  const variables = new Set<string>();
  const fragments = fragmentsOf(document);
  const whole = visit(document, {
    OperationDefinition: (operation) => {
      const selections = operation.selectionSet.selections.flatMap((root): SelectionNode[] => {
        if (root.kind !== Kind.FIELD || root.selectionSet === undefined) return [];
        const kept = keptOf(root.selectionSet, '', { fragments, keeps });
        if (kept === null) return [];
        roots.add((root.alias ?? root.name).value);
        return [{ ...root, selectionSet: kept }];
      });
      return { ...operation, selectionSet: { ...operation.selectionSet, selections } };
    },
  });
  const [operation] = whole.definitions;
  if (operation?.kind !== Kind.OPERATION_DEFINITION) throw new Error('a plan writes the operation first');
  for (const node of whole.definitions)
    visit('selectionSet' in node ? node.selectionSet : node, {
      Variable: ({ name }) => void variables.add(name.value),
    });
  const variableDefinitions = operation.variableDefinitions?.filter(({ variable }) =>
    variables.has(variable.name.value),
  );
  const definitions = [
    { ...operation, variableDefinitions: variableDefinitions ?? [] },
    ...used(whole, operation.selectionSet),
  ];
  return { document: { ...whole, definitions }, roots, variables };
}

/** Fragments that are still spread below the fields of entities. */
function used(document: DocumentNode, set: SelectionSetNode): FragmentDefinitionNode[] {
  const fragments = fragmentsOf(document);
  const reached = new Set<FragmentDefinitionNode>();
  const reach = (from: SelectionSetNode) =>
    void visit(from, {
      FragmentSpread: ({ name }) => {
        const fragment = fragments.get(name.value);
        if (fragment === undefined || reached.has(fragment)) return;
        reached.add(fragment);
        reach(fragment.selectionSet);
      },
    });
  reach(set);
  return [...reached];
}

interface Keeping {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly keeps: (type: string, field: string) => boolean;
}

/** Null where nothing but types is left. */
function keptOf(set: SelectionSetNode, type: string, by: Keeping): SelectionSetNode | null {
  const selections = set.selections.flatMap((node): SelectionNode[] => {
    if (node.kind === Kind.FIELD) return by.keeps(type, node.name.value) ? [node] : [];
    const from = node.kind === Kind.INLINE_FRAGMENT ? node : by.fragments.get(node.name.value);
    if (from === undefined) return [];
    const selectionSet = keptOf(from.selectionSet, from.typeCondition?.name.value ?? type, by);
    if (selectionSet === null) return [];
    const { directives = [] } = node;
    const { typeCondition } = from;
    return [
      {
        kind: Kind.INLINE_FRAGMENT,
        ...(typeCondition === undefined ? {} : { typeCondition }),
        directives,
        selectionSet,
      },
    ];
  });
  return selections.every(isTypename) ? null : { ...set, selections };
}

function isTypename(node: SelectionNode): boolean {
  return node.kind === Kind.FIELD && node.name.value === '__typename';
}

function groupsIn(document: DocumentNode, groupOf: GroupOf): ReadonlySet<string> {
  const groups = new Set<string>();
  reduced(document, (type, field) => {
    groups.add(groupOf(type, field));
    return true;
  });
  return groups;
}

function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  return new Map(
    document.definitions.flatMap((node) => (node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : [])),
  );
}

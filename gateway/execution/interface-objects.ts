import { Kind, parse, visit } from 'graphql';
import type { PlanNode, QueryPlan, RequiresSelection } from './plan.ts';
import { graphNames } from './supergraph-schema.ts';

/** Types of interfaces that a subgraph has as `@interfaceObject`, by subgraph and interface. */
export type InterfaceObjects = ReadonlyMap<string, ReadonlySet<string>>;

/** Returns the interfaces that a subgraph of a supergraph knows as objects. */
export function readInterfaceObjects(supergraphSdl: string): InterfaceObjects {
  const found = new Map<string, Set<string>>();
  if (!supergraphSdl.includes('isInterfaceObject')) return found;
  const document = parse(supergraphSdl, { noLocation: true });
  const graphs = graphNames(document);
  for (const node of document.definitions) {
    if (node.kind !== Kind.INTERFACE_TYPE_DEFINITION) continue;
    const types = document.definitions.flatMap((type) =>
      type.kind === Kind.OBJECT_TYPE_DEFINITION && type.interfaces?.some(({ name }) => name.value === node.name.value)
        ? [type.name.value]
        : [],
    );
    for (const { arguments: given = [] } of node.directives ?? []) {
      const value = (name: string) => given.find((each) => each.name.value === name)?.value;
      const [graph, flag] = [value('graph'), value('isInterfaceObject')];
      if (graph?.kind !== Kind.ENUM || flag?.kind !== Kind.BOOLEAN || !flag.value) continue;
      found.set(placeOf(graphs.get(graph.value) ?? graph.value, node.name.value), new Set(types));
    }
  }
  return found;
}

/**
 * Returns the plan with calls that ask for all the types that the operation names. Where it asks an interface object for
 * fields of several types, the native planner makes one call of it and sends the entities of the last type alone.
 */
export function withNamedTypes(
  plan: QueryPlan,
  { text, objects }: { readonly text: string; readonly objects: InterfaceObjects },
): QueryPlan {
  if (objects.size === 0 || plan.node == null) return plan;
  const named = new Set<string>();
  visit(parse(text, { noLocation: true }), { NamedType: ({ name }) => void named.add(name.value) });
  return { ...plan, node: widened(plan.node, { named, objects }) };
}

interface Widening {
  readonly named: ReadonlySet<string>;
  readonly objects: InterfaceObjects;
}

function placeOf(subgraph: string, type: string): string {
  return `${subgraph} ${type}`;
}

function widened(node: PlanNode, by: Widening): PlanNode {
  switch (node.kind) {
    case 'Fetch':
      return node.requires === undefined ? node : { ...node, requires: widenedRequires(node.requires, node, by) };
    case 'BatchFetch': {
      const aliases = node.entityBatch.aliases.map((entry) => ({
        ...entry,
        requires: widenedRequires(entry.requires, node, by),
      }));
      return { ...node, entityBatch: { aliases } };
    }
    case 'Flatten':
      return { ...node, node: widened(node.node, by) };
    case 'Condition':
      return {
        ...node,
        ...(node.ifClause == null ? {} : { ifClause: widened(node.ifClause, by) }),
        ...(node.elseClause == null ? {} : { elseClause: widened(node.elseClause, by) }),
      };
    default:
      return { ...node, nodes: node.nodes.map((child) => widened(child, by)) };
  }
}

/** What more is answered than was asked for is not in what the client reads. */
function widenedRequires(
  requires: readonly RequiresSelection[],
  { serviceName, operation }: { readonly serviceName: string; readonly operation: string },
  { named, objects }: Widening,
): readonly RequiresSelection[] {
  const present = new Set(requires.map((node) => (node.kind === 'InlineFragment' ? node.typeCondition : undefined)));
  const added: RequiresSelection[] = [];
  for (const node of requires) {
    if (node.kind !== 'InlineFragment' || node.typeCondition === undefined) continue;
    for (const [place, types] of objects) {
      const asked =
        place.startsWith(`${serviceName} `) && new RegExp(`\\bon ${place.split(' ')[1]}\\b`).test(operation);
      if (!asked || !types.has(node.typeCondition)) continue;
      for (const typeCondition of types) {
        if (!named.has(typeCondition) || present.has(typeCondition)) continue;
        present.add(typeCondition);
        added.push({ ...node, typeCondition });
      }
    }
  }
  return added.length === 0 ? requires : [...requires, ...added];
}

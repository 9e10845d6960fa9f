import { Kind } from 'graphql';
import type { FieldNode, FragmentDefinitionNode, SelectionSetNode } from 'graphql';

/**
 * Returns how many pairs of fields share a response key at one place of a response, all operations together. Validation
 * compares the fields of each pair and whatever they select, so that its time follows this number.
 *
 * Fragments are merged in as the executor does, whatever their type. The time is linear in the fields of the operations,
 * those of a fragment at every spread: the caller bounds these first, and refuses fragments that spread themselves.
 */
export function overlapsOf(
  roots: readonly SelectionSetNode[],
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
): number {
  return roots.reduce((total, root) => total + pairsIn(fragments, [root]), 0);
}

function pairsIn(fragments: ReadonlyMap<string, FragmentDefinitionNode>, sets: readonly SelectionSetNode[]): number {
  let pairs = 0;
  for (const nodes of fieldsByKey(fragments, sets).values()) {
    pairs += (nodes.length * (nodes.length - 1)) / 2;
    const inner = nodes.map((node) => node.selectionSet).filter((set) => set !== undefined);
    if (inner.length > 0) pairs += pairsIn(fragments, inner);
  }
  return pairs;
}

function fieldsByKey(
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  sets: readonly SelectionSetNode[],
): ReadonlyMap<string, readonly FieldNode[]> {
  const fields = new Map<string, FieldNode[]>();
  const visited = new Set<string>();
  const pending = [...sets];
  for (const set of pending) {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) {
        const key = selection.alias?.value ?? selection.name.value;
        const nodes = fields.get(key);
        if (nodes === undefined) fields.set(key, [selection]);
        else nodes.push(selection);
      } else if (selection.kind === Kind.INLINE_FRAGMENT) pending.push(selection.selectionSet);
      else if (!visited.has(selection.name.value)) {
        visited.add(selection.name.value);
        const fragment = fragments.get(selection.name.value);
        if (fragment !== undefined) pending.push(fragment.selectionSet);
      }
    }
  }
  return fields;
}

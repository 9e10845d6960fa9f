import { Kind, parse, type DocumentNode, type SelectionSetNode } from 'graphql';
import type { FetchedOperation } from './plan.ts';
import type { SubgraphOperationText } from './subgraph-link.ts';

/** The keys that a subgraph may answer with at one place: objects by their own keys, everything else null. */
export type AnswerShape = Map<string, AnswerShape | null>;

/** Returns the text of a call in the forms that links need. */
export function newOperationText(fetch: FetchedOperation): SubgraphOperationText {
  let document: DocumentNode | undefined;
  return {
    text: fetch.operation,
    textJson: JSON.stringify(fetch.operation),
    name: fetch.operationName,
    kind: fetch.operationKind === 'mutation' ? 'mutation' : 'query',
    document: () => (document ??= parse(fetch.operation, { noLocation: true })),
  };
}

/** Returns the shape of the answer to a call, all type conditions laid over one another. */
export function answerShape(document: DocumentNode): AnswerShape {
  const fragments = new Map<string, SelectionSetNode>();
  for (const node of document.definitions) {
    if (node.kind === Kind.FRAGMENT_DEFINITION) fragments.set(node.name.value, node.selectionSet);
  }
  const shape: AnswerShape = new Map();
  for (const node of document.definitions) {
    if (node.kind === Kind.OPERATION_DEFINITION) addKeys(shape, node.selectionSet, fragments);
  }
  return shape;
}

function addKeys(shape: AnswerShape, set: SelectionSetNode, fragments: ReadonlyMap<string, SelectionSetNode>): void {
  for (const node of set.selections) {
    if (node.kind === Kind.FIELD) {
      const key = node.alias?.value ?? node.name.value;
      if (node.selectionSet === undefined) {
        if (!shape.has(key)) shape.set(key, null);
      } else {
        const inner = shape.get(key) ?? new Map();
        shape.set(key, inner);
        addKeys(inner, node.selectionSet, fragments);
      }
    } else {
      const inner = node.kind === Kind.INLINE_FRAGMENT ? node.selectionSet : fragments.get(node.name.value);
      if (inner !== undefined) addKeys(shape, inner, fragments);
    }
  }
}

import {
  execute,
  Kind,
  type DocumentNode,
  type ExecutionResult,
  type FragmentDefinitionNode,
  type FragmentSpreadNode,
  type GraphQLSchema,
  type InlineFragmentNode,
  type NamedTypeNode,
  type OperationDefinitionNode,
  type SelectionNode,
  type SelectionSetNode,
} from 'graphql';
import { fail } from '#schema/errors.ts';
import type { Variables } from './run-state.ts';

/** An operation's questions about the schema, and what is left for the subgraphs. */
export interface SplitOperation {
  /** `__schema` and `__type` alone; null where the operation asks for neither. */
  readonly schemaPart: OperationDefinitionNode | null;
  /** The fields that subgraphs answer; null where none is left. */
  readonly dataPart: OperationDefinitionNode | null;
}

type Fragments = ReadonlyMap<string, FragmentDefinitionNode>;

/** Returns an operation in two parts; fragments that the cut goes through are written out in place. */
export function splitOperation(operation: OperationDefinitionNode, fragments: Fragments): SplitOperation {
  const set = operation.selectionSet;
  if (!asksSchema(set, fragments, new Set())) return { schemaPart: null, dataPart: operation };
  const schemaPart = cut(set, { fragments, keep: isSchemaField, spreads: 0 });
  const dataPart = cut(set, { fragments, keep: isDataField, spreads: 0 });
  return {
    schemaPart: schemaPart === null ? null : { ...operation, selectionSet: schemaPart },
    dataPart: dataPart === null ? null : { ...operation, selectionSet: dataPart },
  };
}

/** Returns what answers an operation's questions about the schema; the errors are of a document already validated. */
export function newIntrospection(
  apiSchema: GraphQLSchema,
  document: DocumentNode,
): (variables: Variables) => Readonly<Record<string, unknown>> {
  const answers = new Map<string, Readonly<Record<string, unknown>>>();
  return (variables) => {
    const key = JSON.stringify(variables);
    const known = answers.get(key);
    if (known !== undefined) return known;
    const result = execute({ schema: apiSchema, document, variableValues: variables }) as ExecutionResult;
    const answer = result.data ?? {};
    if (answers.size >= MOST_ANSWERS) answers.clear();
    if (key.length <= LONGEST_KEY) answers.set(key, answer);
    return answer;
  };
}

/** Answers kept for one operation: with other variables it asks for another type. */
const MOST_ANSWERS = 16;
const LONGEST_KEY = 1000;

function isSchemaField(name: string): boolean {
  return name === '__schema' || name === '__type';
}

/** The root's own name is known without asking anybody. */
function isDataField(name: string): boolean {
  return !isSchemaField(name) && name !== '__typename';
}

/** True where a root field is one that no subgraph has to answer. */
function asksSchema(set: SelectionSetNode, fragments: Fragments, seen: Set<string>): boolean {
  return set.selections.some((node) => {
    if (node.kind === Kind.FIELD) return !isDataField(node.name.value);
    if (node.kind === Kind.INLINE_FRAGMENT) return asksSchema(node.selectionSet, fragments, seen);
    if (seen.has(node.name.value)) return false;
    seen.add(node.name.value);
    const fragment = fragments.get(node.name.value);
    return fragment !== undefined && asksSchema(fragment.selectionSet, fragments, seen);
  });
}

interface Cut {
  readonly fragments: Fragments;
  readonly keep: (name: string) => boolean;
  /** Fragments written out so far: each may double what the one before it doubled. */
  spreads: number;
}

const MOST_SPREADS = 200;

function cut(set: SelectionSetNode, how: Cut): SelectionSetNode | null {
  const selections = set.selections.flatMap((node): SelectionNode[] => {
    if (node.kind === Kind.FIELD) return how.keep(node.name.value) ? [node] : [];
    if (node.kind === Kind.FRAGMENT_SPREAD) how.spreads += 1;
    if (how.spreads > MOST_SPREADS) {
      fail('GRAPHQL_VALIDATION_FAILED', 'fragments on the root multiply', {
        hint: `At most ${MOST_SPREADS} fragments may be spread at the root beside fields of the schema.`,
      });
    }
    const fragment = node.kind === Kind.FRAGMENT_SPREAD ? how.fragments.get(node.name.value) : node;
    const inner = fragment === undefined ? null : cut(fragment.selectionSet, how);
    return inner === null || fragment === undefined ? [] : [inlined(node, fragment.typeCondition, inner)];
  });
  return selections.length === 0 ? null : { kind: Kind.SELECTION_SET, selections };
}

function inlined(
  node: FragmentSpreadNode | InlineFragmentNode,
  typeCondition: NamedTypeNode | undefined,
  selectionSet: SelectionSetNode,
): InlineFragmentNode {
  return {
    kind: Kind.INLINE_FRAGMENT,
    ...(typeCondition === undefined ? {} : { typeCondition }),
    ...(node.directives === undefined ? {} : { directives: node.directives }),
    selectionSet,
  };
}

import {
  getOperationAST,
  Kind,
  OperationTypeNode,
  type DocumentNode,
  type GraphQLSchema,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
} from 'graphql';
import { compileCost, type CostProgram } from '#schema/cost/cost-program.ts';
import { fragmentsOf } from '#schema/cost/query-cost.ts';
import { fail } from '#schema/errors.ts';
import type { LimitName } from '#schema/limits.ts';
import { usesIntrospection } from '#schema/operation-limits.ts';
import type { CostSchema } from '#schema/cost/cost-schema.ts';
import type { Execution, Program } from './execution/execution.ts';
import { auditedFieldsOf, type AuditedFields } from './mutation-count.ts';
import { compilePermissions } from './permissions-compile.ts';
import type { OperationPermissions, SupergraphPermissions } from './permissions.ts';

/** An operation that is ready to run: everything about it that does not depend on who asks and with which variables. */
export interface PreparedOperation {
  readonly name: string | null;
  readonly kind: 'query' | 'mutation';
  /** What it asks of the root, whatever it calls itself; at most 50 of them. */
  readonly rootFields: readonly string[];
  readonly program: Program;
  readonly cost: CostProgram;
  readonly permissions: OperationPermissions;
  readonly usesIntrospection: boolean;
  /** Mutations of it that the audit log must hold an event of. */
  readonly audited: AuditedFields;
  /** Limits that it is beyond and that are measured only; null until it was measured. */
  exceeded: readonly LimitName[] | null;
}

/** What operations are prepared with: one supergraph, as the gateway sees it. */
export interface PreparedOn {
  readonly apiSchema: GraphQLSchema;
  readonly costs: CostSchema;
  readonly permissions: SupergraphPermissions;
  /** What mutations are audited as, by the name of the field. */
  readonly actions: ReadonlyMap<string, string>;
  readonly execution: Execution;
}

/** Plans and compiles one operation of a validated document; planning leaves the event loop free. */
export async function prepareOperation(
  on: PreparedOn,
  document: DocumentNode,
  operation: OperationDefinitionNode,
): Promise<PreparedOperation> {
  const name = operation.name?.value ?? null;
  const fragments = fragmentsOf(document);
  return {
    name,
    kind: operation.operation === OperationTypeNode.MUTATION ? 'mutation' : 'query',
    rootFields: rootFieldsOf(operation.selectionSet, fragments),
    program: await on.execution.compile({ document, operationName: name }),
    cost: compileCost({ operation, fragments, schema: on.apiSchema, costs: on.costs }),
    permissions: compilePermissions({ operation, fragments, schema: on.apiSchema, permissions: on.permissions }),
    usesIntrospection: usesIntrospection(document),
    audited: auditedFieldsOf(operation, fragments, on.actions),
    exceeded: null,
  };
}

/** Returns the operation of a document that a name chooses; BAD_REQUEST where it chooses none. */
export function operationIn(document: DocumentNode, operationName: string | null): OperationDefinitionNode {
  const found = getOperationAST(document, operationName);
  return found ?? fail('BAD_REQUEST', 'no such operation', { hint: 'Name one of the operations in the document.' });
}

const MOST_ROOT_FIELDS = 50;

/** A valid document has no fragment that leads to itself. */
function rootFieldsOf(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
): readonly string[] {
  const names = selections.flatMap((selection) => {
    if (selection.kind === Kind.FIELD) return [selection.name.value];
    const inner =
      selection.kind === Kind.INLINE_FRAGMENT
        ? selection.selectionSet
        : fragments.get(selection.name.value)?.selectionSet;
    return inner === undefined ? [] : rootFieldsOf(inner, fragments);
  });
  return [...new Set(names)].slice(0, MOST_ROOT_FIELDS);
}

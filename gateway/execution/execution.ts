import {
  getOperationAST,
  OperationTypeNode,
  visit,
  type DocumentNode,
  type GraphQLSchema,
  type OperationDefinitionNode,
} from 'graphql';
import { fragmentsOf } from '#schema/cost/query-cost.ts';
import { fail } from '#schema/errors.ts';
import { splitOperation } from './introspection.ts';
import { plannedText } from './planned-text.ts';
import { newPlanner, type Planner } from './planner.ts';
import { compileProgram, type Program } from './program.ts';
import { readSupergraph } from './supergraph-schema.ts';

export type { Program, ProgramResult } from './program.ts';

/** Compiles operations over one supergraph. */
export interface Execution {
  /** The schema that clients see; documents are parsed and validated against it before they come here. */
  readonly apiSchema: GraphQLSchema;
  /**
   * Resolves to the program of one operation of a valid document. Fails with BAD_REQUEST where the name fits no single
   * operation, and with GRAPHQL_VALIDATION_FAILED for what validation lets through but no answer can hold.
   */
  compile(source: {
    readonly document: DocumentNode;
    readonly operationName?: string | null | undefined;
  }): Promise<Program>;
}

/** Resolves to the execution over a supergraph; a planner may be given, otherwise the native one is taken. */
export async function newExecution(supergraphSdl: string, planner?: Planner): Promise<Execution> {
  const types = readSupergraph(supergraphSdl);
  const plans = planner ?? (await newPlanner(supergraphSdl));
  return {
    apiSchema: types.apiSchema,
    compile: async ({ document, operationName }) => {
      const operation = operationOf(document, operationName);
      refuseReservedKeys(document);
      const fragments = fragmentsOf(document);
      const { schemaPart, dataPart } = splitOperation(operation, fragments);
      const plan =
        dataPart === null
          ? null
          : await plans.plan(plannedText(dataPart, fragments, types), dataPart.name?.value ?? null);
      return compileProgram({ types, document, operation, plan, schemaPart });
    },
  };
}

function operationOf(document: DocumentNode, operationName: string | null | undefined): OperationDefinitionNode {
  const operation = getOperationAST(document, operationName);
  if (operation === null || operation === undefined) {
    return fail('BAD_REQUEST', 'no operation of that name', {
      hint: 'The document needs the operation that operationName names, or a single one.',
    });
  }
  if (operation.operation === OperationTypeNode.SUBSCRIPTION) {
    return fail('BAD_REQUEST', 'a subscription', { hint: 'Subscriptions are not served here.' });
  }
  return operation;
}

/** Every object reads this one key as its prototype; no data may come to stand there. */
function refuseReservedKeys(document: DocumentNode): void {
  visit(document, {
    Field: ({ alias, name }) => {
      if ((alias ?? name).value !== '__proto__') return;
      fail('GRAPHQL_VALIDATION_FAILED', 'an alias named __proto__', { hint: 'The name __proto__ is reserved.' });
    },
  });
}

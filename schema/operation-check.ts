import { parse, validate } from 'graphql';
import type { DocumentNode, GraphQLSchema } from 'graphql';

/** An operation that somebody relies on. */
export interface RelyingOperation {
  readonly client: string;
  readonly id: string;
  readonly name: string | null;
  /** The document's source. */
  readonly body: string;
}

/** An operation that a schema would break. */
export interface BrokenOperation {
  readonly client: string;
  readonly id: string;
  readonly name: string | null;
  /** The first fault that validation finds. */
  readonly reason: string;
}

/**
 * Returns those of the operations that do not fit an API schema, in their order: what a supergraph would break for the
 * clients that registered them. Empty where all of them go on working.
 */
export function checkOperations(
  apiSchema: GraphQLSchema,
  operations: readonly RelyingOperation[],
): readonly BrokenOperation[] {
  return operations.flatMap(({ client, id, name, body }) => {
    const reason = schemaFault(apiSchema, body);
    return reason === null ? [] : [{ client, id, name, reason }];
  });
}

/** Returns why a document does not fit an API schema (the first fault), or null where it does; hostile input. */
export function schemaFault(apiSchema: GraphQLSchema, document: DocumentNode | string): string | null {
  try {
    const parsed = typeof document === 'string' ? parse(document, { maxTokens: 10_000 }) : document;
    return validate(apiSchema, parsed, undefined, { maxErrors: 1 })[0]?.message ?? null;
  } catch (thrown) {
    // Nesting without end exhausts the stack.
    return thrown instanceof Error ? thrown.message : 'cannot be parsed';
  }
}

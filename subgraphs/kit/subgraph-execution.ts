import { execute, GraphQLError, type DocumentNode, type GraphQLFormattedError } from 'graphql';
import { ArgumentValidationError } from 'type-graphql';
import { asTenonError, TenonError } from '#schema/errors.ts';
import { logError } from './log.ts';
import type { Subgraph } from './define-subgraph.ts';
import type { RequestContext } from './request-context.ts';

/** An operation for one subgraph, as a gateway sends it. */
export interface SubgraphOperation {
  readonly document: DocumentNode;
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  readonly operationName?: string | undefined;
}

/** What a subgraph answers; the same bytes in this process and over HTTP. */
export interface SubgraphResult {
  readonly data?: Record<string, unknown> | null;
  readonly errors?: readonly GraphQLFormattedError[];
}

/** Runs an operation on a subgraph under a request's context; errors come out with public text and code alone. */
export async function executeSubgraph(
  subgraph: Subgraph,
  operation: SubgraphOperation,
  ctx: RequestContext,
): Promise<SubgraphResult> {
  const result = await execute({
    schema: subgraph.schema,
    document: operation.document,
    variableValues: operation.variables ?? {},
    operationName: operation.operationName ?? null,
    contextValue: ctx,
  });
  if (result.errors === undefined) return { data: result.data ?? null };
  return { data: result.data ?? null, errors: result.errors.map((error) => publicError(error, ctx)) };
}

function publicError(error: GraphQLError, { tenant: { requestId }, signal }: RequestContext): GraphQLFormattedError {
  const known = tenonErrorOf(error);
  // That what nobody waits for was cancelled is no news.
  const isCancelled = known.code === 'GATEWAY_TIMEOUT' && signal?.aborted === true;
  if (known.status >= 500 && !isCancelled) logError(known, requestId);
  return {
    message: known.publicMessage,
    ...(error.path === undefined ? {} : { path: error.path }),
    extensions: { code: known.code, requestId, ...retryExtension(known) },
  };
}

/** Says when to try again, in seconds, where that is known. */
function retryExtension({ retryAfterSeconds }: TenonError): object {
  return retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
}

/** Returns the error of the table behind a GraphQL error; a bad argument keeps its field's name, all else its secret. */
export function tenonErrorOf(error: GraphQLError): TenonError {
  const original = error.originalError;
  if (original instanceof ArgumentValidationError) {
    const hints = original.extensions.validationErrors.flatMap((fault) => Object.values(fault.constraints ?? {}));
    return new TenonError('BAD_USER_INPUT', 'an argument was refused', { hint: `${hints.join('; ')}.` });
  }
  if (original instanceof Error && !(original instanceof GraphQLError)) return asTenonError(original);
  // graphql-js itself speaks here: of a variable or literal that does not fit the schema.
  return new TenonError('BAD_USER_INPUT', error.message, { hint: error.message.slice(0, 300) });
}

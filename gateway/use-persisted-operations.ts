import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import type { GraphqlRequest } from './graphql-request.ts';
import { isObject } from '#schema/json-object.ts';
import { readOperationId } from '#schema/operation-id.ts';
import type { PersistedOperations } from './persisted-operations.ts';

/**
 * Second step: an id becomes the operation that is registered under it. A partner's key runs the operations of its own
 * client and nothing else (PERSISTED_QUERY_NOT_IN_LIST, PERSISTED_QUERY_ID_REQUIRED); people may send what they like.
 */
export function usePersistedOperations(
  ctx: RequestContext,
  body: unknown,
  operations: PersistedOperations,
): GraphqlRequest {
  const { client } = ctx.tenant;
  const id = readOperationId(body);
  const request = body as GraphqlRequest;
  if (id === null) {
    if (client !== null) fail('PERSISTED_QUERY_ID_REQUIRED', `client ${client} sent a document`);
    return checked(request);
  }
  const found = client === null ? null : operations.find(client, id.key);
  if (found !== null) return checked({ ...without(request), query: found.source });
  if (client !== null) fail('PERSISTED_QUERY_NOT_IN_LIST', `client ${client} named an operation that is not hers`);
  return fail('PERSISTED_QUERY_NOT_FOUND', 'no client, no registered operations');
}

function without({ variables, operationName }: GraphqlRequest): GraphqlRequest {
  return {
    ...(variables === undefined ? {} : { variables }),
    ...(operationName === undefined ? {} : { operationName }),
  };
}

/** The parts that a later step reads have the types it expects; the rest of the body is dropped. */
function checked({ query, variables, operationName }: GraphqlRequest): GraphqlRequest {
  if (typeof query !== 'string' || query === '')
    fail('BAD_REQUEST', 'no query', { hint: 'The body needs a "query" or a "documentId".' });
  if (variables != null && !isObject(variables))
    fail('BAD_REQUEST', 'variables no object', { hint: '"variables" must be an object.' });
  if (operationName != null && typeof operationName !== 'string') {
    fail('BAD_REQUEST', 'operationName no string', { hint: '"operationName" must be a string.' });
  }
  return { query, ...(variables == null ? {} : { variables }), ...(operationName == null ? {} : { operationName }) };
}

import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';
import { readOperationId, type OperationId } from '#schema/operation-id.ts';
import { PersistedQueryNotFound, type AutomaticQueries } from './automatic-persisted-queries.ts';
import type { RegisteredOperation, RegisteredOperations } from './registered-operations.ts';

/** A request as it was sent, before its parts are checked; hostile. */
export interface SentRequest {
  /** The JSON body of a POST, or the parameters of a GET. */
  readonly parameters: unknown;
  readonly method: string;
  /** The id of a path `/graphql/<id>`; see documentIdOfPath. */
  readonly pathId: string | null;
}

/** A request whose operation is known. */
export interface OperationRequest {
  readonly query: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string;
  /** The registered operation that an API key named; null for a text of a person. */
  readonly registered: RegisteredOperation | null;
}

/** Where ids lead to operations. */
export interface OperationDoors {
  readonly operations: Pick<RegisteredOperations, 'find' | 'used'>;
  readonly automatic: AutomaticQueries;
}

/**
 * Second step: an id becomes the operation that is registered under it. Who the client is says the credential and nothing
 * else. A client's API key runs the operations that are registered for it: any other id is PERSISTED_QUERY_NOT_IN_LIST,
 * a text PERSISTED_QUERY_ID_REQUIRED, a mutation by GET METHOD_NOT_ALLOWED.
 *
 * People send what they like; from a session the hash alone is enough where the tenant sent text and hash before, else
 * PERSISTED_QUERY_NOT_FOUND. Returns at once where the operation is remembered.
 */
export function usePersistedOperations(
  ctx: RequestContext,
  sent: SentRequest,
  doors: OperationDoors,
): OperationRequest | Promise<OperationRequest> {
  const body = bodyOf(sent);
  const id = readOperationId(body);
  const { client } = ctx.tenant;
  if (client === null) return personsRequest(ctx, { body, id }, doors.automatic);
  if (id === null) return fail('PERSISTED_QUERY_ID_REQUIRED', `client ${client} sent a document`);
  const now = ctx.clock();
  const run = (operation: RegisteredOperation | null): OperationRequest => {
    const registered = runnable(operation, { client, method: sent.method });
    doors.operations.used(ctx.tenant, id.key, now);
    return checked({ ...body, query: registered.source }, registered);
  };
  const found = doors.operations.find(ctx.tenant, id.key, now);
  return found instanceof Promise ? found.then(run) : run(found);
}

type Body = Readonly<Record<string, unknown>>;

/** The id in the path is the `documentId`; one in the body must not say something else. */
function bodyOf({ parameters, pathId }: SentRequest): Body {
  const body = isObject(parameters)
    ? parameters
    : fail('BAD_REQUEST', 'body is no object', { hint: 'The body must be a JSON object.' });
  if (pathId === null) return body;
  const named = Object.hasOwn(body, 'documentId') ? (body['documentId'] ?? pathId) : pathId;
  if (named !== pathId) fail('BAD_REQUEST', 'two ids', { hint: 'The id in the address and "documentId" differ.' });
  return { ...body, documentId: pathId };
}

function personsRequest(
  { tenant }: RequestContext,
  { body, id }: { body: Body; id: OperationId | null },
  automatic: AutomaticQueries,
): OperationRequest {
  if (id === null) return checked(body, null);
  if (id.source === 'documentId') fail('PERSISTED_QUERY_NOT_FOUND', 'no client, no registered operations');
  const isFirstParty = tenant.sessionId !== null;
  const query = typeof body['query'] === 'string' ? body['query'] : null;
  if (query !== null) {
    // The hash has been compared with the text.
    if (isFirstParty) automatic.remember(tenant.tenant, id.key, query);
    return checked(body, null);
  }
  const known = isFirstParty ? automatic.find(tenant.tenant, id.key) : null;
  if (known === null) throw new PersistedQueryNotFound();
  return checked({ ...body, query: known }, null);
}

function runnable(
  operation: RegisteredOperation | null,
  { client, method }: { client: string; method: string },
): RegisteredOperation {
  if (operation === null) {
    return fail('PERSISTED_QUERY_NOT_IN_LIST', `client ${client} named an operation that is not hers`);
  }
  if (method === 'GET' && operation.kind === 'mutation') {
    fail('METHOD_NOT_ALLOWED', 'a mutation by GET', { hint: 'A mutation takes POST.' });
  }
  return operation;
}

/** The parts that a later step reads have the types it expects; the rest of the body is dropped. */
function checked(body: Body, registered: RegisteredOperation | null): OperationRequest {
  const { query, variables, operationName } = body;
  if (typeof query !== 'string' || query === '') {
    return fail('BAD_REQUEST', 'no query', { hint: 'The body needs a "query" or a "documentId".' });
  }
  if (variables != null && !isObject(variables)) {
    return fail('BAD_REQUEST', 'variables no object', { hint: '"variables" must be an object.' });
  }
  if (operationName != null && typeof operationName !== 'string') {
    return fail('BAD_REQUEST', 'operationName no string', { hint: '"operationName" must be a string.' });
  }
  return {
    query,
    registered,
    ...(variables == null ? {} : { variables }),
    ...(operationName == null ? {} : { operationName }),
  };
}

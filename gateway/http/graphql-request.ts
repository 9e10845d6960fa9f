import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';

/** A GraphQL request as GraphQL-over-HTTP writes it, before its parts are checked. */
export interface GraphqlRequest {
  readonly query?: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string;
}

/** What an HTTP request brings of a GraphQL request. */
export interface GraphqlMessage {
  readonly method: 'GET' | 'POST';
  readonly contentType: string | undefined;
  readonly search: string;
  readonly body: string;
}

/** The parameters of one operation, or of several that came as a batch. */
export type GraphqlParameters = Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[];

const JSON_TYPES = /^(application\/json|application\/graphql\+json)\s*(;|$)/i;

/**
 * Returns the parameters of a GraphQL request: the JSON body of a POST, which may be a batch of at most `batchMax`
 * (BATCH_LIMIT_EXCEEDED), or the query string of a GET.
 */
export function readGraphqlRequest(message: GraphqlMessage, batchMax: number): GraphqlParameters {
  if (message.method === 'GET') return readParameters(new URLSearchParams(message.search));
  if (!JSON_TYPES.test(message.contentType ?? ''))
    fail('UNSUPPORTED_MEDIA_TYPE', 'not JSON', { hint: 'Send application/json.' });
  const body = parseJson(message.body, 'The body');
  if (isObject(body)) return body;
  return Array.isArray(body) ? readBatch(body, batchMax) : fail('BAD_REQUEST', 'body no object', { hint: BODY_HINT });
}

const BODY_HINT = 'The body must be a JSON object, or a list of them.';

function readBatch(body: readonly unknown[], batchMax: number): readonly Readonly<Record<string, unknown>>[] {
  if (body.length > batchMax)
    fail('BATCH_LIMIT_EXCEEDED', `${body.length} operations`, { hint: `At most ${batchMax} operations are allowed.` });
  const operations = body.filter(isObject);
  if (operations.length === 0 || operations.length !== body.length)
    fail('BAD_REQUEST', 'a batch that holds something else', { hint: BODY_HINT });
  return operations;
}

function readParameters(search: URLSearchParams): Record<string, unknown> {
  const parameters: Record<string, unknown> = {};
  for (const name of ['query', 'operationName', 'documentId'] as const) {
    const text = search.get(name);
    if (text !== null) parameters[name] = text;
  }
  for (const name of ['variables', 'extensions'] as const) {
    const text = search.get(name);
    if (text !== null) parameters[name] = parseJson(text, `"${name}"`);
  }
  return parameters;
}

function parseJson(text: string, what: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return fail('BAD_REQUEST', `${what} is not JSON`, { hint: `${what} is not JSON.` });
  }
  if (HALF_PAIR.test(text) && holdsHalfPair(value)) {
    fail('BAD_USER_INPUT', `${what} holds half of a surrogate pair`, {
      hint: `${what} holds a text that is not Unicode.`,
    });
  }
  return value;
}

/** Only an escape can bring half of a surrogate pair in: UTF-8 has no bytes for one. */
const HALF_PAIR = /\\ud[89a-f]/i;

/** A growing list instead of recursion: lists within lists without end do not exhaust the stack. */
function holdsHalfPair(value: unknown): boolean {
  const pending: unknown[] = [value];
  for (const one of pending) {
    if (typeof one === 'string' && !one.isWellFormed()) return true;
    if (Array.isArray(one)) for (const item of one) pending.push(item);
    else if (isObject(one)) for (const key in one) pending.push(key, one[key]);
  }
  return false;
}

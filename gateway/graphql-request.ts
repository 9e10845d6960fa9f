import type { FastifyRequest } from 'fastify';
import { fail } from '#schema/errors.ts';
import { isObject } from '#schema/json-object.ts';

/** A GraphQL request as GraphQL-over-HTTP writes it, before its parts are checked. */
export interface GraphqlRequest {
  readonly query?: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly operationName?: string;
}

const JSON_TYPES = /^(application\/json|application\/graphql\+json)\s*(;|$)/i;

/** Returns the parameters of a GraphQL request: the JSON body of a POST, or the query string of a GET. */
export function readGraphqlRequest(req: FastifyRequest): Record<string, unknown> {
  return req.method === 'GET' ? readParameters(req.query as Record<string, unknown>) : readBody(req);
}

function readBody(req: FastifyRequest): Record<string, unknown> {
  if (!JSON_TYPES.test(req.headers['content-type'] ?? '')) {
    fail('UNSUPPORTED_MEDIA_TYPE', 'not JSON', { hint: 'Send application/json.' });
  }
  const body = parseJson(Buffer.isBuffer(req.body) ? req.body.toString('utf8') : '', 'The body');
  return isObject(body)
    ? body
    : fail('BAD_REQUEST', 'body no object', { hint: 'The body must be a JSON object; batches are not taken.' });
}

function readParameters(query: Record<string, unknown>): Record<string, unknown> {
  const parameters: Record<string, unknown> = {};
  for (const name of ['query', 'operationName', 'documentId'] as const) {
    if (typeof query[name] === 'string') parameters[name] = query[name];
  }
  for (const name of ['variables', 'extensions'] as const) {
    if (typeof query[name] === 'string') parameters[name] = parseJson(query[name], `"${name}"`);
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

function holdsHalfPair(value: unknown): boolean {
  if (typeof value === 'string') return !value.isWellFormed();
  if (Array.isArray(value)) return value.some(holdsHalfPair);
  return isObject(value) && Object.entries(value).some(([key, inner]) => !key.isWellFormed() || holdsHalfPair(inner));
}

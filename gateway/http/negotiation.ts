import type { IncomingHttpHeaders } from 'node:http';

/** The media types of GraphQL over HTTP, section 4. */
export type MediaType = 'application/json' | 'application/graphql-response+json';

/** What clients send; `undefined` and whatever else stands here is left to Apollo Server's full negotiation. */
const USUAL: ReadonlyMap<string | undefined, MediaType> = new Map<string | undefined, MediaType>([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['application/json, */*', 'application/json'],
  ['application/json, text/plain, */*', 'application/json'],
  ['application/graphql-response+json', 'application/graphql-response+json'],
  ['application/graphql-response+json, application/json', 'application/graphql-response+json'],
  ['application/graphql-response+json,application/json;q=0.9', 'application/graphql-response+json'],
  ['application/graphql-response+json, application/json;q=0.9', 'application/graphql-response+json'],
  [
    'application/graphql-response+json; charset=utf-8, application/json; charset=utf-8',
    'application/graphql-response+json',
  ],
]);

/** Returns the media type for one of the usual Accept headers, or null for one that needs a closer look. */
export function usualMediaType(accept: string | undefined): MediaType | null {
  return USUAL.get(accept) ?? null;
}

/** Returns the media type that a refusal is written in, whatever the Accept header says. */
export function refusalMediaType(accept: string | undefined): MediaType {
  const usual = usualMediaType(accept);
  if (usual !== null) return usual;
  return accept?.includes('application/graphql-response+json') === true
    ? 'application/graphql-response+json'
    : 'application/json';
}

const SIMPLE_TYPES = /^\s*(application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\s*(;|$)/i;

/**
 * True where a browser cannot have sent the request to another site unasked: its content type is no simple one, or it
 * carries a header of its own (the rule of Apollo Server's CSRF prevention; Fetch standard, CORS-safelisted headers).
 */
export function isPreflighted(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'];
  if (type !== undefined && type !== '' && !SIMPLE_TYPES.test(type)) return true;
  return Boolean(headers['apollo-require-preflight']) || Boolean(headers['x-apollo-operation-name']);
}

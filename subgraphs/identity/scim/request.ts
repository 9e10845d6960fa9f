import type { RequestContext } from '#kit/request-context.ts';
import { mediaTypeOf } from '#kit/route-body.ts';
import type { RouteRequest } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import type { ResourceView } from './resource.ts';
import { MAX_PAGE_SIZE } from './schema.ts';
import type { SortQuery } from './sort.ts';
import { boundedBody, memberOf, refuse } from './value.ts';

/** Which resources a client asks for (RFC 7644 section 3.4.2, RFC 9865). */
export interface ListQuery {
  readonly filter: string | undefined;
  readonly sort: SortQuery | undefined;
  /** From 0 to MAX_PAGE_SIZE. */
  readonly count: number;
  /** An index from 1, or a cursor, which is empty for the first page. */
  readonly from: { readonly startIndex: number } | { readonly cursor: string };
}

/** The parameters of a query, from an address or from the body of a `.search`. */
type Parameters = RouteRequest['query'];

/** Resources on a page whose size nobody names. */
export const DEFAULT_PAGE_SIZE = 100;
/** Far more resources than a tenant has, and within what PostgreSQL takes as an offset. */
const MAX_INDEX = 1_000_000_000;
const SEARCH_URN = 'urn:ietf:params:scim:api:messages:2.0:searchrequest';

/** Returns the address of the SCIM service, without a slash at the end. */
export function scimAddress(ctx: RequestContext): string {
  return `${ctx.platform.publicUrl}/scim/v2`;
}

/** Returns how the client wants to see resources; a list of attributes may be given in parts. */
export function viewOf(ctx: RequestContext, { query }: Pick<RouteRequest, 'query'>): ResourceView {
  const listed = (name: string): string | undefined => {
    const given = query[name];
    return Array.isArray(given) ? given.join(',') : given;
  };
  return {
    baseUrl: scimAddress(ctx),
    attributes: listed('attributes'),
    excludedAttributes: listed('excludedAttributes'),
  };
}

/**
 * Returns what the client asks for. Numbers are brought within their bounds as RFC 7644 section 3.4.2.4 has it; what is
 * no whole number is BAD_USER_INPUT, or INVALID_COUNT beside a cursor, and a filter that is given twice INVALID_FILTER,
 * so that neither half is lost. A cursor and an index at once are BAD_USER_INPUT.
 */
export function listQueryOf({ query }: Pick<RouteRequest, 'query'>): ListQuery {
  const { filter, cursor } = query;
  if (Array.isArray(filter)) fail('INVALID_FILTER', 'two filters', { hint: 'One filter is taken.' });
  if (Array.isArray(cursor)) fail('INVALID_CURSOR', 'two cursors');
  if (cursor !== undefined && query['startIndex'] !== undefined)
    refuse('A page begins at an index or at a cursor, not at both.');
  const size = { fallback: DEFAULT_PAGE_SIZE, least: 0, most: MAX_PAGE_SIZE };
  if (cursor !== undefined) return { filter, sort: sortIn(query), count: cursorCount(query, size), from: { cursor } };
  const startIndex = wholeNumber(query, 'startIndex', { fallback: 1, least: 1, most: MAX_INDEX });
  return { filter, sort: sortIn(query), count: wholeNumber(query, 'count', size), from: { startIndex } };
}

/** Returns the parameters in the body of a `.search` (RFC 7644 section 3.4.3); another form is BAD_REQUEST or BAD_USER_INPUT. */
export function searchParameters(req: RouteRequest): Parameters {
  const body = boundedBody(jsonBodyOf(req));
  const schemas = memberOf(body, 'schemas');
  const isSearch = Array.isArray(schemas) && schemas.some((urn) => String(urn).toLowerCase() === SEARCH_URN);
  if (schemas !== undefined && !isSearch) {
    fail('BAD_REQUEST', 'no search request', { hint: '"schemas" has to name the SearchRequest message.' });
  }
  const names = ['filter', 'sortBy', 'sortOrder', 'startIndex', 'count', 'cursor', 'attributes', 'excludedAttributes'];
  return Object.fromEntries(names.map((name) => [name, parameterOf(name, memberOf(body, name))]));
}

/** Returns the JSON of a body, not yet checked; another type is UNSUPPORTED_MEDIA_TYPE, another form BAD_REQUEST. */
export function jsonBodyOf(req: RouteRequest): unknown {
  const type = mediaTypeOf(req);
  if (type !== 'application/scim+json' && type !== 'application/json') {
    fail('UNSUPPORTED_MEDIA_TYPE', 'SCIM body of another type', {
      hint: 'It takes application/scim+json and application/json.',
    });
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(req.body));
  } catch (cause) {
    return fail('BAD_REQUEST', 'the body is not JSON', { hint: 'The body is not JSON in UTF-8.', cause });
  }
}

/** A search names in JSON what an address says in text. */
function parameterOf(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  const isList = Array.isArray(value) && value.every((part) => typeof part === 'string');
  return isList && name.endsWith('ttributes') ? value.join(',') : refuse(`"${name}" takes another type.`);
}

function sortIn(query: Parameters): SortQuery | undefined {
  const by = query['sortBy'];
  const order = query['sortOrder'] ?? 'ascending';
  if (by === undefined || by === '') return undefined;
  if (typeof by !== 'string') return refuse('One attribute to sort by is taken.');
  const word = String(order).toLowerCase();
  if (word !== 'ascending' && word !== 'descending') return refuse('"sortOrder" is ascending or descending.');
  return { by, order: word };
}

interface Bounds {
  readonly fallback: number;
  readonly least: number;
  readonly most: number;
}

function cursorCount(query: Parameters, bounds: Bounds): number {
  const given = query['count'];
  const isWhole = given === undefined || (typeof given === 'string' && /^\d{1,15}$/.test(given));
  return isWhole ? wholeNumber(query, 'count', bounds) : fail('INVALID_COUNT', 'count beside a cursor');
}

function wholeNumber(query: Parameters, name: string, bounds: Bounds): number {
  const text = query[name] ?? String(bounds.fallback);
  if (typeof text !== 'string' || !/^-?\d{1,15}$/.test(text)) {
    return fail('BAD_USER_INPUT', 'no whole number', { hint: `"${name}" takes a whole number.` });
  }
  return Math.min(Math.max(Number(text), bounds.least), bounds.most);
}

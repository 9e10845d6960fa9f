import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import type { ResourceView } from './resource.ts';
import { MAX_PAGE_SIZE } from './schema.ts';

/** Which resources a client asks for (RFC 7644 section 3.4.2). */
export interface ListQuery {
  readonly filter: string | undefined;
  /** From 1. */
  readonly startIndex: number;
  /** From 0 to MAX_PAGE_SIZE. */
  readonly count: number;
}

const DEFAULT_PAGE_SIZE = 100;
/** Far more resources than a tenant has, and within what PostgreSQL takes as an offset. */
const MAX_INDEX = 1_000_000_000;

/** Returns the address of the SCIM service, without a slash at the end. */
export function scimAddress(ctx: RequestContext): string {
  return `${ctx.platform.publicUrl}/scim/v2`;
}

/** Returns how the client wants to see resources; a list of attributes may be given in parts. */
export function viewOf(ctx: RequestContext, { query }: RouteRequest): ResourceView {
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
 * no whole number is BAD_USER_INPUT, and a filter that is given twice INVALID_FILTER, so that neither half is lost.
 */
export function listQueryOf({ query }: RouteRequest): ListQuery {
  const { filter } = query;
  if (Array.isArray(filter)) fail('INVALID_FILTER', 'two filters', { hint: 'One filter is taken.' });
  return {
    filter,
    startIndex: wholeNumber(query, 'startIndex', { fallback: 1, least: 1, most: MAX_INDEX }),
    count: wholeNumber(query, 'count', { fallback: DEFAULT_PAGE_SIZE, least: 0, most: MAX_PAGE_SIZE }),
  };
}

/** Returns the JSON of a body, not yet checked; another type is UNSUPPORTED_MEDIA_TYPE, another form BAD_REQUEST. */
export function jsonBodyOf({ headers, body }: RouteRequest): unknown {
  const type = String(headers['content-type'] ?? '')
    .split(';')[0]
    ?.trim()
    .toLowerCase();
  if (type !== 'application/scim+json' && type !== 'application/json') {
    fail('UNSUPPORTED_MEDIA_TYPE', 'SCIM body of another type', {
      hint: 'It takes application/scim+json and application/json.',
    });
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    return fail('BAD_REQUEST', 'the body is not JSON', { hint: 'The body is not JSON in UTF-8.', cause });
  }
}

function wholeNumber(
  query: RouteRequest['query'],
  name: string,
  bounds: { fallback: number; least: number; most: number },
): number {
  const text = query[name] ?? String(bounds.fallback);
  if (typeof text !== 'string' || !/^-?\d{1,15}$/.test(text)) {
    return fail('BAD_USER_INPUT', 'no whole number', { hint: `"${name}" takes a whole number.` });
  }
  return Math.min(Math.max(Number(text), bounds.least), bounds.most);
}

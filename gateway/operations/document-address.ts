import { fail } from '#schema/errors.ts';

/** What decides whether an answer may be kept by the client's own cache. */
export interface CacheableAnswer {
  readonly method: string;
  /** The kind of a registered operation that was named by `documentId`; null for anything else. */
  readonly kind: 'query' | 'mutation' | null;
  readonly hasErrors: boolean;
}

const PATH = /^\/graphql\/([^/]+)\/?$/;
/** As long as a screen stays open and no longer: what she may see can change. */
const MAX_AGE_SECONDS = 30;

/**
 * Returns the document id of a path `/graphql/<id>` (GraphQL over HTTP, Appendix A), or null for another path. Hostile
 * input: broken percent encoding is BAD_REQUEST, and whether it is an id at all shows later.
 */
export function documentIdOfPath(path: string): string | null {
  const [address = ''] = path.split('?', 1);
  const id = PATH.exec(address)?.[1];
  if (id === undefined) return null;
  try {
    return decodeURIComponent(id);
  } catch (cause) {
    return fail('BAD_REQUEST', 'broken percent encoding', { hint: 'The address cannot be read.', cause });
  }
}

/**
 * Returns the headers with which an answer may be kept by the one who asked, and by nobody between: only a registered
 * query that was asked for by GET and answered without an error; an empty object for any other.
 */
export function cacheHeadersOf({ method, kind, hasErrors }: CacheableAnswer): Readonly<Record<string, string>> {
  if (method !== 'GET' || kind !== 'query' || hasErrors) return {};
  return { 'cache-control': `private, max-age=${MAX_AGE_SECONDS}`, vary: 'authorization' };
}

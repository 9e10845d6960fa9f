import { createHash } from 'node:crypto';
import { fail } from './errors.ts';
import { isObject } from './json-object.ts';

/** How a request names its operation instead of sending it. */
export interface OperationId {
  /** The id as operationKey returns it. */
  readonly key: string;
  /** `documentId` of GraphQL-over-HTTP, or the `extensions.persistedQuery` of Apollo clients. */
  readonly source: 'documentId' | 'persistedQuery';
}

/** Characters and length of a document id (GraphQL-over-HTTP, Appendix A; the length is ours). */
const DOCUMENT_ID = /^[A-Za-z0-9._~:-]{1,256}$/;
const CUSTOM_PREFIX = /^x-[A-Za-z0-9._~-]+:./;
const SHA256_PREFIX = 'sha256:';
const SHA256_HEX = /^[0-9a-f]{64}$/;

/**
 * Returns the operation id of a parsed request body, or null where it names none. Hostile input: a body that is no
 * object, ids of another type or shape, two ids that differ, a `documentId` beside a `query`, and a hash that is not the
 * one of the `query` sent with it all fail with BAD_REQUEST.
 */
export function readOperationId(body: unknown): OperationId | null {
  if (!isObject(body)) return fail('BAD_REQUEST', 'body is no object', { hint: 'The body must be a JSON object.' });
  const byDocumentId = documentIdOf(body);
  const byHash = persistedQueryHashOf(body);
  const query = given(body, 'query');
  if (byDocumentId !== null && query !== undefined) return refuse('"documentId" and "query" exclude each other.');
  if (byDocumentId !== null && byHash !== null && byDocumentId !== byHash) {
    return refuse('"documentId" and "extensions.persistedQuery.sha256Hash" differ.');
  }
  if (byDocumentId !== null) return { key: byDocumentId, source: 'documentId' };
  if (byHash === null) return null;
  if (query !== undefined && (typeof query !== 'string' || sha256Hex(query) !== byHash)) {
    return refuse('"extensions.persistedQuery.sha256Hash" is not the hash of "query".');
  }
  return { key: byHash, source: 'persistedQuery' };
}

/**
 * Returns the one form under which an operation id is kept: a SHA-256 with or without its `sha256:` is the bare 64 hex
 * digits, any other id itself. Null for what is no id: other characters, more than 256 of them, a malformed hash, or a
 * prefix that the specification reserves (all but `sha256:` and `x-...:`).
 */
export function operationKey(id: string): string | null {
  if (!DOCUMENT_ID.test(id)) return null;
  if (!id.includes(':')) return id;
  if (!id.startsWith(SHA256_PREFIX)) return CUSTOM_PREFIX.test(id) ? id : null;
  const digits = id.slice(SHA256_PREFIX.length);
  return SHA256_HEX.test(digits) ? digits : null;
}

/** Whether a key of operationKey is a SHA-256, which then names exactly one document. */
export function isSha256Key(key: string): boolean {
  return SHA256_HEX.test(key);
}

/** Returns the SHA-256 of a document's UTF-8 bytes as 64 hex digits. */
export function sha256Hex(document: string): string {
  return createHash('sha256').update(document, 'utf8').digest('hex');
}

function documentIdOf(body: Readonly<Record<string, unknown>>): string | null {
  const id = given(body, 'documentId');
  if (id === undefined) return null;
  const key = typeof id === 'string' ? operationKey(id) : null;
  return (
    key ?? refuse('"documentId" must be "sha256:" and 64 hex digits, "x-...:" and an id, or an id without a colon.')
  );
}

function persistedQueryHashOf(body: Readonly<Record<string, unknown>>): string | null {
  const extensions = given(body, 'extensions');
  if (extensions === undefined) return null;
  if (!isObject(extensions)) return refuse('"extensions" must be an object.');
  const persistedQuery = given(extensions, 'persistedQuery');
  if (persistedQuery === undefined) return null;
  if (!isObject(persistedQuery)) return refuse('"extensions.persistedQuery" must be an object.');
  if (given(persistedQuery, 'version') !== 1) return refuse('"extensions.persistedQuery.version" must be 1.');
  const hash = given(persistedQuery, 'sha256Hash');
  if (typeof hash === 'string' && SHA256_HEX.test(hash)) return hash;
  return refuse('"extensions.persistedQuery.sha256Hash" must be 64 lower-case hex digits.');
}

/** Reads an own member; null counts as absent, as in the GraphQL-over-HTTP specification. */
function given(object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? (object[name] ?? undefined) : undefined;
}

function refuse(hint: string): never {
  return fail('BAD_REQUEST', 'operation id cannot be read', { hint });
}

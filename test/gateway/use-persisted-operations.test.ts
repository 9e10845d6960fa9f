import { describe, expect, it } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { sha256Hex } from '#schema/operation-id.ts';
import type { TenantContext } from '#schema/tenant-context.ts';
import { newAutomaticQueries } from '../../gateway/operations/automatic-persisted-queries.ts';
import { cacheHeadersOf, documentIdOfPath } from '../../gateway/operations/document-address.ts';
import type { RegisteredOperation } from '../../gateway/operations/registered-operations.ts';
import { usePersistedOperations, type SentRequest } from '../../gateway/operations/use-persisted-operations.ts';

const OWN = 'query Own { tenant { id } }';
const KEY = sha256Hex(OWN);
const query: RegisteredOperation = { key: KEY, name: 'Own', kind: 'query', source: OWN, hash: KEY, costCeiling: 5 };
const mutation: RegisteredOperation = { ...query, key: 'create', kind: 'mutation', source: 'mutation { a }' };

const acme = mintId('tnt');
function contextOf(change: Partial<TenantContext>): RequestContext {
  const tenant = { tenant: acme, client: null, sessionId: null, ...change } as TenantContext;
  return { tenant, clock: () => new Date(0) } as unknown as RequestContext;
}
const partner = contextOf({ client: 'partner' });
const person = (tenant = acme) => contextOf({ tenant, sessionId: mintId('ses') });

const used: string[] = [];
const automatic = newAutomaticQueries();
const doors = {
  automatic,
  operations: {
    find: (ctx: TenantContext, key: string) =>
      (ctx.client === 'partner' ? [query, mutation] : []).find((operation) => operation.key === key) ?? null,
    used: (_ctx: TenantContext, key: string) => void used.push(key),
  },
};

const step = (ctx: RequestContext, parameters: unknown, more: Partial<SentRequest> = {}) =>
  usePersistedOperations(ctx, { parameters, method: 'POST', pathId: null, ...more }, doors);
const codeOf = (ctx: RequestContext, parameters: unknown, more: Partial<SentRequest> = {}) => {
  try {
    void step(ctx, parameters, more);
  } catch (error) {
    return error instanceof TenonError ? error.code : String(error);
  }
  return null;
};
const apq = (text: string, more: object = {}) => ({
  ...more,
  extensions: { persistedQuery: { version: 1, sha256Hash: sha256Hex(text) } },
});

describe("a client's API key", () => {
  it.each([
    ['documentId', { documentId: KEY }, {}],
    ['documentId with its prefix', { documentId: `sha256:${KEY}` }, {}],
    ["Apollo's hash", apq(OWN), {}],
    ['GET', { documentId: KEY }, { method: 'GET' }],
    ['the address', {}, { pathId: KEY }],
    ['the address and the same documentId', { documentId: KEY }, { pathId: KEY }],
  ])('runs a registered operation by %s, with what it was registered with', (_, parameters, more) => {
    used.length = 0;
    const found = step(partner, { ...parameters, variables: { a: 1 }, operationName: 'Own' }, more);
    expect(found).toEqual({ query: OWN, registered: query, variables: { a: 1 }, operationName: 'Own' });
    expect(used).toEqual([KEY]);
  });

  it.each([
    ['a document', { query: OWN }, {}, 'PERSISTED_QUERY_ID_REQUIRED'],
    ['nothing', {}, {}, 'PERSISTED_QUERY_ID_REQUIRED'],
    ['an unknown id', { documentId: 'other' }, {}, 'PERSISTED_QUERY_NOT_IN_LIST'],
    [
      'a document beside a hash that is not registered',
      apq('{ a }', { query: '{ a }' }),
      {},
      'PERSISTED_QUERY_NOT_IN_LIST',
    ],
    ['a mutation by GET', { documentId: 'create' }, { method: 'GET' }, 'METHOD_NOT_ALLOWED'],
    ['two ids', { documentId: 'other' }, { pathId: KEY }, 'BAD_REQUEST'],
    ['an id in the address and a document', { query: OWN }, { pathId: KEY }, 'BAD_REQUEST'],
    ['no id in the address', {}, { pathId: 'a b' }, 'BAD_REQUEST'],
    ['variables that are no object', { documentId: KEY, variables: [] }, {}, 'BAD_REQUEST'],
    ['no object', [], {}, 'BAD_REQUEST'],
  ])('that sends %s is refused', (_, parameters, more, code) => {
    expect(codeOf(partner, parameters, more)).toBe(code);
  });

  it('learns nothing from what people sent, and teaches people nothing', () => {
    void step(person(), apq('{ taught }', { query: '{ taught }' }));
    expect(codeOf(partner, apq('{ taught }'))).toBe('PERSISTED_QUERY_NOT_IN_LIST');
    expect(codeOf(partner, apq('{ offered }', { query: '{ offered }' }))).toBe('PERSISTED_QUERY_NOT_IN_LIST');
    expect(codeOf(person(), apq('{ offered }'))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });
});

describe('a person', () => {
  it('sends what she likes, and a hash alone once the tenant has sent the text beside it', () => {
    expect(step(person(), { query: '{ any }' })).toEqual({ query: '{ any }', registered: null });
    expect(codeOf(person(), apq('{ big }'))).toBe('PERSISTED_QUERY_NOT_FOUND');
    void step(person(), apq('{ big }', { query: '{ big }' }));
    expect(step(person(), apq('{ big }'))).toEqual({ query: '{ big }', registered: null });
  });

  it("is told in Apollo's own words to send the text", () => {
    try {
      void step(person(), apq('{ unknown }'));
      expect.unreachable();
    } catch (error) {
      const { code, status, publicMessage } = error as TenonError;
      expect([code, status, publicMessage]).toEqual(['PERSISTED_QUERY_NOT_FOUND', 200, 'PersistedQueryNotFound']);
    }
  });

  it('of another tenant is not answered from what this one sent', () => {
    void step(person(), apq('{ mine }', { query: '{ mine }' }));
    expect(codeOf(person(mintId('tnt')), apq('{ mine }'))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  it('is refused a hash that is not that of the text, and it is not remembered', () => {
    expect(codeOf(person(), { ...apq('{ good }'), query: '{ evil }' })).toBe('BAD_REQUEST');
    expect(codeOf(person(), apq('{ good }'))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  it('has no registered operations', () => {
    expect(codeOf(person(), { documentId: KEY })).toBe('PERSISTED_QUERY_NOT_FOUND');
  });

  it('behind a token that is no session has nothing remembered for her', () => {
    const token = contextOf({});
    void step(token, apq('{ scim }', { query: '{ scim }' }));
    expect(codeOf(person(), apq('{ scim }'))).toBe('PERSISTED_QUERY_NOT_FOUND');
  });
});

describe('automatic persisted queries', () => {
  it('forget the longest unused of the tenant that sends too many, and none of another', () => {
    const queries = newAutomaticQueries();
    queries.remember('quiet', 'q', '{ q }');
    for (let index = 0; index < 100; index++) queries.remember('loud', `l${index}`, 'x'.repeat(60_000));
    expect(queries.find('loud', 'l0')).toBeNull();
    expect(queries.find('loud', 'l99')).not.toBeNull();
    expect(queries.find('quiet', 'q')).toBe('{ q }');
    queries.remember('quiet', 'long', 'x'.repeat(70_000));
    expect(queries.find('quiet', 'long')).toBeNull();
  });
});

describe('an address', () => {
  it.each([
    ['/graphql', null],
    ['/graphql/', null],
    ['/graphql?documentId=a', null],
    ['/graphql/abc', 'abc'],
    ['/graphql/sha256%3Aabc?variables={}', 'sha256:abc'],
    ['/graphql/abc/', 'abc'],
    ['/graphql/a/b', null],
    ['/other/abc', null],
  ])('%s names %j', (path, id) => {
    expect(documentIdOfPath(path)).toBe(id);
  });

  it('with broken percent encoding cannot be read', () => {
    expect(() => documentIdOfPath('/graphql/%zz')).toThrow(expect.objectContaining({ code: 'BAD_REQUEST' }));
  });

  it.each([
    [{ method: 'GET', kind: 'query', hasErrors: false }, true],
    [{ method: 'POST', kind: 'query', hasErrors: false }, false],
    [{ method: 'GET', kind: 'mutation', hasErrors: false }, false],
    [{ method: 'GET', kind: null, hasErrors: false }, false],
    [{ method: 'GET', kind: 'query', hasErrors: true }, false],
  ] as const)('of %j may be kept: %j', (answer, kept) => {
    const headers = cacheHeadersOf(answer);
    expect(headers).toEqual(kept ? { 'cache-control': 'private, max-age=30', vary: 'authorization' } : {});
  });
});

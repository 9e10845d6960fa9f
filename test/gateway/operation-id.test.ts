import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { isSha256Key, operationKey, readOperationId, sha256Hex } from '#schema/operation-id.ts';

/** `printf '{ name }' | sha256sum` */
const HASH = '30166fc3298853f22709fce1e4a00e98f1b6a3160eaaaf9cb3b7db6a16073b07';

function persisted(persistedQuery: unknown, more: object = {}): unknown {
  return { ...more, extensions: { persistedQuery } };
}

function hintOf(body: unknown): string | undefined {
  try {
    readOperationId(body);
  } catch (thrown) {
    if (thrown instanceof TenonError && thrown.code === 'BAD_REQUEST') return thrown.hint;
    throw thrown;
  }
  throw new Error('nothing failed');
}

describe('operationKey', () => {
  it('is the same for a hash with and without its prefix', () => {
    expect(operationKey(`sha256:${HASH}`)).toBe(HASH);
    expect(operationKey(HASH)).toBe(HASH);
    expect(isSha256Key(HASH)).toBe(true);
  });

  it.each(['getUser', 'v1.2~get_user-3', 'x-acme:42', 'x-acme:a:b', '__proto__'])('keeps the custom id %s', (id) => {
    expect(operationKey(id)).toBe(id);
    expect(isSha256Key(id)).toBe(false);
  });

  it.each([
    '',
    'a b',
    'a/b',
    'é',
    'sha256:',
    `sha256:${HASH.toUpperCase()}`,
    `sha256:${HASH}0`,
    `sha256:${HASH.slice(1)}`,
  ])('refuses %j', (id) => {
    expect(operationKey(id)).toBeNull();
  });

  it.each([`md5:${HASH}`, 'SHA256:x', 'x-:a', 'x-acme:', ':a', 'a:', `x:${HASH}`, `${'p'.repeat(100)}:a`])(
    'refuses %s, whose prefix is reserved or no prefix',
    (id) => {
      expect(operationKey(id)).toBeNull();
    },
  );

  it('takes 256 characters and not one more', () => {
    expect(operationKey('a'.repeat(256))).toHaveLength(256);
    expect(operationKey('a'.repeat(257))).toBeNull();
  });
});

describe('readOperationId', () => {
  it('reads documentId', () => {
    expect(readOperationId({ documentId: `sha256:${HASH}`, variables: {} })).toEqual({
      key: HASH,
      source: 'documentId',
    });
    expect(readOperationId({ documentId: 'getUser', query: null })).toEqual({ key: 'getUser', source: 'documentId' });
  });

  it('reads extensions.persistedQuery', () => {
    expect(readOperationId(persisted({ version: 1, sha256Hash: HASH }))).toEqual({
      key: HASH,
      source: 'persistedQuery',
    });
  });

  it('finds no id in an ordinary request', () => {
    expect(readOperationId({ query: '{ name }' })).toBeNull();
    expect(readOperationId({ query: '{ name }', documentId: null, extensions: null })).toBeNull();
    expect(readOperationId({ query: '{ name }', extensions: { other: 1, persistedQuery: null } })).toBeNull();
    expect(readOperationId({})).toBeNull();
  });

  it('accepts a document beside its own hash, and no other', () => {
    const query = '{ name }';
    const body = persisted({ version: 1, sha256Hash: sha256Hex(query) }, { query });
    expect(readOperationId(body)).toEqual({ key: sha256Hex(query), source: 'persistedQuery' });
    expect(hintOf(persisted({ version: 1, sha256Hash: HASH }, { query: '{ name  }' }))).toMatch(/not the hash/);
    expect(hintOf(persisted({ version: 1, sha256Hash: HASH }, { query: 5 }))).toMatch(/not the hash/);
  });

  it('refuses two ids that differ, and a documentId beside a document', () => {
    const both = persisted({ version: 1, sha256Hash: HASH }, { documentId: 'getUser' });
    expect(hintOf(both)).toMatch(/differ/);
    const same = persisted({ version: 1, sha256Hash: HASH }, { documentId: `sha256:${HASH}` });
    expect(readOperationId(same)).toEqual({ key: HASH, source: 'documentId' });
    expect(hintOf({ documentId: 'getUser', query: '{ name }' })).toMatch(/exclude/);
    expect(hintOf({ documentId: 'getUser', query: '' })).toMatch(/exclude/);
  });

  it.each([null, undefined, 'text', 5, true, [], [{ documentId: 'getUser' }]])('refuses the body %j', (body) => {
    expect(hintOf(body)).toMatch(/JSON object/);
  });

  it.each([5, true, {}, [], ['getUser'], '', 'a b', 'sha256:xyz', 'urn:a'])('refuses documentId %j', (documentId) => {
    expect(hintOf({ documentId })).toMatch(/documentId/);
  });

  it.each(['text', 5, [], [{ version: 1 }]])('refuses extensions %j', (extensions) => {
    expect(hintOf({ extensions })).toMatch(/extensions/);
  });

  it.each([
    'text',
    [],
    {},
    { version: 1 },
    { version: 2, sha256Hash: HASH },
    { version: '1', sha256Hash: HASH },
    { version: 1, sha256Hash: HASH.toUpperCase() },
    { version: 1, sha256Hash: `sha256:${HASH}` },
    { version: 1, sha256Hash: { toString: 'x' } },
  ])('refuses extensions.persistedQuery %j', (persistedQuery) => {
    expect(hintOf(persisted(persistedQuery))).toMatch(/persistedQuery/);
  });

  it('does not read what the body only inherits', () => {
    expect(readOperationId(Object.create({ documentId: 'getUser' }))).toBeNull();
    expect(readOperationId(JSON.parse('{"__proto__": {"documentId": "getUser"}}'))).toBeNull();
  });

  it('answers any JSON with an id, null or BAD_REQUEST', () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const body = fc.oneof(
      value,
      fc.record({ documentId: value, query: value, extensions: fc.record({ persistedQuery: value }) }),
    );
    fc.assert(
      fc.property(body, (hostile) => {
        try {
          const id = readOperationId(hostile);
          expect(id === null || operationKey(id.key) === id.key).toBe(true);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'BAD_REQUEST' });
        }
      }),
    );
  });
});

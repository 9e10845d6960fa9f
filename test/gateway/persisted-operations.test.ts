import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema, print } from 'graphql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '#schema/operation-id.ts';
import { loadPersistedOperations } from '../../gateway/operations/persisted-operations.ts';
import type { PersistedOperations } from '../../gateway/operations/persisted-operations.ts';

const schema = buildSchema(`
  type Query { name: String  user(id: ID!): User }
  type Mutation { rename(name: String!): User }
  type User { id: ID!  name: String  friend: User }
`);
const NAME = 'query Name { name }';
const RENAME = 'mutation Rename($name: String!) { rename(name: $name) { id } }';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'operations-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function load(files: Record<string, unknown>): Promise<PersistedOperations> {
  for (const [file, content] of Object.entries(files)) {
    await writeFile(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return loadPersistedOperations({ folder, schema });
}

function apollo(...operations: object[]): object {
  return { format: 'apollo-persisted-query-manifest', version: 1, operations };
}

function apolloOperation(body: string, more: object = {}): object {
  return { id: sha256Hex(body), name: 'Name', type: 'query', body, ...more };
}

describe('loadPersistedOperations', () => {
  it.each([
    ['an Apollo manifest', apollo(apolloOperation(NAME))],
    ['Relay pairs', [[sha256Hex(NAME), NAME]]],
    ['a Relay map', { [sha256Hex(NAME)]: NAME }],
    ['a map by documentId', { [`sha256:${sha256Hex(NAME)}`]: NAME }],
  ])('reads %s and finds the operation by its hash, with and without prefix', async (_, manifest) => {
    const operations = await load({ 'acme.json': manifest });
    const found = operations.find('acme', sha256Hex(NAME));
    expect(found?.source).toBe(NAME);
    expect(print(found?.document ?? { kind: 'Document' as never, definitions: [] })).toBe('query Name {\n  name\n}');
    expect(operations.find('acme', `sha256:${sha256Hex(NAME)}`)).toBe(found);
  });

  it('finds operations by custom ids and keeps the id as written', async () => {
    const operations = await load({ 'acme.json': { 'x-acme:1': NAME, rename: RENAME } });
    expect(operations.find('acme', 'x-acme:1')?.id).toBe('x-acme:1');
    expect(operations.find('acme', 'rename')?.source).toBe(RENAME);
  });

  it("finds nothing under an unknown id, a malformed one, another client's, or an inherited name", async () => {
    const operations = await load({ 'acme.json': { name: NAME }, 'globex.json': {} });
    expect(operations.clients).toEqual(new Set(['acme', 'globex']));
    expect(operations.find('acme', 'other')).toBeNull();
    expect(operations.find('acme', 'na me')).toBeNull();
    expect(operations.find('globex', 'name')).toBeNull();
    expect(operations.find('initech', 'name')).toBeNull();
    expect(operations.find('__proto__', 'constructor')).toBeNull();
    expect(operations.find('acme', 'toString')).toBeNull();
  });

  it('passes over files that are no manifests, and loads an empty folder', async () => {
    expect((await load({})).clients.size).toBe(0);
    expect((await load({ 'README.md': '# operations' })).clients.size).toBe(0);
  });

  it('accepts an Apollo operation that names this client, and refuses one that names another', async () => {
    const manifest = apollo(apolloOperation(NAME, { clientName: 'acme' }));
    expect((await load({ 'acme.json': manifest })).find('acme', sha256Hex(NAME))).not.toBeNull();
    await expect(load({ 'globex.json': manifest })).rejects.toThrow(/globex\.json.*belongs to another client/);
  });

  it.each([
    ['the id is not the SHA-256', { [`sha256:${sha256Hex(RENAME)}`]: NAME }],
    ['the id is not the SHA-256', { [sha256Hex(RENAME)]: NAME }],
    ['not a document id', { 'sha256:abc': NAME }],
    ['not a document id', { 'md5:abc': NAME }],
    ['not a document id', { 'a b': NAME }],
    [
      'the id is there twice',
      [
        ['name', NAME],
        ['name', RENAME],
      ],
    ],
    [
      'the id is there twice',
      [
        [sha256Hex(NAME), NAME],
        [`sha256:${sha256Hex(NAME)}`, NAME],
      ],
    ],
    ['Cannot query field "secret" on type "Query"', { name: '{ secret }' }],
    ['Syntax Error', { name: '{ name' }],
    ['Fragment "F" is never used', { name: '{ name } fragment F on User { id }' }],
    ['it takes one', { name: 'fragment F on User { id }' }],
    ['it takes one', { name: 'query A { name } query B { name }' }],
    ['subscriptions cannot be registered', { name: 'subscription { name }' }],
    ['Syntax Error', { name: '' }],
    ['no operation of that name and type', apollo({ id: 'a', name: 'Other', type: 'query', body: NAME })],
    ['no operation of that name and type', apollo({ id: 'a', name: 'Name', type: 'mutation', body: NAME })],
    ['65537 bytes, at most 65536', { name: `{ name #${'x'.repeat(64 * 1024 - 9)}\n}` }],
    ['nested deeper than allowed', { name: `{ user(id: 1) { ${'friend{'.repeat(7_000)}id${'}'.repeat(7_000)} } }` }],
  ])('refuses an operation (%s) and names file and id', async (reason, manifest) => {
    const loading = load({ 'acme.json': manifest });
    await expect(loading).rejects.toMatchObject({ code: 'INTERNAL_SERVER_ERROR' });
    await expect(loading).rejects.toThrow(/persisted operations: acme\.json: (?:\w+ \()?"/);
    await expect(loading).rejects.toThrow(reason);
  });

  it.each([
    ['not JSON', '{'],
    ['neither an object nor a list', '5'],
    ['neither an object nor a list', 'null'],
    ['unknown format or version', { format: 'apollo-persisted-query-manifest', version: 2, operations: [] }],
    ['unknown format or version', { format: 'other', version: 1, operations: [] }],
    ['"operations" must be a list', { format: 'apollo-persisted-query-manifest', version: 1 }],
    ['an entry without id or document', apollo([])],
    ['an entry without id or document', apollo({ id: 5, body: NAME })],
    ['an entry without id or document', { name: { text: NAME } }],
    ['an entry without id or document', [['name', NAME, 'more']]],
    ['an entry without id or document', ['name']],
    ['1048577 bytes, at most 1048576', ' '.repeat(1024 * 1024 + 1)],
  ])('refuses a file (%s) and names it', async (reason, content) => {
    const loading = load({ 'acme.json': content });
    await expect(loading).rejects.toThrow('persisted operations: acme.json: ');
    await expect(loading).rejects.toThrow(reason);
  });

  it('refuses a file whose name is no client', async () => {
    await expect(load({ 'a client.json': {} })).rejects.toThrow(/a client\.json: the name must be/);
  });

  it('accepts a document and a file of exactly the allowed size', async () => {
    const body = `{ name #${'x'.repeat(64 * 1024 - 10)}\n}`;
    expect(Buffer.byteLength(body)).toBe(64 * 1024);
    const text = JSON.stringify({ name: body });
    const operations = await load({ 'acme.json': text.padEnd(1024 * 1024) });
    expect(operations.find('acme', 'name')?.source).toBe(body);
  });

  it('has one fingerprint for the same operations in another order and format, and another for any change', async () => {
    const first = await load({
      'acme.json': apollo(apolloOperation(NAME), { id: 'r', name: 'Rename', type: 'mutation', body: RENAME }),
    });
    const again = await load({
      'acme.json': [
        ['r', RENAME],
        [`sha256:${sha256Hex(NAME)}`, NAME],
      ],
    });
    expect(first.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(again.fingerprint).toBe(first.fingerprint);
    const changes = [{ r: RENAME }, { r: RENAME, n: NAME }, { r: NAME, [sha256Hex(NAME)]: NAME }];
    const fingerprints = new Set([first.fingerprint]);
    for (const manifest of changes) fingerprints.add((await load({ 'acme.json': manifest })).fingerprint);
    await rm(join(folder, 'acme.json'));
    fingerprints.add((await load({ 'globex.json': { r: RENAME } })).fingerprint);
    expect(fingerprints.size).toBe(5);
  });

  it('fails where the folder is missing instead of refusing every partner later', async () => {
    await expect(loadPersistedOperations({ folder: join(folder, 'missing'), schema })).rejects.toThrow(/ENOENT/);
  });
});

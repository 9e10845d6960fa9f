import { fileURLToPath } from 'node:url';
import { buildSchema, parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { platformApiSchema } from '#kit/api-schema.ts';
import { readManifestFolder } from '#kit/manifest-folder.ts';
import { readCostSchema } from '#schema/cost/cost-schema.ts';
import { operationCost } from '#schema/operation-ceiling.ts';
import { checkOperations, schemaFault } from '#schema/operation-check.ts';

const SDL = `
  directive @cost(weight: String!) on FIELD_DEFINITION | ARGUMENT_DEFINITION
  directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
  type Query {
    thing(id: ID!, deep: Boolean @cost(weight: "9"), of: Filter): Thing
    odd(if: Boolean @cost(weight: "3")): Thing
    things(first: Int, last: Int): [Thing] @listSize(slicingArguments: ["first", "last"])
    nodes(first: Int = 7): [Node] @listSize(slicingArguments: ["first"], requireOneSlicingArgument: false)
  }
  input Filter { a: Int }
  interface Node { id: ID! kids(first: Int): [Thing] }
  type Thing implements Node { id: ID! name: String kids(first: Int): [Thing] @listSize(slicingArguments: ["first"], requireOneSlicingArgument: false) }
`;
const schema = buildSchema(SDL);
const costs = readCostSchema(SDL);
const costOf = (text: string) => operationCost({ document: parse(text), schema, costs });

describe('operationCost', () => {
  it.each([
    ['{ things(first: 5) { id } }', { estimate: 5, isOpen: false }],
    ['query ($id: ID!) { thing(id: $id) { id } }', { estimate: 1, isOpen: false }],
    ['query ($x: Boolean!) { odd @include(if: $x) { id } }', { estimate: 1, isOpen: false }],
    ['query ($x: Boolean!) { odd(if: $x) { id } }', { estimate: 1, isOpen: true }],
    ['query ($n: Int!) { things(first: $n) { id } }', { estimate: 0, isOpen: true }],
    ['query ($n: Int = 3) { nodes(first: $n) { id } }', { estimate: 3, isOpen: true }],
    ['query ($n: Int) { nodes { kids(first: $n) { id } } }', { estimate: 77, isOpen: true }],
    ['query ($f: Filter) { thing(id: 1, of: $f) { id } }', { estimate: 1, isOpen: true }],
    ['query ($a: Int) { thing(id: 1, of: { a: $a }) { id } }', { estimate: 2, isOpen: true }],
    ['query ($d: Boolean) { thing(id: 1, deep: $d) { id } }', { estimate: 1, isOpen: true }],
  ])('%s: %j', (text, expected) => {
    expect(costOf(text)).toEqual(expected);
  });

  it('counts what variables may leave out, whatever their defaults say', () => {
    for (const directive of ['@include(if: $x)', '@skip(if: $x)']) {
      for (const value of ['', ' = true', ' = false']) {
        const text = `query ($x: Boolean${value === '' ? '!' : value}) { things(first: 5) ${directive} { id } }`;
        expect(costOf(text)).toEqual({ estimate: 5, isOpen: false });
      }
    }
  });

  it('fails where no variable could put slicing arguments right', () => {
    expect(() => costOf('{ things { id } }')).toThrow(/slicing/);
  });
});

describe('checkOperations', () => {
  it('names the operations that a schema breaks, and why', () => {
    const operation = (id: string, body: string) => ({ client: 'acme', id, name: id.toUpperCase(), body });
    const changed = buildSchema(SDL.replace('name: String', 'title: String'));
    const relying = [
      operation('a', '{ thing(id: 1) { name } }'),
      operation('b', '{ thing(id: 1) { id } }'),
      operation('c', '{'),
    ];
    expect(checkOperations(schema, relying.slice(0, 2))).toEqual([]);
    expect(checkOperations(changed, relying)).toEqual([
      { client: 'acme', id: 'a', name: 'A', reason: 'Cannot query field "name" on type "Thing".' },
      { client: 'acme', id: 'c', name: 'C', reason: expect.stringContaining('Syntax Error') as string },
    ]);
  });

  it('takes no harm from nesting without end', () => {
    expect(schemaFault(schema, `{ ${'a {'.repeat(50_000)} }`)).not.toBeNull();
  });
});

describe("the platform's own manifests", () => {
  it('fit the committed supergraph', async () => {
    const files = await readManifestFolder(fileURLToPath(new URL('../../schema/operations', import.meta.url)));
    expect(files.map(({ client }) => client)).toContain('partner-app');
    expect(files.flatMap(({ faults }) => faults)).toEqual([]);
    const relying = files.flatMap(({ client, operations }) =>
      operations.map((operation) => ({ client, ...operation })),
    );
    expect(checkOperations(platformApiSchema().schema, relying)).toEqual([]);
  });
});

import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { readCostSchema } from '#schema/cost/cost-schema.ts';

const FEDERATION = 'https://specs.apollo.dev/federation/v2.9';

function compose(...subgraphs: string[]): string {
  const services = subgraphs.map((sdl, index) => ({
    name: `s${index}`,
    url: 'http://localhost',
    typeDefs: parse(sdl),
  }));
  const result = composeServices(services);
  if (result.supergraphSdl === undefined) throw new Error(JSON.stringify(result.errors));
  return result.supergraphSdl;
}

function linked(imports: string, body: string): string {
  return `schema @link(url: "https://specs.apollo.dev/cost/v0.1"${imports}) { query: Query } ${body}`;
}

describe('readCostSchema', () => {
  it('reads every place of the directives out of a composed supergraph', () => {
    const costs = readCostSchema(
      compose(`
        extend schema @link(url: "${FEDERATION}", import: ["@key", "@cost", "@listSize"])
        type Query {
          users(first: Int, last: Int, filter: Filter @cost(weight: 3)): UserConnection! @cost(weight: 5)
            @listSize(slicingArguments: ["first", "last"], sizedFields: ["edges"], requireOneSlicingArgument: false)
          tags: [String!]! @listSize(assumedSize: 7)
        }
        input Filter { name: String @cost(weight: 2) }
        enum Role @cost(weight: 4) { ADMIN MEMBER }
        scalar Blob @cost(weight: 6)
        type User @key(fields: "id") @cost(weight: 9) { id: ID! role: Role blob: Blob }
        type UserConnection { edges: [UserEdge!]! }
        type UserEdge { node: User! }
      `),
    );
    expect(costs).toEqual({
      typeWeights: new Map([
        ['Role', 4],
        ['Blob', 6],
        ['User', 9],
      ]),
      fieldWeights: new Map([['Query.users', 5]]),
      argumentWeights: new Map([['Query.users(filter:)', 3]]),
      inputFieldWeights: new Map([['Filter.name', 2]]),
      listSizes: new Map([
        [
          'Query.users',
          {
            assumedSize: null,
            slicingArguments: [['first'], ['last']],
            sizedFields: new Set(['edges']),
            requireOneSlicingArgument: false,
          },
        ],
        [
          'Query.tags',
          { assumedSize: 7, slicingArguments: [], sizedFields: new Set(), requireOneSlicingArgument: true },
        ],
      ]),
      requirements: new Map(),
    });
  });

  it('reads the directives under the names that composition gives unimported ones', () => {
    const sdl = compose(`
      extend schema @link(url: "${FEDERATION}", import: ["@listSize"])
      type Query { slow: Int @federation__cost(weight: 3) list: [Int] @listSize(assumedSize: 4) }
    `);
    expect(sdl).toContain('@federation__cost(weight: 3)');
    const costs = readCostSchema(sdl);
    expect(costs.fieldWeights).toEqual(new Map([['Query.slow', 3]]));
    expect(costs.listSizes.get('Query.list')?.assumedSize).toBe(4);
  });

  it.each([
    {
      imports: ', import: [{name: "@cost", as: "@price"}, {name: "@listSize", as: "@long"}]',
      names: ['price', 'long'],
    },
    { imports: ', import: ["@cost", "@listSize"]', names: ['cost', 'listSize'] },
    { imports: '', names: ['cost', 'cost__listSize'] },
    { imports: ', as: "weigh"', names: ['weigh', 'weigh__listSize'] },
  ])('follows the names of the link to the cost specification: $names', ({ imports, names: [cost, listSize] }) => {
    const costs = readCostSchema(
      linked(imports, `type Query { a: Int @${cost}(weight: 3) b: [Int] @${listSize}(assumedSize: 2) }`),
    );
    expect(costs.fieldWeights).toEqual(new Map([['Query.a', 3]]));
    expect([...costs.listSizes.keys()]).toEqual(['Query.b']);
  });

  it('leaves a directive alone that has the name but is linked under another', () => {
    const sdl = linked(', import: [{name: "@cost", as: "@price"}]', 'type Query { a: Int @cost(weight: 3) }');
    expect(readCostSchema(sdl).fieldWeights.size).toBe(0);
  });

  it.each([
    ['5', 5],
    ['-2', -2],
    ['0.25', 0.25],
    ['"1.5"', 1.5],
    ['"7"', 7],
  ])('accepts the weight %s', (written, weight) => {
    expect(readCostSchema(`type Query { a: Int @cost(weight: ${written}) }`).fieldWeights.get('Query.a')).toBe(weight);
  });

  it.each(['"many"', '""', '" "', 'true', 'null', '[1]', '"Infinity"', '"NaN"', '1e300', '-1e300'])(
    'refuses the weight %s and names the place',
    (written) => {
      expect(() => readCostSchema(`type Query { a(b: Int @cost(weight: ${written})): Int }`)).toThrow(
        /@cost on Query\.a\(b:\)/,
      );
    },
  );

  it.each([
    ['assumedSize: -1', /assumedSize/],
    ['assumedSize: "many"', /assumedSize/],
    ['slicingArguments: ["first..x"]', /slicingArguments/],
    ['slicingArguments: [3]', /slicingArguments/],
    ['sizedFields: ["page { items }"]', /sizedFields/],
  ])('refuses @listSize(%s) and names the place', (written, fault) => {
    const read = (): unknown => readCostSchema(`type Query { a: [Int] @listSize(${written}) }`);
    expect(read).toThrow(fault);
    expect(read).toThrow(/Query\.a/);
  });

  it('splits the path of a nested slicing argument', () => {
    const costs = readCostSchema('type Query { a: [Int] @listSize(slicingArguments: ["input.page.first"]) }');
    expect(costs.listSizes.get('Query.a')?.slicingArguments).toEqual([['input', 'page', 'first']]);
  });

  it('hands what an interface declares to the types that are silent', () => {
    const costs = readCostSchema(`
      interface Owner { items(first: Int @cost(weight: 2)): [Int] @cost(weight: 3) @listSize(assumedSize: 5) }
      type User implements Owner { items(first: Int): [Int] }
      type Group implements Owner { items(first: Int): [Int] @cost(weight: 8) }
    `);
    expect(costs.fieldWeights.get('User.items')).toBe(3);
    expect(costs.fieldWeights.get('Group.items')).toBe(8);
    expect(costs.argumentWeights.get('User.items(first:)')).toBe(2);
    expect(costs.listSizes.get('Group.items')?.assumedSize).toBe(5);
  });
});

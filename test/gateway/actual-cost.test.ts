import { composeServices, transformSupergraphToPublicSchema } from '@theguild/federation-composition';
import fc from 'fast-check';
import { buildASTSchema, execute, parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { readCostSchema } from '#schema/cost/cost-schema.ts';
import { actualCost, estimateCost } from '#schema/cost/query-cost.ts';
import { cost, inputOf, inputOfDocument, schema } from './cost-fixture.ts';
import type { Options } from './cost-fixture.ts';

const user = (id: number): unknown => ({ __typename: 'User', id, friend: null, friends: [] });
const robot = (id: number): unknown => ({ __typename: 'Robot', id, owner: user(1), parts: [{ id: 1 }, { id: 2 }] });

function actual(source: string, data: unknown, options?: Options): number {
  return actualCost({ ...inputOf(source, options), data });
}

describe('actualCost', () => {
  it.each([
    ['{ members { id } }', { members: [{ id: 1 }, { id: 2 }] }, 2],
    [
      '{ members { id friends { id } } }',
      {
        members: [
          { id: 1, friends: [{ id: 2 }] },
          { id: 2, friends: [] },
        ],
      },
      3,
    ],
    ['{ matrix { id } }', { matrix: [[{ id: 1 }], [], [{ id: 2 }, { id: 3 }]] }, 3],
    ['{ pricedMembers { id } }', { pricedMembers: [{ id: 1 }, { id: 2 }] }, 10],
    ['{ pricedMembers { id } }', { pricedMembers: [] }, 0],
    ['{ pricedOwner { id } }', { pricedOwner: null }, 5],
    ['{ byIds(ids: ["a", "b"]) { id } }', { byIds: [null, { id: 'b' }] }, 1],
    ['{ kind blob report { id } }', { kind: 'A', blob: [1, 2, 3], report: { id: 1 } }, 85],
    ['{ pricedArgument(arg: 1) }', { pricedArgument: null }, 10],
    ['mutation { rename { id } }', { rename: { id: 1 } }, 11],
    ['mutation { rename { id } }', null, 10],
    ['{ members { id } }', null, 0],
    ['{ members { id } }', {}, 0],
    ['{ refund }', { refund: 1 }, 0],
    ['{ connection(first: 50) { edges { node { id } } } }', { connection: { edges: [{ node: { id: 1 } }] } }, 3],
  ])('weighs what came back: %s %j = %d', (source, data, expected) => {
    expect(actual(source, data)).toBe(expected);
  });

  const ACTORS =
    '{ actors { __typename ... on User { id friend { id } } ... on Robot { id owner { id } parts { id } } } }';

  it('weighs every object as the type that it is', () => {
    expect(actual(ACTORS, { actors: [user(1), robot(2), user(3)] })).toBe(1 + 4 + 1 + 2 + 1);
  });

  it('finds the type by its fields where the client did not ask for its name, or aliased another field to it', () => {
    const unnamed = ACTORS.replace('__typename', '');
    const data = {
      actors: [
        { id: 1, owner: { id: 1 }, parts: [] },
        { id: 2, friend: null },
      ],
    };
    expect(actual(unnamed, data)).toBe(5 + 1);
    const faked = unnamed.replace('owner {', '__typename: name owner {');
    expect(actual(faked, { actors: [{ __typename: 'User', id: 1, owner: { id: 1 }, parts: [] }] })).toBe(5);
  });

  it('takes the type without the fields that the object lacks', () => {
    expect(actual('{ node(id: 1) { id ... on Robot { parts { id } } } }', { node: { id: 1 } })).toBe(1);
  });

  it('takes the heavier type where the fields do not tell', () => {
    expect(actual('{ node(id: 1) { id } }', { node: { id: 1 } })).toBe(4);
    expect(actual('{ node(id: 1) { id __typename } }', { node: { id: 1, __typename: 'User' } })).toBe(1);
  });

  it('reads only own members of the data', () => {
    expect(actual('{ owner { id } }', Object.create({ owner: { id: 1 } }))).toBe(0);
  });

  it('never exceeds the estimate where the lists are no longer than assumed', () => {
    const tree: fc.Memo<unknown> = fc.memo((depth) =>
      fc.record({
        id: fc.nat(),
        friend: depth <= 1 ? fc.constant(null) : fc.option(tree(depth - 1)),
        friends: depth <= 1 ? fc.constant([]) : fc.array(tree(depth - 1), { maxLength: 10 }),
      }),
    );
    const source = `{ members { ...U } actor { ...U } } fragment U on User { id friend { ...V } friends { ...V } } fragment V on User { id friend { id } friends { id } }`;
    const estimated = cost(source);
    fc.assert(
      fc.property(fc.array(tree(3), { maxLength: 10 }), fc.option(tree(3)), (members, actor) => {
        expect(actual(source, { members, actor })).toBeLessThanOrEqual(estimated);
      }),
      { numRuns: 30 },
    );
  });

  it('agrees with what the executor answers', async () => {
    const rootValue = {
      members: [{ id: 1, friends: [{ id: 2 }, { id: 3 }], friend: null }],
      owner: { id: 4, friends: [] },
    };
    const source =
      '{ members { id friends { id } friend { id } } owner { ...F friends { id } } } fragment F on User { friends { name } }';
    const { data } = await execute({ schema, document: parse(source), rootValue });
    expect(actual(source, data)).toBe(1 + 2 + 1);
  });
});

describe('a composed supergraph', () => {
  it('costs an operation over two subgraphs by the directives of both', () => {
    const link =
      'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@cost", "@listSize"])';
    const services = [
      `${link} type Query { users(first: Int): UserConnection! @listSize(slicingArguments: ["first"], sizedFields: ["nodes"]) }
       type UserConnection { nodes: [User!]! } type User @key(fields: "id") { id: ID! }`,
      `${link} type User @key(fields: "id") { id: ID! invoices: [Invoice!]! @listSize(assumedSize: 12) }
       type Invoice @cost(weight: 3) { id: ID! }`,
    ];
    const { supergraphSdl = '' } = composeServices(
      services.map((sdl, index) => ({ name: `s${index}`, url: 'http://localhost', typeDefs: parse(sdl) })),
    );
    const api = buildASTSchema(transformSupergraphToPublicSchema(parse(supergraphSdl)));
    const document = parse('{ users(first: 5) { nodes { id invoices { id } } } }');
    const input = { ...inputOfDocument(document), schema: api, costs: readCostSchema(supergraphSdl) };
    expect(estimateCost(input).total).toBe(1 + 5 * (1 + 12 * 3));
    expect(actualCost({ ...input, data: { users: { nodes: [{ id: 1, invoices: [{ id: 1 }] }] } } })).toBe(1 + 1 + 3);
  });
});

import { buildASTSchema, parse, validate } from 'graphql';
import type { GraphQLSchema } from 'graphql';
import { describe, expect, it } from 'vitest';
import { readCostSchema } from '#schema/cost/cost-schema.ts';
import { actualCost, estimateCost } from '#schema/cost/query-cost.ts';
import type { CostInput } from '#schema/cost/query-cost.ts';
import { inputOfDocument } from './cost-fixture.ts';

// The totals that Hive Router (default list size 10) and Apollo Router (100) publish for their test fixtures, over
// schemas of the same shape. What each number says of the model, and where the peers differ, is in docs/cost.md.

const DIRECTIVES = `
  directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
  directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
  directive @join__field(requires: String) on FIELD_DEFINITION
`;

const basic = platform(`
  type Query {
    text(id: ID): String
    byInput(input: Order): String
    one: Box
    boxes: [Box]
    labelled: Labelled
    either: Either
    foundBy(input: Order): [Tag]
  }
  type Mutation { act: Int }
  type Subscription { changed: Box }
  input Order { first: Line second: Line lines: [Line!] }
  input Line { id: ID }
  interface Labelled { label: String }
  union Either = Box | Tag
  type Box { number: Int tags: [Tag] }
  type Tag implements Labelled { number: Int label: String }
`);

const FRAGMENTS = `
  { labelled { ...L } either { ...B ...T } }
  fragment L on Labelled { label ... on Tag { number } }
  fragment B on Box { tags { number } } fragment T on Tag { number }
`;

const harbour = platform(`
  type Query { people: [Person!]! vessels: [Vessel!]! }
  type Vessel { id: ID! name: String! owner: Person! fee: Float @join__field(requires: "owner { places { code } }") }
  type Person { license: ID! name: String! places: [Place!]! }
  type Place { street: String! code: Int! }
`);

const NAMED = '{ vessels { name } }';
const REQUIRED = '{ vessels { name fee } }';
const SHARED = '{ vessels { owner { ...P } } people { ...P } } fragment P on Person { license name }';

const weighed = platform(`
  type Query {
    field: Int @cost(weight: 5)
    argument(value: Int @cost(weight: 10)): Int
    enumerated: Grade
    input(given: Given): Int
    scalar: Bulky
    object: Precious
    listed: [String!] @listSize(assumedSize: 2000, requireOneSlicingArgument: false)
    page(first: Int = 10): Page @listSize(slicingArguments: ["first"], sizedFields: ["items"])
  }
  enum Grade @cost(weight: 15) { A B }
  input Given { part: Int @cost(weight: 20) }
  scalar Bulky @cost(weight: 30)
  type Precious @cost(weight: 40) { id: ID }
  type Page { items: [Item] }
  type Item { id: ID }
`);

const WEIGHED = 'field argument(value: 3) enumerated input(given: { part: 1 }) scalar object { id } listed';
const CUSTOM = `{ ${WEIGHED} page(first: 5) { items { id } } }`;
const CUSTOM_BY_DEFAULT = `{ ${WEIGHED} page { items { id } } }`;

describe('with lists of 10, as Hive Router publishes', () => {
  const estimate = (input: CostInput): number => estimateCost({ ...input, defaultListSize: 10 }).total;

  it.each([
    ['basic_fragments', basic(FRAGMENTS), 12],
    ['basic_mutation', basic('mutation { act }'), 10],
    ['custom_cost', weighed(CUSTOM), 127],
  ])('%s costs what it does there: %#', (_name, input, expected) => {
    expect(estimate(input)).toBe(expected);
  });

  it('federated_ships_required: 120 by operation; the 140 of a plan are its three fetches', () => {
    expect(estimate(harbour(REQUIRED))).toBe(10 + 10 * (1 + 10));
    const vessels = estimate(harbour('{ vessels { id name owner { license } } }'));
    const owners = estimate(harbour('{ people { places { code } } }'));
    const fees = 10;
    expect([vessels, owners, fees]).toEqual([20, 110, 10]);
    expect(vessels + owners + fees).toBe(140);
  });

  it('federated_ships_fragment: 30 by operation; the 40 of a plan are its three fetches', () => {
    expect(estimate(harbour(SHARED))).toBe(30);
    const fetches = ['{ vessels { owner { license } } }', '{ people { license name } }', '{ people { name } }'];
    expect(fetches.reduce((sum, fetch) => sum + estimate(harbour(fetch)), 0)).toBe(40);
  });
});

describe('with lists of 100, as Apollo Router publishes', () => {
  const estimate = (input: CostInput): number => estimateCost({ ...input, defaultListSize: 100 }).total;

  it.each([
    ['an object', basic('{ one { number } }'), 1],
    ['a list', basic('{ boxes { number } }'), 100],
    ['nested lists', basic('{ boxes { tags { number } } }'), 10_100],
    ['an input object', basic('{ byInput(input: { first: { id: 1 } second: { id: 2 } lines: [{ id: 3 }] }) }'), 4],
    [
      'an input object and a list',
      basic('{ foundBy(input: { first: { id: 1 } second: { id: 2 } lines: [{ id: 3 }] }) { number } }'),
      104,
    ],
    ['fragments', basic(FRAGMENTS), 102],
    ['ships, named', harbour(NAMED), 100],
    ['ships with @requires, by operation', harbour(REQUIRED), 10_200],
    ['ships with a fragment, by operation', harbour(SHARED), 300],
    ['every weight', weighed(CUSTOM), 127],
    ['every weight, with a default slicing argument', weighed(CUSTOM_BY_DEFAULT), 132],
    [
      'skipped and excluded fields',
      basic('{ one @skip(if: true) { number } boxes @include(if: false) { number } }'),
      0,
    ],
    ['a subscription', basic('subscription { changed { number } }'), 1],
  ])('%s: %#', (_name, input, expected) => {
    expect(estimate(input)).toBe(expected);
  });

  it('by plan the ships cost 10,400 and 400, since each fetch counts its objects again', () => {
    const total = (fetches: string[]): number => fetches.reduce((sum, fetch) => sum + estimate(harbour(fetch)), 0);
    const fees = 100;
    expect(total(['{ vessels { id name owner { license } } }', '{ people { places { code } } }']) + fees).toBe(10_400);
    expect(total(['{ vessels { owner { license } } }', '{ people { license } }', '{ people { name } }'])).toBe(400);
  });
});

describe('what answers cost, by the shape of the response', () => {
  const vessels = (count: number): unknown[] =>
    Array.from({ length: count }, () => ({ name: 'x', fee: 1, owner: { license: 1, name: 'y' } }));

  it.each([
    [
      'Hive: basic_fragments',
      basic(FRAGMENTS),
      { labelled: { __typename: 'Tag' }, either: { __typename: 'Box', tags: [] } },
      2,
    ],
    ['Hive: federated_ships_required', harbour(REQUIRED), { vessels: vessels(3) }, 3],
    ['Hive: federated_ships_fragment', harbour(SHARED), { vessels: vessels(5), people: [{}, {}] }, 12],
    ['Hive: custom_cost', weighed(CUSTOM), customAnswer(2), 124],
    [
      'Apollo: input object and list',
      basic('{ foundBy(input: { first: {} second: {} lines: [{}] }) { number } }'),
      { foundBy: [{}, {}, {}] },
      7,
    ],
    ['Apollo: ships, named', harbour(NAMED), { vessels: vessels(2) }, 2],
    ['Apollo: ships with @requires', harbour(REQUIRED), { vessels: vessels(2) }, 2],
    ['Apollo: ships with a fragment', harbour(SHARED), { vessels: vessels(2), people: [{}, {}] }, 6],
    ['Apollo: every weight', weighed(CUSTOM), customAnswer(3), 125],
  ])('%s: %#', (_name, input, data, expected) => {
    expect(actualCost({ ...input, data })).toBe(expected);
  });

  it('keeps the surcharge of a mutation, which the peers drop from what an answer cost', () => {
    expect(actualCost({ ...basic('mutation { act }'), data: { act: 6 } })).toBe(10);
  });
});

function customAnswer(items: number): unknown {
  return {
    field: 2,
    argument: 30,
    enumerated: 'A',
    input: 5,
    scalar: 6_172_364,
    object: { id: 9 },
    listed: ['a', 'b', 'c', 'd', 'e'],
    page: { items: Array.from({ length: items }, (_, id) => ({ id })) },
  };
}

/** Returns a function that makes the cost input of a valid operation over the schema. */
function platform(sdl: string): (source: string) => CostInput {
  const schema: GraphQLSchema = buildASTSchema(parse(DIRECTIVES + sdl));
  const costs = readCostSchema(DIRECTIVES + sdl);
  return (source) => {
    const document = parse(source);
    const [fault] = validate(schema, document);
    if (fault !== undefined) throw fault;
    return { ...inputOfDocument(document), schema, costs };
  };
}

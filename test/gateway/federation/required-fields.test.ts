import { describe, expect, it } from 'vitest';
import { newPlanner } from '../../../gateway/execution/planner.ts';
import { federate } from '../execution/federated-graph.ts';

interface Reference {
  readonly id: string;
}

const BOOKS = ['b1', 'b2', 'b3'].map((id, index) => ({ id, editor: `editor of ${id}`, shelf: 's1', index }));

/** A curator is whoever edited the second book of a shelf: her field asks for the first two, whatever the caller asks. */
const shelves = await federate({
  rooms: {
    sdl: `type Query { shelves: [Shelf!]! } type Shelf @key(fields: "id") { id: ID! }`,
    resolvers: { Query: { shelves: () => [{ id: 's1' }] } },
  },
  staff: {
    sdl: `type Book @key(fields: "id") { id: ID! editor: String! }`,
    resolvers: { Book: { __resolveReference: ({ id }: Reference) => BOOKS.find((book) => book.id === id) } },
  },
  catalog: {
    sdl: `
      type Shelf @key(fields: "id") {
        id: ID!
        books(first: Int!): [Book!]!
        curator: String! @requires(fields: "books(first: 2) { editor }")
      }
      type Book @key(fields: "id") { id: ID! editor: String! @external }`,
    resolvers: {
      Shelf: {
        books: (_shelf: Reference, { first }: { first: number }) => BOOKS.slice(0, first).map(({ id }) => ({ id })),
        curator: ({ books }: { books: readonly { editor: string }[] }) =>
          `${books.length} books, last by ${books.at(-1)?.editor}`,
        __resolveReference: (reference: object) => reference,
      },
    },
  },
});

const PARCELS = {
  depots: {
    sdl: `type Query { depot: Depot } type Depot { parcels: [Parcel!]! } type Parcel @key(fields: "id") { id: ID! }`,
    resolvers: { Query: { depot: () => ({ parcels: [{ id: 'p1' }, { id: 'p2' }] }) } },
  },
  scales: {
    sdl: `type Query { parcel: Parcel } type Parcel @key(fields: "id") { id: ID! weight(unit: String!): Int! }`,
    resolvers: {
      Query: { parcel: () => ({ id: 'p1' }) },
      Parcel: {
        __resolveReference: (reference: object) => reference,
        weight: (_parcel: Reference, { unit }: { unit: string }) => (unit === 'kg' ? 3 : 3000),
      },
    },
  },
  tariffs: {
    sdl: `type Parcel @key(fields: "id") {
      id: ID!
      weight(unit: String!): Int! @external
      letterRate: String! @requires(fields: "weight(unit: \\"g\\")")
      freightRate: String! @requires(fields: "weight(unit: \\"kg\\")")
    }`,
    resolvers: {
      Parcel: {
        __resolveReference: (reference: object) => reference,
        letterRate: ({ weight }: { weight: number }) => `${weight} at letter rate`,
        freightRate: ({ weight }: { weight: number }) => `${weight} at freight rate`,
      },
    },
  },
};
const parcels = await federate(PARCELS);

describe('a field that a subgraph requires with arguments', () => {
  const curator = '2 books, last by editor of b2';

  it.each([
    ['a literal', '{ shelves { curator books(first: 1) { id } } }'],
    ['a variable', 'query ($first: Int = 1) { shelves { curator books(first: $first) { id } } }'],
    [
      'fragments',
      `query ($first: Int = 1) { shelves { curator ...One ...Other } }
       fragment One on Shelf { books(first: $first) { id } } fragment Other on Shelf { books(first: $first) { id } }`,
    ],
  ])('leaves the same field as the caller asks for it, by %s, as it is', async (_by, text) => {
    const { data, errors } = await shelves.ask(text);
    expect(errors).toEqual([]);
    expect(data).toEqual({ shelves: [{ curator, books: [{ id: 'b1' }] }] });
  });

  it('is not shown where the caller did not ask for it', async () => {
    const { data, errors } = await shelves.ask('{ shelves { curator } }');
    expect(errors).toEqual([]);
    expect(data).toEqual({ shelves: [{ curator }] });
  });

  it('reaches two fields that require it with different arguments, each with its own', async () => {
    const { data, errors } = await parcels.ask('{ parcel { letterRate freightRate weight(unit: "kg") } }');
    expect(errors).toEqual([]);
    expect(data).toEqual({
      parcel: { letterRate: '3000 at letter rate', freightRate: '3 at freight rate', weight: 3 },
    });
  });

  const rates = { letterRate: '3000 at letter rate', freightRate: '3 at freight rate' };
  it.each([
    ['both', 'letterRate freightRate', rates],
    ['the other variant', 'letterRate weight(unit: "kg")', { letterRate: rates.letterRate, weight: 3 }],
    ['both and one of them', 'weight(unit: "kg") freightRate letterRate', { weight: 3, ...rates }],
    ['one of them under a condition', 'letterRate freightRate @include(if: $yes)', rates],
    ['both under conditions', 'letterRate @include(if: $yes) ... @include(if: $yes) { freightRate }', rates],
    ['one of them left out', 'letterRate @skip(if: $yes) freightRate', { freightRate: rates.freightRate }],
  ])('reaches them below the root as well, where the caller asks for %s', async (_what, fields, parcel) => {
    const text = `query ($yes: Boolean = true) { depot { parcels { id @skip(if: $yes) ${fields} } } }`;
    const { data, errors } = await parcels.ask(text, { yes: true });
    expect(errors).toEqual([]);
    expect(data).toEqual({ depot: { parcels: [parcel, parcel] } });
  });

  it('reaches them through the stock planner too', async () => {
    const stock = await federate(PARCELS, (sdl) => newPlanner(sdl, { native: false }));
    const { data, errors } = await stock.ask('{ depot { parcels { letterRate freightRate weight(unit: "kg") } } }');
    expect(errors).toEqual([]);
    expect(data).toEqual({
      depot: {
        parcels: [
          { ...rates, weight: 3 },
          { ...rates, weight: 3 },
        ],
      },
    });
  });

  it('never ends the process that plans, whatever variants stand beside each other', async () => {
    const text =
      '{ depot { parcels { ... on Parcel { letterRate ... on Parcel { freightRate } } freightRate letterRate } } }';
    expect((await parcels.ask(text)).data).toEqual({ depot: { parcels: [rates, rates] } });
  });
});

import { describe, expect, it } from 'vitest';
import { federate } from '../execution/federated-graph.ts';

interface Part {
  readonly id: string;
  readonly serial: { readonly maker: string; readonly line: string; readonly number: string };
  readonly name?: string;
}

const PART: Part = { id: 'p1', serial: { maker: 'm', line: 'l', number: '7' }, name: 'axle' };

/** Both know a part by several keys, and each answers by one of them only. */
const parts = await federate({
  names: {
    sdl: `
      type Part
        @key(fields: "id")
        @key(fields: "serial { maker line }", resolvable: false)
        @key(fields: "id serial { line number }", resolvable: false) {
        id: ID!
        serial: Serial!
        name: String!
      }
      type Serial { maker: ID! line: ID! number: ID! }`,
    resolvers: { Part: { __resolveReference: ({ id }: Part) => (id === PART.id ? PART : null) } },
  },
  stock: {
    sdl: `
      type Query { order: Order }
      type Order { parts: [Part!]! }
      type Part
        @key(fields: "serial { maker line }", resolvable: false)
        @key(fields: "id serial { line number }")
        @key(fields: "id", resolvable: false) {
        id: ID!
        serial: Serial!
        name: String! @external
        label: String! @requires(fields: "name")
      }
      type Serial { maker: ID! line: ID! number: ID! }`,
    resolvers: {
      Query: { order: () => ({ parts: [{ id: PART.id, serial: PART.serial }] }) },
      Part: {
        __resolveReference: (reference: Part) =>
          reference.serial.line === 'l' && reference.serial.number === '7' ? reference : null,
        label: ({ id, name }: Part) => `${id}: ${name}`,
      },
    },
  },
});

/** Nothing in the only subgraph that knows the field implements the interface, and no other can be asked by its key. */
const signs = await federate({
  maps: {
    sdl: `interface Sign @key(fields: "id") { id: ID! } type Query { nearest: Sign }`,
    resolvers: { Query: { nearest: () => ({ __typename: 'Sign', id: 's1' }) } },
  },
  texts: {
    sdl: `type Sign @key(fields: "id", resolvable: false) @interfaceObject { id: ID! text: String }
      type Query { last: Sign }`,
    resolvers: { Query: { last: () => ({ id: 's1' }) }, Sign: { text: () => 'stop' } },
  },
});

describe('an entity that subgraphs know by different keys', () => {
  it('is completed by the key that the other one answers to, the parts of composite keys included', async () => {
    const { data, errors } = await parts.ask('{ order { parts { id name label } } }');
    expect(errors).toEqual([]);
    expect(data).toEqual({ order: { parts: [{ id: 'p1', name: 'axle', label: 'p1: axle' }] } });
  });
});

describe('an interface that nothing implements', () => {
  it('is refused, not answered with null, where a field of it cannot be reached', async () => {
    await expect(signs.ask('{ nearest { text } }')).rejects.toThrow();
  });

  it('answers where the subgraph of its fields itself is asked', async () => {
    const { data, errors } = await signs.ask('{ last { id text } }');
    expect(errors).toEqual([]);
    expect(data).toEqual({ last: { id: 's1', text: 'stop' } });
  });
});

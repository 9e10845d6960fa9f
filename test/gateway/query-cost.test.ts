import { describe, expect, it } from 'vitest';
import { estimateCost } from '#schema/cost/query-cost.ts';
import { cost, estimateUnchecked, failureOf, inputOf } from './cost-fixture.ts';

describe('estimateCost', () => {
  it.each([
    ['{ name }', 0],
    ['{ __typename }', 0],
    ['{ owner { id name } }', 1],
    ['{ members { id } }', 10],
    ['{ numbers }', 0],
    ['{ members { friends { id } } }', 110],
    ['{ members { friends { friends { id } } } }', 1_110],
    ['{ matrix { id } }', 100],
    ['mutation { touch }', 10],
    ['mutation { rename(name: "x") { id } }', 11],
    ['subscription { changed { id } }', 1],
    ['{ a: owner { id } b: owner { id } }', 2],
  ])('weighs objects 1, leaves 0, mutations 10, and multiplies lists: %s = %d', (source, expected) => {
    expect(cost(source)).toBe(expected);
  });

  it('agrees with the figures that other gateways publish for a default list size of 100', () => {
    const options = { defaultListSize: 100 };
    expect(cost('{ owner { id } }', options)).toBe(1);
    expect(cost('{ members { id } }', options)).toBe(100);
    expect(cost('{ members { friends { id } } }', options)).toBe(10_100);
    expect(cost('{ filtered(filter: { not: {}, and: [{}, {}] }) }', options)).toBe(4);
    expect(
      cost('query($no: Boolean = true) { owner @skip(if: $no) { id } members @include(if: false) { id } }', options),
    ).toBe(0);
    expect(cost('subscription { changed { id } }', options)).toBe(1);
  });

  it('agrees with their figure of 127 for every kind of weight at once, and 132 with the default slice', () => {
    const weights = 'priced pricedArgument(arg: 3) kind filtered(filter: { name: "x" }) blob report { id } numbers';
    expect(
      cost(`{ ${weights} connection(first: 5) { ...Nodes } } fragment Nodes on UserConnection { nodes { id } }`),
    ).toBe(127);
    expect(cost(`{ ${weights} connection(first: 10) { nodes { id } } }`)).toBe(132);
  });

  it('takes the weight of a field in place of that of its type, and multiplies it by the list', () => {
    expect(cost('{ pricedOwner { id } }')).toBe(5);
    expect(cost('{ pricedMembers { id friend { id } } }')).toBe(60);
    expect(cost('{ pricedNumbers }')).toBe(20);
    expect(cost('{ pricedActor { ... on User { friend { id } } } }')).toBe(8);
  });

  it('counts an argument once and only where it is given', () => {
    expect(cost('{ pricedArgument }')).toBe(0);
    expect(cost('{ pricedArgument(other: 1) }')).toBe(0);
    expect(cost('{ pricedArgument(arg: null) }')).toBe(0);
    expect(cost('query($n: Int) { pricedArgument(arg: $n) }')).toBe(0);
    expect(cost('query($n: Int) { pricedArgument(arg: $n) }', { variables: { n: 1 } })).toBe(10);
    expect(cost('query($n: Int = 1) { pricedArgument(arg: $n) }')).toBe(10);
  });

  it('weighs input objects at every depth, in literals as in variables', () => {
    const filter = { name: 'x', and: [{ name: 'y' }, {}], not: { not: { name: 'z' } } };
    const literal = '{ filtered(filter: { name: "x", and: [{ name: "y" }, {}], not: { not: { name: "z" } } }) }';
    expect(cost(literal)).toBe(5 + 3 * 20);
    expect(cost('query($f: Filter) { filtered(filter: $f) }', { variables: { f: filter } })).toBe(65);
    expect(cost('query($f: Filter!) { filtered(filters: [$f, { not: $f }]) }', { variables: { f: filter } })).toBe(131);
    expect(cost('{ filtered(filters: { name: "one stands for a list" }) }')).toBe(21);
  });

  it('floors a field at 0 where its weight is negative', () => {
    expect(cost('{ refund owner { id } }')).toBe(1);
    expect(cost('{ refund }')).toBe(0);
  });

  it('gives introspection one flat price and does not go into it', () => {
    expect(cost('{ __schema { types { fields { type { name } } } } t: __type(name: "User") { name } }')).toBe(20);
  });
});

describe('list sizes', () => {
  it.each([
    ['{ assumed { id } }', 3],
    ['{ sliced(first: 5) { id } }', 5],
    ['{ sliced(last: 6) { id } }', 6],
    ['{ defaulted { id } }', 4],
    ['{ defaulted(first: 9) { id } }', 9],
    ['{ defaulted(last: 2) { id } }', 4],
    ['{ defaulted(last: 20) { id } }', 20],
    ['{ loose { id } }', 7],
    ['{ loose(first: 2, last: 3) { id } }', 3],
    ['{ byIds(ids: ["a", "b"]) { id } }', 2],
    ['{ byIds(ids: []) { id } }', 0],
    ['{ search(input: { page: { first: 5 } }) { id } }', 5 + 2],
    ['{ search(input: { page: {} }) { id } }', 2 + 2],
    ['{ search(input: {}) { id } }', 6 + 1],
    ['{ search { id } }', 10],
    ['{ search(input: null) { id } }', 10],
    ['{ sliced(first: 0) { id friends { id } } }', 0],
  ])('%s costs %d', (source, expected) => {
    expect(cost(source)).toBe(expected);
  });

  it('takes sizes from variables, their defaults, and an explicit null as not given', () => {
    const source = 'query($n: Int = 8) { loose(first: $n) { id } }';
    expect(cost(source)).toBe(8);
    expect(cost(source, { variables: { n: 3 } })).toBe(3);
    expect(cost(source, { variables: { n: null } })).toBe(7);
    expect(cost('query($ids: [ID!]!) { byIds(ids: $ids) { id } }', { variables: { ids: ['a', 'b', 'c'] } })).toBe(3);
    expect(cost('query($p: Page) { search(input: { page: $p }) { id } }', { variables: { p: { first: 30 } } })).toBe(
      32,
    );
  });

  it('sizes the edges and nodes of a connection, and no other list in it', () => {
    expect(cost('{ connection(first: 5) { edges { cursor } } }')).toBe(1 + 5);
    expect(cost('{ connection(first: 5) { edges { node { id } } pageInfo { hasNextPage } } }')).toBe(1 + 1 + 5 * 2);
    expect(cost('{ connection(last: 5) { nodes { id } edges { node { friends { id } } } } }')).toBe(1 + 5 + 5 * 12);
    expect(cost('{ connection(first: 5) { other { id } } }')).toBe(11);
    expect(cost('{ connection { nodes { id } } }')).toBe(11);
    expect(cost('{ connection(first: 5) { ... on UserConnection { n: nodes { id } } } }')).toBe(6);
  });

  it('keeps sizes apart where the same selection stands under two connections', () => {
    const fragment = 'fragment N on UserConnection { nodes { id } }';
    expect(cost(`{ a: connection(first: 2) { ...N } b: connection(first: 30) { ...N } } ${fragment}`)).toBe(34);
    expect(cost('{ source { list { nodes { id } } } }')).toBe(1 + 1 + 30);
  });

  it.each([
    '{ sliced { id } }',
    '{ sliced(first: 1, last: 1) { id } }',
    '{ sliced(first: null) { id } }',
    '{ defaulted(first: null) { id } }',
    '{ defaulted(first: 1, last: 1) { id } }',
  ])('refuses %s, which does not give exactly one slicing argument', (source) => {
    const failure = failureOf(() => cost(source));
    expect(failure.code).toBe('COST_INVALID_SLICING_ARGUMENTS');
    expect(failure.hint).toMatch(/^"(sliced|defaulted)" takes exactly one of: first, last\.$/);
  });

  it.each([
    [-5, 0],
    [-(2 ** 31), 0],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [1e300, 2 ** 31],
    [Infinity, 2 ** 31],
    [2.5, 3],
    [Number.NaN, 7],
    ['12', 7],
    [{ first: 3 }, 7],
    [true, 7],
  ])('takes the hostile size %s as %d elements', (first, expected) => {
    expect(cost('query($n: Int) { loose(first: $n) { id } }', { variables: { n: first } })).toBe(expected);
  });

  it('keeps the weight of the arguments where the size is negative', () => {
    expect(cost('{ weighedSlice(first: -5) { id } }')).toBe(3);
  });

  it('takes an absurd literal as the largest list and saturates instead of overflowing', () => {
    expect(estimateUnchecked(`{ loose(first: ${'9'.repeat(400)}) { id } }`).total).toBe(2 ** 31);
    const nested = '{ loose(first: 2147483647) { friends { friends { friends { id } } } } }';
    expect(cost(nested, { defaultListSize: 2 ** 31 })).toBe(Number.MAX_SAFE_INTEGER);
    expect(cost('{ cube(first: 0) { id } }', { defaultListSize: 2 ** 31 })).toBe(0);
    expect(
      cost(`{ z: loose(first: 0) { friends { friends { friends { id } } } } }`, { defaultListSize: 2 ** 31 }),
    ).toBe(0);
  });
});

describe('abstract types', () => {
  it('cost what their dearest possible type costs', () => {
    expect(cost('{ actor { __typename } }')).toBe(4);
    expect(cost('{ actor { ... on User { friend { id } } } }')).toBe(4);
    expect(cost('{ actor { ... on User { friends { id } } ... on Robot { owner { id } } } }')).toBe(11);
    expect(cost('{ actor { ... on User { friends { id } } ... on Robot { parts { id } owner { id } } } }')).toBe(15);
    expect(cost('{ node(id: 1) { id ... on Node { ... on Robot { parts { id } } } } }')).toBe(14);
    expect(cost('{ actors { ... on User { id } } }')).toBe(40);
  });
});

describe('selections', () => {
  it('merge by response key as the executor merges them', () => {
    const source = `
      { owner { friend { id } ...A ...B ... { friend { name } } } }
      fragment A on User { friend { friends { id } } }
      fragment B on User { friend { friends { name } friend { id } } ...A }
    `;
    expect(cost(source)).toBe(1 + 1 + 10 + 1);
  });

  it('follow @skip and @include on fields, spreads and inline fragments', () => {
    const source = `
      query($on: Boolean!, $off: Boolean = false) {
        a: owner @include(if: $on) { id }
        b: owner @skip(if: $on) { id }
        ...Owner @include(if: $on)
        ... @skip(if: $on) { c: owner { id } }
        d: owner @include(if: $off) { id }
      }
      fragment Owner on Query { e: owner { id } }
    `;
    expect(cost(source, { variables: { on: true } })).toBe(2);
    expect(cost(source, { variables: { on: false } })).toBe(2);
    expect(cost(source, { variables: { on: true, off: true } })).toBe(3);
  });

  it('count where a condition is missing or no Boolean, since the operation then fails anyway', () => {
    const source = 'query($on: Boolean!) { owner @include(if: $on) { id } friend: owner @skip(if: $on) { id } }';
    expect(cost(source)).toBe(2);
    expect(cost(source, { variables: { on: 'false' } })).toBe(2);
  });

  it('list what every place of the response costs, lists above included', () => {
    expect(
      estimateCost(inputOf('{ connection(first: 5) { edges { node { id f: friends { id } } } } name }')).byField(),
    ).toEqual([
      { path: 'connection', cost: 61 },
      { path: 'name', cost: 0 },
      { path: 'connection.edges', cost: 60 },
      { path: 'connection.edges.node', cost: 55 },
      { path: 'connection.edges.node.id', cost: 0 },
      { path: 'connection.edges.node.f', cost: 50 },
      { path: 'connection.edges.node.f.id', cost: 0 },
    ]);
  });
});

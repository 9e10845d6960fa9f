import { parse } from 'graphql';
import { describe, expect, it } from 'vitest';
import { compileCost } from '#schema/cost/cost-program.ts';
import type { CostProgram } from '#schema/cost/cost-program.ts';
import { dryRunExtension } from '#schema/cost/query-cost.ts';
import { cost, failureOf, inputOf, inputOfDocument } from './cost-fixture.ts';

function program(source: string): CostProgram {
  return compileCost(inputOf(source));
}

/** The least CPU time that one call took, in microseconds, over several rounds: a busy machine adds to most of them. */
function leastUs(calls: number, work: () => unknown): number {
  let least = Infinity;
  for (let round = 0; round < 9; round++) {
    const started = process.cpuUsage();
    for (let call = 0; call < calls; call++) work();
    least = Math.min(least, process.cpuUsage(started).user / calls);
  }
  return least;
}

const PAGES = `
  query($n: Int!, $m: Int = 3, $f: Filter, $on: Boolean!) {
    a: connection(first: $n) { edges { node { friends { id } } } nodes { id friend @include(if: $on) { id } } }
    b: connection(last: $m) { nodes { friends @skip(if: $on) { id } } }
    filtered(filter: $f)
  }
`;

describe('a compiled cost', () => {
  it.each([
    { n: 5, on: true },
    { n: 0, on: false },
    { n: 7, m: 9, on: true, f: { name: 'x', and: [{}, {}] } },
    { n: 1e9, m: null, on: false, f: null },
    { n: 'many', m: [1, 2], on: 'yes', f: [{ name: 1 }] },
    {},
  ])('gives each request what a fresh estimate gives: %j', (variables) => {
    const shared = program(PAGES);
    for (const other of [{ n: 2, on: true }, variables, { n: 3, on: false, f: {} }, variables]) {
      expect(shared.estimate(other).total).toBe(cost(PAGES, { variables: other }));
      expect(dryRunExtension(shared.estimate(other))).toEqual(dryRunExtension(program(PAGES).estimate(other)));
    }
  });

  it('is compiled once, and once more for each combination of conditions', () => {
    const constant = program('{ members { friends { id } } }');
    const work = constant.work();
    for (let call = 0; call < 3; call++) constant.estimate({});
    expect(constant.work()).toBe(work);
    const conditional = program(PAGES);
    conditional.estimate({ n: 1, on: true });
    const once = conditional.work();
    conditional.estimate({ n: 900, on: true });
    expect(conditional.work()).toBe(once);
    conditional.estimate({ n: 1, on: false });
    expect(conditional.work()).toBeGreaterThan(once);
  });

  it('forgets combinations when they become many, and stays right', () => {
    const names = Array.from({ length: 6 }, (_, index) => `v${index}`);
    const source = `query(${names.map((name) => `$${name}: Boolean!`).join()}) {
      ${names.map((name, index) => `a${index}: owner @include(if: $${name}) { id }`).join(' ')} }`;
    const shared = program(source);
    for (let mask = 0; mask < 64; mask++) {
      const variables = Object.fromEntries(names.map((name, index) => [name, (mask & (1 << index)) !== 0]));
      const on = Object.values(variables).filter(Boolean).length;
      expect(shared.estimate(variables).total).toBe(on);
    }
  });

  it('breaks the estimate down by place, for a dry run', () => {
    const source =
      'query($n: Int) { connection(first: $n) { edges { node { id } } } actor { ... on Robot { parts { id } } } }';
    expect(dryRunExtension(program(source).estimate({ n: 4 }))).toEqual({
      requestedQueryCost: 9 + 14,
      fields: [
        { path: 'connection', cost: 9 },
        { path: 'actor', cost: 14 },
        { path: 'connection.edges', cost: 8 },
        { path: 'actor.parts', cost: 10 },
        { path: 'connection.edges.node', cost: 4 },
        { path: 'actor.parts.id', cost: 0 },
        { path: 'connection.edges.node.id', cost: 0 },
      ],
    });
  });

  it('ignores variables that the operation does not declare', () => {
    const input = inputOfDocument(parse('{ loose(first: $n) { id } }'));
    expect(compileCost(input).estimate({ n: 50 }).total).toBe(7);
  });

  it('refuses a request whose input is too much work, and is ready for the next', () => {
    const shared = program('query($f: [Filter!]) { filtered(filters: $f) }');
    const huge = Array.from({ length: 40_000 }, () => ({}));
    expect(failureOf(() => shared.estimate({ f: huge })).code).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
    expect(shared.estimate({ f: [{}, { name: 'x' }] }).total).toBe(22);
  });

  it('does not change with the order of requests in the answers it weighs', () => {
    const shared = program('query($on: Boolean!) { owner { friend @include(if: $on) { id } } }');
    const data = { owner: { friend: { id: 1 } } };
    expect(shared.actual(data, { on: true })).toBe(2);
    expect(shared.actual(data, { on: false })).toBe(1);
    expect(shared.actual(data, { on: true })).toBe(2);
  });

  it('takes the name of a type that the client did not ask for, but not a field aliased to it', () => {
    const data = {
      actors: [
        { __typename: 'Robot', id: 1 },
        { __typename: 'User', id: 2 },
      ],
    };
    expect(program('{ actors { ... on Robot { id } ... on User { id } } }').actual(data, {})).toBe(4 + 1);
    const aliased = program('{ actors { ... on Robot { __typename: id owner { id } } ... on User { id } } }');
    expect(aliased.actual({ actors: [{ __typename: 'User', owner: { id: 1 } }] }, {})).toBe(4 + 1);
  });
});

describe('the time it takes', () => {
  it('is under 3 us for an estimate that two variables decide', () => {
    const shared = program(
      'query($n: Int!, $m: Int!) { a: connection(first: $n) { edges { node { friends { id } } } } b: sliced(first: $m) { id } }',
    );
    const variables = { n: 10, m: 20 };
    expect(leastUs(10_000, () => shared.estimate(variables).total)).toBeLessThan(3);
  });

  it('is under 60 us for an answer of 600 objects and 2,500 fields', () => {
    const shared = program('{ members { id name friends { id name friend { id name } } } }');
    const leaf = (id: number): unknown => ({ id, name: 'name', friend: null });
    const members = Array.from({ length: 60 }, (_, id) => ({
      id,
      name: 'name',
      friends: Array.from({ length: 9 }, (_unused, inner) => leaf(inner)),
    }));
    expect(shared.actual({ members }, {})).toBe(600);
    expect(leastUs(500, () => shared.actual({ members }, {}))).toBeLessThan(60);
  });
});

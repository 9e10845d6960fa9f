import { expect, test } from 'vitest';
import { newPlanner } from '../../../gateway/execution/planner.ts';
import { federate } from './federated-graph.ts';
import { SUBGRAPHS } from './shop-graph.ts';

const graph = await federate(SUBGRAPHS);

test('equal representations travel once, for all places where the entity stands', async () => {
  graph.calls.length = 0;
  await graph.ask('{ a: reviews(first: 4) { author { badge } } b: reviews(first: 4) { author { badge } } }');
  const call = graph.calls.find(({ subgraph }) => subgraph === 'badges');
  const lists = Object.values(call?.variables ?? {}) as { id: string }[][];
  expect(
    lists
      .flat()
      .map(({ id }) => id)
      .sort(),
  ).toEqual(['u1', 'u2', 'u3']);
});

test('an error inside an entity stands at every place of that entity', async () => {
  const { errors } = await graph.ask('{ users { id friends { id badge } } }');
  const places = errors.map(({ path }) => path?.slice(0, 4));
  expect(places).toContainEqual(['users', 0, 'friends', 0]);
});

test('a null where none may be takes away the nearest thing that can be null, with one error', async () => {
  const { data, errors } = await graph.ask('{ user(id: "u3") { id score } version }');
  expect(data).toEqual({ user: null, version: 7 });
  expect(errors).toHaveLength(1);
  expect(errors[0]?.path).toEqual(['user', 'score']);
});

test('questions about the schema mix with data, also through fragments, and the root knows its own name', async () => {
  graph.calls.length = 0;
  const text =
    '{ __typename s: __schema { queryType { name } } ...F } fragment F on Query { __type(name: "Pet") { name kind } version }';
  const { json } = await graph.ask(text);
  expect(json).toBe(
    '{"__typename":"Query","s":{"queryType":{"name":"Query"}},"__type":{"name":"Pet","kind":"INTERFACE"},"version":7}',
  );
  expect(graph.calls).toHaveLength(1);
  graph.calls.length = 0;
  expect((await graph.ask('{ __typename }')).json).toBe('{"__typename":"Query"}');
  expect(graph.calls).toHaveLength(0);
});

test('a response name that every object inherits something under is a name like any other; __proto__ is refused', async () => {
  const { data } = await graph.ask('{ product(upc: "p1") { constructor: name toString: upc valueOf: shipping } }');
  expect(data).toEqual({ product: { constructor: 'Table', toString: 'p1', valueOf: 14 } });
  await expect(graph.ask('{ product(upc: "p1") { __proto__: name } }')).rejects.toThrow('__proto__');
});

test('variables that do not fit are refused before anything runs, at most fifty of them', async () => {
  graph.calls.length = 0;
  const bad = await graph.ask('query ($first: Int!) { reviews(first: $first) { id } }', { first: 'many' });
  expect(bad.json).toBeNull();
  expect(bad.errors[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
  const names = Array.from({ length: 80 }, (_, index) => `v${index}`);
  const declared = names.map((name) => `$${name}: Int!`).join(' ');
  const used = names.map((name) => `${name}: reviews(first: $${name}) { id }`).join(' ');
  const many = await graph.ask(`query (${declared}) { ${used} }`, {});
  expect(many.errors.length).toBeLessThanOrEqual(51);
  expect(graph.calls).toHaveLength(0);
});

test('only variables that a fetch uses travel with it', async () => {
  graph.calls.length = 0;
  const text = 'query ($first: Int, $upc: String!) { reviews(first: $first) { id } product(upc: $upc) { name } }';
  await graph.ask(text, { first: 1, upc: 'p1', extra: 1 });
  expect(graph.calls.map(({ variables }) => variables)).toEqual(expect.arrayContaining([{ first: 1 }, { upc: 'p1' }]));
});

test('the stock planner plans the same answers where no native one runs', async () => {
  const stock = await federate(SUBGRAPHS, (sdl) => newPlanner(sdl, { native: false }));
  for (const text of [
    '{ users { id name badge reviews { stars product { upc shipping area } } } }',
    '{ things { __typename ... on Book { pages rating } ... on Product { name stock { count product { name } } } } }',
    '{ reviews(first: 4) { media { title __typename ... on Book { pages } } } }',
  ]) {
    const [native, other] = await Promise.all([graph.ask(text), stock.ask(text)]);
    expect(other.json).toBe(native.json);
  }
});

test('an operation that the native planner finds no way for is planned by the stock one', async () => {
  const { data } = await graph.ask('{ reviews(first: 1) { media { ... on Book { pages } } } }');
  expect(data).toEqual({ reviews: [{ media: { pages: 100 } }] });
});

test('a condition may change the order of fields, and the order of the operation is kept', async () => {
  const text = 'query ($a: Boolean!) { user(id: "u1") { id @include(if: $a) name id } }';
  expect((await graph.ask(text, { a: true })).json).toBe('{"user":{"id":"u1","name":"Ada"}}');
  expect((await graph.ask(text, { a: false })).json).toBe('{"user":{"name":"Ada","id":"u1"}}');
});

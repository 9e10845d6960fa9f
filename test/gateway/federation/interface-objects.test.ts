import { expect, it } from 'vitest';
import { federate } from '../execution/federated-graph.ts';
import { SUBGRAPHS } from '../execution/shop-graph.ts';

const graph = await federate(SUBGRAPHS);

it.each([
  ['beside each other', '... on Book { rating } ... on Film { id_0: id }'],
  ['in the other order', '... on Film { id_0: id } ... on Book { rating }'],
  ['within the interface', '... on Media { ... on Book { rating } ... on Film { id_0: id } }'],
])('fields of several types of an interface object come for each of them: %s', async (_where, fields) => {
  const { data, errors } = await graph.ask(`{ reviews(first: 3) { media { ${fields} } } }`);
  expect(errors).toEqual([]);
  expect(data).toEqual({ reviews: [{ media: { rating: 5 } }, { media: { id_0: 'm2' } }, { media: null }] });
});

it('fields of one type of an interface object are asked for that type alone', async () => {
  graph.calls.length = 0;
  const { data } = await graph.ask('{ reviews(first: 2) { media { ... on Film { rating } } } }');
  expect(data).toEqual({ reviews: [{ media: {} }, { media: { rating: 1 } }] });
  const rated = graph.calls.filter(({ text }) => text.includes('rating'));
  expect(rated.map(({ variables }) => variables)).toEqual([{ representations: [{ __typename: 'Media', id: 'm2' }] }]);
});

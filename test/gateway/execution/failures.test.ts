import { parse } from 'graphql';
import { describe, expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import type { SubgraphLink, SubgraphRequest } from '../../../gateway/execution/subgraph-link.ts';
import { federate, type FederatedGraph } from './federated-graph.ts';
import { SUBGRAPHS } from './shop-graph.ts';

const graph = await federate(SUBGRAPHS);

describe('a subgraph that does not answer', () => {
  test('keeps the rest of the answer, and is one error with its code', async () => {
    const failing = () => Promise.reject(new TenonError('SERVICE_UNAVAILABLE', 'connection refused'));
    const { data, errors } = await run(graph, '{ products { name stock { count } reviews { id } } version }', {
      reviews: failing,
    });
    expect(data).toMatchObject({ products: [{ name: 'Table', stock: { count: 2 }, reviews: null }, {}, {}] });
    expect(errors).toEqual([
      {
        message: 'A part of the platform is not available; try again soon.',
        path: ['products', 0, 'reviews'],
        extensions: { code: 'SERVICE_UNAVAILABLE' },
      },
    ]);
  });

  test('takes what may not be null with it, and is still one error', async () => {
    const answer = { errors: [{ message: 'slow', extensions: { code: 'GATEWAY_TIMEOUT' } }] };
    const { data, errors } = await run(graph, '{ products { name stock { count } } }', { stock: async () => answer });
    expect(data).toEqual({ products: [null, null, null] });
    expect(errors.map(({ extensions }) => extensions?.['code'])).toEqual(['GATEWAY_TIMEOUT']);
  });

  test('with neither data nor errors counts as unavailable', async () => {
    const { errors } = await run(graph, '{ products { name } }', { catalog: async () => ({}) });
    expect(errors[0]?.extensions).toEqual({ code: 'SERVICE_UNAVAILABLE' });
  });

  test('leaves nobody asked with half of what a field requires', async () => {
    const sent: string[] = [];
    const { data } = await run(graph, '{ reviews(first: 1) { product { shipping } } }', {
      catalog: async () => ({ data: { _entities: [null] }, errors: [{ message: 'lost', path: ['_entities', 0] }] }),
      stock: async (request) => {
        sent.push(request.operation.text);
        return { data: null };
      },
    });
    expect(data).toEqual({ reviews: [{ product: { shipping: null } }] });
    expect(sent).toEqual([]);
  });

  test('what the program throws inside stays inside', async () => {
    const { errors } = await run(graph, '{ products { name } }', {
      catalog: () => {
        throw new Error('secret host 10.0.0.7');
      },
    });
    expect(JSON.stringify(errors)).not.toContain('10.0.0.7');
  });
});

describe('a thing that the subgraph which should know it knows nothing of', () => {
  const nothing = async ({ variables }: SubgraphRequest) => {
    const [representations] = Object.values(variables ?? {});
    return { data: { _entities: (representations as unknown[]).map(() => null) } };
  };

  test('is null where nothing may stand, and is no error', async () => {
    const { data, errors } = await run(graph, '{ products { upc stock { count } } product(upc: "p1") { upc } }', {
      stock: nothing,
    });
    expect(data).toEqual({ products: [null, null, null], product: { upc: 'p1' } });
    expect(errors).toEqual([]);
  });

  test('keeps what others know of it, where the rest may be null', async () => {
    const { data, errors } = await run(graph, '{ products { upc reviews { stars } } }', { reviews: nothing });
    expect(data.products).toContainEqual({ upc: 'p1', reviews: null });
    expect(errors).toEqual([]);
  });

  test('is an error where something has to stand', async () => {
    const { data, errors } = await run(graph, '{ users { id badge } }', { badges: nothing });
    expect(data).toBeNull();
    expect(errors.map(({ message, path }) => [message, path])).toEqual([
      ['Cannot return null for non-nullable field Query.users.', ['users', 0]],
    ]);
  });
});

test('after an abort no further call is sent', async () => {
  const abort = new AbortController();
  const sent: string[] = [];
  const links = wrapped(graph, (name, request, call) => {
    sent.push(name);
    abort.abort();
    return call(request);
  });
  const program = await graph.execution.compile({ document: parse('{ products { name reviews { id } } }') });
  const { errors } = await program.run({ variables: {}, links, call: null, signal: abort.signal });
  expect(sent).toEqual(['catalog']);
  expect(errors[0]?.extensions).toEqual({ code: 'GATEWAY_TIMEOUT' });
});

test('what a subgraph answers beyond its types is null with an error, never shown', async () => {
  const { json, errors } = await run(graph, '{ users { role name } }', {
    accounts: async () => ({ data: { users: [{ role: 'SECRET', name: { inner: 1 } }] } }),
  });
  expect(json).toBe('{"users":[{"role":null,"name":null}]}');
  expect(errors.map(({ path }) => path)).toEqual([
    ['users', 0, 'role'],
    ['users', 0, 'name'],
  ]);
  expect(JSON.stringify(errors)).not.toContain('SECRET');
});

type Send = (request: SubgraphRequest) => ReturnType<SubgraphLink<unknown>['send']>;

function wrapped(
  { links }: FederatedGraph,
  around: (name: string, request: SubgraphRequest, call: Send) => ReturnType<Send>,
): Map<string, SubgraphLink<unknown>> {
  return new Map(
    [...links].map(([name, link]) => [
      name,
      { send: (request: SubgraphRequest) => around(name, request, (inner) => link.send(inner, null)) },
    ]),
  );
}

async function run(over: FederatedGraph, text: string, instead: Readonly<Record<string, Send>>) {
  const links = wrapped(over, (name, request, call) => (instead[name] ?? call)(request));
  const program = await over.execution.compile({ document: parse(text) });
  const { json, errors } = await program.run({ variables: {}, links, call: null });
  return { json, errors, data: json === null ? undefined : JSON.parse(json) };
}

import { describe, expect, it } from 'vitest';
import { openHouse } from '../support/house.ts';
import { hostileRequests } from './hostile-documents.ts';

const house = await openHouse();

/** One body as a client would send it, and whether it must be refused. */
interface HostileBody {
  readonly name: string;
  readonly body: string;
  readonly isRefused: boolean;
}

const LANES = 4;

const VIEWER = '{ viewer { __typename } }';

/** What only HTTP can carry. */
const BODIES: readonly HostileBody[] = [
  { name: 'a batch of 1,000', body: `[${Array(1_000).fill('{"query":"{ __typename }"}').join()}]`, isRefused: true },
  { name: 'a body of 100,000 lists', body: `${'['.repeat(100_000)}${']'.repeat(100_000)}`, isRefused: true },
  {
    name: 'half a surrogate pair below 100,000 lists',
    body: String.raw`{"query":"{ __typename }","variables":{"a":${'['.repeat(100_000)}"\ud800"${']'.repeat(100_000)}}}`,
    isRefused: true,
  },
  { name: 'a body beyond the limit', body: `{"query":"${' '.repeat(1_100_000)}"}`, isRefused: true },
  { name: 'a body that ends too early', body: `{"query":"${'x'.repeat(500_000)}`, isRefused: true },
  { name: 'a name twice', body: '{"query":"{ __typename }","query":"{ viewer { __typename } }"}', isRefused: false },
  { name: 'a prototype', body: '{"__proto__":{"query":"{ __typename }"}}', isRefused: true },
  { name: 'a query that is a list', body: '{"query":["{ __typename }"]}', isRefused: true },
  { name: 'variables that are text', body: '{"query":"{ __typename }","variables":"{}"}', isRefused: true },
];

const documents: readonly HostileBody[] = hostileRequests().map(({ name, query, expected, variablesJson }) => ({
  name,
  body: `{"query":${JSON.stringify(query)}${variablesJson === undefined ? '' : `,"variables":${variablesJson}`}}`,
  isRefused: expected !== 'answered',
}));

async function send(body: string): Promise<{ readonly status: number; readonly codes: readonly unknown[] }> {
  const headers = { 'content-type': 'application/json', accept: 'application/graphql-response+json' };
  const response = await house.fetch(house.initech.admin, '/graphql', { method: 'POST', headers, body });
  // What the HTTP server itself refuses comes as problem details.
  const answer = (await response.json()) as { errors?: { extensions?: { code?: unknown } }[]; code?: unknown };
  return { status: response.status, codes: answer.errors?.map((error) => error.extensions?.code) ?? [answer.code] };
}

describe('hostile requests over HTTP', () => {
  it.each([...BODIES, ...documents])('$name', async ({ body, isRefused }) => {
    const { status, codes } = await send(body);
    expect(status).toBeLessThan(500);
    if (!isRefused) return;
    expect(status).toBeGreaterThanOrEqual(400);
    expect(codes[0]).toMatch(/^[A-Z_]+$/);
    expect(codes[0]).not.toBe('INTERNAL_SERVER_ERROR');
  });

  it('keep no other client waiting for more than those that are under way', async () => {
    await house.graphql(house.globex.admin, VIEWER);
    const over = new AbortController();
    let answered = 0;
    const lanes = Array.from({ length: LANES }, async (_, lane) => {
      for (const { body } of documents.filter((_one, index) => index % LANES === lane)) {
        await send(body);
        answered += 1;
      }
    });
    const flood = Promise.all(lanes).finally(() => over.abort());
    const overtakenBy: number[] = [];
    while (!over.signal.aborted) {
      const before = answered;
      const { status, data } = await house.graphql(house.globex.admin, VIEWER);
      overtakenBy.push(answered - before);
      expect({ status, data }).toMatchObject({ status: 200, data: { viewer: { __typename: 'Viewer' } } });
    }
    await flood;
    // Counted in answers, not in time: it holds on a busy machine too.
    const sorted = overtakenBy.toSorted((a, b) => a - b);
    expect(sorted.length).toBeGreaterThan(5);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThanOrEqual(2 * LANES);
    expect(sorted.at(-1)).toBeLessThanOrEqual(8 * LANES);
  });
});

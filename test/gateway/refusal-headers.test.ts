import { beforeAll, describe, expect, it } from 'vitest';
import { codesOf, get, post, twice, type HttpAnswer } from '../support/graphql-http.ts';
import { openHouse, type House } from '../support/house.ts';
import { partnerKey } from '../support/partner.ts';

let house: House;
let partner: string;

beforeAll(async () => {
  house = await openHouse({ env: { LIMITS: 'batch=2,depth=6,bodyBytes=2000' } });
  partner = await partnerKey(house, 'acme', { client: 'erp', scopes: ['projects:read'] });
});

const PLAIN = '{ tenant { slug } }';
const DEAR = '{ projects(first: 100) { edges { node { documents(first: 100) { edges { cursor } } } } } }';
const DEEP = '{ projects { edges { node { documents { edges { node { name } } } } } } }';
const policies = (by: 'user' | 'client', name = 'query') =>
  [`tenant-${name}`, 'tenant-requests', `${by}-${name}`, `${by}-requests`].map((policy) => `"${policy}"`);
const namesIn = (header: string | null) => (header ?? '').split(', ').map((part) => part.split(';')[0]);
const admin = () => house.acme.admin;

interface Refused {
  readonly code: string;
  readonly send: () => Promise<HttpAnswer>;
  readonly estimated?: number;
  readonly names?: readonly string[];
}

/** One request for every step that refuses before the budgets are asked. */
const REFUSED: Readonly<Record<string, Refused>> = {
  'a body that is no JSON object': { code: 'BAD_REQUEST', send: () => post(house, admin(), { body: 'text' }) },
  'a body that is too large': {
    code: 'PAYLOAD_TOO_LARGE',
    send: () => post(house, admin(), { body: { query: PLAIN, pad: 'x'.repeat(2_000) } }),
  },
  'another content type': {
    code: 'UNSUPPORTED_MEDIA_TYPE',
    send: () => post(house, admin(), { body: {}, headers: { 'content-type': 'text/plain' } }),
  },
  'a batch that is too long': {
    code: 'BATCH_LIMIT_EXCEEDED',
    send: () => post(house, admin(), { body: Array.from({ length: 3 }, () => ({ query: PLAIN })) }),
  },
  'a GET that a browser could have sent': {
    code: 'CSRF_PREVENTION_FAILED',
    send: () =>
      get(house, admin(), {
        path: `/graphql?query=${encodeURIComponent(PLAIN)}`,
        headers: { 'apollo-require-preflight': '' },
      }),
  },
  'a mutation by GET': {
    code: 'METHOD_NOT_ALLOWED',
    send: () =>
      get(house, admin(), {
        path: `/graphql?query=${encodeURIComponent('mutation { createProject(input: { name: "x" }) { __typename } }')}`,
      }),
    names: policies('user', 'mutation'),
  },
  'a document beyond a limit': { code: 'MAX_DEPTH_LIMIT', send: () => post(house, admin(), { body: { query: DEEP } }) },
  'a document that cannot be parsed': {
    code: 'GRAPHQL_PARSE_FAILED',
    send: () => post(house, admin(), { body: { query: '{' } }),
  },
  'a document that does not validate': {
    code: 'GRAPHQL_VALIDATION_FAILED',
    send: () => post(house, admin(), { body: { query: '{ nothing }' } }),
  },
  'a text of a partner': {
    code: 'PERSISTED_QUERY_ID_REQUIRED',
    send: () => post(house, partner, { body: { query: PLAIN } }),
    names: policies('client'),
  },
  'an id that is not registered': {
    code: 'PERSISTED_QUERY_NOT_IN_LIST',
    send: () => post(house, partner, { body: { documentId: 'f'.repeat(64) } }),
    names: policies('client'),
  },
  'an operation that is too dear': {
    code: 'COST_ESTIMATED_TOO_EXPENSIVE',
    send: () => post(house, admin(), { body: { query: DEAR } }),
    estimated: 10_301,
    names: policies('user', 'bulk'),
  },
};

describe('a refusal before the budgets', () => {
  it.each(Object.entries(REFUSED))('says what is left of them and takes nothing: %s', async (_name, refused) => {
    const left: (string | null)[] = [];
    await twice(async () => {
      const { headers, body } = await refused.send();
      expect(codesOf(body)).toEqual([refused.code]);
      expect(namesIn(headers.get('ratelimit-policy'))).toEqual(refused.names ?? policies('user'));
      expect(namesIn(headers.get('ratelimit'))).toEqual(refused.names ?? policies('user'));
      expect(headers.get('x-ratelimit-limit')).toBe('10000');
      expect(headers.get('x-ratelimit-reset')).toMatch(/^\d+$/);
      expect(body.extensions?.cost).toEqual({
        requestedQueryCost: refused.estimated ?? null,
        actualQueryCost: null,
        throttleStatus: {
          maximumAvailable: 10_000,
          currentlyAvailable: Number(headers.get('x-ratelimit-remaining')),
          restoreRate: expect.any(Number),
        },
      });
      left.push(headers.get('x-ratelimit-remaining'));
    });
    expect(left).toEqual(['10000', '10000']);
  });

  it('shows the bucket as the answers before left it', async () => {
    const spend = 'mutation { createProject(input: { name: "spent" }) { project { id } } }';
    let last: HttpAnswer | undefined;
    for (let time = 0; time < 40; time++) last = await post(house, house.globex.admin, { body: { query: spend } });
    expect(last?.status).toBe(200);
    const refused = await get(house, house.globex.admin, {
      path: `/graphql?query=${encodeURIComponent(spend)}`,
    });
    expect(codesOf(refused.body)).toEqual(['METHOD_NOT_ALLOWED']);
    const remaining = Number(refused.headers.get('x-ratelimit-remaining'));
    expect(remaining).toBeGreaterThanOrEqual(Number(last?.headers.get('x-ratelimit-remaining')));
    expect(remaining).toBeLessThan(2_000);
  });

  it('has no budgets to tell of where nobody is known to ask', async () => {
    const { headers, body } = await post(house, 'nobody', { body: { query: PLAIN } });
    expect(codesOf(body)).toEqual(['UNAUTHENTICATED']);
    expect([headers.get('ratelimit'), headers.get('x-ratelimit-limit'), body.extensions]).toEqual([
      null,
      null,
      undefined,
    ]);
  });
});

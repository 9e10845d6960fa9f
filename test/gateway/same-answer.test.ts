import { describe, expect, it } from 'vitest';
import { get, metricOf, post, type HttpAnswer } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';

const houses = [await openHouse({ mode: 'local' }), await openHouse({ mode: 'remote' })] as const;

/** A request that is sent twice: the first passes Apollo Server, the second runs the program it left behind. */
interface Repeated {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** By default `admin`. */
  readonly by?: 'admin' | 'member' | 'auditor' | 'scim';
  readonly method?: 'GET';
  readonly headers?: Readonly<Record<string, string>>;
  readonly expected: { readonly status: number; readonly code: string | null };
}

const PROTOCOL = { accept: 'application/graphql-response+json' };
const NOBODY = 'prj_00000000000000000000000000';
const NO_EVENT = 'aud_00000000000000000000000000';
const OK = { status: 200, code: null };
const NESTED = '{ projects(first: 100) { edges { node { documents(first: 100) { edges { node { id } } } } } } }';
const CREATE = 'mutation Create($name: String!) { createProject(input: { name: $name }) { project { name } } }';

const repeated: readonly Repeated[] = [
  { name: 'a field', body: { query: '{ tenant { slug } }' }, expected: OK },
  {
    name: 'fields of three subgraphs under aliases',
    body: {
      query: '{ mine: tenant { key: slug tier } projects(first: 2) { edges { cursor } } me: viewer { scopes } }',
    },
    expected: OK,
  },
  { name: 'nothing but a type name', body: { query: 'query Name { __typename }' }, expected: OK },
  { name: 'a null', body: { query: `{ project(id: "${NOBODY}") { name } }` }, expected: OK },
  {
    name: 'variables and a skipped field',
    body: {
      query: 'query ($first: Int!, $not: Boolean!) { projects(first: $first) { edges @skip(if: $not) { cursor } } }',
      variables: { first: 3, not: true, unused: [1, { a: null }] },
    },
    expected: OK,
  },
  {
    name: 'one of two operations',
    body: { query: 'query A { tenant { slug } } query B { tenant { region } }', operationName: 'B' },
    expected: OK,
  },
  { name: 'introspection', body: { query: '{ __type(name: "Tenant") { name kind } tenant { slug } }' }, expected: OK },
  { name: 'the protocol’s own media type', headers: PROTOCOL, body: { query: '{ tenant { name } }' }, expected: OK },
  { name: 'a GET', method: 'GET', body: { query: 'query Get { tenant { slug } }' }, expected: OK },
  {
    name: 'a GET with variables in the protocol’s own media type',
    method: 'GET',
    headers: PROTOCOL,
    body: { query: 'query ($first: Int!) { projects(first: $first) { edges { cursor } } }', variables: '{"first":1}' },
    expected: OK,
  },
  { name: 'a mutation', body: { query: CREATE, variables: { name: 'Twice' } }, expected: OK },
  {
    name: 'a mutation that is refused inside',
    body: { query: CREATE, variables: { name: '' } },
    expected: { status: 200, code: 'BAD_USER_INPUT' },
  },
  {
    name: 'a mutation by GET',
    method: 'GET',
    body: { query: 'mutation ByGet { signOut { signedOut } }' },
    expected: { status: 405, code: 'METHOD_NOT_ALLOWED' },
  },
  {
    name: 'a right that is missing',
    by: 'member',
    body: { query: `{ tenant { slug } auditEvent(id: "${NO_EVENT}") { id } }` },
    expected: { status: 403, code: 'FORBIDDEN' },
  },
  {
    name: 'an error that leaves nothing',
    headers: PROTOCOL,
    body: { query: '{ tenant { slug } projects(after: "nowhere") { edges { cursor } } }' },
    expected: { status: 200, code: 'BAD_USER_INPUT' },
  },
  {
    name: 'a variable that is missing',
    body: { query: 'query Missing($first: Int!) { projects(first: $first) { edges { cursor } } }' },
    expected: { status: 200, code: 'BAD_USER_INPUT' },
  },
  {
    name: 'a variable of another type',
    headers: PROTOCOL,
    body: {
      query: 'query Wrong($first: Int!) { projects(first: $first) { edges { cursor } } }',
      variables: { first: 'three' },
    },
    expected: { status: 400, code: 'BAD_USER_INPUT' },
  },
  {
    name: 'a variable that is null and must not be',
    body: { query: CREATE.replace('Create', 'Null'), variables: { name: null } },
    expected: { status: 200, code: 'BAD_USER_INPUT' },
  },
  {
    name: 'a dry run',
    headers: { 'x-cost-dry-run': '1' },
    body: { query: '{ projects(first: 7) { edges { node { name } } } }' },
    expected: OK,
  },
  {
    name: 'an operation that is too dear',
    body: { query: NESTED },
    expected: { status: 400, code: 'COST_ESTIMATED_TOO_EXPENSIVE' },
  },
  {
    name: 'introspection without the right to it',
    by: 'scim',
    body: { query: '{ __schema { queryType { name } } }' },
    expected: { status: 403, code: 'INTROSPECTION_DISABLED' },
  },
  {
    name: 'a field that the schema does not have',
    body: { query: '{ tenant { slugs } }' },
    expected: { status: 200, code: 'GRAPHQL_VALIDATION_FAILED' },
  },
  {
    name: 'a document that is none',
    headers: PROTOCOL,
    body: { query: '{ tenant { slug }' },
    expected: { status: 400, code: 'GRAPHQL_PARSE_FAILED' },
  },
];

/** Headers of the answer itself; the others tell of the moment, of the connection or of this request alone. */
const HEADERS_COMPARED = /^(?!date$|x-request-id$|content-length$|x-ratelimit-re|ratelimit$|keep-alive$|connection$)/;

function comparable({ status, headers, text }: HttpAnswer) {
  const requestId = headers.get('x-request-id') ?? 'none';
  return {
    status,
    headers: Object.fromEntries([...headers].filter(([name]) => HEADERS_COMPARED.test(name))),
    // As text, so that the order of fields counts too.
    text: text.replaceAll(requestId, 'this request').replace(/"currentlyAvailable":[\d.]+/, '"currentlyAvailable":0'),
    hasRequestId: requestId.startsWith('req_'),
    hasLevels: headers.has('ratelimit') && headers.has('x-ratelimit-remaining') && headers.has('x-ratelimit-reset'),
  };
}

describe.each([
  ['local', houses[0]],
  ['remote', houses[1]],
] as const)('with %s subgraphs, a request that is sent again is answered as it was the first time:', (_mode, house) => {
  it.each(repeated)('$name', async ({ body, by = 'admin', method, headers = {}, expected }) => {
    const send = () =>
      method === 'GET'
        ? get(house, house.acme[by], {
            path: `/graphql?${new URLSearchParams(body as Record<string, string>)}`,
            headers,
          })
        : post(house, house.acme[by], { body, headers });
    const first = await send();
    expect({ status: first.status, code: first.body.errors?.[0]?.extensions.code ?? null }).toEqual(expected);
    expect(comparable(await send())).toEqual(comparable(first));
  });

  it('a mutation by GET, before and after it was sent by POST', async () => {
    const query = 'mutation SeenByPost { signOut { signedOut } }';
    const byGet = () => get(house, house.globex.scim, { path: `/graphql?${new URLSearchParams({ query })}` });
    const first = await byGet();
    expect((await post(house, house.globex.scim, { body: { query } })).status).toBe(200);
    expect(first.status).toBe(405);
    expect(comparable(await byGet())).toEqual(comparable(first));
  });

  it('and what is new is compiled once', async () => {
    const counted = (result: string) => metricOf(house, `tenon_program_cache_total{result="${result}"}`);
    const before = { hit: await counted('hit'), miss: await counted('miss') };
    const body = { query: '{ tenant { createdAt } }' };
    for (let sent = 0; sent < 3; sent++) await post(house, house.acme.admin, { body });
    expect({ hit: await counted('hit'), miss: await counted('miss') }).toEqual({
      hit: before.hit + 2,
      miss: before.miss + 1,
    });
  });
});

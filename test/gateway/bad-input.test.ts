import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../support/house.ts';

let house: House;
let now = new Date();
const CREATE = 'mutation ($name: String!) { createProject(input: { name: $name }) { project { id name } } }';

beforeAll(async () => {
  house = await openHouse({ clock: () => now });
});

describe('a credential', () => {
  const foreignSecret = () => {
    const [head] = house.acme.admin.split(/\.(?=[^.]*$)/);
    const [, secret] = house.globex.admin.split(/\.(?=[^.]*$)/);
    return `${head}.${secret}`;
  };
  const cases: [string, () => string | null][] = [
    ['that is missing', () => null],
    ['of no known form', () => 'nonsense'],
    ['that is empty', () => ' '],
    ['with a changed secret', () => `${house.acme.admin.slice(0, -2)}AA`],
    ['with the secret of another tenant', foreignSecret],
    ['of a tenant that does not exist', () => house.acme.admin.replace(/_[0-9a-z]{26}/, `_${'0'.repeat(26)}`)],
    ['of ten thousand characters', () => `tnu_${'a'.repeat(10_000)}`],
    ['with SQL in it', () => `tnu_${"' or 1=1 --".padEnd(26, '0')}.${'0'.repeat(26)}.${'a'.repeat(43)}`],
  ];
  it.each(cases)('%s is refused as unauthenticated, and nothing more is said', async (_name, token) => {
    const answer = await house.fetch(token(), '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: '{ tenant { slug } }' }),
    });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    const { errors } = (await answer.json()) as { errors: { message: string; extensions: object }[] };
    expect(errors).toEqual([
      {
        message: 'The credential is missing, unknown, expired or revoked.',
        extensions: { code: 'UNAUTHENTICATED', requestId: answer.headers.get('x-request-id') },
      },
    ]);
  });

  it('that has expired is refused, and a clock that jumps back brings it to life no later than it was', async () => {
    const start = now;
    now = new Date(start.getTime() + 366 * 24 * 3_600_000);
    expect((await house.graphql(house.acme.admin, '{ tenant { slug } }')).status).toBe(401);
    now = new Date(start.getTime() - 3_600_000);
    const answer = await house.graphql(house.acme.member, CREATE, { name: 'an hour ago' });
    expect(answer.errors).toBeUndefined();
    now = start;
    const list = await house.graphql(house.acme.member, '{ projects(first: 5) { edges { node { name } } } }');
    expect(JSON.stringify(list.data)).toContain('an hour ago');
  });
});

describe('a body', () => {
  const post = (body: string, type = 'application/json') =>
    house.fetch(house.acme.member, '/graphql', { method: 'POST', headers: { 'content-type': type }, body });
  it.each([
    ['that is not JSON', '{"query": "{ tenant', 400, 'BAD_REQUEST'],
    ['that is a list', '[]', 400, 'BAD_REQUEST'],
    ['that is null', 'null', 400, 'BAD_REQUEST'],
    ['without a query', '{}', 400, 'BAD_REQUEST'],
    ['with a query of another type', '{"query": 7}', 400, 'BAD_REQUEST'],
    ['with variables of another type', '{"query": "{ tenant { slug } }", "variables": [1]}', 400, 'BAD_REQUEST'],
    // Faults of a document answer 200 in plain JSON (GraphQL over HTTP, section 6.4.1).
    ['with an unknown field', '{"query": "{ secrets }"}', 200, 'GRAPHQL_VALIDATION_FAILED'],
    ['that does not parse', '{"query": "{ tenant { "}', 200, 'GRAPHQL_PARSE_FAILED'],
    [
      'with two operations and no name',
      '{"query": "query A { tenant { slug } } query B { tenant { slug } }"}',
      400,
      'BAD_REQUEST',
    ],
  ])('%s is refused with a code of the table', async (_name, body, status, code) => {
    const answer = await post(body);
    expect(answer.status).toBe(status);
    const { errors } = (await answer.json()) as { errors: { extensions: { code: string } }[] };
    expect(errors[0]?.extensions.code).toBe(code);
  });

  it('of another content type is refused', async () => {
    expect((await post('{"query": "{ tenant { slug } }"}', 'text/plain')).status).toBe(415);
  });

  it('of ten megabytes is refused, and the next request is answered', async () => {
    const answer = await post(JSON.stringify({ query: `{ tenant { slug } } # ${'x'.repeat(10 * 1024 * 1024)}` })).catch(
      () => null,
    );
    // The server may close the connection while the body is still on its way; what counts is that it never reads on.
    expect([413, undefined]).toContain(answer?.status);
    expect((await house.graphql(house.acme.member, '{ tenant { slug } }')).status).toBe(200);
  });
});

describe('a mutation', () => {
  it('by GET is refused, and changes nothing', async () => {
    const query = encodeURIComponent('mutation { createProject(input: { name: "by GET" }) { project { id } } }');
    const answer = await house.fetch(house.acme.member, `/graphql?query=${query}`, {
      headers: { 'apollo-require-preflight': '1' },
    });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await answer.json()).toMatchObject({ errors: [{ extensions: { code: 'METHOD_NOT_ALLOWED' } }] });
    const list = await house.graphql(house.acme.member, '{ projects(first: 100) { edges { node { name } } } }');
    expect(JSON.stringify(list.data)).not.toContain('by GET');
  });
});

describe('a value', () => {
  it.each([
    ['with a null byte', 'a\u0000b', ['BAD_USER_INPUT']],
    ['that is too long', 'x'.repeat(201), ['BAD_USER_INPUT']],
    ['that is empty', '', ['BAD_USER_INPUT']],
  ])('%s is refused, and nothing is stored', async (_name, name, codes) => {
    const answer = await house.graphql(house.acme.member, CREATE, { name });
    expect(codes).toContain(answer.errors?.[0]?.extensions.code);
    const list = await house.graphql(house.acme.member, '{ projects(first: 100) { edges { node { name } } } }');
    const names = (list.data as unknown as { projects: { edges: { node: { name: string } }[] } }).projects.edges.map(
      ({ node }) => node.name,
    );
    expect(names).not.toContain(name);
  });

  it('with a lone surrogate is refused, and nothing is stored', async () => {
    const response = await house.fetch(house.acme.member, '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"query": ${JSON.stringify(CREATE)}, "variables": {"name": "broken \\ud800"}}`,
    });
    const { errors } = (await response.json()) as { errors: { extensions: { code: string } }[] };
    expect(errors[0]?.extensions.code).toBe('BAD_USER_INPUT');
    const list = await house.graphql(house.acme.member, '{ projects(first: 100) { edges { node { name } } } }');
    expect(JSON.stringify(list.data)).not.toContain('broken');
  });

  it.each([['101'], ['-1'], ['99999999999999999999'], ['1e3'], ['2147483647']])(
    'first: %s is refused',
    async (first) => {
      const answer = await house.graphql(house.acme.member, `{ projects(first: ${first}) { edges { cursor } } }`);
      expect(['BAD_USER_INPUT', 'GRAPHQL_VALIDATION_FAILED', 'COST_ESTIMATED_TOO_EXPENSIVE']).toContain(
        answer.errors?.[0]?.extensions.code,
      );
    },
  );

  it.each([
    ['that is none', 'not a cursor'],
    ['that is empty', ''],
    ['of five thousand characters', 'x'.repeat(5000)],
    ['of another form', Buffer.from('prj_1').toString('base64url')],
  ])('a cursor %s is refused', async (_name, after) => {
    const answer = await house.graphql(
      house.acme.member,
      'query ($after: String) { projects(first: 5, after: $after) { edges { cursor } } }',
      { after },
    );
    expect(answer.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
  });

  it('that is the id of something else names nothing', async () => {
    const answer = await house.graphql(house.acme.member, 'query ($id: ID!) { project(id: $id) { name } }', {
      id: house.globex.id,
    });
    expect(answer.data).toEqual({ project: null });
  });
});

describe('an address', () => {
  it.each([['/'], ['/nothing'], ['/graphql/../../etc/passwd'], ['/v1/nothing']])(
    '%s that does not exist is a problem with status 404',
    async (path) => {
      const answer = await house.fetch(house.acme.admin, path);
      expect(answer.status).toBe(404);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      expect(await answer.json()).toMatchObject({ code: 'NOT_FOUND' });
    },
  );
});

import { describe, expect, it } from 'vitest';
import { sha256Hex } from '#schema/operation-id.ts';
import { codesOf, get, post, twice } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { letRun, partnerKey } from '../support/partner.ts';

const house = await openHouse();
const ask = (token: string, query: string) => post(house, token, { body: { query } });

const WAYS_TO_ASK = {
  schema: '{ __schema { queryType { name } } }',
  type: '{ __type(name: "Tenant") { name } }',
  alias: '{ tenant: __type(name: "Tenant") { name } }',
  fragment: '{ ...Inner } fragment Inner on Query { __schema { types { name } } }',
  'inline fragment': '{ ... on Query { ... @include(if: true) { __schema { types { name } } } } }',
  'company of other fields': '{ viewer { scopes } more: __schema { directives { name } } }',
  'fragment in a fragment':
    '{ ...A } fragment A on Query { ...B } fragment B on Query { __type(name: "Query") { kind } }',
} as const;

describe('asking the schema about itself', () => {
  it.each(Object.entries(WAYS_TO_ASK))('is for a person who may, by %s', async (_way, query) => {
    for (const token of [house.acme.admin, house.acme.member, house.acme.auditor]) {
      const { status, body } = await ask(token, query);
      expect([status, body.errors]).toEqual([200, undefined]);
    }
  });

  it.each(Object.entries(WAYS_TO_ASK))(
    'is refused to a credential without the right, by %s, also where others made the operation known',
    async (_way, query) => {
      await twice(async () => {
        const { status, body } = await ask(house.acme.scim, query);
        expect([status, codesOf(body), body.data]).toEqual([403, ['INTROSPECTION_DISABLED'], undefined]);
      });
    },
  );

  it('is refused where nobody made the operation known before, by POST, by GET and in a dry run', async () => {
    const query = '{ never: __schema { subscriptionType { name } } }';
    const address = `/graphql?${new URLSearchParams({ query })}`;
    const answers = [
      await get(house, house.globex.scim, { path: address }),
      await post(house, house.globex.scim, { body: { query }, headers: { 'x-cost-dry-run': '1' } }),
      await ask(house.globex.scim, query),
    ];
    expect(answers.map(({ body }) => codesOf(body))).toEqual(answers.map(() => ['INTROSPECTION_DISABLED']));
  });

  it('is refused to a partner, even as an operation that was registered for her', async () => {
    const query = 'query Look { __schema { queryType { name } } }';
    await letRun(house, 'acme', { client: 'curious', bodies: [query] });
    const key = await partnerKey(house, 'acme', { client: 'curious', scopes: ['tenant:read', 'projects:read'] });
    await twice(async () => {
      const { status, body } = await post(house, key, { body: { documentId: sha256Hex(query) } });
      expect([status, codesOf(body)]).toEqual([403, ['INTROSPECTION_DISABLED']]);
    });
    expect(codesOf((await ask(key, query)).body)).toEqual(['PERSISTED_QUERY_ID_REQUIRED']);
  });

  it('leaves every credential the name of a type', async () => {
    const { body } = await ask(house.acme.scim, '{ __typename viewer { __typename } }');
    expect(body.data).toEqual({ __typename: 'Query', viewer: { __typename: 'Viewer' } });
  });
});

describe('an error about a document', () => {
  it.each([
    ['a field', '{ tenan { slug } }'],
    ['a field of a type', '{ tenant { slugg regio } }'],
    ['an argument', '{ projects(frst: 1) { edges { cursor } } }'],
    ['a type', 'query ($x: CreateProjectInpu!) { tenant { slug } }'],
    ['a fragment on a type', '{ tenant { ... on Tenan { slug } } }'],
    ['a directive', '{ tenant @skp(if: true) { slug } }'],
    ['an input field', 'mutation { createProject(input: { nme: "x" }) { project { id } } }'],
    ['an enum value', '{ registeredOperations(state: PENDIN) { edges { cursor } } }'],
    ['a required field', 'mutation { createProject(input: {}) { project { id } } }'],
  ])('that misspells %s names nothing of the schema that was not asked for', async (_what, query) => {
    await twice(async () => {
      const { body, text } = await ask(house.acme.scim, query);
      expect(codesOf(body)[0]).toBe('GRAPHQL_VALIDATION_FAILED');
      expect(text).not.toMatch(/did you mean/i);
      // What she would have been led to.
      expect(text).not.toMatch(/"tenant\\?"|\bslug\b(?!g)|"region|"first|CreateProjectInput"|@skip|PENDING\b/);
    });
  });

  it('or about its variables guesses nothing either', async () => {
    const wrong = [
      {
        query: 'query ($state: OperationState) { registeredOperations(state: $state) { edges { cursor } } }',
        variables: { state: 'PENDIN' },
      },
      {
        query: 'mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }',
        variables: { input: { name: 'x', nam: 'y' } },
      },
    ];
    for (const body of [...wrong, ...wrong]) {
      const answer = await post(house, house.acme.admin, { body });
      expect(codesOf(answer.body)[0]).toBe('BAD_USER_INPUT');
      expect(answer.text).not.toMatch(/did you mean/i);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { codesOf, type GraphqlBody, post, twice } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';

const house = await openHouse();

/** Posts a batch and returns its answers. */
async function batch(token: string, operations: readonly unknown[], headers: Record<string, string> = {}) {
  const { status, headers: answered, body } = await post(house, token, { body: operations, headers });
  return { status, headers: answered, answers: body as unknown as readonly GraphqlBody[], one: body };
}

const CREATE = 'mutation ($name: String!) { createProject(input: { name: $name }) { project { name } } }';
const create = (name: string) => ({ query: CREATE, variables: { name } });

describe('a batch', () => {
  it('is answered in the order of its operations, each with its own cost', async () => {
    const queries = ['{ tenant { slug } }', '{ projects(first: 3) { edges { cursor } } }', '{ tenant { tier } }'];
    await twice(async () => {
      const { status, answers } = await batch(
        house.acme.member,
        queries.map((query) => ({ query })),
      );
      expect(status).toBe(200);
      expect(answers.map(({ data }) => data)).toEqual([
        { tenant: { slug: 'acme' } },
        { projects: { edges: [] } },
        { tenant: { tier: 'ENTERPRISE' } },
      ]);
      expect(answers.map(({ extensions }) => extensions?.cost.requestedQueryCost)).toEqual([1, 4, 1]);
    });
  });

  it('holds at most ten operations; a longer one runs none of them', async () => {
    const ten = await batch(
      house.acme.member,
      Array.from({ length: 10 }, () => ({ query: '{ tenant { slug } }' })),
    );
    expect([ten.status, ten.answers.length]).toEqual([200, 10]);
    const eleven = await batch(
      house.globex.member,
      Array.from({ length: 11 }, (_, index) => create(`too many ${index}`)),
    );
    expect([eleven.status, codesOf(eleven.one)]).toEqual([400, ['BATCH_LIMIT_EXCEEDED']]);
    const empty = await batch(house.globex.member, []);
    expect([empty.status, codesOf(empty.one)]).toEqual([400, ['BAD_REQUEST']]);
    const { answers } = await batch(house.globex.member, [
      { query: '{ projects(first: 20) { edges { node { name } } } }' },
    ]);
    expect(answers[0]?.data).toEqual({ projects: { edges: [] } });
  });

  it('is paid from the budget of bulk reads, and its mutations from that of mutations', async () => {
    const alone = await post(house, house.acme.member, { body: { query: '{ tenant { slug } }' } });
    expect(alone.headers.get('ratelimit-policy')).toContain('"user-query"');
    await twice(async () => {
      const read = await batch(house.acme.member, [{ query: '{ tenant { slug region } }' }]);
      expect(read.headers.get('ratelimit-policy')).toMatch(/"tenant-bulk".*"user-bulk"/);
      expect(read.headers.get('ratelimit-policy')).not.toContain('-query"');
      const write = await batch(house.initech.member, [create('in a batch')]);
      expect(write.headers.get('ratelimit-policy')).toMatch(/"tenant-mutation".*"user-mutation"/);
    });
  });

  it('goes on after an operation that is wrong, whatever is wrong with it', async () => {
    const good = { query: '{ tenant { slug } }' };
    const { status, answers } = await batch(house.acme.member, [
      good,
      { query: '{ tenant { slug ' },
      { query: '{ tenant { oops } }' },
      { query: 5 },
      { documentId: 'f'.repeat(64) },
      { query: '{ projects(first: 100) { edges { node { documents(first: 100) { edges { cursor } } } } } }' },
      { query: 'query ($first: Int!) { projects(first: $first) { edges { cursor } } }' },
      {},
      good,
    ]);
    expect(status).toBe(200);
    expect(answers.map((answer) => codesOf(answer)[0] ?? answer.data)).toEqual([
      { tenant: { slug: 'acme' } },
      'GRAPHQL_PARSE_FAILED',
      'GRAPHQL_VALIDATION_FAILED',
      'BAD_REQUEST',
      'PERSISTED_QUERY_NOT_FOUND',
      'COST_ESTIMATED_TOO_EXPENSIVE',
      'BAD_USER_INPUT',
      'BAD_REQUEST',
      { tenant: { slug: 'acme' } },
    ]);
  });

  it('runs its mutations one after the other, each seen by those behind it', async () => {
    const read = { query: '{ projects(first: 10) { edges { node { name } } } }' };
    const { answers } = await batch(house.globex.member, [create('first'), read, create('second'), create(''), read]);
    const namesOf = ({ data }: GraphqlBody = {}) =>
      (data as { projects?: { edges: { node: { name: string } }[] } } | undefined)?.projects?.edges.map(
        ({ node }) => node.name,
      );
    expect(namesOf(answers[1])).toEqual(['first']);
    expect(codesOf(answers[3] ?? {})).toEqual(['BAD_USER_INPUT']);
    expect(namesOf(answers[4])).toEqual(['second', 'first']);
  });
});

import { describe, expect, it } from 'vitest';
import { sha256Hex } from '#schema/operation-id.ts';
import { post, twice } from '../support/graphql-http.ts';
import { openHouse } from '../support/house.ts';
import { letRun } from '../support/partner.ts';

const house = await openHouse();
const DRY = { 'x-cost-dry-run': '1' };

const LIST = 'query List($first: Int!) { projects(first: $first) { edges { node { name } } } }';
const CREATE = 'mutation ($name: String!) { createProject(input: { name: $name }) { project { id } } }';
const NAMES = '{ projects(first: 100) { edges { node { name } } } }';

const dry = (token: string, body: object) => post(house, token, { body, headers: DRY });
const run = (token: string, body: object) => post(house, token, { body });

/** Names of all projects of a tenant. */
async function names(token: string): Promise<string[]> {
  const { data } = (await run(token, { query: NAMES })).body;
  return (data as { projects: { edges: { node: { name: string } }[] } }).projects.edges.map(({ node }) => node.name);
}

/** What is left of a policy after an answer, from its `ratelimit` header. */
function leftOf(policy: string, headers: Headers): number {
  return Number(new RegExp(`"${policy}";r=(\\d+)`).exec(headers.get('ratelimit') ?? '')?.[1] ?? NaN);
}

describe('a dry run', () => {
  it('tells the estimate with its parts by field, for an operation nobody has sent before and for a known one', async () => {
    await twice(async () => {
      const { status, body } = await dry(house.acme.member, { query: LIST, variables: { first: 10 } });
      expect(status).toBe(200);
      expect(body.errors).toBeUndefined();
      expect(body.data).toBeNull();
      expect(body.extensions?.cost).toMatchObject({
        requestedQueryCost: 21,
        actualQueryCost: null,
        fields: [
          { path: 'projects', cost: 21 },
          { path: 'projects.edges', cost: 20 },
          { path: 'projects.edges.node', cost: 10 },
          { path: 'projects.edges.node.name', cost: 0 },
        ],
      });
    });
    const other = await dry(house.acme.member, { query: LIST, variables: { first: 20 } });
    expect(other.body.extensions?.cost.requestedQueryCost).toBe(41);
  });

  it('runs nothing: a mutation changes nothing, whether it is known or not', async () => {
    for (const name of ['new', 'known']) {
      const { body } = await dry(house.acme.member, { query: CREATE, variables: { name } });
      expect(body).toMatchObject({ data: null, extensions: { cost: { requestedQueryCost: 13 } } });
    }
    await run(house.acme.member, { query: CREATE, variables: { name: 'run' } });
    await dry(house.acme.member, { query: CREATE, variables: { name: 'known from a run' } });
    expect(await names(house.acme.member)).toEqual(['run']);
  });

  it('spends no points but counts as a request', async () => {
    const spent = async (send: typeof dry) => {
      const answers = [];
      // One after the other within less than a second; a bucket gets 25 points and 12.5 requests back in that time.
      for (let sent = 0; sent < 20; sent++) {
        answers.push(await send(house.initech.member, { query: LIST, variables: { first: 100 } }));
      }
      const [first, last] = [answers[0], answers.at(-1)];
      if (first === undefined || last === undefined) throw new Error('twenty were sent');
      return (policy: string) => leftOf(policy, first.headers) - leftOf(policy, last.headers);
    };
    const inDryRuns = await spent(dry);
    expect(inDryRuns('user-query')).toBeLessThanOrEqual(0);
    expect(inDryRuns('user-requests')).toBeGreaterThan(0);
  });

  it('tells a partner what her registered operation would cost, and runs no other for that', async () => {
    const list = 'query Hers($first: Int! = 20) { projects(first: $first) { edges { node { name } } } }';
    await letRun(house, 'acme', { client: 'partner-app', bodies: [list], more: { maxCost: 60 } });
    const documentId = sha256Hex(list);
    for (const [first, cost] of [
      [20, 41],
      // Beyond the ceiling it was registered with, which a run is held to.
      [100, 201],
    ] as const) {
      const { status, body } = await dry(house.acme.partner, { documentId, variables: { first } });
      expect([status, body.errors, body.extensions?.cost.requestedQueryCost]).toEqual([200, undefined, cost]);
      expect(body.extensions?.cost.fields?.[0]).toEqual({ path: 'projects', cost });
    }
    const refused = await dry(house.acme.partner, { query: list });
    expect(refused.body.errors?.[0]?.extensions.code).toBe('PERSISTED_QUERY_ID_REQUIRED');
  });

  it('tells the estimate of an operation that is dearer than one may be', async () => {
    const query = '{ projects(first: 100) { edges { node { documents(first: 100) { edges { cursor } } } } } }';
    await twice(async () => {
      const { status, body } = await dry(house.initech.member, { query });
      expect([status, body.errors, body.extensions?.cost.requestedQueryCost]).toEqual([200, undefined, 10_301]);
    });
    expect((await run(house.initech.member, { query })).body.errors?.[0]?.extensions.code).toBe(
      'COST_ESTIMATED_TOO_EXPENSIVE',
    );
  });

  it('is asked for with 1 alone, and tells what is wrong with an operation as a run does', async () => {
    const asked = await post(house, house.acme.member, {
      body: { query: '{ tenant { slug } }' },
      headers: { 'x-cost-dry-run': '0' },
    });
    expect(asked.body).toMatchObject({ data: { tenant: { slug: 'acme' } } });
    expect(asked.body.extensions?.cost).not.toHaveProperty('fields');
    const wrong = await dry(house.acme.member, { query: '{ tenant { slug oops } }' });
    expect(wrong.body.errors?.[0]?.extensions.code).toBe('GRAPHQL_VALIDATION_FAILED');
  });
});

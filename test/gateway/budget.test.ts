import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../support/house.ts';

let house: House;
const LIST = '{ projects(first: 100) { edges { node { documents(first: 8) { edges { node { id } } } } } } }';

beforeAll(async () => {
  house = await openHouse();
});

describe('the budget of a tenant', () => {
  it('shows in every answer what was asked, what it cost and what is left', async () => {
    const answer = await house.graphql(house.acme.member, '{ projects(first: 10) { edges { node { name } } } }');
    expect(answer.extensions).toEqual({
      cost: {
        requestedQueryCost: 21,
        actualQueryCost: 1,
        throttleStatus: { maximumAvailable: 10_000, currentlyAvailable: expect.any(Number), restoreRate: 500 },
      },
    });
    expect(answer.headers.get('x-ratelimit-limit')).toBe('10000');
    expect(Number(answer.headers.get('x-ratelimit-remaining'))).toBeLessThanOrEqual(10_000);
    expect(answer.headers.get('ratelimit-policy')).toBe(
      '"tenant-query";q=10000;qu="tenon-cost";w=20, "tenant-requests";q=5000;w=20, ' +
        '"user-query";q=5000;qu="tenon-cost";w=20, "user-requests";q=2500;w=20',
    );
    expect(answer.headers.get('ratelimit')).toMatch(/^"tenant-query";r=\d+;t=\d+, "tenant-requests";r=\d+;t=\d+, /);
    expect(answer.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('refuses an operation that is dearer than one may be, before it runs', async () => {
    const answer = await house.graphql(house.initech.member, LIST);
    expect(answer.status).toBe(400);
    expect(answer.errors?.[0]?.extensions.code).toBe('COST_ESTIMATED_TOO_EXPENSIVE');
    expect(answer.data).toBeUndefined();
  });

  it('runs out with 429, a time to come back and an audit event, and leaves other tenants alone', async () => {
    const dear = '{ projects(first: 100) { edges { node { documents(first: 3) { edges { cursor } } } } } }';
    // Mutations keep their price, so that the bucket empties faster than it fills.
    const spend = 'mutation { createProject(input: { name: "spent" }) { project { id } } }';
    let answer = await house.graphql(house.initech.member, spend);
    for (let sent = 0; answer.status !== 429 && sent < 200; sent++) {
      answer = await house.graphql(house.initech.member, sent % 2 === 0 ? spend : dear);
    }
    expect(answer.status).toBe(429);
    expect(answer.errors?.[0]?.extensions.code).toBe('THROTTLED');
    const retryAfter = Number(answer.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(answer.errors?.[0]?.extensions).toMatchObject({
      problem: {
        type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
        status: 429,
        'violated-policies': expect.arrayContaining([expect.stringMatching(/^user-/)]),
        'retry-after': retryAfter,
      },
    });
    expect((answer.extensions as unknown as { cost: { actualQueryCost: null } }).cost.actualQueryCost).toBeNull();
    expect((await house.graphql(house.globex.member, spend)).status).toBe(200);
  });
});

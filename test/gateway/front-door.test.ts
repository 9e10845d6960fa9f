import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../support/house.ts';

describe.each(['local', 'remote'] as const)('the front door with %s subgraphs', (mode) => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ mode });
  });

  it('answers a query over several subgraphs', async () => {
    const { data, errors } = await house.graphql(
      house.acme.admin,
      '{ tenant { slug tier } projects(first: 5) { edges { node { name } } } }',
    );
    expect(errors).toBeUndefined();
    expect(data).toEqual({ tenant: { slug: 'acme', tier: 'ENTERPRISE' }, projects: { edges: [] } });
  });

  it('writes in one tenant what another cannot see', async () => {
    const made = await house.graphql(
      house.acme.member,
      'mutation { createProject(input: { name: "Apollo" }) { project { id } } }',
    );
    const id = (made.data as unknown as { createProject: { project: { id: string } } }).createProject.project.id;
    const own = await house.graphql(house.acme.member, 'query ($id: ID!) { project(id: $id) { name } }', { id });
    expect(own.data).toEqual({ project: { name: 'Apollo' } });
    const foreign = await house.graphql(house.globex.member, 'query ($id: ID!) { project(id: $id) { name } }', { id });
    expect(foreign.data).toEqual({ project: null });
  });

  it('ignores a tenant header of the client', async () => {
    const answer = await house.fetch(house.globex.member, '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-tenant-id': house.acme.id, 'x-tenon-context': 'forged' },
      body: JSON.stringify({ query: '{ tenant { slug } }' }),
    });
    expect(await answer.json()).toMatchObject({ data: { tenant: { slug: 'globex' } } });
  });
});

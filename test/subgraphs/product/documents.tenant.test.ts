import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../../support/house.ts';
import { createDocument, createProject, CREATE_DOCUMENT, SHARE_DOCUMENT } from './operations.ts';

let house: House;
let project: string;
let document: string;
beforeAll(async () => {
  house = await openHouse();
  project = await createProject(house, house.acme.member, 'Secret');
  document = await createDocument(house, house.acme.member, { projectId: project, name: 'Secret plan' });
});

describe("another tenant's projects and documents", () => {
  it.each(['globex', 'initech'] as const)('look like nothing to %s, in another cell or in the same', async (other) => {
    const token = house[other].member;
    const read = await house.graphql(
      token,
      'query ($id: ID!) { project(id: $id) { name } projects(first: 100) { edges { node { id } } } }',
      { id: project },
    );
    expect(read.data).toEqual({ project: null, projects: { edges: [] } });
    const entity = await house.graphql(token, CREATE_DOCUMENT, { input: { projectId: project, name: 'mine' } });
    expect(entity.errors?.[0]?.extensions.code).toBe('NOT_FOUND');
    const share = await house.graphql(token, SHARE_DOCUMENT, {
      input: { documentId: document, to: 'eve@evil.example', permission: 'EDIT' },
    });
    expect(share.errors?.[0]?.extensions.code).toBe('NOT_FOUND');
  });

  it('answer with the same words as what never was', async () => {
    const never = project.replace(/.{4}$/, '0000');
    const answers = [];
    for (const projectId of [project, never]) {
      const { errors } = await house.graphql(house.initech.member, CREATE_DOCUMENT, {
        input: { projectId, name: 'mine' },
      });
      answers.push(errors?.map(({ message, extensions }) => [message, extensions.code]));
    }
    expect(answers[0]).toEqual(answers[1]);
  });

  it('stay as they were', async () => {
    const answer = await house.graphql(
      house.acme.member,
      'query ($id: ID!) { project(id: $id) { documents(first: 5) { edges { node { id name } } } } }',
      { id: project },
    );
    expect(answer.data).toEqual({
      project: { documents: { edges: [{ node: { id: document, name: 'Secret plan' } }] } },
    });
  });
});

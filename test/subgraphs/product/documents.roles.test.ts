import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../../support/house.ts';
import { createDocument, createProject, CREATE_DOCUMENT, CREATE_PROJECT, SHARE_DOCUMENT } from './operations.ts';

let house: House;
let project: string;
let document: string;
beforeAll(async () => {
  house = await openHouse();
  project = await createProject(house, house.acme.admin, 'Open');
  document = await createDocument(house, house.acme.admin, { projectId: project, name: 'Open plan' });
});

describe('an auditor, who has no right to projects,', () => {
  it('reads none', async () => {
    const answer = await house.graphql(house.acme.auditor, 'query ($id: ID!) { project(id: $id) { name } }', {
      id: project,
    });
    expect([answer.status, answer.data, answer.errors?.[0]?.extensions.code]).toEqual([403, undefined, 'FORBIDDEN']);
  });

  const mutations: [string, string, () => object][] = [
    ['createProject', CREATE_PROJECT, () => ({ name: 'no' })],
    ['createDocument', CREATE_DOCUMENT, () => ({ projectId: project, name: 'no' })],
    ['shareDocument', SHARE_DOCUMENT, () => ({ documentId: document, to: 'bob@vendor.example', permission: 'VIEW' })],
  ];
  it.each(mutations)('may not %s, and is told which right is missing', async (_name, query, input) => {
    const answer = await house.graphql(house.acme.auditor, query, { input: input() });
    expect(answer.errors?.[0]?.extensions.code).toBe('FORBIDDEN');
    expect(answer.errors?.[0]?.message).toContain('projects:write');
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../../support/house.ts';
import { outboxEvents } from '../../support/outbox.ts';
import { createDocument, createProject, CREATE_PROJECT, SHARE_DOCUMENT } from './operations.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});

describe('projects', () => {
  it('come newest first, in pages that neither repeat nor skip', async () => {
    const made: string[] = [];
    for (let number = 0; number < 7; number++)
      made.push(await createProject(house, house.globex.member, `Project ${number}`));
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const answer = await house.graphql(
        house.globex.member,
        'query ($after: String) { projects(first: 3, after: $after) { edges { node { id } } pageInfo { hasNextPage endCursor } } }',
        { after },
      );
      const page = (
        answer.data as unknown as {
          projects: { edges: { node: { id: string } }[]; pageInfo: { hasNextPage: boolean; endCursor: string } };
        }
      ).projects;
      seen.push(...page.edges.map(({ node }) => node.id));
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after !== null);
    expect(seen).toEqual(made.toReversed());
  });
});

describe('documents', () => {
  it('lead to their author, a user of another subgraph', async () => {
    const project = await createProject(house, house.acme.member, 'Plans');
    await createDocument(house, house.acme.member, { projectId: project, name: 'Q1 plan' });
    const answer = await house.graphql(
      house.acme.member,
      'query ($id: ID!) { project(id: $id) { documents(first: 5) { edges { node { name author { userName } } } } } }',
      { id: project },
    );
    expect(answer.data).toEqual({
      project: { documents: { edges: [{ node: { name: 'Q1 plan', author: { userName: 'mia@acme.example' } } }] } },
    });
  });

  it('shared with an address write exactly the event of the audit log', async () => {
    const project = await createProject(house, house.acme.member, 'Shared');
    const document = await createDocument(house, house.acme.member, { projectId: project, name: 'Q1 plan' });
    const answer = await house.fetch(house.acme.member, '/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'user-agent': 'vitest', 'x-request-id': 'req_share' },
      body: JSON.stringify({
        query: SHARE_DOCUMENT,
        variables: { input: { documentId: document, to: 'bob@vendor.example', permission: 'COMMENT' } },
      }),
    });
    const body = (await answer.json()) as { data: { shareDocument: { auditEventId: string; share: object } } };
    expect(body.data.shareDocument.share).toEqual({ recipient: 'bob@vendor.example', permission: 'COMMENT' });
    const event = (await outboxEvents(house, 'acme')).find(({ id }) => id === body.data.shareDocument.auditEventId);
    expect(event).toEqual({
      id: body.data.shareDocument.auditEventId,
      tenant_id: house.acme.id,
      actor: { type: 'user', id: expect.stringMatching(/^usr_/), ip: '127.0.0.1', ua: 'vitest' },
      action: 'document.share',
      resource: { type: 'document', id: document, name: 'Q1 plan' },
      context: { to: 'bob@vendor.example', permission: 'comment' },
      session_id: expect.stringMatching(/^ses_/),
      request_id: 'req_share',
      ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  it('shared twice with the same address, in whatever case, are refused the second time', async () => {
    const project = await createProject(house, house.acme.member, 'Twice');
    const documentId = await createDocument(house, house.acme.member, { projectId: project, name: 'Once' });
    await house.graphql(house.acme.member, SHARE_DOCUMENT, {
      input: { documentId, to: 'ann@vendor.example', permission: 'VIEW' },
    });
    const again = await house.graphql(house.acme.member, SHARE_DOCUMENT, {
      input: { documentId, to: 'ANN@vendor.example', permission: 'EDIT' },
    });
    expect(again.errors?.[0]?.extensions.code).toBe('UNIQUENESS');
  });
});

describe('a change whose event the log refuses', () => {
  it('is undone', async () => {
    const answer = await house.graphql(house.initech.member, CREATE_PROJECT, { input: { name: 'null \u0000 byte' } });
    expect(answer.errors).toHaveLength(1);
    const list = await house.graphql(house.initech.member, '{ projects(first: 5) { edges { node { id } } } }');
    expect(list.data).toEqual({ projects: { edges: [] } });
  });
});

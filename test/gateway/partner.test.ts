import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../support/house.ts';

let house: House;
const manifest = JSON.parse(
  readFileSync(new URL('../../schema/operations/partner-app.json', import.meta.url), 'utf8'),
) as {
  operations: { id: string; name: string; body: string }[];
};
const idOfOperation = (name: string) => manifest.operations.find((operation) => operation.name === name)?.id ?? '';

beforeAll(async () => {
  house = await openHouse();
});

const send = async (token: string, body: object) => {
  const response = await house.fetch(token, '/graphql', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return {
    status: response.status,
    body: (await response.json()) as { data?: unknown; errors?: { extensions: { code: string } }[] },
  };
};

describe("a partner's key", () => {
  it('runs an operation of its client by document id', async () => {
    const { status, body } = await send(house.acme.partner, {
      documentId: idOfOperation('PartnerProjects'),
      variables: { first: 3 },
    });
    expect(status).toBe(200);
    expect(body.data).toMatchObject({ projects: { edges: [] } });
  });

  it('runs it by the hash that Apollo clients send, and by GET', async () => {
    const extensions = { persistedQuery: { version: 1, sha256Hash: idOfOperation('PartnerProjects') } };
    expect((await send(house.acme.partner, { extensions })).status).toBe(200);
    const get = await house.fetch(
      house.acme.partner,
      `/graphql?documentId=sha256:${idOfOperation('PartnerProjects')}`,
      { headers: { 'apollo-require-preflight': '1' } },
    );
    expect(get.status).toBe(200);
  });

  it('runs no document of its own, not even one that is registered', async () => {
    for (const query of ['{ tenant { slug } }', manifest.operations[0]?.body]) {
      const { status, body } = await send(house.acme.partner, { query });
      expect([status, body.errors?.[0]?.extensions.code]).toEqual([400, 'PERSISTED_QUERY_ID_REQUIRED']);
    }
  });

  it('runs no operation of another client, even by its right id', async () => {
    const operator = JSON.parse(
      readFileSync(new URL('../../schema/operations/operator.json', import.meta.url), 'utf8'),
    ) as { operations: { id: string }[] };
    const { status, body } = await send(house.acme.partner, { documentId: operator.operations[0]?.id });
    expect([status, body.errors?.[0]?.extensions.code]).toEqual([403, 'PERSISTED_QUERY_NOT_IN_LIST']);
  });

  it('is bound by its scopes inside a registered operation', async () => {
    const { body } = await send(house.acme.partner, {
      documentId: idOfOperation('ReportUsage'),
      variables: { input: { events: [] } },
    });
    expect(body.errors?.[0]?.extensions.code).toBe('BAD_USER_INPUT');
  });

  it('is told so in the audit log of its tenant when it was refused', async () => {
    await send(house.globex.partner, { query: '{ tenant { slug } }' });
    const { withClient } = await import('../support/postgres.ts');
    const rows = await withClient(house.stores.url('us-1'), (client) =>
      client.query<{ event: string }>(`select event from app.outbox where event like '%operation.refuse%'`),
    );
    expect(rows.rows.map(({ event }) => JSON.parse(event) as { context: object })).toEqual([
      expect.objectContaining({
        action: 'operation.refuse',
        tenant_id: house.globex.id,
        context: { client: 'partner-app', code: 'PERSISTED_QUERY_ID_REQUIRED', suppressed: 0 },
      }),
    ]);
  });
});

describe('a person', () => {
  it('may send what she likes, and an id that nobody registered is not found', async () => {
    expect((await send(house.acme.member, { query: '{ tenant { slug } }' })).status).toBe(200);
    const { status, body } = await send(house.acme.member, { documentId: 'a'.repeat(64) });
    expect([status, body.errors?.[0]?.extensions.code]).toEqual([404, 'PERSISTED_QUERY_NOT_FOUND']);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '#schema/audit-event.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { DemoTenant } from '#subgraphs';
import { openHouse, type GraphqlAnswer, type House } from '../../support/house.ts';
import { withClient } from '../../support/postgres.ts';
import { createDocument, createProject } from './operations.ts';

const SECRET = 'Only where its owner lives';
const OFFER = `mutation ($input: OfferDocumentInput!) {
  offerDocument(input: $input) { offer { id documentId recipientId acceptedAt endedAt } } }`;
const ACCEPT = `mutation ($input: AcceptDocumentInput!) {
  acceptDocument(input: $input) { received { id ownerId endedAt } } }`;
const WITHDRAW = `mutation ($input: WithdrawDocumentInput!) { withdrawDocument(input: $input) { offer { id endedBy } } }`;
const RETURN = `mutation ($input: ReturnDocumentInput!) { returnDocument(input: $input) { received { id endedBy } } }`;
const READ = 'query ($id: ID!) { offeredDocument(offerId: $id) { id name body } }';
const inAYear = () => new Date(Date.now() + 300 * 86_400_000).toISOString();

let house: House;
let document: string;

beforeAll(async () => {
  house = await openHouse();
  const projectId = await createProject(house, house.acme.member, 'Plans');
  document = await createDocument(house, house.acme.member, { projectId, name: 'The plan' });
  await withClient(house.stores.url('eu-1'), (client) => client.query('update app.documents set body = $1', [SECRET]));
});

const codeOf = ({ errors }: GraphqlAnswer) => errors?.[0]?.extensions.code ?? null;

async function offer(recipient: string, documentId = document): Promise<string> {
  const input = { documentId, recipientId: recipient, expiresAt: inAYear() };
  const answer = await house.graphql(house.acme.member, OFFER, { input });
  return (answer.data as unknown as { offerDocument: { offer: { id: string } } }).offerDocument.offer.id;
}

const accept = (tenant: DemoTenant, offerId: string, ownerId = house.acme.id) =>
  house.graphql(tenant.member, ACCEPT, { input: { offerId, ownerId } });
const read = (tenant: DemoTenant, id: string) => house.graphql(tenant.member, READ, { id });

async function taken(): Promise<string> {
  const id = await offer(house.globex.id);
  expect(codeOf(await accept(house.globex, id))).toBeNull();
  return id;
}

/** The steps of an offer in a tenant's log, oldest first, with who took each. */
async function steps({ id, cell }: { id: string; cell: 'eu-1' | 'us-1' }, offerId: string): Promise<string[]> {
  const events = await withClient(house.stores.url(cell), async (client) => {
    const { rows } = await client.query<{ event: string }>(
      'select event from app.outbox where tenant_id = $1 order by position',
      [uuidOf('tnt', id)],
    );
    return rows.map(({ event }) => JSON.parse(event) as AuditEvent);
  });
  return events
    .filter(({ resource }) => resource.id === offerId)
    .map(({ action, actor }) => `${action} by ${actor.type === 'system' ? actor.id : 'herself'}`);
}
const ofAcme = () => ({ id: house.acme.id, cell: 'eu-1' as const });
const ofGlobex = () => ({ id: house.globex.id, cell: 'us-1' as const });

describe('a document offered to a tenant in another cell', () => {
  it('is read by her once she has taken it, and every step is in the logs of both', async () => {
    const id = await offer(house.globex.id);
    expect(codeOf(await read(house.globex, id))).toBe('NOT_FOUND');
    const received = await accept(house.globex, id);
    expect(received.data).toEqual({ acceptDocument: { received: { id, ownerId: house.acme.id, endedAt: null } } });
    expect((await read(house.globex, id)).data).toEqual({ offeredDocument: { id, name: 'The plan', body: SECRET } });
    const { globex, acme } = house;
    expect(await steps(ofAcme(), id)).toEqual([
      'document.offer by herself',
      `document.accept by ${globex.id}`,
      `document.read_offered by ${globex.id}`,
    ]);
    expect(await steps(ofGlobex(), id)).toEqual(['document.accept by herself']);
    const lists = await Promise.all([
      house.graphql(acme.member, '{ documentOffers { edges { node { id documentId recipientId endedAt } } } }'),
      house.graphql(globex.member, '{ receivedDocuments { edges { node { id ownerId } } } }'),
    ]);
    expect(lists.map(({ data }) => data)).toEqual([
      {
        documentOffers: {
          edges: [{ node: { id, documentId: document, recipientId: globex.id, endedAt: null } }],
        },
      },
      { receivedDocuments: { edges: [{ node: { id, ownerId: acme.id } }] } },
    ]);
  });

  it('leaves nothing of itself in her cell', async () => {
    await read(house.globex, await taken());
    for (const store of ['us-1', 'us-1 audit'] as const) {
      await withClient(house.stores.url(store), async (client) => {
        const { rows } = await client.query<{ name: string }>(
          `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('app', 'tenon', 'graphile_worker')`,
        );
        for (const { name } of rows) {
          const held = await client.query(`select from ${name} t where t::text like $1 or t::text like $2`, [
            `%${SECRET}%`,
            `%The plan%`,
          ]);
          expect(held.rowCount, name).toBe(0);
        }
      });
    }
  });

  it('is read no more from the moment its owner withdraws it', async () => {
    const id = await taken();
    const ended = await house.graphql(house.acme.member, WITHDRAW, { input: { offerId: id } });
    expect(ended.data).toEqual({ withdrawDocument: { offer: { id, endedBy: 'OWNER' } } });
    expect(codeOf(await read(house.globex, id))).toBe('NOT_FOUND');
    expect(codeOf(await accept(house.globex, id))).toBe('NOT_FOUND');
    expect(await steps(ofAcme(), id)).toContain('document.withdraw by herself');
    expect(await steps(ofGlobex(), id)).toEqual([
      'document.accept by herself',
      `document.withdraw by ${house.acme.id}`,
    ]);
    await house.graphql(house.acme.member, WITHDRAW, { input: { offerId: id } });
    expect(await steps(ofGlobex(), id)).toHaveLength(2);
  });

  it('is read no more from the moment she gives it back', async () => {
    const id = await taken();
    const ended = await house.graphql(house.globex.member, RETURN, { input: { offerId: id } });
    expect(ended.data).toEqual({ returnDocument: { received: { id, endedBy: 'RECIPIENT' } } });
    expect(codeOf(await read(house.globex, id))).toBe('NOT_FOUND');
    expect(codeOf(await accept(house.globex, id))).toBe('NOT_FOUND');
    expect((await steps(ofAcme(), id)).at(-1)).toBe(`document.return by ${house.globex.id}`);
    expect((await steps(ofGlobex(), id)).at(-1)).toBe('document.return by herself');
  });

  it('is read no more when it has expired, or is gone', async () => {
    const [expired, gone] = [await taken(), await taken()];
    await withClient(house.stores.url('eu-1'), async (client) => {
      const change = (sql: string, id: string) => client.query(sql, [uuidOf('ofr', id)]);
      await change(`update app.document_offers set expires_at = now() - interval '1 second' where id = $1`, expired);
      await change('delete from app.document_offers where id = $1', gone);
    });
    expect(codeOf(await read(house.globex, expired))).toBe('NOT_FOUND');
    expect(codeOf(await read(house.globex, gone))).toBe('NOT_FOUND');
    expect(await steps(ofGlobex(), expired)).toEqual(['document.accept by herself']);
    expect(await steps(ofGlobex(), gone)).toEqual(['document.accept by herself', 'document.withdraw by herself']);
  });

  it('is taken in the end where taking it broke off between the cells', async () => {
    const id = await taken();
    await withClient(house.stores.url('us-1'), (client) =>
      client.query('delete from app.received_documents where id = $1', [uuidOf('ofr', id)]),
    );
    expect(codeOf(await read(house.globex, id))).toBe('NOT_FOUND');
    expect(codeOf(await accept(house.globex, id))).toBeNull();
    expect((await read(house.globex, id)).data).toMatchObject({ offeredDocument: { body: SECRET } });
    expect((await steps(ofAcme(), id)).filter((step) => step.startsWith('document.accept'))).toHaveLength(1);
  });

  it('is shown by nobody who is paused', async () => {
    const id = await taken();
    const set = (state: string) =>
      withClient(house.stores.url('eu-1'), (client) =>
        client.query('update app.tenants set state = $1 where tenant_id = $2', [state, uuidOf('tnt', house.acme.id)]),
      );
    await set('suspended');
    expect(codeOf(await read(house.globex, id))).toBe('NOT_FOUND');
    await set('active');
    expect(codeOf(await read(house.globex, id))).toBeNull();
  });
});

describe('to whom it was not offered,', () => {
  it('an offer is as one that never was, in the same cell and in another', async () => {
    const id = await offer(house.globex.id);
    const never = mintId('ofr');
    for (const offerId of [id, never]) {
      const { errors } = await accept(house.initech, offerId);
      expect(errors?.map(({ message, extensions }) => [message, extensions.code])).toEqual([
        [expect.any(String), 'NOT_FOUND'],
      ]);
      expect(codeOf(await read(house.initech, offerId))).toBe('NOT_FOUND');
      for (const [query, input] of [
        [WITHDRAW, { offerId }],
        [RETURN, { offerId }],
      ] as const)
        expect(codeOf(await house.graphql(house.initech.member, query, { input }))).toBe('NOT_FOUND');
    }
    expect(codeOf(await accept(house.globex, id, mintId('tnt')))).toBe('NOT_FOUND');
    expect(codeOf(await accept(house.globex, id, house.initech.id))).toBe('NOT_FOUND');
  });

  it("another tenant's document cannot be offered", async () => {
    const input = { documentId: document, recipientId: house.globex.id, expiresAt: inAYear() };
    expect(codeOf(await house.graphql(house.initech.member, OFFER, { input }))).toBe('NOT_FOUND');
  });
});

describe('an offer', () => {
  it('tells nobody whether there is a tenant of that id', async () => {
    const answers = [];
    for (const recipientId of [house.initech.id, mintId('tnt')]) {
      const input = { documentId: document, recipientId, expiresAt: inAYear() };
      const { status, data, errors } = await house.graphql(house.acme.member, OFFER, { input });
      answers.push(JSON.stringify({ status, data, errors }).replaceAll(/(?:ofr|tnt)_[0-9a-z]{26}/g, ''));
    }
    expect(answers[0]).toBe(answers[1]);
  });

  it.each([
    ['to herself', () => ({ recipientId: house.acme.id })],
    ['to no tenant', () => ({ recipientId: house.acme.id.replace('tnt', 'usr') })],
    ['for the past', () => ({ expiresAt: new Date(Date.now() - 1000).toISOString() })],
    ['for years', () => ({ expiresAt: new Date(Date.now() + 400 * 86_400_000).toISOString() })],
  ])('%s is refused', async (_name, change) => {
    const input = { documentId: document, recipientId: house.globex.id, expiresAt: inAYear(), ...change() };
    expect(codeOf(await house.graphql(house.acme.member, OFFER, { input }))).toBe('BAD_USER_INPUT');
  });

  it('is neither made, taken, ended nor seen by whoever has no right to projects', async () => {
    const id = await taken();
    const { auditor } = house.acme;
    const input = { documentId: document, recipientId: house.globex.id, expiresAt: inAYear() };
    for (const [query, variables] of [
      [OFFER, { input }],
      [ACCEPT, { input: { offerId: id, ownerId: house.globex.id } }],
      [WITHDRAW, { input: { offerId: id } }],
      [RETURN, { input: { offerId: id } }],
      [READ, { id }],
      ['{ documentOffers { edges { node { id } } } }', {}],
      ['{ receivedDocuments { edges { node { id } } } }', {}],
    ] as const)
      expect(codeOf(await house.graphql(auditor, query, variables)), query).toBe('FORBIDDEN');
  });
});

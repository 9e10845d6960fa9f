import { beforeAll, describe, expect, it } from 'vitest';
import { issueCredential, systemContext } from '#kit/credential.ts';
import { inTenant } from '#kit/database.ts';
import { idOf, type Id } from '#schema/ids.ts';
import { ensureOperatorTenant } from '../../subgraphs/tenants/provisioning.ts';
import { openHouse, type House } from '../support/house.ts';

const ROUNDS = 200;
const ASK = '{ tenant { id } }';
const DEACTIVATE = 'mutation ($input: UserInput!) { deactivateUser(input: $input) { user { active } } }';
const REACTIVATE = 'mutation ($input: UserInput!) { reactivateUser(input: $input) { user { active } } }';
/** The operators' registered operation `ChangeTenantState`. */
const CHANGE_STATE = 'daf4fffbb485117551cfd949e137cf089a68f35b5d6b5cf62ff0a3c587eacd63';

describe.each(['local', 'remote'] as const)('with %s subgraphs, whoever is put out', (mode) => {
  let house: House;
  let mia: Id<'usr'>;
  beforeAll(async () => {
    house = await openHouse({ mode });
    const rows = await inAcme((tx) => tx.query<{ id: string }>(`select id from users where user_name like 'mia@%'`));
    mia = idOf('usr', rows[0]?.id ?? '');
  });

  it(`over SCIM is refused at her very next request, ${ROUNDS} times`, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const session = await signIn();
      expect(await statusOf(session)).toBe(200);
      expect(await setActive(false)).toBe(200);
      expect(await statusOf(session)).toBe(401);
      expect(await setActive(true)).toBe(200);
    }
  }, 180_000);

  it('over the graph is refused at her very next request, 20 times', async () => {
    for (let round = 0; round < 20; round++) {
      const session = await signIn();
      expect(await statusOf(session)).toBe(200);
      const off = await house.graphql(house.acme.admin, DEACTIVATE, { input: { userId: mia } });
      expect(off.errors).toBeUndefined();
      expect(await statusOf(session)).toBe(401);
      await house.graphql(house.acme.admin, REACTIVATE, { input: { userId: mia } });
    }
  });

  it('by an operator, as a tenant of another cell, is refused at her very next request', async () => {
    const { apiKey } = await ensureOperatorTenant(house.platform);
    const move = async (to: string) => {
      const variables = { input: { tenantId: house.globex.id, to } };
      const answer = await house.fetch(apiKey, '/graphql', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ documentId: CHANGE_STATE, variables }),
      });
      expect(await answer.json()).toMatchObject({ data: { changeTenantState: { tenant: { state: to } } } });
    };
    for (let round = 0; round < 5; round++) {
      expect(await projectsOf(house.globex.admin)).toBeUndefined();
      await move('SUSPENDED');
      expect(await projectsOf(house.globex.admin)).toBe('TENANT_SUSPENDED');
      await move('ACTIVE');
    }
  });

  function signIn(): Promise<string> {
    const expiresAt = new Date(Date.now() + 60_000);
    const tenant = house.acme.id as Id<'tnt'>;
    return inAcme(async (tx) => {
      const { token } = await issueCredential(tx, tenant, { kind: 'session', userId: mia, name: 'x', expiresAt });
      return token;
    });
  }

  async function statusOf(token: string): Promise<number> {
    return (await house.graphql(token, ASK)).status;
  }

  /** The code that her work is refused with, if it is. */
  async function projectsOf(token: string): Promise<unknown> {
    const { errors } = await house.graphql(token, '{ projects { edges { node { id } } } }');
    return errors?.[0]?.extensions?.['code'];
  }

  async function setActive(value: boolean): Promise<number> {
    const { status } = await house.fetch(house.acme.scim, `/scim/v2/Users/${mia}`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/scim+json' },
      body: JSON.stringify({
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op: 'replace', path: 'active', value }],
      }),
    });
    return status;
  }

  async function inAcme<T>(work: Parameters<typeof inTenant<T>>[1]): Promise<T> {
    const purpose = { name: 'test', requestId: 'req_t' };
    const tenant = await systemContext(house.databases, house.acme.id as Id<'tnt'>, purpose);
    return inTenant({ tenant, databases: house.databases }, work);
  }
});

import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { openHouse, type House } from '../support/house.ts';
import { outboxEvents } from '../support/outbox.ts';

let house: House;
beforeAll(async () => {
  house = await openHouse();
});

const USER_NAME = 'grace.hopper@acme.example';
const okta = async (
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: { id: string; active?: boolean } }> => {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/scim+json',
    'user-agent': 'OKTA SCIM Integration',
  };
  const response = await house.fetch(house.acme.scim, `/scim/v2${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: JSON.parse(text === '' ? '{}' : text) as { id: string; active?: boolean } };
};
const setActive = (id: string, active: boolean) =>
  okta('PATCH', `/Users/${id}`, {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
    Operations: [{ op: 'replace', value: { active } }],
  });

async function admin<Data>(query: string, input: object): Promise<Data> {
  const { data, errors } = await house.graphql(house.acme.admin, query, { input });
  expect(errors).toBeUndefined();
  return data as Data;
}

async function newLink(userId: string): Promise<string> {
  const { createSignInLink } = await admin<{ createSignInLink: { url: string } }>(
    'mutation ($input: UserInput!) { createSignInLink(input: $input) { url } }',
    { userId },
  );
  return new URL(createSignInLink.url).searchParams.get('token') ?? '';
}

async function signIn(token: string): Promise<{ status: number; session: string }> {
  const response = await house.fetch(null, '/sso/link', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
  const { token: session = '' } = (await response.json()) as { token?: string };
  return { status: response.status, session };
}

const readProjects = (session: string) =>
  house.graphql(session, '{ viewer { user { userName } } projects(first: 5) { edges { node { id } } } }');

async function reportUsage(key: string): Promise<number> {
  const event = { metric: 'tokens_used', value: 1, timestamp: new Date().toISOString(), idempotency: mintId('req') };
  const response = await house.fetch(key, '/v1/usage', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([event]),
  });
  await response.text();
  return response.status;
}

describe('a person whom her company lets go', () => {
  let id: string;
  let session: string;
  let key: string;
  let unusedLink: string;

  it('was brought in by the identity provider, with the rights of her group', async () => {
    const created = await okta('POST', '/Users', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
      userName: USER_NAME,
      name: { givenName: 'Grace', familyName: 'Hopper' },
      emails: [{ primary: true, value: USER_NAME, type: 'work' }],
      displayName: 'Grace Hopper',
      active: true,
    });
    expect(created.status).toBe(201);
    id = created.body.id;
    const group = await okta('POST', '/Groups', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'],
      displayName: 'Engineers',
      members: [{ value: id }],
    });
    const { data } = await house.graphql(house.acme.admin, '{ roles { id name } }');
    const roleId = (data as unknown as { roles: { id: string; name: string }[] }).roles.find(
      ({ name }) => name === 'member',
    )?.id;
    await admin('mutation ($input: GroupRoleInput!) { mapGroupToRole(input: $input) { group { id } } }', {
      groupId: group.body.id,
      roleId,
    });
  });

  it('signed in and worked, in person and by a key of her own', async () => {
    ({ session } = await signIn(await newLink(id)));
    expect((await readProjects(session)).data).toEqual({
      viewer: { user: { userName: USER_NAME } },
      projects: { edges: [] },
    });
    const made = await admin<{ createApiKey: { token: string } }>(
      'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token } }',
      {
        name: 'hers',
        client: 'partner-app',
        scopes: ['usage:write'],
        userId: id,
      },
    );
    key = made.createApiKey.token;
    expect(await reportUsage(key)).toBe(200);
    unusedLink = await newLink(id);
  });

  it('is refused with everything she had, from the moment the identity provider is answered', async () => {
    expect(await setActive(id, false)).toMatchObject({ status: 200, body: { active: false } });
    const refused = await readProjects(session);
    expect([refused.status, refused.errors?.[0]?.extensions.code]).toEqual([401, 'UNAUTHENTICATED']);
    expect([await reportUsage(key), (await signIn(unusedLink)).status]).toEqual([401, 401]);
  });

  it('is given nothing new', async () => {
    const link = await house.graphql(
      house.acme.admin,
      'mutation ($input: UserInput!) { createSignInLink(input: $input) { url } }',
      { input: { userId: id } },
    );
    expect(link.errors?.[0]?.extensions.code).toBe('NOT_FOUND');
  });

  it('takes nobody with her', async () => {
    expect((await readProjects(house.acme.member)).errors).toBeUndefined();
    expect(await reportUsage(house.acme.partner)).toBe(200);
  });

  it('starts anew when she comes back', async () => {
    expect(await setActive(id, true)).toMatchObject({ status: 200, body: { active: true } });
    expect([(await readProjects(session)).status, await reportUsage(key), (await signIn(unusedLink)).status]).toEqual([
      401, 401, 401,
    ]);
    const again = await signIn(await newLink(id));
    expect((await readProjects(again.session)).errors).toBeUndefined();
  });

  it('leaves a trace of each step, made by the identity provider', async () => {
    const events = (await outboxEvents(house, 'acme')).filter(({ resource }) => resource.id === id);
    // When the gateways had put it into force is told by them, in their own time.
    const asked = events.filter(({ action }) => action !== 'access.revocation_enforced');
    expect(asked.map(({ action, actor, context }) => [action, actor.type, actor.ua, context])).toEqual([
      ['user.provision', 'scim', 'OKTA SCIM Integration', { active: true }],
      ['user.deactivate', 'scim', 'OKTA SCIM Integration', { sessions: 1, api_keys: 1 }],
      ['user.reactivate', 'scim', 'OKTA SCIM Integration', {}],
    ]);
  });
});

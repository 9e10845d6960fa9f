import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../../support/house.ts';

let house: House;
let clerk: string;

/** Runs an operation as the administrator and returns the first id in its answer. */
async function made(query: string, variables: Record<string, unknown> = {}): Promise<string> {
  const answer = await house.graphql(house.acme.admin, query, variables);
  const id = /"id":"(\w+)"/.exec(JSON.stringify(answer.data))?.[1];
  if (id === undefined) throw new Error(JSON.stringify(answer.errors));
  return id;
}

beforeAll(async () => {
  house = await openHouse();
  const role = await made(
    'mutation { createRole(input: { name: "clerk", scopes: ["credentials:write", "users:read"] }) { role { id } } }',
  );
  const user = await made(
    'mutation { createUser(input: { userName: "clerk", displayName: "Clara Clerk", email: "clerk@acme.example" }) { user { id } } }',
  );
  await made('mutation ($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }', {
    input: { userId: user, roleId: role },
  });
  const link = await house.graphql(
    house.acme.admin,
    'mutation ($id: ID!) { createSignInLink(input: { userId: $id }) { url } }',
    { id: user },
  );
  const { url } = (link.data as unknown as { createSignInLink: { url: string } }).createSignInLink;
  const session = await house.fetch(null, '/sso/link', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: new URL(url).searchParams.get('token') }),
  });
  clerk = ((await session.json()) as { token: string }).token;
});

describe('somebody who may make credentials and nothing else', () => {
  it('makes no sign-in link for a person with more rights', async () => {
    const { data } = await house.graphql(house.acme.admin, '{ viewer { user { id } } }');
    const admin = (data as unknown as { viewer: { user: { id: string } } }).viewer.user.id;
    const answer = await house.graphql(
      clerk,
      'mutation ($id: ID!) { createSignInLink(input: { userId: $id }) { url } }',
      { id: admin },
    );
    expect(answer.errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });

  it('makes no API key with rights that she does not hold', async () => {
    const answer = await house.graphql(
      clerk,
      'mutation { createApiKey(input: { name: "k", client: "partner-app", scopes: ["audit:read"] }) { token } }',
    );
    expect(answer.errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });

  it('makes a SCIM token only as long as no group carries more than she holds', async () => {
    const mutation = 'mutation { createScimToken(input: { name: "idp" }) { token } }';
    expect((await house.graphql(clerk, mutation)).errors).toBeUndefined();
    const group = await house.fetch(house.acme.scim, '/scim/v2/Groups', {
      method: 'POST',
      headers: { 'content-type': 'application/scim+json' },
      body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName: 'Admins' }),
    });
    const { id: groupId } = (await group.json()) as { id: string };
    const roles = await house.graphql(house.acme.admin, '{ roles { id name } }');
    const admin = (roles.data as unknown as { roles: { id: string; name: string }[] }).roles.find(
      ({ name }) => name === 'admin',
    );
    await made('mutation ($input: GroupRoleInput!) { mapGroupToRole(input: $input) { group { id } } }', {
      input: { groupId, roleId: admin?.id },
    });
    expect((await house.graphql(clerk, mutation)).errors?.[0]?.extensions.code).toBe('FORBIDDEN');
  });
});

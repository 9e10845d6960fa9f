import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import {
  addGroup,
  addUser,
  ask,
  codeOf,
  openIdentity,
  type IdentityPlatform,
  type TestTenant,
} from './identity-platform.ts';
import { BY_ID, LISTS, operation, type KnownIds } from './operations.ts';

let world: IdentityPlatform;
let foreign: KnownIds;
const NOBODY: KnownIds = { user: mintId('usr'), group: mintId('grp'), role: mintId('rol'), credential: mintId('key') };
const ALL = Object.keys(SCOPES) as Scope[];

beforeAll(async () => {
  world = await openIdentity();
  foreign = await makeThings(world.acme);
});

async function makeThings(tenant: TestTenant): Promise<KnownIds> {
  const role = await ask(tenant.request(ALL), operation('createRole').document, {
    input: { name: 'secret', scopes: ['projects:read'] },
  });
  const key = await ask(tenant.request(ALL), operation('createScimToken').document, { input: { name: 'Secret' } });
  const user = await addUser(tenant, `secret of ${tenant.id}`);
  return {
    user,
    group: await addGroup(tenant, 'Secret group', [user]),
    role: (role.data as { createRole: { role: { id: string } } }).createRole.role.id,
    credential: (key.data as { createScimToken: { credential: { id: string } } }).createScimToken.credential.id,
  };
}

describe.each(['initech', 'globex'] as const)('an administrator of %s, in the same cell or another,', (name) => {
  let own: KnownIds;
  beforeAll(async () => {
    own = await makeThings(world[name]);
  });
  const asked = async (document: string, variables: Record<string, unknown>) => {
    const { data, errors } = await ask(world[name].request(ALL), document, variables);
    return { data, errors: errors?.map(({ message, extensions }) => [message, extensions?.['code']]) };
  };

  it.each(BY_ID)(
    "gets from $name for another tenant's ids what she gets for nobody's",
    async ({ document, variables }) => {
      const answer = await asked(document, variables(foreign));
      expect(answer).toEqual(await asked(document, variables(NOBODY)));
      const nothing = Object.values(answer.data ?? { none: null }).every((value) => value === null);
      expect([nothing, answer.errors?.[0]?.[1] ?? 'NOT_FOUND']).toEqual([true, 'NOT_FOUND']);
    },
  );

  it.each([
    ['grantRole', () => ({ userId: own.user, roleId: foreign.role })],
    ['grantRole', () => ({ userId: foreign.user, roleId: own.role })],
    ['revokeRole', () => ({ userId: own.user, roleId: foreign.role })],
    ['mapGroupToRole', () => ({ groupId: own.group, roleId: foreign.role })],
    ['mapGroupToRole', () => ({ groupId: foreign.group, roleId: own.role })],
  ] as [string, () => object][])('cannot tie with %s what is hers to what is not', async (operationName, input) => {
    expect(codeOf(await ask(world[name].request(ALL), operation(operationName).document, { input: input() }))).toBe(
      'NOT_FOUND',
    );
  });

  it.each(LISTS)("does not find another tenant's things among the $name", async ({ document }) => {
    const { data } = await asked(document, {});
    const text = JSON.stringify(data);
    expect(Object.values(own).some((id) => text.includes(id))).toBe(true);
    for (const id of Object.values(foreign)) expect(text).not.toContain(id);
  });

  it('is led to nobody by ids that another part of the graph might hold', async () => {
    const entities =
      'query ($of: [_Any!]!) { _entities(representations: $of) { ... on User { userName } ... on Group { displayName } } }';
    const { data } = await asked(entities, {
      of: [
        { __typename: 'User', id: foreign.user },
        { __typename: 'Group', id: foreign.group },
      ],
    });
    expect(data).toEqual({ _entities: [null, null] });
  });
});

describe('the tenant that they belong to', () => {
  it('finds them as they were', async () => {
    const query =
      'query ($id: ID!, $group: ID!) { user(id: $id) { active roles { id } groups { id } } group(id: $group) { members(first: 5) { edges { node { id } } } } machineCredentials { id } }';
    const { data } = await ask(world.acme.request(ALL), query, { id: foreign.user, group: foreign.group });
    expect(data).toMatchObject({
      user: { active: true, roles: [], groups: [{ id: foreign.group }] },
      group: { members: { edges: [{ node: { id: foreign.user } }] } },
    });
    expect(JSON.stringify(data)).toContain(foreign.credential);
  });
});

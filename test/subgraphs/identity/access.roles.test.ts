import { beforeAll, describe, expect, it } from 'vitest';
import { auditActions } from '#kit/audit-actions.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import {
  addGroup,
  addUser,
  ask,
  codeOf,
  isAccepted,
  openIdentity,
  type IdentityPlatform,
} from './identity-platform.ts';
import { BY_ID, CREATIONS, LISTS, operation, type KnownIds } from './operations.ts';

let world: IdentityPlatform;
let ids: KnownIds;
beforeAll(async () => {
  world = await openIdentity();
  const admin = world.acme.request(ALL);
  const role = await ask(admin, operation('createRole').document, {
    input: { name: 'small', scopes: ['projects:read'] },
  });
  const key = await ask(admin, operation('createScimToken').document, { input: { name: 'to revoke' } });
  ids = {
    user: await addUser(world.acme, 'bob@acme.example'),
    group: await addGroup(world.acme, 'Engineers'),
    role: (role.data as { createRole: { role: { id: string } } }).createRole.role.id,
    credential: (key.data as { createScimToken: { credential: { id: string } } }).createScimToken.credential.id,
  };
});

const ALL = Object.keys(SCOPES) as Scope[];
const without = (scope: Scope) => ALL.filter((known) => known !== scope);
const OPERATIONS = [...LISTS, ...BY_ID, ...CREATIONS];

describe('every query and mutation of users, groups, roles and credentials', () => {
  it.each(OPERATIONS)(
    '$name needs $scope, and no other right stands in for it',
    async ({ document, scope, variables }) => {
      const refused = await ask(world.acme.request(without(scope)), document, variables(ids));
      expect(codeOf(refused)).toBe('FORBIDDEN');
      expect(refused.errors?.[0]?.message).toContain(scope);
      const allowed = await ask(world.acme.request([scope, 'projects:read']), document, variables(ids));
      expect(allowed.errors).toBeUndefined();
    },
  );

  it.each(['groups { id }', 'roles { id }'])(
    'hides %s of the asker herself from whoever may not see people',
    async (field) => {
      expect(codeOf(await ask(world.acme.request(without('users:read')), `{ viewer { user { ${field} } } }`))).toBe(
        'FORBIDDEN',
      );
    },
  );

  it('hides credentials from whoever may only see people', async () => {
    const answer = await ask(
      world.acme.request(['users:read']),
      'query ($id: ID!) { user(id: $id) { credentials { id } } }',
      { id: ids.user },
    );
    expect(codeOf(answer)).toBe('FORBIDDEN');
  });

  it('hides people and groups that another part of the graph leads to', async () => {
    const entities =
      'query ($of: [_Any!]!) { _entities(representations: $of) { ... on User { userName } ... on Group { displayName } } }';
    const of = [
      { __typename: 'User', id: ids.user },
      { __typename: 'Group', id: ids.group },
    ];
    const refused = await ask(world.acme.request(without('users:read')), entities, { of });
    expect([refused.data, refused.errors?.map(({ extensions }) => extensions?.['code'])]).toEqual([
      { _entities: [null, null] },
      ['FORBIDDEN', 'FORBIDDEN'],
    ]);
    const allowed = await ask(world.acme.request(['users:read']), entities, { of });
    expect(allowed.data).toEqual({ _entities: [{ userName: 'bob@acme.example' }, { displayName: 'Engineers' }] });
  });
});

const holder = () => world.acme.request(['users:read', 'users:write', 'credentials:write']);
const big = async () => {
  const { data } = await ask(world.acme.request(['users:read']), '{ roles { id name } }');
  return (data as { roles: { id: string; name: string }[] }).roles.find(({ name }) => name === 'admin')?.id ?? '';
};

/** Rows of every table that a right or credential could be left in. */
const rowCount = () =>
  world.peek(
    'eu-1',
    `select (select count(*) from roles) + (select count(*) from user_roles) + (select count(*) from group_roles)
       + (select count(*) from credentials) + (select count(*) from outbox) as rows`,
  );

describe('nobody hands out more than she holds:', () => {
  it.each([
    ['createRole', async () => ({ name: 'bigger', scopes: ['users:write', 'audit:read'] })],
    ['grantRole', async () => ({ userId: ids.user, roleId: await big() })],
    ['grantRole', async () => ({ userId: world.acme.adminId, roleId: await big() })],
    ['mapGroupToRole', async () => ({ groupId: ids.group, roleId: await big() })],
    ['createApiKey', async () => ({ name: 'key', client: 'partner', scopes: ['users:write', 'audit:read'] })],
    ['createApiKey', async () => ({ name: 'key', client: 'partner', scopes: ['scim'] })],
    ['createApiKey', async () => ({ name: 'key', client: 'partner', scopes: ['platform:tenants'] })],
    ['createSignInLink', async () => ({ userId: world.acme.adminId })],
  ] as [string, () => Promise<object>][])('%s is refused and leaves nothing behind', async (name, input) => {
    const before = await rowCount();
    expect(codeOf(await ask(holder(), operation(name).document, { input: await input() }))).toBe('FORBIDDEN');
    expect(await rowCount()).toEqual(before);
  });

  it('an unknown right is told from one that is not held', async () => {
    const answer = await ask(holder(), operation('createRole').document, {
      input: { name: 'odd', scopes: ['everything'] },
    });
    expect(codeOf(answer)).toBe('BAD_USER_INPUT');
  });
});

const scimStatus = async (token: string) => (await world.fetch(token, '/scim/v2/Users?count=0')).status;

describe('a role', () => {
  it('of a group counts from the moment somebody joins until she leaves or it is taken', async () => {
    const userId = await addUser(world.acme, 'joiner');
    const session = await world.acme.issue({ kind: 'session', userId });
    const provisioner = await ask(world.acme.request(ALL), operation('createRole').document, {
      input: { name: 'provisioner', scopes: ['scim'] },
    });
    const roleId = (provisioner.data as { createRole: { role: { id: string } } }).createRole.role.id;
    const group = await addGroup(world.acme, 'Provisioners');
    await ask(world.acme.request(ALL), operation('mapGroupToRole').document, { input: { groupId: group, roleId } });
    const statuses = [await scimStatus(session)];
    for (const op of ['add', 'remove']) {
      await world.acme.scim('PATCH', `/Groups/${group}`, {
        schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
        Operations: [{ op, path: 'members', value: [{ value: userId }] }],
      });
      statuses.push(await scimStatus(session));
    }
    for (const name of ['grantRole', 'revokeRole']) {
      await ask(world.acme.request(ALL), operation(name).document, { input: { userId, roleId } });
      statuses.push(await scimStatus(session));
    }
    expect(statuses).toEqual([403, 200, 403, 200, 403]);
  });

  it('granted twice is recorded once', async () => {
    const grants = async () =>
      (await world.acme.events()).filter(
        ({ action, context }) => action === 'role.grant' && context['user'] === ids.user,
      ).length;
    const input = { userId: ids.user, roleId: ids.role };
    await ask(world.acme.request(ALL), operation('revokeRole').document, { input });
    const before = await grants();
    for (let round = 0; round < 2; round++)
      await ask(world.acme.request(ALL), operation('grantRole').document, { input });
    expect((await grants()) - before).toBe(1);
  });
});

describe('a revoked credential', () => {
  it('is refused at its next use, and revoking it again changes nothing', async () => {
    const { data } = await ask(world.acme.request(ALL), operation('createApiKey').document, {
      input: { name: 'brief', client: 'partner', scopes: ['scim'] },
    });
    const { token, credential } = (data as { createApiKey: { token: string; credential: { id: string } } })
      .createApiKey;
    expect(await isAccepted(world, token)).toBe(true);
    const input = { credentialId: credential.id };
    for (let round = 0; round < 2; round++)
      await ask(world.acme.request(['credentials:write']), operation('revokeCredential').document, { input });
    expect(await isAccepted(world, token)).toBe(false);
    expect(
      (await world.acme.events()).filter(
        ({ action, resource }) => action === 'credential.revoke' && resource.id === credential.id,
      ),
    ).toHaveLength(1);
  });
});

describe('the audit log', () => {
  it('holds an event of the declared name for each mutation that changed something, and no secret', async () => {
    const events = await world.acme.events();
    const run = new Set(OPERATIONS.map(({ name }) => name));
    const here = auditActions(identity.sdl)
      .filter(({ mutation }) => run.has(mutation))
      .map(({ action }) => action)
      // Here is no factor to reset, and nobody is locked out.
      .filter((action) => !['factors.reset', 'sign_in.unlock'].includes(action));
    expect(here.length).toBeGreaterThan(10);
    expect(here.filter((action) => !events.some((event) => event.action === action))).toEqual([]);
    expect(JSON.stringify(events)).not.toMatch(/tn[uksl]_/);
  });
});

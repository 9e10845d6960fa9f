import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { ask, codeOf, GROUP_URN, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';
import {
  ADMIN,
  addPerson,
  connect,
  run,
  type TestConnection,
  UPDATE,
  DELETE,
  UPDATE_USER,
  END,
  RESTORE,
  PREVIEW,
  MAP,
  UNMAP,
  ROLE,
} from './scim-connection-world.ts';

let world: IdentityPlatform;
let connection: TestConnection;
let serial = 0;
beforeAll(async () => {
  world = await openIdentity();
});
beforeEach(async () => {
  serial += 1;
  connection = await connect(world.acme, { profile: 'entra', name: `connection ${serial}` });
});

const admin = () => world.acme.request(ADMIN);
const lastEvent = async (action: string) => (await world.acme.events()).findLast((event) => event.action === action);

describe('attributes have one writer', () => {
  it('those of a person made by hand are changed by hand, her other addresses stay', async () => {
    const made = await run(
      world.acme,
      'mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }',
      { input: { userName: `by hand ${serial}`, displayName: 'Old', email: 'old@acme.example' } },
    );
    const { user } = made['createUser'] as { user: { id: string } };
    const input = { userId: user.id, displayName: 'New', email: 'new@acme.example' };
    expect((await run(world.acme, UPDATE_USER, { input }))['updateUser']).toMatchObject({
      user: {
        displayName: 'New',
        email: 'new@acme.example',
        userName: `by hand ${serial}`,
        attributeOwners: ['PROFILE', 'ACTIVE', 'GROUPS'].map((attributes) => ({
          attributes,
          writer: 'PERSON',
          connectionId: null,
        })),
      },
    });
    expect(await lastEvent('user.update')).toMatchObject({
      context: { source: 'graphql', attributes: ['displayName', 'email'] },
    });
  });

  it('those of a provisioned person are refused by hand, with the name of the connection', async () => {
    const id = await addPerson(connection, `provisioned ${serial}`);
    const refused = await ask(admin(), UPDATE_USER, { input: { userId: id, displayName: 'New' } });
    expect([codeOf(refused), refused.errors?.[0]?.message]).toEqual([
      'MUTABILITY',
      expect.stringContaining(`connection ${serial}`),
    ]);
    await run(world.acme, UPDATE, { input: { connectionId: connection.id, manages: ['ACTIVE'] } });
    const changed = await run(world.acme, UPDATE_USER, { input: { userId: id, email: 'new@acme.example' } });
    expect(changed['updateUser']).toMatchObject({ user: { email: 'new@acme.example' } });
    const { body } = await connection.scim('GET', `/Users/${id}`);
    expect(body.emails.map(({ value }) => value)).toEqual(['new@acme.example', 'home@acme.example']);
    const title = await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'title', value: 'x' }));
    expect([title.status, title.body.scimType]).toEqual([400, 'mutability']);
    const end = await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: false }));
    expect(end.status).toBe(200);
  });

  it('nobody is let in by hand whom the connection locked out; whom people locked out, they let in', async () => {
    const id = await addPerson(connection, `locked ${serial}`);
    const input = { userId: id };
    await run(world.acme, END, { input });
    await run(world.acme, RESTORE, { input });
    await connection.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: false }));
    expect(codeOf(await ask(admin(), RESTORE, { input }))).toBe('MUTABILITY');
    await run(world.acme, DELETE, { input: { connectionId: connection.id } });
    await run(world.acme, RESTORE, { input });
  });

  it('of two connections the first one provisions a person; the other changes nothing of her', async () => {
    const other = await connect(world.acme, { profile: 'okta_oin', name: `other ${serial}` });
    const id = await addPerson(connection, `claimed ${serial}`);
    for (const [method, body] of [
      ['PATCH', patch({ op: 'replace', path: 'title', value: 'x' })],
      ['PATCH', patch({ op: 'replace', path: 'active', value: false })],
      ['DELETE', undefined],
    ] as const) {
      const { status, body: answer } = await other.scim(method, `/Users/${id}`, body);
      expect([status, answer.scimType]).toEqual([400, 'mutability']);
    }
    await run(world.acme, DELETE, { input: { connectionId: connection.id } });
    expect(
      (await other.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'title', value: 'x' }))).status,
    ).toBe(200);
  });

  it('groups of sign-in or of people, and all groups where it manages none, are refused', async () => {
    const { body } = await connection.scim('POST', '/Groups', { schemas: [GROUP_URN], displayName: `owned ${serial}` });
    const rename = () =>
      connection.scim(
        'PATCH',
        `/Groups/${body.id}`,
        patch({ op: 'replace', path: 'displayName', value: `renamed ${serial}` }),
      );
    await world.peek('eu-1', `update groups set managed_by = 'person' where id = $1`, [uuidOf('grp', body.id)]);
    expect((await rename()).body.scimType).toBe('mutability');
    await world.peek('eu-1', `update groups set managed_by = 'scim' where id = $1`, [uuidOf('grp', body.id)]);
    await run(world.acme, UPDATE, { input: { connectionId: connection.id, manages: ['PROFILE', 'ACTIVE'] } });
    expect((await rename()).body.scimType).toBe('mutability');
    expect((await connection.scim('POST', '/Groups', { schemas: [GROUP_URN], displayName: 'x' })).body.scimType).toBe(
      'mutability',
    );
    await run(world.acme, UPDATE, { input: { connectionId: connection.id, manages: ['GROUPS'] } });
    expect((await rename()).status).toBe(204);
  });
});

describe('a mapping of a group to a role', () => {
  it('shows beforehand who would gain and lose by it, and changes nothing', async () => {
    const users = [await addPerson(connection, `one ${serial}`), await addPerson(connection, `two ${serial}`)];
    const members = users.map((value) => ({ value }));
    const { body: group } = await connection.scim('POST', '/Groups', {
      schemas: [GROUP_URN],
      displayName: `mapped ${serial}`,
      members,
    });
    const made = await run(world.acme, ROLE, {
      input: { name: `role${serial}`, scopes: ['users:read', 'users:write'] },
    });
    const role = (made['createRole'] as { role: { id: string } }).role.id;
    const half = await run(world.acme, ROLE, { input: { name: `half${serial}`, scopes: ['users:read'] } });
    const input = { userId: users[0], roleId: (half['createRole'] as { role: { id: string } }).role.id };
    await run(world.acme, 'mutation ($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }', { input });
    const events = (await world.acme.events()).length;
    const preview = async () => (await run(world.acme, PREVIEW, { group: group.id, role }))['previewGroupRole'];
    const changes = [
      { user: { id: users[0] }, scopes: ['users:write'] },
      { user: { id: users[1] }, scopes: ['users:read', 'users:write'] },
    ];
    const none = { gainingCount: 0, gaining: [], losingCount: 0, losing: [] };
    expect(await preview()).toEqual({ ...none, isMapped: false, memberCount: 2, gainingCount: 2, gaining: changes });
    expect((await world.acme.events()).length).toBe(events);
    await run(world.acme, MAP, { input: { groupId: group.id, roleId: role } });
    expect(await preview()).toEqual({ ...none, isMapped: true, memberCount: 2, losingCount: 2, losing: changes });
    await run(world.acme, UNMAP, { input: { groupId: group.id, roleId: role } });
    await run(world.acme, UNMAP, { input: { groupId: group.id, roleId: role } });
    expect((await world.acme.events()).filter(({ action }) => action === 'group.unmap_role')).toHaveLength(
      (await world.acme.events()).filter(
        ({ action, context }) => action === 'group.unmap_role' && context['group'] !== group.id,
      ).length + 1,
    );
    expect(await preview()).toMatchObject({ isMapped: false, gainingCount: 2 });
  });
});

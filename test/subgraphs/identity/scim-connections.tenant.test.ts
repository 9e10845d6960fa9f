import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Scope } from '#schema/scopes.ts';
import { ask, codeOf, GROUP_URN, openIdentity, type IdentityPlatform } from './identity-platform.ts';
import {
  ADMIN,
  addPerson,
  connect,
  logOf,
  run,
  type TestConnection,
  ISSUE,
  ROTATE,
  UPDATE,
  DELETE,
  SHOW,
  LIST,
  UPDATE_USER,
  PREVIEW,
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

/** Each operation of this room with its right, over ids of acme. */
const OPERATIONS: readonly [
  name: string,
  document: string,
  scope: Scope,
  variables: () => Promise<Record<string, unknown>>,
][] = [
  ['scimConnection', SHOW, 'identity:read', async () => ({ id: connection.id })],
  [
    'updateScimConnection',
    UPDATE,
    'identity:write',
    async () => ({ input: { connectionId: connection.id, name: 'stolen' } }),
  ],
  ['deleteScimConnection', DELETE, 'identity:write', async () => ({ input: { connectionId: connection.id } })],
  [
    'createScimToken',
    ISSUE,
    'credentials:write',
    async () => ({ input: { name: 'stolen', connectionId: connection.id } }),
  ],
  ['rotateScimToken', ROTATE, 'credentials:write', async () => ({ input: { tokenId: connection.tokenId } })],
  [
    'updateUser',
    UPDATE_USER,
    'users:write',
    async () => ({ input: { userId: world.acme.adminId, displayName: 'stolen' } }),
  ],
  ['previewGroupRole', PREVIEW, 'users:read', async () => ({ group: await aGroup(), role: await aRole() })],
  [
    'unmapGroupFromRole',
    UNMAP,
    'users:write',
    async () => ({ input: { groupId: await aGroup(), roleId: await aRole() } }),
  ],
];
const aGroup = async () =>
  (await connection.scim('POST', '/Groups', { schemas: [GROUP_URN], displayName: `a group ${serial}` })).body.id;
const aRole = async () =>
  (
    (await run(world.acme, ROLE, { input: { name: `a-role${serial}`, scopes: ['users:read'] } }))['createRole'] as {
      role: { id: string };
    }
  ).role.id;

describe.each(OPERATIONS)('%s', (name, document, scope, variables) => {
  it('is for whoever holds its right alone', async () => {
    const others = ADMIN.filter((one) => one !== scope);
    expect(codeOf(await ask(world.acme.request(others), document, await variables()))).toBe('FORBIDDEN');
  });

  it.each(['initech', 'globex'] as const)('finds nothing of acme for %s', async (tenant) => {
    const ids = await variables();
    const answer = await ask(world[tenant].request(ADMIN), document, ids);
    expect([answer.data?.[name] ?? null, codeOf(answer) ?? 'NOT_FOUND']).toEqual([null, 'NOT_FOUND']);
    const { scimConnection } = await run(world.acme, SHOW, { id: connection.id });
    expect(scimConnection).toMatchObject({ name: `connection ${serial}`, tokens: [{ id: connection.tokenId }] });
  });
});

describe('the log and the connections of another tenant', () => {
  it.each(['initech', 'globex'] as const)('are out of the reach of %s', async (tenant) => {
    const id = await addPerson(connection, `apart ${serial} ${tenant}`);
    await logOf(world.acme, connection.id);
    const list = JSON.stringify(await run(world[tenant], LIST));
    expect(list).not.toContain(connection.id);
    const seen = await run(world[tenant], 'query ($id: ID!) { user(id: $id) { accessHistory { action } } }', { id });
    expect(seen).toEqual({ user: null });
    expect((await connection.scim('GET', `/Users/${world[tenant].adminId}`)).status).toBe(404);
  });
});

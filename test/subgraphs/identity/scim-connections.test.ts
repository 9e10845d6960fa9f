import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask, codeOf, GROUP_URN, isAccepted, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';
import {
  ADMIN,
  addPerson,
  connect,
  issueToken,
  logOf,
  run,
  type TestConnection,
  ISSUE,
  ROTATE,
  REVOKE,
  UPDATE,
  DELETE,
  SHOW,
  LIST,
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

describe('a connection', () => {
  it('is made, shown, changed and deleted, each time in the audit log', async () => {
    expect(await lastEvent('scim_connection.create')).toMatchObject({
      resource: { type: 'scim_connection', id: connection.id, name: `connection ${serial}` },
      context: { profile: 'entra', state: 'active', manages: ['profile', 'active', 'groups'] },
    });
    const input = { connectionId: connection.id, name: 'renamed', profile: 'STRICT', manages: ['ACTIVE'] };
    expect(await run(world.acme, UPDATE, { input })).toEqual({
      updateScimConnection: {
        connection: { id: connection.id, name: 'renamed', profile: 'STRICT', state: 'ACTIVE', manages: ['ACTIVE'] },
      },
    });
    const changes = (await world.acme.events()).filter(({ action }) => action === 'scim_connection.update').length;
    await run(world.acme, UPDATE, { input });
    expect((await world.acme.events()).filter(({ action }) => action === 'scim_connection.update')).toHaveLength(
      changes,
    );
    expect(await isAccepted(world, connection.token)).toBe(true);
    await run(world.acme, DELETE, { input: { connectionId: connection.id } });
    expect(await isAccepted(world, connection.token)).toBe(false);
    expect(await run(world.acme, SHOW, { id: connection.id })).toEqual({ scimConnection: null });
    expect(await lastEvent('scim_connection.delete')).toMatchObject({
      context: { tokens_revoked: [connection.tokenId] },
    });
  });

  it('that is disabled refuses each request, says so, and is enabled again', async () => {
    const set = (state: string) => run(world.acme, UPDATE, { input: { connectionId: connection.id, state } });
    await set('DISABLED');
    const { status, body } = await connection.scim('GET', '/Users');
    expect([status, body.detail]).toEqual([403, expect.stringContaining('disabled')]);
    expect((await logOf(world.acme, connection.id))[0]).toMatchObject({ status: 403, path: '/Users' });
    await set('ACTIVE');
    expect((await connection.scim('GET', '/Users')).status).toBe(200);
  });

  it('reads the next request by a new profile', async () => {
    const id = await addPerson(connection, `read by ${serial}`);
    const send = () => connection.scim('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'title', value: 'x' }));
    expect((await send()).status).toBe(200);
    await run(world.acme, UPDATE, { input: { connectionId: connection.id, profile: 'STRICT' } });
    expect((await send()).body.scimType).toBe('invalidSyntax');
  });

  it('of tokens that name none is one for the tenant, which stays', async () => {
    await Promise.all([1, 2, 3, 4].map(() => world.initech.scim('GET', '/Users')));
    const { scimConnections } = await run(world.initech, LIST);
    expect(scimConnections).toEqual([{ id: expect.any(String), name: 'Default', profile: 'ENTRA', isDefault: true }]);
    const [{ id }] = scimConnections as [{ id: string }];
    expect((await logOf(world.initech, id)).map(({ path }) => path)).toEqual(['/Users', '/Users', '/Users', '/Users']);
    expect(codeOf(await ask(world.initech.request(ADMIN), DELETE, { input: { connectionId: id } }))).toBe('CONFLICT');
  });
});

describe('the tokens of a connection', () => {
  it('are two at most, also where many are made at once', async () => {
    const made = await Promise.all(
      [1, 2, 3, 4].map(() => ask(admin(), ISSUE, { input: { name: 'more', connectionId: connection.id } })),
    );
    expect(made.filter((answer) => codeOf(answer) === 'CONFLICT')).toHaveLength(3);
    expect(made.filter((answer) => codeOf(answer) === null)).toHaveLength(1);
  });

  it('are rotated: the new one works at once, the old one for the time of grace', async () => {
    const rotated = await run(world.acme, ROTATE, { input: { tokenId: connection.tokenId, graceHours: 24 } });
    const { token } = rotated['rotateScimToken'] as { token: string };
    const now = world.platform.clock();
    expect([await isAccepted(world, connection.token), await isAccepted(world, token)]).toEqual([true, true]);
    expect(codeOf(await ask(admin(), ROTATE, { input: { tokenId: connection.tokenId, graceHours: 24 } }))).toBe(
      'CONFLICT',
    );
    world.setNow(new Date(now.getTime() + 24 * 3_600_000 + 1));
    expect([await isAccepted(world, connection.token), await isAccepted(world, token)]).toEqual([false, true]);
    world.setNow(now);
    expect(await lastEvent('scim_token.rotate')).toMatchObject({
      context: { connection: connection.id, replaces: connection.tokenId, scopes: ['scim'] },
    });
  });

  it('end at once where no grace is given, and where one is revoked', async () => {
    const rotated = await run(world.acme, ROTATE, { input: { tokenId: connection.tokenId, graceHours: 0 } });
    const { token, credential } = rotated['rotateScimToken'] as { token: string; credential: { id: string } };
    expect([await isAccepted(world, connection.token), await isAccepted(world, token)]).toEqual([false, true]);
    await run(world.acme, REVOKE, { input: { credentialId: credential.id } });
    expect((await world.acme.scimAs({ token })('GET', '/Users')).status).toBe(401);
    const again = await issueToken(world.acme, connection.id);
    expect(await isAccepted(world, again.token)).toBe(true);
  });

  it('expire, and tell when they were last used', async () => {
    await connection.scim('GET', '/Users?count=0');
    await expect
      .poll(async () => JSON.stringify(await run(world.acme, SHOW, { id: connection.id })))
      .toMatch(/"lastUsedAt":"\d{4}/);
    const now = world.platform.clock();
    world.setNow(new Date(now.getTime() + 366 * 86_400_000));
    expect((await connection.scim('GET', '/Users')).status).toBe(401);
    world.setNow(now);
  });

  it('are for whoever holds what the groups carry alone', async () => {
    const { body } = await connection.scim('POST', '/Groups', {
      schemas: [GROUP_URN],
      displayName: `payers ${serial}`,
    });
    const holder = world.acme.request([...ADMIN, 'billing:read']);
    const role = await ask(holder, ROLE, { input: { name: `payer${serial}`, scopes: ['billing:read'] } });
    const roleId = (role.data as { createRole: { role: { id: string } } }).createRole.role.id;
    expect(codeOf(await ask(holder, MAP, { input: { groupId: body.id, roleId } }))).toBeNull();
    for (const [document, input] of [
      [ISSUE, { name: 'x', connectionId: connection.id }],
      [ROTATE, { tokenId: connection.tokenId }],
    ] as const) {
      expect(codeOf(await ask(admin(), document, { input }))).toBe('FORBIDDEN');
    }
    expect(codeOf(await ask(holder, UNMAP, { input: { groupId: body.id, roleId } }))).toBeNull();
    expect(codeOf(await ask(admin(), ROTATE, { input: { tokenId: connection.tokenId } }))).toBeNull();
  });
});

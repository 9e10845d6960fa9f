import { beforeAll, describe, expect, it, afterEach } from 'vitest';
import { authenticate } from '#kit/credential.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  ask,
  codeOf,
  isAccepted,
  openIdentity,
  type IdentityPlatform,
} from './identity-platform.ts';

let world: IdentityPlatform;
let userId: string;
beforeAll(async () => {
  world = await openIdentity();
  userId = await addUser(world.acme, 'kay');
});
afterEach(() => world.setNow(new Date()));

const ALL = Object.keys(SCOPES) as Scope[];
const admin = () => world.acme.request(ALL);
const HOUR_MS = 3_600_000;

async function done<T>(query: string, input: object, scopes: readonly Scope[] = ALL): Promise<T> {
  const { data, errors } = await ask(world.acme.request(scopes), query, { input });
  expect(errors).toBeUndefined();
  return Object.values(data as Record<string, T>)[0] as T;
}

interface Issued {
  readonly token: string;
  readonly credential: { readonly id: string; readonly lastUsedAt: string | null };
}

const CREATE_KEY =
  'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { token credential { id lastUsedAt } } }';
const ROTATE =
  'mutation ($input: RotateApiKeyInput!) { rotateApiKey(input: $input) { token credential { id name client scopes allowedNetworks } } }';
const SET_NETWORKS =
  'mutation ($input: SetAllowedNetworksInput!) { setAllowedNetworks(input: $input) { credential { id allowedNetworks } } }';
const newKey = (more: object = {}) =>
  done<Issued>(CREATE_KEY, { name: 'partner', client: 'partner', scopes: ['projects:read'], ...more });

const from = (token: string, ip: string | null) =>
  authenticate(world.platform.databases, token, {
    requestId: mintId('req'),
    ip,
    ua: null,
    now: world.platform.clock(),
  }).then(
    () => 'accepted',
    (error: { code: string }) => error.code,
  );

describe('a rotated API key', () => {
  it('has a successor with the same rights, and works on for the hours of grace alone', async () => {
    const old = await newKey({ allowedNetworks: ['127.0.0.0/8', '203.0.113.0/24'] });
    const next = await done<Issued>(ROTATE, { credentialId: old.credential.id, graceHours: 2 });
    expect(next.credential).toMatchObject({
      name: 'partner',
      client: 'partner',
      scopes: ['projects:read'],
      allowedNetworks: ['127.0.0.0/8', '203.0.113.0/24'],
    });
    expect([await from(old.token, '127.0.0.1'), await from(next.token, '127.0.0.1')]).toEqual(['accepted', 'accepted']);
    world.setNow(new Date(Date.now() + 2 * HOUR_MS + 1000));
    expect([await from(old.token, '127.0.0.1'), await from(next.token, '127.0.0.1')]).toEqual([
      'UNAUTHENTICATED',
      'accepted',
    ]);
    expect(
      (await world.acme.events()).filter(
        ({ action, resource }) => action === 'api_key.rotate' && resource.id === next.credential.id,
      ),
    ).toMatchObject([{ context: { replaces: old.credential.id } }]);
  });

  it('without grace ends at once', async () => {
    const old = await newKey();
    const next = await done<Issued>(ROTATE, { credentialId: old.credential.id, graceHours: 0 });
    expect([await isAccepted(world, old.token), await isAccepted(world, next.token)]).toEqual([false, true]);
  });

  it('never lives longer by its grace', async () => {
    const old = await newKey({ expiresInDays: 1 });
    await done(ROTATE, { credentialId: old.credential.id, graceHours: 720 });
    world.setNow(new Date(Date.now() + 24 * HOUR_MS + 1000));
    expect(await isAccepted(world, old.token)).toBe(false);
  });

  it('is rotated once, by one of two who ask at the same moment', async () => {
    const old = await newKey();
    const input = { credentialId: old.credential.id };
    const answers = await Promise.all([ask(admin(), ROTATE, { input }), ask(admin(), ROTATE, { input })]);
    expect(new Set(answers.map(codeOf))).toEqual(new Set(['CONFLICT', null]));
    const rows = await world.peek(
      'eu-1',
      'select 1 from credentials where id in (select replaced_by from credentials where id = $1)',
      [uuidOf('key', old.credential.id)],
    );
    expect(rows).toHaveLength(1);
  });

  it('is handed to nobody who lacks its rights, and of another tenant is nothing', async () => {
    const old = await newKey();
    const input = { credentialId: old.credential.id };
    const weak = await ask(world.acme.request(['credentials:write']), ROTATE, { input });
    const foreign = [world.initech, world.globex].map((tenant) => ask(tenant.request(ALL), ROTATE, { input }));
    expect([codeOf(weak), ...(await Promise.all(foreign)).map(codeOf)]).toEqual([
      'FORBIDDEN',
      'NOT_FOUND',
      'NOT_FOUND',
    ]);
    expect(await isAccepted(world, old.token)).toBe(true);
  });

  it('is not rotated once it is revoked', async () => {
    const old = await newKey();
    await done('mutation ($input: RevokeCredentialInput!) { revokeCredential(input: $input) { credential { id } } }', {
      credentialId: old.credential.id,
    });
    expect(codeOf(await ask(admin(), ROTATE, { input: { credentialId: old.credential.id } }))).toBe('CONFLICT');
  });
});

describe('a key that is for certain networks', () => {
  it('is refused elsewhere, like no key at all, and the tenant finds the refusals as one event', async () => {
    const { token, credential } = await newKey({ allowedNetworks: ['198.51.100.0/24', '2001:db8::/32'] });
    expect([
      await from(token, '198.51.100.7'),
      await from(token, '::ffff:198.51.100.8'),
      await from(token, '2001:db8::1'),
      await from(token, '198.51.101.7'),
      await from(token, null),
    ]).toEqual(['accepted', 'accepted', 'accepted', 'UNAUTHENTICATED', 'UNAUTHENTICATED']);
    await expect
      .poll(async () =>
        (await world.acme.events()).filter(
          ({ action, resource }) => action === 'credential.refuse' && resource.id === credential.id,
        ),
      )
      .toMatchObject([
        { actor: { type: 'api_key', id: credential.id, ip: '198.51.101.7' }, context: { reason: 'network' } },
        {},
      ]);
  });

  it('is for others from its next use on', async () => {
    const { token, credential } = await newKey();
    expect(await from(token, '192.0.2.1')).toBe('accepted');
    const set = (allowedNetworks: string[]) => done(SET_NETWORKS, { credentialId: credential.id, allowedNetworks });
    expect(await set(['192.0.2.128/25'])).toEqual({
      credential: { id: credential.id, allowedNetworks: ['192.0.2.128/25'] },
    });
    expect([await from(token, '192.0.2.1'), await from(token, '192.0.2.200')]).toEqual(['UNAUTHENTICATED', 'accepted']);
    await set([]);
    expect(await from(token, '192.0.2.1')).toBe('accepted');
  });

  it.each(['', 'localhost', '10.0.0.0/33', '10.0.0/8', '::1/129', 'fe80::1%eth0', '10.0.0.0/8/8', '10.0.0.0/-1'])(
    'takes no %j',
    async (network) => {
      const input = { name: 'x', client: 'partner', scopes: ['projects:read'], allowedNetworks: [network] };
      expect(codeOf(await ask(admin(), CREATE_KEY, { input }))).toBe('BAD_USER_INPUT');
    },
  );

  it('of another tenant is nothing', async () => {
    const { credential } = await newKey();
    const input = { credentialId: credential.id, allowedNetworks: ['10.0.0.0/8'] };
    expect(codeOf(await ask(world.initech.request(ALL), SET_NETWORKS, { input }))).toBe('NOT_FOUND');
  });
});

describe('the last use of a credential', () => {
  const lastUse = async (id: string) => {
    const list = await done<{ id: string; lastUsedAt: string | null }[]>(
      '{ machineCredentials { id lastUsedAt } }',
      {},
    );
    return list.find((key) => key.id === id)?.lastUsedAt;
  };

  it('is listed with it, to five minutes, without a word to the caches', async () => {
    const { token, credential } = await newKey();
    expect(await lastUse(credential.id)).toBeNull();
    const first = new Date();
    world.setNow(first);
    await from(token, '192.0.2.1');
    await expect.poll(() => lastUse(credential.id)).toBe(first.toISOString());
    world.setNow(new Date(first.getTime() + 299_000));
    await from(token, '192.0.2.1');
    world.setNow(new Date(first.getTime() + 301_000));
    await from(token, '192.0.2.1');
    await expect.poll(() => lastUse(credential.id)).toBe(new Date(first.getTime() + 301_000).toISOString());
  });
});

interface RoleShown {
  readonly role: { readonly id: string; readonly name: string; readonly scopes: readonly string[] };
}
const CREATE_ROLE = 'mutation ($input: CreateRoleInput!) { createRole(input: $input) { role { id name scopes } } }';
const UPDATE_ROLE = 'mutation ($input: UpdateRoleInput!) { updateRole(input: $input) { role { id name scopes } } }';
const DELETE_ROLE = 'mutation ($input: DeleteRoleInput!) { deleteRole(input: $input) { roleId } }';
const GRANT_ROLE = 'mutation ($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }';
const PREVIEW =
  'query ($input: PermissionsPreviewInput!) { permissionsPreview(input: $input) { permissions { scope roles { name } } gained lost } }';

let counter = 0;
const newRole = async (scopes: readonly string[]) =>
  (await done<RoleShown>(CREATE_ROLE, { name: `role-${counter++}`, scopes })).role;
const builtIn = async (name: string) => {
  const { data } = await ask(admin(), '{ roles { id name } }');
  return (data as { roles: { id: string; name: string }[] }).roles.find((role) => role.name === name)?.id ?? '';
};

describe('a role of the tenant', () => {
  it('is changed for all who hold it', async () => {
    const role = await newRole(['projects:read']);
    const holder = await addUser(world.acme, `holder-${counter}`);
    await done(GRANT_ROLE, { userId: holder, roleId: role.id });
    const token = await world.acme.issue({ kind: 'session', userId: holder });
    const rights = async () =>
      (await authenticate(world.platform.databases, token, { requestId: 'r', ip: null, ua: null, now: new Date() }))
        .scopes;
    expect(await rights()).toEqual(['projects:read']);
    const { role: changed } = await done<RoleShown>(UPDATE_ROLE, {
      roleId: role.id,
      name: 'renamed',
      scopes: ['users:read'],
    });
    expect(changed).toEqual({ id: role.id, name: 'renamed', scopes: ['users:read'] });
    expect(await rights()).toEqual(['users:read']);
    await done(DELETE_ROLE, { roleId: role.id });
    expect(await rights()).toEqual([]);
    const events = (await world.acme.events())
      .filter(({ resource }) => resource.id === role.id)
      .map(({ action }) => action);
    expect(events).toEqual(['role.create', 'role.grant', 'role.update', 'role.delete']);
  });

  it('gets no right that whoever changes it does not hold; what it had it may keep', async () => {
    const role = await newRole(['projects:read', 'audit:read']);
    const update = (scopes: string[]) =>
      ask(world.acme.request(['users:write', 'projects:write']), UPDATE_ROLE, { input: { roleId: role.id, scopes } });
    expect(codeOf(await update(['projects:read', 'audit:read', 'billing:write']))).toBe('FORBIDDEN');
    expect(codeOf(await update(['projects:read', 'nonsense']))).toBe('BAD_USER_INPUT');
    expect(codeOf(await update(['audit:read', 'projects:write']))).toBeNull();
  });

  it.each(['admin', 'member', 'auditor'])('is not the built-in %s, which stays as it is', async (name) => {
    const roleId = await builtIn(name);
    expect([
      codeOf(await ask(admin(), UPDATE_ROLE, { input: { roleId, scopes: [] } })),
      codeOf(await ask(admin(), DELETE_ROLE, { input: { roleId } })),
    ]).toEqual(['CONFLICT', 'CONFLICT']);
    expect(await builtIn(name)).toBe(roleId);
  });

  it('of another tenant is nothing', async () => {
    const role = await newRole(['projects:read']);
    const foreign = world.initech.request(ALL);
    expect([
      codeOf(await ask(foreign, UPDATE_ROLE, { input: { roleId: role.id, scopes: [] } })),
      codeOf(await ask(foreign, DELETE_ROLE, { input: { roleId: role.id } })),
      codeOf(await ask(foreign, PREVIEW, { input: { userId } })),
      codeOf(await ask(foreign, PREVIEW, { input: { userId: world.initech.adminId, grantRoles: [role.id] } })),
    ]).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND']);
  });
});

describe('a preview of permissions', () => {
  it('says what a person could do after a change, whence, and changes nothing', async () => {
    const [direct, ofGroup, extra] = [
      await newRole(['projects:read']),
      await newRole(['users:read']),
      await newRole(['users:read', 'audit:read']),
    ];
    const person = await addUser(world.acme, `previewed-${counter}`);
    const group = await addGroup(world.acme, `Previewed ${counter}`, [person]);
    await done(GRANT_ROLE, { userId: person, roleId: direct.id });
    await done('mutation ($input: GroupRoleInput!) { mapGroupToRole(input: $input) { group { id } } }', {
      groupId: group,
      roleId: ofGroup.id,
    });
    const now = await done(PREVIEW, { userId: person });
    expect(now).toEqual({
      permissions: [
        { scope: 'projects:read', roles: [{ name: direct.name }] },
        { scope: 'users:read', roles: [{ name: ofGroup.name }] },
      ],
      gained: [],
      lost: [],
    });
    expect(await done(PREVIEW, { userId: person, grantRoles: [extra.id], revokeRoles: [direct.id] })).toEqual({
      permissions: [
        { scope: 'audit:read', roles: [{ name: extra.name }] },
        { scope: 'users:read', roles: [{ name: ofGroup.name }, { name: extra.name }] },
      ],
      gained: ['audit:read'],
      lost: ['projects:read'],
    });
    expect(await done(PREVIEW, { userId: person, leaveGroups: [group] })).toMatchObject({
      gained: [],
      lost: ['users:read'],
    });
    expect(await done(PREVIEW, { userId: person })).toEqual(now);
  });
});

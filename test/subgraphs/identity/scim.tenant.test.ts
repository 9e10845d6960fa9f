import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  GROUP_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimAnswer,
  type TestTenant,
} from './identity-platform.ts';

let world: IdentityPlatform;
let user: string;
let group: string;
beforeAll(async () => {
  world = await openIdentity();
  user = await addUser(world.acme, 'secret@acme.example', { externalId: 'shared', displayName: 'Secret' });
  group = await addGroup(world.acme, 'Secret group', [user]);
});

const REQUESTS: [method: string, path: (ids: { user: string; group: string }) => string, body?: object][] = [
  ['GET', ({ user: id }) => `/Users/${id}`],
  ['PUT', ({ user: id }) => `/Users/${id}`, { schemas: [USER_URN], userName: 'stolen', active: false }],
  ['PATCH', ({ user: id }) => `/Users/${id}`, patch({ op: 'replace', path: 'active', value: false })],
  ['DELETE', ({ user: id }) => `/Users/${id}`],
  ['GET', ({ group: id }) => `/Groups/${id}`],
  ['PUT', ({ group: id }) => `/Groups/${id}`, { schemas: [GROUP_URN], displayName: 'stolen', members: [] }],
  ['PATCH', ({ group: id }) => `/Groups/${id}`, patch({ op: 'remove', path: 'members' })],
  ['DELETE', ({ group: id }) => `/Groups/${id}`],
];

const shown = ({ status, body }: ScimAnswer) => ({ status, body });

describe.each(['initech', 'globex'] as const)('the SCIM token of %s, in the same cell or another,', (name) => {
  const other = (): TestTenant => world[name];

  it.each(REQUESTS)('gets from %s %s what it gets for an id of nobody', async (method, path, body) => {
    const foreign = await other().scim(method, path({ user, group }), body);
    const nobody = await other().scim(method, path({ user: mintId('usr'), group: mintId('grp') }), body);
    expect(foreign.status).toBe(404);
    expect(shown(foreign)).toEqual(shown(nobody));
  });

  it('finds nothing of another tenant by any filter', async () => {
    for (const filter of [
      'externalId eq "shared"',
      'userName co "secret"',
      `id eq "${user}"`,
      `groups.value eq "${group}"`,
      `not (id eq "${user}")`,
    ]) {
      const { body } = await other().scim('GET', `/Users?filter=${encodeURIComponent(filter)}`);
      expect(body.Resources.map(({ id }) => id).filter((id) => id !== other().adminId)).toEqual([]);
    }
    for (const filter of [`members eq "${user}"`, 'displayName co "secret"', `id eq "${group}"`]) {
      expect((await other().scim('GET', `/Groups?filter=${encodeURIComponent(filter)}`)).body.totalResults).toBe(0);
    }
  });

  it("takes another tenant's ids in a body for nothing", async () => {
    const created = await other().scim('POST', '/Users', {
      schemas: [USER_URN],
      id: user,
      userName: `mine of ${name}`,
      groups: [{ value: group }],
      meta: { location: 'http://x' },
    });
    expect([created.status, created.body.id === user, created.body.groups]).toEqual([201, false, undefined]);
    const put = await other().scim('PUT', `/Users/${created.body.id}`, {
      schemas: [USER_URN],
      id: user,
      userName: `mine of ${name}`,
    });
    expect(put.body.id).toBe(created.body.id);
    const patched = await other().scim(
      'PATCH',
      `/Users/${created.body.id}`,
      patch({ op: 'replace', value: { id: user, displayName: 'stolen' } }),
    );
    expect([patched.status, patched.body.scimType]).toEqual([400, 'mutability']);
    const renamed = await other().scim('POST', '/Groups', { schemas: [GROUP_URN], id: group, displayName: 'Mine' });
    expect([renamed.status, renamed.body.id === group]).toEqual([201, false]);
  });

  it('may use the same names: they are unique in a tenant and not beyond', async () => {
    expect(
      (await other().scim('POST', '/Users', { schemas: [USER_URN], userName: 'secret@acme.example' })).status,
    ).toBe(201);
    expect((await other().scim('POST', '/Groups', { schemas: [GROUP_URN], displayName: 'Secret group' })).status).toBe(
      201,
    );
  });
});

describe('the tenant that owns them', () => {
  it('finds user and group as they were', async () => {
    expect((await world.acme.scim('GET', `/Users/${user}`)).body).toMatchObject({
      userName: 'secret@acme.example',
      active: true,
      displayName: 'Secret',
    });
    expect((await world.acme.scim('GET', `/Groups/${group}`)).body).toMatchObject({
      displayName: 'Secret group',
      members: [{ value: user }],
    });
  });
});

describe('a credential', () => {
  it.each([
    ['none', async () => null, 401],
    ['a text of no form', async () => 'non-token', 401],
    [
      'the token of a session without the right',
      () => world.acme.issue({ kind: 'session', userId: world.acme.adminId }),
      403,
    ],
    [
      'an API key without the right',
      () => world.acme.issue({ kind: 'api_key', userId: null, scopes: ['users:write'] }),
      403,
    ],
    ['a token with another secret', async () => world.acme.scimToken.replace(/.{43}$/, 'A'.repeat(43)), 401],
    [
      "a token with another tenant's id",
      async () => world.acme.scimToken.replace(world.acme.id.slice(4), world.initech.id.slice(4)),
      401,
    ],
    [
      'an expired token',
      () => world.acme.issue({ kind: 'scim_token', userId: null, scopes: ['scim'], expiresAt: new Date(0) }),
      401,
    ],
  ] as [string, () => Promise<string | null>, number][])(
    'that is %s is refused at every door',
    async (_name, token, status) => {
      const asked = world.acme.scimAs({ token: await token() });
      const answers = [];
      for (const [method, path, body] of REQUESTS) answers.push(await asked(method, path({ user, group }), body));
      for (const path of ['/Users', '/Groups', '/Schemas']) answers.push(await asked('GET', path));
      expect(new Set(answers.map(({ status: got, body }) => `${got} ${body.status}`))).toEqual(
        new Set([`${status} ${status}`]),
      );
    },
  );

  it("is not helped by a client's own tenant header", async () => {
    const headers = { 'x-tenant-id': world.acme.id, 'x-tenon-context': 'v1.k2.9999999999999.e30.x' };
    expect((await world.initech.scimAs({ headers })('GET', `/Users/${user}`)).status).toBe(404);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import {
  addUser,
  ask,
  codeOf,
  isAccepted,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
} from './identity-platform.ts';

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const DEACTIVATE = 'mutation ($input: UserInput!) { deactivateUser(input: $input) { user { active } } }';
const REACTIVATE = 'mutation ($input: UserInput!) { reactivateUser(input: $input) { user { active } } }';
const set = (active: boolean) => patch({ op: 'replace', path: 'active', value: active });

const WAYS: [
  name: string,
  off: (id: string, userName: string) => Promise<unknown>,
  on: (id: string, userName: string) => Promise<unknown>,
][] = [
  [
    'a SCIM PATCH',
    (id) => world.acme.scim('PATCH', `/Users/${id}`, set(false)),
    (id) => world.acme.scim('PATCH', `/Users/${id}`, set(true)),
  ],
  [
    'a SCIM PUT',
    (id, userName) => world.acme.scim('PUT', `/Users/${id}`, { schemas: [USER_URN], userName, active: false }),
    (id, userName) => world.acme.scim('PUT', `/Users/${id}`, { schemas: [USER_URN], userName, active: true }),
  ],
  [
    'the graph',
    (userId) => ask(world.acme.request(['users:write']), DEACTIVATE, { input: { userId } }),
    (userId) => ask(world.acme.request(['users:write']), REACTIVATE, { input: { userId } }),
  ],
];

describe.each(WAYS)('a user deactivated by %s', (name, off, on) => {
  it('is refused with session, key and link at once, and stays so when she comes back', async () => {
    const userName = `leaver by ${name}`;
    const userId = await addUser(world.acme, userName);
    const [session, key, link] = [
      await world.acme.issue({ kind: 'session', userId }),
      await world.acme.issue({ kind: 'api_key', userId, scopes: ['users:read'] }),
      await world.acme.issue({ kind: 'sign_in_link', userId }),
    ];
    expect([await isAccepted(world, session), await isAccepted(world, key)]).toEqual([true, true]);
    await off(userId, userName);
    expect([await isAccepted(world, session), await isAccepted(world, key), (await follow(link)).status]).toEqual([
      false,
      false,
      401,
    ]);
    await on(userId, userName);
    expect([await isAccepted(world, session), await isAccepted(world, key), (await follow(link)).status]).toEqual([
      false,
      false,
      401,
    ]);
    expect(await isAccepted(world, await world.acme.issue({ kind: 'session', userId }))).toBe(true);
    const events = (await world.acme.events())
      .filter(({ resource }) => resource.id === userId)
      .map(({ action, context }) => [action, context]);
    expect(events).toContainEqual(['user.deactivate', { sessions: 1, api_keys: 1 }]);
    expect(events).toContainEqual(['user.reactivate', {}]);
  });

  it('is deactivated once: again changes nothing, and records at most that', async () => {
    const userName = `twice by ${name}`;
    const id = await addUser(world.acme, userName);
    await off(id, userName);
    const row = () =>
      world.peek<{ epoch: number; version: number }>('eu-1', 'select epoch, version from users where user_name = $1', [
        userName,
      ]);
    const [before, events] = [await row(), (await world.acme.events()).length];
    await off(id, userName);
    const added = (await world.acme.events()).slice(events).map(({ action }) => action);
    expect([await row(), added]).toEqual([before, name === 'the graph' ? ['mutation.unchanged'] : []]);
    expect(before[0]?.epoch).toBe(2);
  });
});

describe('a user who is inactive', () => {
  it('is issued nothing', async () => {
    const userId = await addUser(world.acme, 'never in', { active: false });
    for (const kind of ['session', 'api_key', 'sign_in_link'] as const) {
      await expect(world.acme.issue({ kind, userId })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    const link = await ask(
      world.acme.request(['credentials:write']),
      'mutation ($input: UserInput!) { createSignInLink(input: $input) { url } }',
      { input: { userId } },
    );
    expect(codeOf(link)).toBe('NOT_FOUND');
  });
});

describe('a deactivation', () => {
  it('that comes with the use of a link at the same moment leaves no session alive, whoever is first', async () => {
    for (let round = 0; round < 8; round++) {
      const userId = await addUser(world.acme, `race ${round}`);
      const link = await world.acme.issue({ kind: 'sign_in_link', userId });
      const [followed, deactivated] = await Promise.all([
        follow(link),
        world.acme.scim('PATCH', `/Users/${userId}`, set(false)),
      ]);
      expect(deactivated.status).toBe(200);
      expect([200, 401]).toContain(followed.status);
      const { token } = (await followed.json()) as { token?: string };
      if (token !== undefined) expect(await isAccepted(world, token)).toBe(false);
    }
  });

  it('that fails at another attribute ends nothing', async () => {
    const userId = await addUser(world.acme, 'kept in');
    const session = await world.acme.issue({ kind: 'session', userId });
    const { status } = await world.acme.scim(
      'PATCH',
      `/Users/${userId}`,
      patch(
        { op: 'replace', path: 'active', value: false },
        { op: 'replace', path: 'userName', value: 'ada@acme.example' },
      ),
    );
    expect([status, await isAccepted(world, session)]).toEqual([409, true]);
  });
});

function follow(token: string): Promise<Response> {
  return world.fetch(null, '/sso/link', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
  });
}

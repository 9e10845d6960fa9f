import { beforeAll, describe, expect, it } from 'vitest';
import { addGroup, addUser, openIdentity, patch, type IdentityPlatform, type ScimAnswer } from './identity-platform.ts';

let world: IdentityPlatform;
let user: string;
let group: string;
beforeAll(async () => {
  world = await openIdentity();
  user = await addUser(world.acme, 'versioned', { displayName: 'First' });
  group = await addGroup(world.acme, 'Versioned', [user]);
});

const send = (
  method: string,
  path: string,
  { headers = {}, body }: { headers?: Record<string, string>; body?: object },
) => world.acme.scimAs({ headers })(method, path, body);
const read = (path: string): Promise<ScimAnswer> => world.acme.scim('GET', path);
const etag = async (path: string): Promise<string> => (await read(path)).headers.get('etag') ?? '';
const rename = (displayName: string) => patch({ op: 'replace', path: 'displayName', value: displayName });

describe.each([
  ['a user', () => `/Users/${user}`],
  ['a group', () => `/Groups/${group}`],
])('the version of %s', (kind, path) => {
  it('stands in the header and in meta of every answer, and in every list', async () => {
    const { headers, body } = await read(path());
    expect(headers.get('etag')).toMatch(/^W\/"\d+"$/);
    expect(body.meta.version).toBe(headers.get('etag'));
    const list = await read(
      `${path().slice(0, path().lastIndexOf('/'))}?filter=${encodeURIComponent(`id eq "${body.id}"`)}`,
    );
    expect(list.body.Resources.map(({ meta }) => meta.version)).toEqual([headers.get('etag')]);
  });

  it('moves with each change and stays where nothing changes', async () => {
    const before = await etag(path());
    const changed = await send('PATCH', path(), { body: rename(`moved ${kind}`) });
    expect(changed.headers.get('etag')).toBe(await etag(path()));
    expect(await etag(path())).not.toBe(before);
    const again = await send('PATCH', path(), { body: rename(`moved ${kind}`) });
    expect(again.headers.get('etag')).toBe(await etag(path()));
    expect(await etag(path())).toBe(changed.headers.get('etag'));
  });

  it('answers a GET with 304 and no body where the client has it already', async () => {
    const tag = await etag(path());
    for (const condition of [tag, `"x", ${tag}`, tag.replace('W/', ''), '*']) {
      const { status, text, headers } = await send('GET', path(), { headers: { 'if-none-match': condition } });
      expect([condition, status, text, headers.get('etag')]).toEqual([condition, 304, '', tag]);
    }
    for (const condition of ['W/"0"', tag.replaceAll('"', ''), 'W/"', ''])
      expect([condition, (await send('GET', path(), { headers: { 'if-none-match': condition } })).status]).toEqual([
        condition,
        200,
      ]);
  });

  it('lets no change and no deletion through that was meant for another one', async () => {
    const tag = await etag(path());
    const { body } = await read(path());
    const conditions = [
      { 'if-match': 'W/"0"' },
      { 'if-match': 'nonsense' },
      { 'if-none-match': tag },
      { 'if-none-match': '*' },
    ];
    for (const headers of conditions as Record<string, string>[]) {
      for (const [method, change] of [
        ['PUT', { ...body, displayName: 'lost' }],
        ['PATCH', rename('lost')],
        ['DELETE', undefined],
      ] as const) {
        const answer = await send(method, path(), { headers, ...(change && { body: change }) });
        expect([method, headers, answer.status, answer.body.status]).toEqual([method, headers, 412, '412']);
      }
    }
    expect((await read(path())).body).toEqual(body);
  });

  it('lets through what was meant for it', async () => {
    const before = await etag(path());
    const patched = await send('PATCH', path(), { headers: { 'if-match': before }, body: rename(`right ${kind}`) });
    expect([200, 204]).toContain(patched.status);
    const { body } = await read(path());
    const put = await send('PUT', path(), {
      headers: { 'if-match': `"0", ${await etag(path())}` },
      body: { ...body, displayName: `put ${kind}` },
    });
    expect([put.status, put.body.displayName, put.headers.get('etag')]).toEqual([
      200,
      `put ${kind}`,
      await etag(path()),
    ]);
    expect(
      (await send('PATCH', path(), { headers: { 'if-match': '*' }, body: rename(`any ${kind}`) })).status,
    ).toBeLessThan(300);
  });

  it('lets one of two changes win that were meant for the same', async () => {
    const headers = { 'if-match': await etag(path()) };
    const answers = await Promise.all(
      ['one', 'two', 'three', 'four'].map((name) =>
        send('PATCH', path(), { headers, body: rename(`${name} ${kind}`) }),
      ),
    );
    expect(answers.map(({ status }) => (status < 300 ? 'won' : 'lost')).toSorted()).toEqual([
      'lost',
      'lost',
      'lost',
      'won',
    ]);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(3);
  });
});

it('the version of a group moves when only its members do', async () => {
  const before = await etag(`/Groups/${group}`);
  const answer = await send('PATCH', `/Groups/${group}`, {
    headers: { 'if-match': before },
    body: patch({ op: 'remove', path: `members[value eq "${user}"]` }),
  });
  expect([answer.status, answer.headers.get('etag') === before]).toEqual([204, false]);
});

it('a created resource brings its version along, and a deletion for it succeeds', async () => {
  const created = await world.acme.scim('POST', '/Users', { userName: 'to go' });
  const headers = { 'if-match': created.headers.get('etag') ?? '' };
  expect(headers['if-match']).toBe(created.body.meta.version);
  expect((await send('DELETE', `/Users/${created.body.id}`, { headers })).status).toBe(204);
});

it('the version can be asked for alone and searched for', async () => {
  const { body, headers } = await read(`/Users/${user}?attributes=meta.version`);
  expect(body.meta).toEqual({ version: headers.get('etag') });
  const filter = encodeURIComponent(
    `meta.version eq ${JSON.stringify(headers.get('etag'))} and userName eq "versioned"`,
  );
  expect((await read(`/Users?filter=${filter}`)).body.totalResults).toBe(1);
});

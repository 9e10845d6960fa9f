import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  ERROR_URN,
  openIdentity,
  patch,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

const BULK_URN = 'urn:ietf:params:scim:api:messages:2.0:BulkRequest';

interface Result {
  readonly method: string;
  readonly bulkId?: string;
  readonly status: string;
  readonly location?: string;
  readonly version?: string;
  readonly response?: {
    readonly schemas: string[];
    readonly status: string;
    readonly scimType?: string;
    readonly detail: string;
  };
}

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const send = (Operations: readonly object[], more: object = {}) =>
  world.acme.scim('POST', '/Bulk', { schemas: [BULK_URN], Operations, ...more });

async function run(Operations: readonly object[], more: object = {}): Promise<Result[]> {
  const { status, body } = await send(Operations, more);
  expect([status, body.schemas, body.detail]).toEqual([
    200,
    ['urn:ietf:params:scim:api:messages:2.0:BulkResponse'],
    undefined,
  ]);
  return body['Operations'] as Result[];
}

const post = (bulkId: string, data: object, path = '/Users') => ({ method: 'POST', path, bulkId, data });
const statuses = (results: readonly Result[]): string => results.map(({ status }) => status).join(' ');
const idIn = (result: Result | undefined): string => result?.location?.split('/').at(-1) ?? '';
const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const membersOf = async (group: string): Promise<string[]> =>
  (await read(`/Groups/${group}`)).members.map(({ value }) => value).toSorted();

describe('a bulk request', () => {
  it('creates, replaces, changes and deletes, and tells of each', async () => {
    const [put, patched, gone] = [
      await addUser(world.acme, 'put'),
      await addUser(world.acme, 'patched'),
      await addUser(world.acme, 'gone'),
    ];
    const results = await run([
      post('new', { userName: 'created in bulk' }),
      { method: 'PUT', path: `/Users/${put}`, data: { userName: 'put', title: 'P' } },
      { method: 'patch', path: `/Users/${patched}`, data: patch({ op: 'add', path: 'title', value: 'Q' }) },
      { method: 'DELETE', path: `/Users/${gone}` },
    ]);
    const created = await read(`/Users?filter=${encodeURIComponent('userName eq "created in bulk"')}`);
    const [made] = created.Resources;
    expect(results).toEqual([
      { method: 'POST', bulkId: 'new', status: '201', location: made?.meta.location, version: made?.meta.version },
      {
        method: 'PUT',
        status: '200',
        location: `http://tenon.test/scim/v2/Users/${put}`,
        version: (await read(`/Users/${put}`)).meta.version,
      },
      {
        method: 'PATCH',
        status: '200',
        location: `http://tenon.test/scim/v2/Users/${patched}`,
        version: (await read(`/Users/${patched}`)).meta.version,
      },
      { method: 'DELETE', status: '204', location: `http://tenon.test/scim/v2/Users/${gone}` },
    ]);
    expect([
      (await read(`/Users/${put}`))['title'],
      (await read(`/Users/${patched}`))['title'],
      (await read(`/Users/${gone}`)).status,
    ]).toEqual(['P', 'Q', '404']);
  });

  it('leads from a reference to what is created, before or behind it', async () => {
    const results = await run([
      post(
        'team',
        { displayName: 'Team in bulk', members: [{ value: 'bulkId:ann' }, { value: 'bulkId:bob' }] },
        '/Groups',
      ),
      post('ann', { userName: 'bulk ann', [ENTERPRISE_URN]: { manager: { value: 'bulkId:bob' } } }),
      { method: 'PATCH', path: '/Users/bulkId:ann', data: patch({ op: 'add', path: 'title', value: 'Ann' }) },
      post('bob', { userName: 'bulk bob' }),
      {
        method: 'PATCH',
        path: '/Groups/bulkId:team',
        data: patch({ op: 'remove', path: 'members[value eq "bulkId:bob"]' }),
      },
    ]);
    expect(statuses(results)).toBe('201 201 200 201 200');
    expect(results.map(({ method }) => method)).toEqual(['POST', 'POST', 'PATCH', 'POST', 'PATCH']);
    const [team, ann, , bob] = results.map(idIn);
    expect(await membersOf(team ?? '')).toEqual([ann]);
    expect(await read(`/Users/${ann}`)).toMatchObject({ title: 'Ann', [ENTERPRISE_URN]: { manager: { value: bob } } });
  });

  it('resolves references in a circle', async () => {
    const manager = (bulkId: string) => ({
      [ENTERPRISE_URN]: { department: 'R', manager: { value: `bulkId:${bulkId}` } },
    });
    const results = await run([
      post('one', { userName: 'circle one', ...manager('two') }),
      post('two', { userName: 'circle two', ...manager('three') }),
      post('three', { userName: 'circle three', ...manager('one') }),
      post('self', { userName: 'circle self', ...manager('self') }),
    ]);
    expect(statuses(results)).toBe('201 201 201 201');
    const ids = results.map(idIn);
    const managers = await Promise.all(ids.map(async (id) => (await read(`/Users/${id}`))[ENTERPRISE_URN]));
    expect(managers).toMatchObject([1, 2, 0, 3].map((index) => ({ department: 'R', manager: { value: ids[index] } })));
    const versions = await Promise.all(ids.map(async (id) => (await read(`/Users/${id}`)).meta.version));
    expect(results.map(({ version }) => version)).toEqual(versions);
  });

  it('refuses a reference to what was not created, and leaves the rest', async () => {
    await addUser(world.acme, 'taken');
    const results = await run([
      post('bad', { userName: 'TAKEN' }),
      post('group', { displayName: 'Of the bad', members: [{ value: 'bulkId:bad' }] }, '/Groups'),
      post('nobody', { displayName: 'Of nobody', members: [{ value: 'bulkId:nosuch' }] }, '/Groups'),
      post('good', { userName: 'good one' }),
    ]);
    expect(statuses(results)).toBe('409 409 409 201');
    expect(results[0]).toMatchObject({ response: { schemas: [ERROR_URN], status: '409', scimType: 'uniqueness' } });
    expect(results[0]).not.toHaveProperty('location');
    expect(results[1]?.response?.detail).toContain('bulkId:bad');
    expect((await read(`/Groups?filter=${encodeURIComponent('displayName sw "Of "')}`)).totalResults).toBe(0);
  });

  it('stops after so many failures and keeps what was done', async () => {
    const bad = { method: 'DELETE', path: `/Users/${mintId('usr')}` };
    const five = [post('a', { userName: 'stop a' }), bad, bad, post('b', { userName: 'stop b' }), bad];
    expect(statuses(await run(five, { failOnErrors: 2 }))).toBe('201 404 404');
    expect(
      (await read(`/Users?filter=${encodeURIComponent('userName sw "stop"')}`)).Resources.map(
        ({ userName }) => userName,
      ),
    ).toEqual(['stop a']);
    expect(statuses(await run([bad, bad, post('c', { userName: 'stop c' })]))).toBe('404 404 201');
    expect(statuses(await run([bad, bad], { failOnErrors: 1 }))).toBe('404');
  });

  it('tells of each fault where it is, and does the others', async () => {
    const results = await run([
      { method: 'POST', path: '/Users', data: { userName: 'no bulkId' } },
      post('x', { userName: 'x' }, '/NoSuch'),
      post('y', { userName: 'y' }, '/Users/z'),
      { method: 'PUT', path: '/Users', data: {} },
      { method: 'PATCH', path: '/Users/', data: {} },
      { method: 'DELETE', path: '/Bulk/x' },
      { method: 'DELETE', path: '/Users/x/y' },
      {
        method: 'PATCH',
        path: `/Users/${world.acme.adminId}`,
        data: patch({ op: 'replace', path: 'nosuch', value: 1 }),
      },
      { method: 'PATCH', path: `/Users/${world.acme.adminId}` },
      { method: 'DELETE', path: `/Users/${world.acme.adminId}`, version: 'W/"0"' },
      post('z', {}),
      post('fine', { userName: 'fine' }),
    ]);
    expect(statuses(results)).toBe('400 404 405 405 404 404 404 400 400 412 400 201');
    expect(results[7]).toMatchObject({
      location: `http://tenon.test/scim/v2/Users/${world.acme.adminId}`,
      response: { scimType: 'invalidPath' },
    });
  });

  it('changes only the version that an operation is for', async () => {
    const user = await addUser(world.acme, 'versioned in bulk');
    const { version } = (await read(`/Users/${user}`)).meta;
    const change = (title: string) => ({
      method: 'PATCH',
      path: `/Users/${user}`,
      version,
      data: patch({ op: 'add', path: 'title', value: title }),
    });
    expect(statuses(await run([change('first'), change('second')]))).toBe('200 412');
    expect((await read(`/Users/${user}`))['title']).toBe('first');
  });

  it('writes an audit event for each change, in the name of the token', async () => {
    const before = (await world.acme.events()).length;
    const results = await run([
      post('audited', { userName: 'audited' }),
      { method: 'DELETE', path: '/Users/bulkId:audited' },
      { method: 'DELETE', path: '/Users/x' },
    ]);
    expect(statuses(results)).toBe('201 204 404');
    const events = (await world.acme.events()).slice(before);
    expect(events.map(({ action, actor, resource }) => [action, actor.type, resource.id])).toEqual([
      ['user.provision', 'scim', idIn(results[0])],
      ['user.delete', 'scim', idIn(results[0])],
    ]);
    expect(new Set(events.map(({ request_id }) => request_id)).size).toBe(1);
  });

  it('reaches nobody of another tenant', async () => {
    const other = await addUser(world.initech, 'of another tenant');
    const group = await addGroup(world.acme, 'Mine alone');
    const results = await run([
      { method: 'DELETE', path: `/Users/${other}` },
      {
        method: 'PATCH',
        path: `/Groups/${group}`,
        data: patch({ op: 'add', path: 'members', value: [{ value: other }] }),
      },
    ]);
    expect(statuses(results)).toBe('404 400');
    expect((await world.initech.scim('GET', `/Users/${other}`)).status).toBe(200);
  });

  it('takes a thousand operations and not one more', async () => {
    const one = { method: 'DELETE', path: '/Users/x' };
    expect((await run(Array.from({ length: 1000 }, () => one))).length).toBe(1000);
    const { body } = await send(Array.from({ length: 1001 }, () => one));
    expect(body).toMatchObject({ schemas: [ERROR_URN], status: '413', detail: expect.stringContaining('1000') });
    expect((await send([{ ...one, data: 'x'.repeat(1_048_577) }])).status).toBe(413);
  });

  it.each<[string, object]>([
    ['no operations', {}],
    ['an empty list', { Operations: [] }],
    ['no list', { Operations: { method: 'DELETE' } }],
    ['an operation that is none', { Operations: ['DELETE'] }],
    ['another method', { Operations: [{ method: 'GET', path: '/Users' }] }],
    ['no path', { Operations: [{ method: 'DELETE' }] }],
    ['a path that is no text', { Operations: [{ method: 'DELETE', path: 5 }] }],
    ['a bulkId that two have', { Operations: [post('a', {}), post('a', {})] }],
    ['another message', { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [post('a', {})] }],
    ['a count of failures that is none', { failOnErrors: 0, Operations: [post('a', {})] }],
    [
      'a name that reaches a prototype',
      { Operations: [post('a', JSON.parse('{"__proto__":{"x":1},"userName":"p"}'))] },
    ],
  ])('with %s is refused as a whole', async (_, body) => {
    const answer = await world.acme.scim('POST', '/Bulk', { schemas: [BULK_URN], ...body });
    expect([answer.status, answer.body.status]).toEqual([400, '400']);
  });

  it('takes a bulkId that is the name of a prototype for what it is', async () => {
    const results = await run([
      post('__proto__', { userName: 'proto named' }),
      post('constructor', { displayName: 'Protos', members: [{ value: 'bulkId:__proto__' }] }, '/Groups'),
    ]);
    expect(statuses(results)).toBe('201 201');
    expect(await membersOf(idIn(results[1]))).toEqual([idIn(results[0])]);
    expect(({} as Record<string, unknown>)['userName']).toBeUndefined();
  });
});

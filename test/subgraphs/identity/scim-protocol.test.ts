import { beforeAll, describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  ERROR_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimAnswer,
} from './identity-platform.ts';

let world: IdentityPlatform;
let user: string;
beforeAll(async () => {
  world = await openIdentity();
  user = await addUser(world.acme, 'somebody', { displayName: 'Somebody' });
});

const raw = (method: string, path: string, init: RequestInit = {}) =>
  world.fetch(world.acme.scimToken, path, { ...init, method });

describe('an address under another method', () => {
  it.each<[path: string, allow: string]>([
    ['/Users', 'GET, POST, HEAD'],
    ['/Groups', 'GET, POST, HEAD'],
    ['/Users/.search', 'POST'],
    ['/Groups/.search', 'POST'],
    ['/Users/x', 'GET, PUT, PATCH, DELETE, HEAD'],
    ['/Groups/x', 'GET, PUT, PATCH, DELETE, HEAD'],
    ['/.search', 'POST'],
    ['/Bulk', 'POST'],
    ['/ServiceProviderConfig', 'GET, HEAD'],
    ['/Schemas', 'GET, HEAD'],
    ['/Schemas/x', 'GET, HEAD'],
    ['/ResourceTypes', 'GET, HEAD'],
    ['/ResourceTypes/x', 'GET, HEAD'],
  ])('%s is answered with 405 and what it takes', async (path, allow) => {
    const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !allow.split(', ').includes(method));
    expect(others).not.toEqual([]);
    for (const method of others) {
      const answer = await world.acme.scim(method, path, method === 'GET' ? undefined : {});
      expect([method, answer.status, answer.headers.get('allow'), answer.body.status]).toEqual([
        method,
        405,
        allow,
        '405',
      ]);
      expect(answer.body.schemas).toEqual([ERROR_URN]);
    }
  });

  it('is refused before that where nobody may know of it', async () => {
    expect((await world.acme.scimAs({ token: null })('DELETE', '/Users')).status).toBe(401);
  });
});

describe('an address that is none', () => {
  it.each([
    '/scim/v2/NoSuch',
    '/scim/v2/Users/x/y',
    '/scim/v2/users',
    '/scim/v2/%5f%5fproto%5f%5f',
    '/scim/v2/constructor/x',
  ])('%s is answered with 404 and an error body, whatever the method', async (path) => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await raw(method, path);
      expect([method, response.status, response.headers.get('content-type')]).toEqual([
        method,
        404,
        'application/scim+json',
      ]);
      expect(await response.json()).toMatchObject({
        schemas: [ERROR_URN],
        status: '404',
        detail: expect.stringMatching(/./),
      });
    }
  });

  it.each(['/scim/v1/Users', '/scim/v3/Users', '/scim/v2.1/ServiceProviderConfig'])(
    '%s is of a version that is not served',
    async (path) => {
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])
        expect(await (await raw(method, path)).json()).toMatchObject({ status: '400', scimType: 'invalidVers' });
    },
  );
});

describe('/Me', () => {
  const asPerson = async (): Promise<string> => {
    const role = uuidOf('rol', mintId('rol'));
    const tenant = uuidOf('tnt', world.acme.id);
    const scopes = ['scim'];
    await world.peek('eu-1', `insert into roles (tenant_id, id, name, scopes) values ($1, $2, $3, $4)`, [
      tenant,
      role,
      `role-${role.slice(-8)}`,
      scopes,
    ]);
    await world.peek('eu-1', 'insert into user_roles (tenant_id, user_id, role_id) values ($1, $2, $3)', [
      tenant,
      uuidOf('usr', user),
      role,
    ]);
    return world.acme.issue({ kind: 'session', userId: user });
  };

  it('is nobody for the token of an identity provider', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])
      expect((await world.acme.scim(method, '/Me', method === 'GET' ? undefined : {})).body).toMatchObject({
        schemas: [ERROR_URN],
        status: '501',
      });
  });

  it('is the person whose session carries the right, under her own address', async () => {
    const me = world.acme.scimAs({ token: await asPerson() });
    const { body: herself } = await world.acme.scim('GET', `/Users/${user}`);
    const got = await me('GET', '/Me');
    expect([got.status, got.body, got.headers.get('location')]).toEqual([200, herself, herself.meta.location]);
    expect(got.headers.get('etag')).toBe(herself.meta.version);
    const patched = await me('PATCH', '/Me', patch({ op: 'replace', path: 'title', value: 'Me' }));
    expect([patched.status, patched.body['title'], patched.headers.get('location')]).toEqual([
      200,
      'Me',
      herself.meta.location,
    ]);
    const put = await me('PUT', '/Me', { schemas: [USER_URN], userName: 'somebody', displayName: 'Still' });
    expect([put.status, put.body.id, put.body.displayName]).toEqual([200, user, 'Still']);
    expect((await me('POST', '/Me', { userName: 'x' })).status).toBe(501);
  });

  it('is closed to a session without the right', async () => {
    const token = await world.acme.issue({ kind: 'session', userId: world.acme.adminId });
    expect((await world.acme.scimAs({ token })('GET', '/Me')).body).toMatchObject({
      schemas: [ERROR_URN],
      status: '403',
    });
  });
});

describe('the table of errors', () => {
  const tooLong = 'x'.repeat(1025);
  const cases: [code: ErrorCode, scimType: string | undefined, status: string, send: () => Promise<ScimAnswer>][] = [
    ['INVALID_FILTER', 'invalidFilter', '400', () => world.acme.scim('GET', '/Users?filter=nosuch%20pr')],
    [
      'TOO_MANY',
      'tooMany',
      '400',
      () =>
        world.acme.scim(
          'PATCH',
          `/Users/${user}`,
          patch(...Array.from({ length: 1001 }, () => ({ op: 'remove', path: 'title' }))),
        ),
    ],
    ['UNIQUENESS', 'uniqueness', '409', () => world.acme.scim('POST', '/Users', { userName: 'SOMEBODY' })],
    [
      'MUTABILITY',
      'mutability',
      '400',
      () => world.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'id', value: 'x' })),
    ],
    ['BAD_REQUEST', 'invalidSyntax', '400', () => world.acme.scim('POST', '/Users', '{')],
    [
      'INVALID_PATH',
      'invalidPath',
      '400',
      () => world.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'nosuch', value: 'x' })),
    ],
    ['NO_TARGET', 'noTarget', '400', () => world.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'remove' }))],
    [
      'BAD_USER_INPUT',
      'invalidValue',
      '400',
      () => world.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'title', value: tooLong })),
    ],
    ['INVALID_VERSION', 'invalidVers', '400', () => world.acme.scim('GET', '/../v1/Users')],
    ['SENSITIVE', 'sensitive', '403', () => world.acme.scim('GET', '/Users?filter=password%20eq%20%22x%22')],
    ['INVALID_CURSOR', 'invalidCursor', '400', () => world.acme.scim('GET', '/Users?cursor=x')],
    ['INVALID_COUNT', 'invalidCount', '400', () => world.acme.scim('GET', '/Users?cursor=&count=x')],
    ['NOT_FOUND', undefined, '404', () => world.acme.scim('GET', `/Users/${mintId('usr')}`)],
    ['UNAUTHENTICATED', undefined, '401', () => world.acme.scimAs({ token: 'x' })('GET', '/Users')],
    ['FORBIDDEN', undefined, '403', () => world.acme.scim('GET', '/Schemas?filter=name%20eq%20%22User%22')],
    [
      'PRECONDITION_FAILED',
      undefined,
      '412',
      () => world.acme.scimAs({ headers: { 'if-match': 'W/"0"' } })('DELETE', `/Users/${user}`),
    ],
    ['PAYLOAD_TOO_LARGE', undefined, '413', () => world.acme.scim('POST', '/Users', `"${'x'.repeat(1_100_000)}"`)],
    [
      'UNSUPPORTED_MEDIA_TYPE',
      undefined,
      '415',
      () => world.acme.scimAs({ headers: { 'content-type': 'text/plain' } })('POST', '/Users', '{}'),
    ],
    ['NOT_IMPLEMENTED', undefined, '501', () => world.acme.scim('GET', '/Me')],
  ];

  it.each(cases)('answers %s as %s with status %s, in its own form', async (code, scimType, status, send) => {
    const answer = await send();
    expect(answer.body).toEqual({
      schemas: [ERROR_URN],
      status,
      ...(scimType !== undefined && { scimType }),
      detail: expect.stringContaining(ERRORS[code].message),
    });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([Number(status), 'application/scim+json']);
  });
});

describe('every answer', () => {
  it('with a body is application/scim+json', async () => {
    const group = await addGroup(world.acme, 'Typed');
    const paths = [
      '',
      '/Users',
      `/Users/${user}`,
      '/Groups',
      `/Groups/${group}`,
      '/Schemas',
      '/ResourceTypes',
      '/ServiceProviderConfig',
    ];
    for (const path of paths)
      expect([path, (await world.acme.scim('GET', path)).headers.get('content-type')]).toEqual([
        path,
        'application/scim+json',
      ]);
    const changes: [method: string, path: string, body: object][] = [
      ['POST', '/Users', { userName: 'typed' }],
      ['PUT', `/Users/${user}`, { userName: 'somebody' }],
      ['PATCH', `/Users/${user}`, patch({ op: 'add', path: 'title', value: 'T' })],
      ['POST', '/.search', {}],
      ['POST', '/Bulk', { Operations: [{ method: 'DELETE', path: '/Users/x' }] }],
    ];
    for (const [method, path, body] of changes)
      expect([path, (await world.acme.scim(method, path, body)).headers.get('content-type')]).toEqual([
        path,
        'application/scim+json',
      ]);
  });

  it.each(['POST', 'PUT', 'PATCH'])(
    'to a %s shows the attributes that are asked for and leaves out what is excluded',
    async (method) => {
      const bodies = {
        POST: { userName: `shown by ${method}`, title: 'T', displayName: 'D' },
        PUT: { userName: 'somebody', title: 'T', displayName: 'D' },
        PATCH: patch({ op: 'replace', value: { title: 'T2', displayName: 'D' } }),
      }[method];
      const path = method === 'POST' ? '/Users' : `/Users/${user}`;
      const only = await world.acme.scim(method, `${path}?attributes=title`, bodies);
      expect(Object.keys(only.body).toSorted()).toEqual(['id', 'schemas', 'title']);
      const again = method === 'POST' ? { ...bodies, userName: 'shown again' } : bodies;
      const without = await world.acme.scim(method, `${path}?excludedAttributes=title,meta`, again);
      expect([without.status, 'title' in without.body, 'meta' in without.body, without.body.displayName]).toEqual([
        method === 'POST' ? 201 : 200,
        false,
        false,
        'D',
      ]);
    },
  );
});

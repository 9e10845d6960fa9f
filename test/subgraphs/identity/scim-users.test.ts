import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  ERROR_URN,
  LIST_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const BARBARA = {
  schemas: [USER_URN, ENTERPRISE_URN],
  userName: 'bjensen@acme.example',
  externalId: 'hr-701984',
  name: { familyName: 'Jensen', givenName: 'Barbara' },
  displayName: 'Barbara Jensen',
  emails: [
    { value: 'home@jensen.example', type: 'home' },
    { value: 'bjensen@acme.example', type: 'work', primary: true },
  ],
  password: 't1meMa$heen',
  [ENTERPRISE_URN]: { department: 'Tour Operations', manager: { value: '26118915' } },
};

describe('a created user', () => {
  it('is answered with 201, her address, and all that was sent but the password', async () => {
    const { status, headers, body } = await world.acme.scim('POST', '/Users', { ...BARBARA, userName: 'created' });
    expect(status).toBe(201);
    expect(headers.get('content-type')).toBe('application/scim+json');
    expect(headers.get('location')).toBe(`http://tenon.test/scim/v2/Users/${body.id}`);
    const { password: _, ...sent } = BARBARA;
    expect(body).toMatchObject({ ...sent, userName: 'created', active: true });
    expect(body).not.toHaveProperty('password');
    expect(body.meta).toMatchObject({ resourceType: 'User', location: headers.get('location') });
    expect((await world.acme.scim('GET', `/Users/${body.id}`)).body).toEqual(body);
  });

  it('keeps name, address and state in columns and never the password anywhere', async () => {
    const id = await addUser(world.acme, 'columns', { ...BARBARA, userName: 'columns', active: false });
    const [row] = await world.peek<Record<string, unknown>>(
      'eu-1',
      `select *, users::text as whole from users where user_name = 'columns'`,
    );
    expect(row).toMatchObject({
      external_id: 'hr-701984',
      display_name: 'Barbara Jensen',
      email: 'bjensen@acme.example',
      active: false,
    });
    expect(Object.keys(row?.['resource'] as object).toSorted()).toEqual(['emails', 'name', ENTERPRISE_URN]);
    expect(row?.['whole']).not.toContain('t1meMa');
    expect((await world.acme.scim('GET', `/Users/${id}`)).body.active).toBe(false);
  });

  it('is refused where the userName is taken in another case, and nothing is stored', async () => {
    await addUser(world.acme, 'Taken@acme.example');
    const again = await world.acme.scim('POST', '/Users', { ...BARBARA, userName: 'taken@ACME.example' });
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ schemas: [ERROR_URN], status: '409', scimType: 'uniqueness' });
    expect(
      (await world.acme.scim('GET', '/Users?filter=userName%20eq%20%22taken@acme.example%22')).body.totalResults,
    ).toBe(1);
  });

  it.each([
    ['without a userName', { schemas: [USER_URN] }, 'invalidValue'],
    ['with an empty userName', { schemas: [USER_URN], userName: '' }, 'invalidValue'],
    ['with a userName that no column holds', { schemas: [USER_URN], userName: 'x'.repeat(321) }, 'invalidValue'],
    ['with half a surrogate pair', { schemas: [USER_URN], userName: 'bad\ud800' }, 'invalidValue'],
    ['with a null byte', { schemas: [USER_URN], userName: 'bad\0' }, 'invalidValue'],
    ['with a number for a text', { schemas: [USER_URN], userName: 7 }, 'invalidValue'],
    ['of another schema', { schemas: ['urn:x'], userName: 'other' }, 'invalidSyntax'],
    ['that is a list', [], 'invalidSyntax'],
    ['that is no JSON', '{"userName":', 'invalidSyntax'],
    ['with a key that reaches a prototype', '{"userName":"p","__proto__":{"active":false}}', 'invalidValue'],
  ])('is refused %s', async (_name, body, scimType) => {
    const { status, body: error, headers } = await world.acme.scim('POST', '/Users', body);
    expect([status, error.status, error.scimType, error.schemas]).toEqual([400, '400', scimType, [ERROR_URN]]);
    expect(headers.get('content-type')).toMatch(/^application\/scim\+json/);
  });

  it.each(['text/plain', 'application/xml', 'multipart/form-data'])('is refused as %s', async (type) => {
    expect((await world.acme.scimAs({ headers: { 'content-type': type } })('POST', '/Users', BARBARA)).status).toBe(
      415,
    );
  });

  it('that somebody made by hand shows her address', async () => {
    const { body } = await world.initech.scim('GET', `/Users/${world.initech.adminId}`);
    expect(body).toMatchObject({
      userName: 'ada@initech.example',
      emails: [{ value: 'ada@initech.example', primary: true }],
    });
    const found = await world.initech.scim(
      'GET',
      '/Users?filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22ADA@initech.example%22',
    );
    expect(found.body.Resources.map((user) => user.id)).toEqual([world.initech.adminId]);
  });
});

const userNames = (body: ScimBody) => body.Resources.map(({ userName }) => userName);

describe('a list of users', () => {
  const names: string[] = Array.from({ length: 7 }, (_, index) => `list-${index}`);
  const FILTER = 'filter=userName%20sw%20%22list-%22';
  beforeAll(async () => {
    for (const name of names)
      await addUser(world.acme, name, { active: name !== 'list-3', displayName: name.toUpperCase() });
  });

  it('holds inactive users too, in the order they were made, page by page', async () => {
    const pages = [];
    for (const startIndex of [1, 4, 7])
      pages.push((await world.acme.scim('GET', `/Users?${FILTER}&startIndex=${startIndex}&count=3`)).body);
    expect(pages.flatMap(userNames)).toEqual(names);
    expect(
      pages.map(({ schemas, totalResults, startIndex, itemsPerPage }) => [
        schemas[0],
        totalResults,
        startIndex,
        itemsPerPage,
      ]),
    ).toEqual([
      [LIST_URN, 7, 1, 3],
      [LIST_URN, 7, 4, 3],
      [LIST_URN, 7, 7, 1],
    ]);
  });

  it.each([
    ['startIndex=0&count=1', ['list-0']],
    ['startIndex=-5&count=1', ['list-0']],
    ['count=0', []],
    ['count=-1', []],
    ['count=100000', names],
    ['startIndex=8', []],
    ['startIndex=999999999999999', []],
  ])('takes %s as the protocol says', async (query, expected) => {
    const { status, body } = await world.acme.scim('GET', `/Users?${FILTER}&${query}`);
    expect([status, body.totalResults, userNames(body)]).toEqual([200, 7, expected]);
  });

  it.each(['count=ten', 'startIndex=1.5', 'count=', 'count=1&count=2', 'startIndex=9999999999999999999'])(
    'refuses %s',
    async (query) => {
      expect((await world.acme.scim('GET', `/Users?${query}`)).body).toMatchObject({
        status: '400',
        scimType: 'invalidValue',
      });
    },
  );

  it.each([
    'nosuch eq "x"',
    'userName',
    'userName eq',
    '',
    'userName eq "a" and',
    `${'('.repeat(40)}userName pr${')'.repeat(40)}`,
  ])('answers the filter %j with invalidFilter and never with everybody', async (filter) => {
    const { status, body } = await world.acme.scim('GET', `/Users?filter=${encodeURIComponent(filter)}`);
    expect([status, body.scimType, body.Resources]).toEqual([400, 'invalidFilter', undefined]);
  });

  it('refuses two filters at once', async () => {
    expect((await world.acme.scim('GET', `/Users?${FILTER}&${FILTER}`)).body.scimType).toBe('invalidFilter');
  });

  it('shows the attributes that are asked for, and id and schemas always', async () => {
    const one = 'filter=userName%20eq%20%22list-1%22';
    const chosen = await world.acme.scim('GET', `/Users?${one}&attributes=userName,active`);
    expect(Object.keys(chosen.body.Resources[0] ?? {}).toSorted()).toEqual(['active', 'id', 'schemas', 'userName']);
    const without = await world.acme.scim('GET', `/Users?${one}&excludedAttributes=meta,displayName`);
    expect(Object.keys(without.body.Resources[0] ?? {}).toSorted()).toEqual(['active', 'id', 'schemas', 'userName']);
  });

  it('keeps its order while somebody is made between two pages', async () => {
    const page = await world.acme.scim('GET', `/Users?${FILTER}&count=3`);
    const later = await addUser(world.acme, 'list-9');
    const rest = await world.acme.scim('GET', `/Users?${FILTER}&startIndex=4&count=100`);
    expect([...userNames(page.body), ...userNames(rest.body)]).toEqual([...names, 'list-9']);
    expect((await world.acme.scim('DELETE', `/Users/${later}`)).status).toBe(204);
  });

  it('shows the groups of each', async () => {
    const [user] = (await world.acme.scim('GET', `/Users?filter=userName%20eq%20%22list-2%22`)).body.Resources;
    const group = await addGroup(world.acme, 'Listed', [String(user?.id)]);
    const { body } = await world.acme.scim('GET', `/Users?filter=groups.value%20eq%20%22${group}%22`);
    expect(body.Resources).toHaveLength(1);
    expect(body.Resources[0]?.groups).toEqual([
      { value: group, display: 'Listed', type: 'direct', $ref: `http://tenon.test/scim/v2/Groups/${group}` },
    ]);
  });
});

describe('a replaced user', () => {
  it('is what was sent and nothing of what she was before', async () => {
    const id = await addUser(world.acme, 'replaced', { ...BARBARA, userName: 'replaced' });
    const { status, body } = await world.acme.scim('PUT', `/Users/${id}`, {
      schemas: [USER_URN],
      userName: 'replaced-2',
      nickName: 'Babs',
      active: true,
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({ id, userName: 'replaced-2', nickName: 'Babs', active: true });
    for (const gone of ['externalId', 'name', 'emails', 'displayName', ENTERPRISE_URN])
      expect(body).not.toHaveProperty([gone]);
    expect((await world.peek('eu-1', `select email from users where user_name = 'replaced-2'`))[0]).toEqual({
      email: null,
    });
  });

  it('stays inactive where the body says nothing of it', async () => {
    const id = await addUser(world.acme, 'still-away', { active: false });
    const { body } = await world.acme.scim('PUT', `/Users/${id}`, {
      schemas: [USER_URN],
      userName: 'still-away',
      title: 'Guide',
    });
    expect(body).toMatchObject({ title: 'Guide', active: false });
  });

  it('keeps her id, whatever id the body names', async () => {
    const id = await addUser(world.acme, 'kept-id');
    const { body } = await world.acme.scim('PUT', `/Users/${id}`, {
      schemas: [USER_URN],
      id: mintId('usr'),
      userName: 'kept-id',
      meta: { created: '1999-01-01T00:00:00Z' },
    });
    expect([body.id, body.meta.created.slice(0, 4)]).toEqual([id, String(new Date().getUTCFullYear())]);
  });
});

describe('a patched user', () => {
  it('has all of the changes or, where one fails, none', async () => {
    const id = await addUser(world.acme, 'atomic', { title: 'Guide' });
    const failed = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'replace', path: 'title', value: 'Boss' },
        { op: 'replace', path: 'active', value: false },
        { op: 'add', path: 'nosuch', value: 1 },
      ),
    );
    expect([failed.status, failed.body.scimType]).toEqual([400, 'invalidPath']);
    expect((await world.acme.scim('GET', `/Users/${id}`)).body).toMatchObject({ title: 'Guide', active: true });
  });

  it.each([
    ['a path that is not there', { op: 'replace', path: 'nosuch', value: 'x' }, 'invalidPath'],
    ['a read-only attribute', { op: 'replace', path: 'meta.created', value: '1999-01-01T00:00:00Z' }, 'mutability'],
    ['her id', { op: 'replace', path: 'id', value: 'x' }, 'mutability'],
    ['her groups', { op: 'add', path: 'groups', value: [{ value: 'x' }] }, 'mutability'],
    ['a required attribute, to be removed', { op: 'remove', path: 'userName' }, 'mutability'],
    ['a removal without a path', { op: 'remove' }, 'noTarget'],
    ['an unknown operation', { op: 'move', path: 'title', value: 'x' }, 'invalidSyntax'],
  ])('is refused with %s', async (_name, operation, scimType) => {
    const id = await addUser(world.acme, `refused-${mintId('req')}`);
    const before = (await world.acme.scim('GET', `/Users/${id}`)).body;
    const { status, body } = await world.acme.scim('PATCH', `/Users/${id}`, patch(operation));
    expect([status, body.scimType]).toEqual([400, scimType]);
    expect((await world.acme.scim('GET', `/Users/${id}`)).body).toEqual(before);
  });

  it('loses no change of two that come at the same moment', async () => {
    const id = await addUser(world.acme, 'concurrent');
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        world.acme.scim(
          'PATCH',
          `/Users/${id}`,
          patch({ op: 'add', path: 'emails', value: [{ value: `n${index}@acme.example`, type: `t${index}` }] }),
        ),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const { body } = await world.acme.scim('GET', `/Users/${id}`);
    expect(body.emails.map(({ type }) => type).toSorted()).toEqual(
      Array.from({ length: 8 }, (_, index) => `t${index}`),
    );
  });

  it('gets another userName only where nobody has it', async () => {
    await addUser(world.acme, 'occupied');
    const id = await addUser(world.acme, 'wishful');
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch({ op: 'replace', path: 'userName', value: 'OCCUPIED' }),
    );
    expect([status, body.scimType]).toEqual([409, 'uniqueness']);
  });
});

describe('a deleted user', () => {
  it('is gone with her memberships, and a second deletion finds nobody', async () => {
    const id = await addUser(world.acme, 'deleted');
    const group = await addGroup(world.acme, 'Leavers', [id]);
    const token = await world.acme.issue({ kind: 'api_key', userId: id });
    const first = await world.acme.scim('DELETE', `/Users/${id}`);
    expect([first.status, first.text, first.headers.get('content-type')]).toEqual([204, '', null]);
    expect((await world.acme.scim('GET', `/Users/${id}`)).status).toBe(404);
    expect((await world.acme.scim('DELETE', `/Users/${id}`)).status).toBe(404);
    expect((await world.acme.scim('GET', `/Groups/${group}`)).body.members).toEqual([]);
    expect((await world.fetch(token, '/scim/v2/Users')).status).toBe(401);
    expect(await world.peek('eu-1', `select 1 from credentials where kind = 'api_key'`)).toEqual([]);
  });
});

describe('the audit log', () => {
  it('tells who changed which attributes and holds none of their values', async () => {
    const before = (await world.initech.events()).length;
    const id = await addUser(world.initech, 'audited', {
      name: { givenName: 'Grace', familyName: 'Verysecret' },
      emails: [{ value: 'private@verysecret.example' }],
    });
    await world.initech.scim(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'replace', path: 'name.familyName', value: 'Alsosecret' },
        { op: 'add', path: 'title', value: 'Secretary' },
      ),
    );
    await world.initech.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'title', value: 'Secretary' }));
    await world.initech.scim('PUT', `/Users/${id}`, { schemas: [USER_URN], userName: 'audited', active: false });
    await world.initech.scim('PATCH', `/Users/${id}`, patch({ op: 'replace', path: 'active', value: true }));
    await world.initech.scim('DELETE', `/Users/${id}`);
    const events = (await world.initech.events()).slice(before);
    expect(events.map(({ action, context }) => [action, context])).toEqual([
      ['user.provision', { active: true }],
      ['user.update', { source: 'scim', attributes: ['name', 'title'] }],
      ['user.update', { source: 'scim', attributes: expect.arrayContaining(['name', 'emails', 'title']) }],
      ['user.deactivate', { sessions: 0, api_keys: 0 }],
      ['user.reactivate', {}],
      ['user.delete', { sessions: 0, api_keys: 0 }],
    ]);
    expect(
      new Set(
        events.map(({ actor, resource }) => `${actor.type} ${actor.id?.slice(0, 4)} ${resource.type} ${resource.id}`),
      ),
    ).toEqual(new Set([`scim scm_ user ${id}`]));
    expect(JSON.stringify(events)).not.toMatch(/secret/i);
  });
});

describe('the description of the service', () => {
  it('names what it can do, its schemas and its kinds of resource', async () => {
    const config = await world.acme.scim('GET', '/ServiceProviderConfig');
    expect(config.body).toMatchObject({
      patch: { supported: true },
      filter: { supported: true, maxResults: 200 },
      bulk: { supported: true },
    });
    for (const path of ['/Schemas', '/ResourceTypes']) {
      const { body } = await world.acme.scim('GET', path);
      expect(body).toMatchObject({ schemas: [LIST_URN], totalResults: body.Resources.length });
      for (const resource of body.Resources)
        expect((await world.acme.scim('GET', `${path}/${resource.id}`)).body).toEqual(resource);
      expect((await world.acme.scim('GET', `${path}/nosuch`)).body).toMatchObject({
        schemas: [ERROR_URN],
        status: '404',
      });
    }
    expect((await world.acme.scim('GET', '/NoSuch')).body).toMatchObject({ schemas: [ERROR_URN], status: '404' });
  });
});

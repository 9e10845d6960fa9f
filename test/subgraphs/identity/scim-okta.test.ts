import { beforeAll, describe, expect, it } from 'vitest';
import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  ERROR_URN,
  GROUP_URN,
  isAccepted,
  LIST_URN,
  openIdentity,
  PATCH_URN,
  USER_URN,
  type IdentityPlatform,
  type ScimRequest,
} from './identity-platform.ts';

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

/** As Okta sends: the headers of its SPEC test and of its live requests. */
const HEADERS = {
  accept: 'application/scim+json',
  'accept-charset': 'utf-8',
  'content-type': 'application/json',
  'user-agent': 'OKTA SCIM Integration',
};

const okta: ScimRequest = (method, path, body) => world.acme.scimAs({ headers: HEADERS })(method, path, body);

const filtered = (path: string, filter: string): string =>
  `${path}?filter=${encodeURIComponent(filter)}&startIndex=1&count=100`;

describe("Okta's SPEC test", () => {
  const userName = 'Runscope300Lwkfy@acme.example';
  const created = {
    schemas: [USER_URN],
    userName,
    name: { givenName: 'Runscope', familyName: 'Mandalay' },
    emails: [{ primary: true, value: userName, type: 'work' }],
    displayName: 'Runscope Mandalay',
    active: true,
  };
  let seeded: string;
  let id: string;
  beforeAll(async () => {
    seeded = await addUser(world.acme, 'seeded@acme.example', { ...created, userName: 'seeded@acme.example' });
    // The oldest user is the administrator that the tenant came with, who has no names: Okta's own suite asks for a full one.
    await world.acme.scim('PUT', `/Users/${world.acme.adminId}`, { ...created, userName: 'ada@acme.example' });
  });

  it('1 lists a user with all required members', async () => {
    const { status, body } = await okta('GET', '/Users?count=1&startIndex=1');
    expect(status).toBe(200);
    expect(body.schemas).toContain(LIST_URN);
    for (const name of ['itemsPerPage', 'startIndex', 'totalResults']) expect(body[name]).toBeTypeOf('number');
    expect(body.Resources).toHaveLength(1);
    expect(body.Resources[0]).toMatchObject({
      id: expect.stringMatching(/./),
      name: { familyName: expect.stringMatching(/./), givenName: expect.stringMatching(/./) },
      userName: expect.stringMatching(/./),
      active: true,
      emails: [{ value: expect.stringMatching(/@/) }],
    });
  });

  it('2 gets that user by her id', async () => {
    const { status, body } = await okta('GET', `/Users/${seeded}`);
    expect([status, body.id, body.name.givenName, body.emails[0]?.value]).toEqual([200, seeded, 'Runscope', userName]);
  });

  it('3 finds nobody under an unknown userName', async () => {
    const { status, body } = await okta('GET', '/Users?filter=userName%20eq%20%22nobody300@atko.example%22');
    expect([status, body.schemas, body.totalResults]).toEqual([200, [LIST_URN], 0]);
  });

  it('4 answers an unknown id with 404 and a detail', async () => {
    const { status, body } = await okta('GET', '/Users/00919288221112223');
    expect([status, body.schemas]).toEqual([404, [ERROR_URN]]);
    expect(body.detail).not.toBe('');
  });

  it('5 finds nobody under the address that is about to be made', async () => {
    const { status, body } = await okta('GET', `/Users?filter=${encodeURIComponent(`userName eq "${userName}"`)}`);
    expect([status, body.totalResults]).toEqual([200, 0]);
  });

  it('6 creates the user and answers with what was sent', async () => {
    const { status, body } = await okta('POST', '/Users', created);
    expect(status).toBe(201);
    expect(body).toMatchObject(created);
    expect(body.id).toMatch(/^usr_/);
    id = body.id;
  });

  it('7 gets the user that it created', async () => {
    const { status, body } = await okta('GET', `/Users/${id}`);
    expect([status, body.userName, body.name.familyName]).toEqual([200, userName, 'Mandalay']);
  });

  it('8 is told that she is there already', async () => {
    expect((await okta('POST', '/Users', created)).status).toBe(409);
  });

  it('9 finds her by her userName in capitals', async () => {
    const { status, body } = await okta(
      'GET',
      `/Users?filter=${encodeURIComponent(`userName eq "${userName.toUpperCase()}"`)}`,
    );
    expect([status, body.totalResults, body.Resources[0]?.id]).toEqual([200, 1, id]);
  });

  it('10 lists groups', async () => {
    const { status, body } = await okta('GET', '/Groups');
    expect([status, body.schemas]).toEqual([200, [LIST_URN]]);
  });

  it('11 is refused with another token', async () => {
    const response = await world.fetch(null, '/scim/v2/Users?count=1', {
      headers: { ...HEADERS, authorization: 'non-token' },
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toMatchObject({
      schemas: [ERROR_URN],
      status: '401',
      detail: expect.stringMatching(/./),
    });
  });

  it('12 answers an id of its own invention with 404', async () => {
    const { status, body } = await okta('GET', '/Users/00919288221112222');
    expect([status, body.schemas, body.status, body.detail]).toEqual([
      404,
      [ERROR_URN],
      '404',
      expect.stringMatching(/./),
    ]);
  });
});

const person = (userName: string) => ({
  schemas: [USER_URN],
  userName,
  name: { givenName: 'Test', familyName: 'User' },
  emails: [{ primary: true, value: userName, type: 'work' }],
  displayName: 'Test User',
  locale: 'en-US',
  externalId: '00ujl29u0le5T6Aj10h7',
  groups: [],
  password: '1mz050nq',
  active: true,
});

describe('Okta, live,', () => {
  it('looks a user up, creates her and finds what it sent', async () => {
    const lookup = filtered('/Users', 'userName eq "test.user@okta.local"');
    expect((await okta('GET', lookup)).body).toMatchObject({ totalResults: 0, Resources: [] });
    const { status, body } = await okta('POST', '/Users', person('test.user@okta.local'));
    expect([status, body.externalId, body.locale, body.active]).toEqual([201, '00ujl29u0le5T6Aj10h7', 'en-US', true]);
    expect(body).not.toHaveProperty('password');
    expect((await okta('GET', lookup)).body.Resources[0]?.id).toBe(body.id);
  });

  it('of the catalog deactivates by a PATCH without a path, and activates again', async () => {
    const { body: user } = await okta('POST', '/Users', person('oin@okta.local'));
    const session = await world.acme.issue({ kind: 'session', userId: user.id });
    const off = await okta('PATCH', `/Users/${user.id}`, {
      schemas: [PATCH_URN],
      Operations: [{ op: 'replace', value: { active: false } }],
    });
    expect([off.status, off.body.active, await isAccepted(world, session)]).toEqual([200, false, false]);
    const on = await okta('PATCH', `/Users/${user.id}`, {
      schemas: [PATCH_URN],
      Operations: [{ op: 'replace', value: { active: true } }],
    });
    expect([on.status, on.body.active, on.body.locale, await isAccepted(world, session)]).toEqual([
      200,
      true,
      'en-US',
      false,
    ]);
    const password = await okta('PATCH', `/Users/${user.id}`, {
      schemas: [PATCH_URN],
      Operations: [{ op: 'replace', value: { password: 'new' } }],
    });
    expect(password.status).toBe(200);
  });

  it('with a custom app deactivates by a PUT of what it got', async () => {
    const { body: user } = await okta('POST', '/Users', person('aiw@okta.local'));
    const session = await world.acme.issue({ kind: 'session', userId: user.id });
    const { body: got } = await okta('GET', `/Users/${user.id}`);
    const off = await okta('PUT', `/Users/${user.id}`, { ...got, active: false, groups: [] });
    expect([off.status, off.body.active, off.body.displayName]).toEqual([200, false, 'Test User']);
    expect(await isAccepted(world, session)).toBe(false);
    expect((await okta('GET', filtered('/Users', 'userName eq "aiw@okta.local"'))).body.totalResults).toBe(1);
  });

  it('updates a profile by a PUT, the enterprise extension included', async () => {
    const { body: user } = await okta('POST', '/Users', person('profile@okta.local'));
    const { body } = await okta('PUT', `/Users/${user.id}`, {
      ...user,
      schemas: [USER_URN, ENTERPRISE_URN],
      name: { givenName: 'Another', middleName: 'Excited', familyName: 'User' },
      [ENTERPRISE_URN]: { department: 'Sales' },
    });
    expect(body).toMatchObject({
      name: { givenName: 'Another', middleName: 'Excited' },
      [ENTERPRISE_URN]: { department: 'Sales' },
      schemas: [USER_URN, ENTERPRISE_URN],
    });
  });

  it('imports pages of a hundred with numbers for numbers', async () => {
    const { body } = await okta('GET', '/Users?startIndex=1&count=100');
    expect([body.startIndex, body.itemsPerPage, body.totalResults]).toEqual([
      1,
      body.Resources.length,
      body.Resources.length,
    ]);
  });
});

const operations = (...Operations: object[]) => ({ schemas: [PATCH_URN], Operations });
const members = async (group: string) =>
  (await okta('GET', `/Groups/${group}`)).body.members.map(({ value }) => value).toSorted();

describe('Okta, pushing a group,', () => {
  it('creates it empty after a lookup, renames it and changes members in the same request', async () => {
    const [ann, bob, cyd] = [
      await addUser(world.acme, 'ann'),
      await addUser(world.acme, 'bob'),
      await addUser(world.acme, 'cyd'),
    ];
    expect((await okta('GET', filtered('/Groups', 'displayName eq "Test SCIMv2"'))).body.totalResults).toBe(0);
    const { status, body } = await okta('POST', '/Groups', {
      schemas: [GROUP_URN],
      displayName: 'Test SCIMv2',
      members: [],
    });
    expect([status, body.members]).toEqual([201, []]);
    const add = [
      { value: ann, display: 'ann' },
      { value: bob, display: 'bob' },
    ];
    const first = await okta(
      'PATCH',
      `/Groups/${body.id}`,
      operations(
        { op: 'replace', value: { id: body.id, displayName: 'Test SCIMv0' } },
        { op: 'add', path: 'members', value: add },
      ),
    );
    expect([first.status, first.text]).toEqual([204, '']);
    const mixed = operations(
      { op: 'remove', path: `members[value eq "${ann}"]` },
      { op: 'add', path: 'members', value: [{ value: cyd, display: 'cyd' }] },
    );
    expect((await okta('PATCH', `/Groups/${body.id}`, mixed)).status).toBe(204);
    expect(await members(body.id)).toEqual([bob, cyd].toSorted());
    expect((await okta('GET', `/Groups/${body.id}`)).body.displayName).toBe('Test SCIMv0');
  });

  it('pushes all members at once', async () => {
    const [ann, bob, cyd] = [
      await addUser(world.acme, 'ann2'),
      await addUser(world.acme, 'bob2'),
      await addUser(world.acme, 'cyd2'),
    ];
    const group = await addGroup(world.acme, 'Full push', [ann, bob]);
    const value = [
      { value: bob, display: 'bob2' },
      { value: cyd, display: 'cyd2' },
    ];
    expect(
      (await okta('PATCH', `/Groups/${group}`, operations({ op: 'replace', path: 'members', value }))).status,
    ).toBe(204);
    expect(await members(group)).toEqual([bob, cyd].toSorted());
  });

  it('with a custom app sets name and members by a PUT', async () => {
    const [ann, bob] = [await addUser(world.acme, 'ann3'), await addUser(world.acme, 'bob3')];
    const group = await addGroup(world.acme, 'By PUT', [ann]);
    const { status, body } = await okta('PUT', `/Groups/${group}`, {
      schemas: [GROUP_URN],
      id: group,
      displayName: 'By PUT 2',
      members: [{ value: bob, display: 'bob3' }],
    });
    expect([status, body.displayName, body.members.map(({ value }) => value)]).toEqual([200, 'By PUT 2', [bob]]);
  });

  it('deletes it on unlink', async () => {
    const group = await addGroup(world.acme, 'Unlinked');
    expect((await okta('DELETE', `/Groups/${group}`)).status).toBe(204);
    expect((await okta('GET', `/Groups/${group}`)).status).toBe(404);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addUser,
  ENTERPRISE_URN,
  isAccepted,
  openIdentity,
  PATCH_URN,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const filtered = (path: string, filter: string): string => `${path}?filter=${encodeURIComponent(filter)}`;

describe('Test Connection', () => {
  it('matches a random id and gets an empty list', async () => {
    for (const path of ['/Users', '/Groups']) {
      const { status, body } = await world.acme.scim(
        'GET',
        filtered(path, `externalId eq "7b39475f-9b04-4f4e-8b71-0bc9ec1cbf02"`),
      );
      expect([status, body.totalResults, body.Resources]).toEqual([200, 0, []]);
    }
  });
});

describe.each([
  {
    mode: 'the default mode',
    off: { op: 'Replace', path: 'active', value: 'False' },
    on: { op: 'Replace', path: 'active', value: 'True' },
  },
  {
    mode: 'the mode of ?aadOptscim062020',
    off: { op: 'replace', path: 'active', value: false },
    on: { op: 'replace', path: 'active', value: true },
  },
])('in $mode', ({ mode, off, on }) => {
  it('a disabled user loses every session at once and comes back without them', async () => {
    const id = await addUser(world.acme, `disabled in ${mode}`);
    const session = await world.acme.issue({ kind: 'session', userId: id });
    const disabled = await world.acme.scim('PATCH', `/Users/${id}`, patch(off));
    expect([disabled.status, disabled.body.active, await isAccepted(world, session)]).toEqual([200, false, false]);
    const enabled = await world.acme.scim('PATCH', `/Users/${id}`, patch(on));
    expect([enabled.status, enabled.body.active, await isAccepted(world, session)]).toEqual([200, true, false]);
    expect(
      (await world.acme.scim('GET', filtered('/Users', `userName eq "disabled in ${mode}"`))).body.totalResults,
    ).toBe(1);
  });
});

describe('a user', () => {
  it('is created with explicit nulls and found in another case', async () => {
    const userName = 'UserName123@acme.example';
    const body = {
      schemas: [USER_URN, ENTERPRISE_URN],
      externalId: '0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef',
      userName,
      active: true,
      addresses: null,
      displayName: 'lennay',
      emails: [{ Primary: true, type: 'work', value: 'shayne@acme.example' }],
      meta: { resourceType: 'User' },
      name: { formatted: 'givenName familyName', familyName: 'familyName', givenName: 'givenName' },
      roles: [{ primary: 'True', value: 'Admin', type: 'WindowsAzureActiveDirectoryRole' }],
      title: null,
    };
    const created = await world.acme.scim('POST', '/Users', body);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      active: true,
      emails: [{ primary: true, type: 'work' }],
      roles: [{ primary: true, value: 'Admin' }],
    });
    expect(created.body).not.toHaveProperty('addresses');
    expect((await world.acme.scim('POST', '/Users', body)).status).toBe(409);
    for (const filter of [
      `userName eq "${userName.toLowerCase()}"`,
      'emails[type eq "work"].value eq "SHAYNE@acme.example"',
      `externalId eq "${body.externalId}"`,
    ]) {
      expect((await read(filtered('/Users', filter))).Resources.map(({ id }) => id)).toEqual([created.body.id]);
    }
    expect((await read(filtered('/Users', `externalId eq "${body.externalId.toUpperCase()}"`))).totalResults).toBe(0);
  });

  it('made of a userName alone gets every attribute by single additions', async () => {
    const id = await addUser(world.acme, 'verbose');
    const additions: [path: string, value: unknown][] = [
      ['externalId', 'ext-1'],
      ['displayName', 'Verbose'],
      ['nickName', 'Verb'],
      ['title', 'Tester'],
      ['userType', 'Employee'],
      ['preferredLanguage', 'en'],
      ['locale', 'en-GB'],
      ['timezone', 'Europe/London'],
      ['profileUrl', 'https://acme.example/verbose'],
      ['name.givenName', 'Ver'],
      ['name.familyName', 'Bose'],
      ['name.formatted', 'Ver Bose'],
      ['name.middleName', 'M'],
      ['name.honorificPrefix', 'Dr'],
      ['name.honorificSuffix', 'II'],
      ['emails[type eq "work"].value', 'verbose@acme.example'],
      ['emails[type eq "work"].primary', true],
      ['phoneNumbers[type eq "work"].value', '1'],
      ['phoneNumbers[type eq "mobile"].value', '2'],
      ['phoneNumbers[type eq "fax"].value', '3'],
      ['addresses[type eq "work"].formatted', 'Here'],
      ['addresses[type eq "work"].streetAddress', 'Street 1'],
      ['addresses[type eq "work"].locality', 'London'],
      ['addresses[type eq "work"].region', 'L'],
      ['addresses[type eq "work"].postalCode', 'N1'],
      ['addresses[type eq "work"].country', 'GB'],
      ['roles[primary eq "True"].display', 'Role'],
      ['roles[primary eq "True"].value', 'role'],
      ['roles[primary eq "True"].type', 'kind'],
      [`${ENTERPRISE_URN}:employeeNumber`, '701984'],
      [`${ENTERPRISE_URN}:costCenter`, '4130'],
      [`${ENTERPRISE_URN}:organization`, 'Acme'],
      [`${ENTERPRISE_URN}:division`, 'North'],
      [`${ENTERPRISE_URN}:department`, 'Tours'],
      [`${ENTERPRISE_URN}:manager`, 'usr_manager'],
      ['active', 'True'],
    ];
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch(...additions.map(([path, value]) => ({ op: 'Add', path, value }))),
    );
    expect(status).toBe(200);
    expect(await read(`/Users/${id}`)).toEqual(body);
    expect(body).toMatchObject({
      externalId: 'ext-1',
      name: {
        givenName: 'Ver',
        familyName: 'Bose',
        formatted: 'Ver Bose',
        middleName: 'M',
        honorificPrefix: 'Dr',
        honorificSuffix: 'II',
      },
      emails: [{ type: 'work', value: 'verbose@acme.example', primary: true }],
      phoneNumbers: [
        { type: 'work', value: '1' },
        { type: 'mobile', value: '2' },
        { type: 'fax', value: '3' },
      ],
      addresses: [
        {
          type: 'work',
          formatted: 'Here',
          streetAddress: 'Street 1',
          locality: 'London',
          region: 'L',
          postalCode: 'N1',
          country: 'GB',
        },
      ],
      roles: [{ primary: true, display: 'Role', value: 'role', type: 'kind' }],
      [ENTERPRISE_URN]: {
        employeeNumber: '701984',
        costCenter: '4130',
        organization: 'Acme',
        division: 'North',
        department: 'Tours',
        manager: { value: 'usr_manager' },
      },
    });
    expect((await world.peek('eu-1', `select email, display_name from users where user_name = 'verbose'`))[0]).toEqual({
      email: 'verbose@acme.example',
      display_name: 'Verbose',
    });
  });

  it('has attributes replaced by one request with dotted and URN names', async () => {
    const id = await addUser(world.acme, 'flagged', {
      emails: [{ type: 'work', value: 'old@acme.example', primary: true }],
    });
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'replace', path: 'emails[type eq "work"].value', value: 'new@acme.example' },
        { op: 'add', path: 'phoneNumbers[type eq "mobile"].value', value: '5' },
        {
          op: 'replace',
          value: {
            displayName: 'Flagged',
            'name.givenName': 'Flag',
            'name.familyName': 'Ged',
            [`${ENTERPRISE_URN}:employeeNumber`]: '7',
          },
        },
      ),
    );
    expect(status).toBe(200);
    expect(body).toMatchObject({
      displayName: 'Flagged',
      name: { givenName: 'Flag', familyName: 'Ged' },
      emails: [{ type: 'work', value: 'new@acme.example', primary: true }],
      phoneNumbers: [{ type: 'mobile', value: '5' }],
      [ENTERPRISE_URN]: { employeeNumber: '7' },
    });
  });

  it('gets the element that a replace selects in vain', async () => {
    const id = await addUser(world.acme, 'vain');
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch({ op: 'Replace', path: 'phoneNumbers[type eq "fax"].value', value: '9' }),
    );
    expect([status, body.phoneNumbers]).toEqual([200, [{ type: 'fax', value: '9' }]]);
  });

  it('gets another userName', async () => {
    const id = await addUser(world.acme, 'before');
    expect(
      (await world.acme.scim('PATCH', `/Users/${id}`, patch({ op: 'Replace', path: 'userName', value: 'after' }))).body
        .userName,
    ).toBe('after');
  });

  it('has a manager in each of the forms that are sent, and loses her by an empty text', async () => {
    const id = await addUser(world.acme, 'managed');
    const managers = [
      { op: 'Add', path: `${ENTERPRISE_URN}:manager`, value: 'usr_one' },
      { op: 'Add', path: `${ENTERPRISE_URN}:manager`, value: [{ $ref: 'http://x/Users/usr_two', value: 'usr_two' }] },
      { op: 'Replace', path: 'manager', value: 'usr_three' },
    ];
    for (const operation of managers) {
      const { status, body } = await world.acme.scim('PATCH', `/Users/${id}`, patch(operation));
      expect([status, body[ENTERPRISE_URN]]).toMatchObject([
        200,
        { manager: { value: expect.stringMatching(/^usr_(one|two|three)$/) } },
      ]);
    }
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch({ op: 'Replace', path: `${ENTERPRISE_URN}:manager`, value: '' }),
    );
    expect([status, body[ENTERPRISE_URN], body.schemas]).toEqual([200, undefined, [USER_URN]]);
  });

  it('takes several changes of one attribute in their order', async () => {
    const id = await addUser(world.acme, 'ordered', { externalId: 'first' });
    const { body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'remove', path: 'externalId' },
        { op: 'add', path: 'externalId', value: 'second' },
        { op: 'replace', path: 'externalId', value: 'third' },
      ),
    );
    expect(body.externalId).toBe('third');
  });

  it('is deleted once; an unknown one and a second time are not found', async () => {
    const id = await addUser(world.acme, 'to be deleted');
    const statuses = [];
    for (const path of [`/Users/${id}`, `/Users/${id}`, `/Users/${mintId('usr')}`])
      statuses.push((await world.acme.scim('DELETE', path)).status);
    expect(statuses).toEqual([204, 404, 404]);
  });
});

describe('a request', () => {
  it('without any User-Agent is answered like any other', async () => {
    const response = await world.fetch(world.acme.scimToken, '/scim/v2/Users?count=0', {
      headers: { 'user-agent': '' },
    });
    expect(response.status).toBe(200);
  });

  it('with no operation is refused', async () => {
    const id = await addUser(world.acme, 'untouched');
    expect(
      (await world.acme.scim('PATCH', `/Users/${id}`, { schemas: [PATCH_URN], Operations: [] })).body.scimType,
    ).toBe('invalidSyntax');
  });
});

import { describe, expect, test } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import {
  errorBody,
  isWanted,
  listResponse,
  readGroup,
  readUser,
  renderGroup,
  renderUser,
} from '../../../subgraphs/identity/scim/resource.ts';
import { GROUP, USER } from '../../../subgraphs/identity/scim/schema.ts';
import { BARBARA, ENTERPRISE, codeOf } from './scim-patch-cases.ts';

const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User';
const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group';
const ENTRA_USER = {
  userName: 'shaniya@bauch.co.uk',
  active: true,
  displayName: 'BDFAIMDWZXYA',
  emails: [{ type: 'work', value: 'camille@hermannokuneva.ca', primary: true }],
  name: { givenName: 'Sadye', familyName: 'Keaton' },
  addresses: [{ type: 'work', primary: true, country: 'Belize' }],
  phoneNumbers: [{ type: 'work', value: '56-357-7743', primary: true }],
  [ENTERPRISE]: { manager: { value: 'GZFDHGRKQLCG' } },
  roles: [{ primary: 'True', display: 'RAJB', value: 'OGCI', type: 'IJAQ' }],
  schemas: [USER_URN, ENTERPRISE],
};

describe('a user body', () => {
  test('of the Entra validator is read with a boolean where it sends a text', () => {
    const { schemas: _, ...rest } = ENTRA_USER;
    expect(readUser(ENTRA_USER)).toStrictEqual({
      ...rest,
      roles: [{ primary: true, display: 'RAJB', value: 'OGCI', type: 'IJAQ' }],
    });
  });

  test('of Okta loses the dummy password and the empty groups', () => {
    const body = {
      schemas: [USER_URN],
      userName: 'test.user@okta.local',
      name: { givenName: 'Test', familyName: 'User' },
      emails: [{ primary: true, value: 'test.user@okta.local', type: 'work' }],
      displayName: 'Test User',
      locale: 'en-US',
      externalId: '00ujl29u0le5T6Aj10h7',
      groups: [],
      password: '1mz050nq',
      active: true,
    };
    const { schemas: _s, groups: _g, password: _p, ...kept } = body;
    expect(readUser(body)).toStrictEqual(kept);
  });

  test('loses nulls, unknown names and what only the service sets', () => {
    const body = {
      id: 'mine',
      meta: { version: 'x' },
      userName: 'a',
      addresses: null,
      title: null,
      name: { givenName: null },
      emails: [null, { value: null, type: 'work' }, { value: '', type: 'home' }],
      shoeSize: 43,
      [ENTERPRISE]: { department: null },
      'urn:example:other': { a: 1 },
    };
    expect(readUser(body)).toStrictEqual({ userName: 'a' });
  });

  test('has its names spelled as in the schema', () => {
    const body = {
      USERNAME: 'a',
      Name: { GivenName: 'b' },
      Emails: [{ Value: 'c', Primary: true }],
      [ENTERPRISE.toLowerCase()]: { Department: 'd' },
    };
    expect(readUser(body)).toStrictEqual({
      userName: 'a',
      name: { givenName: 'b' },
      emails: [{ value: 'c', primary: true }],
      [ENTERPRISE]: { department: 'd' },
    });
  });

  test.each([
    ['a manager as text', { [ENTERPRISE]: { manager: 'usr_1' } }, { [ENTERPRISE]: { manager: { value: 'usr_1' } } }],
    ['a single element', { emails: { value: 'a@b.c' } }, { emails: [{ value: 'a@b.c' }] }],
    ['elements as texts', { emails: ['a@b.c'] }, { emails: [{ value: 'a@b.c' }] }],
    ['active as text', { active: 'False' }, { active: false }],
  ])('with %s is set right', (_, body, read) => {
    expect(readUser({ userName: 'a', ...body })).toStrictEqual({ userName: 'a', ...read });
  });

  test.each([
    ['no object', 'text', 'BAD_REQUEST'],
    ['an array', [], 'BAD_REQUEST'],
    ['another schema', { schemas: [GROUP_URN], userName: 'a' }, 'BAD_REQUEST'],
    ['schemas that are no list', { schemas: USER_URN, userName: 'a' }, 'BAD_REQUEST'],
    ['no userName', { displayName: 'a' }, 'BAD_USER_INPUT'],
    ['a blank userName', { userName: '' }, 'BAD_USER_INPUT'],
    ['a userName that is a number', { userName: 5 }, 'BAD_USER_INPUT'],
    ['a userName given twice', { userName: 'a', username: 'b' }, 'BAD_USER_INPUT'],
    ['a sub-attribute given twice', { userName: 'a', name: { givenName: 'a', givenname: 'b' } }, 'BAD_USER_INPUT'],
    ['a name that is text', { userName: 'a', name: 'b' }, 'BAD_USER_INPUT'],
    ['an extension that is text', { userName: 'a', [ENTERPRISE]: 'b' }, 'BAD_USER_INPUT'],
    [
      'two primary elements',
      {
        userName: 'a',
        emails: [
          { value: 'b', primary: true },
          { value: 'c', primary: true },
        ],
      },
      'BAD_USER_INPUT',
    ],
    ['two managers', { userName: 'a', [ENTERPRISE]: { manager: ['b', 'c'] } }, 'BAD_USER_INPUT'],
    ['101 addresses', { userName: 'a', emails: Array(101).fill('a@b.c') }, 'BAD_USER_INPUT'],
    ['a text of 1025 characters', { userName: 'a'.repeat(1025) }, 'BAD_USER_INPUT'],
    ['a NUL', { userName: 'a\0' }, 'BAD_USER_INPUT'],
    ['half a surrogate pair', { userName: 'a\ud800' }, 'BAD_USER_INPUT'],
    ['a prototype', JSON.parse('{"userName":"a","__proto__":{"admin":true}}'), 'BAD_USER_INPUT'],
    [
      'a constructor deep inside',
      { userName: 'a', x: [{ constructor: { prototype: { admin: true } } }] },
      'BAD_USER_INPUT',
    ],
    [
      'nesting without end',
      { userName: 'a', x: JSON.parse(`${'[['.repeat(3000)}${']]'.repeat(3000)}`) },
      'BAD_USER_INPUT',
    ],
    ['values without number', { userName: 'a', x: Array(100_001).fill(0) }, 'BAD_USER_INPUT'],
  ])('with %s is refused', (_, body, code) => {
    expect(codeOf(() => readUser(body))).toBe(code);
  });

  test('takes what is as large as allowed', () => {
    const emails = Array.from({ length: 100 }, (_, n) => ({ value: `${n}@example.com` }));
    expect(readUser({ userName: 'a'.repeat(1024), emails })['emails']).toHaveLength(100);
  });
});

describe('a group body', () => {
  test('is read with its members apart, each once', () => {
    const body = {
      schemas: [GROUP_URN, 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group'],
      DisplayName: 'Sales',
      externalId: 'g1',
      members: [{ value: 'usr_1', display: 'Babs', $ref: null }, { value: 'usr_2' }, 'usr_1'],
    };
    expect(readGroup(body)).toStrictEqual({
      resource: { displayName: 'Sales', externalId: 'g1' },
      memberIds: ['usr_1', 'usr_2'],
    });
  });

  test('tells no members from nothing about members', () => {
    expect(readGroup({ displayName: 'a', members: [] })).toStrictEqual({
      resource: { displayName: 'a' },
      memberIds: [],
    });
    expect(readGroup({ displayName: 'a', members: null })).toStrictEqual({ resource: { displayName: 'a' } });
    expect(readGroup({ displayName: 'a' })).toStrictEqual({ resource: { displayName: 'a' } });
  });

  test.each([
    ['no name', { members: [] }, 'BAD_USER_INPUT'],
    ['a member without an id', { displayName: 'a', members: [{ display: 'b' }] }, 'BAD_USER_INPUT'],
    ['10,001 members', { displayName: 'a', members: Array(10_001).fill('usr_1') }, 'TOO_MANY'],
  ])('with %s is refused', (_, body, code) => {
    expect(codeOf(() => readGroup(body))).toBe(code);
  });
});

const VIEW = { baseUrl: 'https://api.example.com/scim/v2' };
const ROW = {
  id: 'usr_1',
  resource: BARBARA,
  createdAt: new Date('2026-01-01T00:00:00Z'),
  updatedAt: new Date('2026-02-01T00:00:00Z'),
  version: 3,
  groups: [{ id: 'grp_1', display: 'Sales' }],
};

describe('a rendered user', () => {
  test('carries its schemas, meta, groups and document', () => {
    expect(renderUser(ROW, VIEW)).toStrictEqual({
      schemas: [USER_URN, ENTERPRISE],
      ...BARBARA,
      groups: [{ value: 'grp_1', $ref: `${VIEW.baseUrl}/Groups/grp_1`, display: 'Sales', type: 'direct' }],
      meta: {
        resourceType: 'User',
        created: '2026-01-01T00:00:00.000Z',
        lastModified: '2026-02-01T00:00:00.000Z',
        location: `${VIEW.baseUrl}/Users/usr_1`,
        version: 'W/"3"',
      },
    });
  });

  test.each<[query: { attributes?: string; excludedAttributes?: string }, keys: string[]]>([
    [{ attributes: 'userName' }, ['schemas', 'id', 'userName']],
    [{ attributes: 'USERNAME, active ,nope' }, ['schemas', 'id', 'userName', 'active']],
    [{ attributes: 'nope' }, ['schemas', 'id']],
    [{ attributes: `${ENTERPRISE}:department` }, ['schemas', 'id', ENTERPRISE]],
    [{ attributes: 'password' }, ['schemas', 'id']],
    [
      { excludedAttributes: 'id,schemas,userName,meta,groups,emails,phoneNumbers,name' },
      ['schemas', 'id', 'externalId', 'displayName', 'active', ENTERPRISE],
    ],
    [{ attributes: 'active', excludedAttributes: 'active' }, ['schemas', 'id']],
  ])('seen by %o shows %o', (query, keys) => {
    expect(Object.keys(renderUser(ROW, { ...VIEW, ...query })).toSorted()).toEqual(keys.toSorted());
  });

  test('shows sub-attributes alone where only they are asked for', () => {
    expect(renderUser(ROW, { ...VIEW, attributes: 'emails.value,name.givenName,manager.value' })).toStrictEqual({
      schemas: [USER_URN, ENTERPRISE],
      id: 'usr_1',
      emails: [{ value: 'bjensen@example.com' }, { value: 'babs@home.example' }],
      name: { givenName: 'Barbara' },
      [ENTERPRISE]: { manager: { value: 'usr_boss' } },
    });
    const hidden = renderUser(ROW, { ...VIEW, excludedAttributes: 'emails.type,emails.primary' });
    expect(hidden['emails']).toEqual([{ value: 'bjensen@example.com' }, { value: 'babs@home.example' }]);
  });

  test('names no extension that it does not carry', () => {
    const { [ENTERPRISE]: _, ...resource } = BARBARA;
    expect(renderUser({ ...ROW, resource }, VIEW)['schemas']).toEqual([USER_URN]);
    expect(renderUser(ROW, { ...VIEW, excludedAttributes: ENTERPRISE })['schemas']).toEqual([USER_URN]);
  });

  test('never shows a password or a name that no schema knows', () => {
    const shown = renderUser({ ...ROW, resource: { ...BARBARA, password: 'secret', passwordHash: 'x' } }, VIEW);
    expect(JSON.stringify(shown)).not.toMatch(/secret|passwordHash/);
  });

  test('has the id of its row', () => {
    expect(renderUser({ ...ROW, resource: { ...BARBARA, id: 'usr_forged' } }, VIEW)['id']).toBe('usr_1');
  });
});

describe('a rendered group', () => {
  const group = { ...ROW, id: 'grp_1', resource: { displayName: 'Sales' } };

  test('shows its members, or no such key where they were not loaded', () => {
    expect(renderGroup({ ...group, members: [{ id: 'usr_1' }] }, VIEW)['members']).toEqual([
      { value: 'usr_1', $ref: `${VIEW.baseUrl}/Users/usr_1`, type: 'User' },
    ]);
    expect(renderGroup({ ...group, members: [] }, VIEW)['members']).toEqual([]);
    expect(renderGroup(group, VIEW)).not.toHaveProperty('members');
    expect(renderGroup({ ...group, members: [] }, { ...VIEW, excludedAttributes: 'members' })).not.toHaveProperty(
      'members',
    );
  });

  test('tells beforehand whether members will be shown', () => {
    expect(isWanted(GROUP, 'members', VIEW)).toBe(true);
    expect(isWanted(GROUP, 'members', { ...VIEW, excludedAttributes: 'Members' })).toBe(false);
    expect(isWanted(GROUP, 'members', { ...VIEW, attributes: 'displayName' })).toBe(false);
    expect(isWanted(GROUP, 'members', { ...VIEW, attributes: 'members.value' })).toBe(true);
    expect(isWanted(USER, 'members', VIEW)).toBe(false);
  });

  test('refuses a list of attributes without end', () => {
    expect(codeOf(() => renderGroup(group, { ...VIEW, attributes: 'a,'.repeat(3000) }))).toBe('BAD_USER_INPUT');
  });
});

describe('the messages', () => {
  test('of a list counts with numbers', () => {
    expect(listResponse({ resources: [{ id: 'usr_1' }], totalResults: 12, startIndex: 3 })).toStrictEqual({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
      totalResults: 12,
      startIndex: 3,
      itemsPerPage: 1,
      Resources: [{ id: 'usr_1' }],
    });
  });

  test('of an error has its status as text and nothing internal', () => {
    const error = new TenonError('INVALID_FILTER', 'internal: table users', { hint: 'At character 1: no.' });
    expect(errorBody(error)).toStrictEqual({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
      status: '400',
      scimType: 'invalidFilter',
      detail: 'The filter is not valid. At character 1: no.',
    });
    expect(errorBody(new TenonError('NOT_FOUND', 'x'))).toStrictEqual({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
      status: '404',
      detail: 'There is no such thing in this tenant.',
    });
  });
});

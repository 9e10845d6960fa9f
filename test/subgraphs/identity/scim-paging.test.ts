import { beforeAll, describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';
import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  openIdentity,
  type IdentityPlatform,
  type ScimAnswer,
  type ScimBody,
} from './identity-platform.ts';

const SEARCH_URN = 'urn:ietf:params:scim:api:messages:2.0:SearchRequest';
let world: IdentityPlatform;
const ids = new Map<string, string>();

/** Seven people; what some of them lack is what sorting has to place. */
const PEOPLE: readonly [userName: string, more: object][] = [
  [
    'delta',
    {
      title: 'b',
      name: { familyName: 'Zoe' },
      emails: [
        { value: 'z@x.y', type: 'home' },
        { value: 'a@x.y', primary: true },
      ],
    },
  ],
  ['Alpha', { title: 'B', externalId: 'b', emails: [{ value: 'M@x.y' }, { value: '0@x.y' }] }],
  ['charlie', { title: 'a', externalId: 'B', active: false }],
  ['bravo', { name: { familyName: 'adam' }, [ENTERPRISE_URN]: { department: 'Sales' } }],
  ['Echo', { externalId: 'a', name: { givenName: 'only' } }],
  ['foxtrot', { title: '', [ENTERPRISE_URN]: { department: 'ops' } }],
  ['Ölwin', { title: 'c' }],
];

beforeAll(async () => {
  world = await openIdentity();
  // The first administrator would stand in every list.
  await world.acme.scim('DELETE', `/Users/${world.acme.adminId}`);
  for (const [userName, more] of PEOPLE) ids.set(userName, await addUser(world.acme, userName, more));
  await addGroup(world.acme, 'Crew', [...ids.values()].slice(0, 2));
  await addGroup(world.acme, 'bridge');
});

const get = (path: string): Promise<ScimAnswer> => world.acme.scim('GET', path);
const names = ({ Resources }: ScimBody): string[] =>
  Resources.map(({ userName, displayName }) => userName ?? displayName);
const query = (parameters: Record<string, string>): string => new URLSearchParams(parameters).toString();
const sorted = async (sortBy: string, sortOrder = 'ascending') =>
  names((await get(`/Users?${query({ sortBy, sortOrder })}`)).body);

describe('sorting', () => {
  it.each<[sortBy: string, order: string]>([
    ['userName', 'Alpha bravo charlie delta Echo foxtrot Ölwin'],
    ['USERNAME', 'Alpha bravo charlie delta Echo foxtrot Ölwin'],
    ['urn:ietf:params:scim:schemas:core:2.0:User:userName', 'Alpha bravo charlie delta Echo foxtrot Ölwin'],
    ['externalId', 'charlie Echo Alpha delta bravo foxtrot Ölwin'],
    ['title', 'foxtrot charlie delta Alpha Ölwin bravo Echo'],
    ['name.familyName', 'bravo delta Alpha charlie Echo foxtrot Ölwin'],
    ['emails', 'delta Alpha charlie bravo Echo foxtrot Ölwin'],
    ['emails.value', 'delta Alpha charlie bravo Echo foxtrot Ölwin'],
    ['active', 'charlie delta Alpha bravo Echo foxtrot Ölwin'],
    [`${ENTERPRISE_URN}:department`, 'foxtrot bravo delta Alpha charlie Echo Ölwin'],
    ['meta.created', 'delta Alpha charlie bravo Echo foxtrot Ölwin'],
    ['meta.resourceType', 'delta Alpha charlie bravo Echo foxtrot Ölwin'],
    ['id', 'delta Alpha charlie bravo Echo foxtrot Ölwin'],
  ])('by %s is %s, and the reverse when it descends', async (sortBy, order) => {
    expect((await sorted(sortBy)).join(' ')).toBe(order);
    expect((await sorted(sortBy, 'DESCENDING')).join(' ')).toBe(order.split(' ').toReversed().join(' '));
  });

  it('holds across pages', async () => {
    const pages = [];
    for (const startIndex of ['1', '4', '7']) {
      const { body } = await get(`/Users?${query({ sortBy: 'userName', startIndex, count: '3' })}`);
      pages.push(names(body).join(' '));
    }
    expect(pages).toEqual(['Alpha bravo charlie', 'delta Echo foxtrot', 'Ölwin']);
  });

  it('goes with a filter', async () => {
    const { body } = await get(`/Users?${query({ sortBy: 'userName', sortOrder: 'descending', filter: 'title pr' })}`);
    expect(names(body)).toEqual(['Ölwin', 'delta', 'charlie', 'Alpha']);
  });

  it.each([
    'nosuch',
    'name',
    'addresses',
    'emails[type eq "work"].value',
    'groups.display',
    'schemas',
    '__proto__',
    'meta.location',
    'a'.repeat(5000),
  ])('by %s is refused', async (sortBy) => {
    const { status, body } = await get(`/Users?${query({ sortBy })}`);
    expect([status, body.scimType, body.Resources]).toEqual([400, 'invalidValue', undefined]);
  });

  it('by a password is refused as sensitive, and by no order that there is as a bad value', async () => {
    expect((await get('/Users?sortBy=password')).body).toMatchObject({ status: '403', scimType: 'sensitive' });
    expect((await get('/Users?sortBy=userName&sortOrder=random')).body.scimType).toBe('invalidValue');
    expect((await get('/Users?sortBy=userName&sortBy=title')).body.scimType).toBe('invalidValue');
    expect((await get('/Groups?sortBy=members')).body.scimType).toBe('invalidValue');
  });
});

async function walk(path: string, parameters: Record<string, string>): Promise<ScimBody[]> {
  const pages: ScimBody[] = [];
  let cursor = '';
  for (;;) {
    const { status, body } = await get(`${path}?${query({ ...parameters, cursor })}`);
    expect([status, body.detail]).toEqual([200, undefined]);
    pages.push(body);
    if (body.nextCursor === undefined) return pages;
    cursor = body.nextCursor;
  }
}

describe('a walk by cursors', () => {
  it.each<Record<string, string>>([
    {},
    { sortBy: 'userName' },
    { sortBy: 'userName', sortOrder: 'descending' },
    { sortBy: 'title' },
    { sortBy: 'title', sortOrder: 'descending' },
    { sortBy: 'externalId', sortOrder: 'descending' },
    { sortBy: 'active' },
    { sortBy: 'meta.created', sortOrder: 'descending' },
    { sortBy: 'emails' },
    { sortBy: 'id', sortOrder: 'descending' },
    { filter: 'title pr', sortBy: 'title' },
  ])('meets everybody once and in order: %j', async (parameters) => {
    const all = names((await get(`/Users?${query(parameters)}`)).body);
    for (const count of ['1', '2', '3', '7']) {
      const pages = await walk('/Users', { ...parameters, count });
      expect(pages.flatMap(names)).toEqual(all);
      expect(pages.map(({ totalResults }) => totalResults)).toEqual(pages.map(() => all.length));
      expect(pages.map((page) => 'previousCursor' in page)).toEqual(pages.map((_, index) => index > 0));
      expect(pages.every((page) => !('startIndex' in page))).toBe(true);
    }
  });

  it('goes back the way it came', async () => {
    const pages = await walk('/Users', { sortBy: 'title', count: '2' });
    let page = pages.at(-1);
    for (const before of pages.slice(0, -1).toReversed()) {
      const { body } = await get(
        `/Users?${query({ sortBy: 'title', count: '2', cursor: page?.previousCursor ?? '' })}`,
      );
      expect(names(body)).toEqual(names(before));
      expect('nextCursor' in body).toBe(true);
      page = body;
    }
    expect('previousCursor' in (page ?? {})).toBe(false);
  });

  it('hands out cursors that may stand in an address as they are and say nothing', async () => {
    const { body } = await get('/Users?cursor=&count=1&sortBy=userName');
    expect(body.nextCursor).toMatch(/^[\w.~-]+$/);
    const parts = (body.nextCursor ?? '').split('.').map((part) => Buffer.from(part, 'base64url').toString('latin1'));
    expect(parts.join()).not.toMatch(/alpha/i);
  });

  it('takes no cursor of another query, order, endpoint or tenant, and none that was changed', async () => {
    const { body } = await get(`/Users?${query({ count: '1', cursor: '', sortBy: 'title', filter: 'title pr' })}`);
    const cursor = body.nextCursor ?? '';
    const good = { cursor, sortBy: 'title', filter: 'title pr' };
    expect((await get(`/Users?${query(good)}`)).status).toBe(200);
    const bad: [path: string, parameters: Record<string, string>][] = [
      ['/Users', { cursor, sortBy: 'title' }],
      ['/Users', { ...good, filter: 'title  pr' }],
      ['/Users', { ...good, sortBy: 'userName' }],
      ['/Users', { ...good, sortOrder: 'descending' }],
      ['/Groups', { cursor }],
      ['', good],
      ['/Users', { ...good, cursor: `${cursor.slice(0, -2)}AA` }],
      ['/Users', { ...good, cursor: 'x' }],
      ['/Users', { ...good, cursor: 'v1.x.y' }],
      ['/Users', { ...good, cursor: 'a'.repeat(9000) }],
    ];
    for (const [path, parameters] of bad) {
      const { status, body: error } = await get(`${path}?${query(parameters)}`);
      expect([path, parameters, status, error.scimType]).toEqual([path, parameters, 400, 'invalidCursor']);
    }
    expect((await world.initech.scim('GET', `/Users?${query(good)}`)).body.scimType).toBe('invalidCursor');
    expect((await get(`/Users?${query(good)}&cursor=`)).body.scimType).toBe('invalidCursor');
  });

  it('ends an hour after its last page', async () => {
    const start = new Date();
    world.setNow(start);
    const { body } = await get('/Users?cursor=&count=1');
    const cursor = body.nextCursor ?? '';
    world.setNow(new Date(start.getTime() + 3_599_000));
    const late = await world.acme.issue({ kind: 'scim_token', userId: null, scopes: ['scim'] });
    const then = world.acme.scimAs({ token: late });
    expect((await then('GET', `/Users?${query({ cursor, count: '1' })}`)).status).toBe(200);
    world.setNow(new Date(start.getTime() + 3_600_000));
    const code: ErrorCode = 'EXPIRED_CURSOR';
    expect((await then('GET', `/Users?${query({ cursor, count: '1' })}`)).body).toMatchObject({
      status: '400',
      scimType: 'expiredCursor',
      detail: ERRORS[code].message,
    });
    world.setNow(start);
  });

  it.each(['ten', '-1', '1.5', ''])('takes no count of %j', async (count) => {
    expect((await get(`/Users?${query({ cursor: '', count })}`)).body).toMatchObject({
      status: '400',
      scimType: 'invalidCount',
    });
  });

  it('holds at most 200 on a page, and nobody where nobody is wanted', async () => {
    expect((await get('/Users?cursor=&count=5000')).body.Resources).toHaveLength(PEOPLE.length);
    const { body } = await get('/Users?cursor=&count=0');
    expect([body.totalResults, body.Resources]).toEqual([PEOPLE.length, []]);
  });

  it('does not begin at an index as well', async () => {
    expect((await get('/Users?cursor=&startIndex=1')).body).toMatchObject({ status: '400', scimType: 'invalidValue' });
  });

  it('loses nobody and repeats nobody while others come and go', async () => {
    const staying = [...ids.values()];
    const seen: string[] = [];
    let cursor: string | undefined = '';
    for (let page = 0; cursor !== undefined; page++) {
      const passing = await addUser(world.acme, `passing ${page}`);
      const { body }: ScimAnswer = await get(`/Users?${query({ cursor, count: '2' })}`);
      seen.push(...body.Resources.map(({ id }) => id));
      await world.acme.scim('DELETE', `/Users/${passing}`);
      cursor = page > 20 ? undefined : body.nextCursor;
    }
    expect(seen.filter((id) => staying.includes(id))).toEqual(staying);
  });
});

describe('a search', () => {
  const search = (path: string, body: object) =>
    world.acme.scim('POST', `${path}/.search`, { schemas: [SEARCH_URN], ...body });

  it('answers what the same query in an address does', async () => {
    const { status, body } = await search('/Users', {
      filter: 'title pr',
      sortBy: 'userName',
      sortOrder: 'descending',
      startIndex: 2,
      count: 2,
      attributes: ['userName', 'title'],
    });
    const same = `filter=title%20pr&sortBy=userName&sortOrder=descending&startIndex=2&count=2&attributes=userName,title`;
    expect([status, body]).toEqual([200, (await get(`/Users?${same}`)).body]);
    expect(names(body)).toEqual(['delta', 'charlie']);
    expect(Object.keys(body.Resources[0] ?? {}).toSorted()).toEqual(['id', 'schemas', 'title', 'userName']);
  });

  it('pages by cursor and leaves out what is excluded', async () => {
    const first = await search('/Groups', { cursor: '', count: 1, excludedAttributes: ['members', 'meta'] });
    expect(Object.keys(first.body.Resources[0] ?? {}).toSorted()).toEqual(['displayName', 'id', 'schemas']);
    const second = await search('/Groups', { cursor: first.body.nextCursor, count: 1 });
    expect([...names(first.body), ...names(second.body)]).toEqual(['Crew', 'bridge']);
  });

  it('at the root finds users and groups alike', async () => {
    const all = await search('', {});
    expect(names(all.body)).toEqual([...PEOPLE.map(([name]) => name), 'Crew', 'bridge']);
    const filters: [filter: string, found: string][] = [
      ['displayName sw "c" or userName sw "c"', 'charlie Crew'],
      ['meta.resourceType eq "Group"', 'Crew bridge'],
      ['meta.resourceType eq "User" and not (title pr)', 'bravo Echo foxtrot'],
      ['members pr', 'Crew'],
      ['groups pr', 'delta Alpha'],
      ['not (userName pr)', 'Crew bridge'],
      ['urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "crew"', 'Crew'],
      ['active eq true and title eq "b"', 'delta Alpha'],
    ];
    for (const [filter, found] of filters) {
      const { body } = await search('', { filter });
      expect([filter, names(body).join(' '), body.totalResults]).toEqual([filter, found, found.split(' ').length]);
    }
    expect((await search('', { filter: 'nosuch pr' })).body.scimType).toBe('invalidFilter');
  });

  it('at the root sorts and pages over both', async () => {
    const order = names((await search('', { sortBy: 'meta.created', sortOrder: 'descending' })).body);
    expect(order).toEqual([...PEOPLE.map(([name]) => name), 'Crew', 'bridge'].toReversed());
    const pages = await walk('', { count: '2' });
    expect(pages.flatMap(names)).toEqual(order.toReversed());
    const byKind = await walk('', { count: '2', sortBy: 'meta.resourceType' });
    expect(byKind.flatMap(names)).toEqual(['Crew', 'bridge', ...PEOPLE.map(([name]) => name)]);
    expect(names((await get('?filter=displayName%20eq%20%22crew%22')).body)).toEqual(['Crew']);
  });

  it.each<[body: object, scimType: string]>([
    [{ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'] }, 'invalidSyntax'],
    [{ filter: 5 }, 'invalidFilter'],
    [{ filter: ['a'] }, 'invalidValue'],
    [{ attributes: [5] }, 'invalidValue'],
    [{ count: 'x' }, 'invalidValue'],
    [{ count: true }, 'invalidValue'],
    [{ sortBy: {} }, 'invalidValue'],
    [{ cursor: 'x' }, 'invalidCursor'],
    [{ cursor: '', count: 'x' }, 'invalidCount'],
    [{ ['__proto__x']: 1, filter: 'constructor pr' }, 'invalidFilter'],
  ])('of the form %j is refused', async (body, scimType) => {
    expect((await search('/Users', body)).body).toMatchObject({ status: '400', scimType });
  });

  it('sees nothing of another tenant', async () => {
    const { body } = await world.globex.scim('POST', '/.search', { schemas: [SEARCH_URN] });
    expect(names(body)).toEqual(['ada@globex.example']);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { mintId, uuidOf } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  isAccepted,
  openIdentity,
  patch,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

// What deprovisioning products have got wrong in public, one case each.

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const where = (path: string, filter: string) => world.acme.scim('GET', `${path}?filter=${encodeURIComponent(filter)}`);
const change = (path: string, ...operations: object[]) => world.acme.scim('PATCH', path, patch(...operations));
const membersOf = async (group: string) =>
  (await read(`/Groups/${group}`)).members.map(({ value }) => value).toSorted();

describe('the traps', () => {
  it('an unknown filter attribute is an error and never an unfiltered list', async () => {
    for (const [path, filter] of [
      ['/Users', 'tenantId eq "x"'],
      ['/Users', 'emails.nosuch eq "x"'],
      ['/Groups', 'userName eq "x"'],
      ['/Users', 'urn:x:y:z eq "x"'],
    ] as const) {
      const { status, body } = await where(path, filter);
      expect([filter, status, body.scimType, body.Resources, body.totalResults]).toEqual([
        filter,
        400,
        'invalidFilter',
        undefined,
        undefined,
      ]);
    }
  });

  it('an unparseable member removal empties no group', async () => {
    const [one, two] = [await addUser(world.acme, 'm1'), await addUser(world.acme, 'm2')];
    const group = await addGroup(world.acme, 'Not emptied', [one, two]);
    for (const operation of [
      { op: 'remove', path: 'members[value eq' },
      { op: 'remove', path: 'members[display eq "m1"]' },
      { op: 'remove', path: 'members', value: [{ nosuch: one }] },
      { op: 'remove', path: 'members', value: [{ value: null }] },
      { op: 'remove', path: 'members', value: '' },
      { op: 'replace', path: 'members', value: [{}] },
      { op: 'replace', path: 'members', value: null },
    ]) {
      const { status } = await change(`/Groups/${group}`, operation);
      expect([operation, status]).toEqual([operation, 400]);
    }
    expect((await change(`/Groups/${group}`, { op: 'remove', path: 'members', value: [] })).status).toBe(204);
    expect(await membersOf(group)).toEqual([one, two].toSorted());
  });

  it('a deactivated person gets no credential of any kind, and comes back by SCIM alone', async () => {
    const id = await addUser(world.acme, 'leaver');
    const [session, key] = [
      await world.acme.issue({ kind: 'session', userId: id }),
      await world.acme.issue({ kind: 'api_key', userId: id }),
    ];
    await change(`/Users/${id}`, { op: 'Replace', path: 'active', value: 'False' });
    expect([await isAccepted(world, session), await isAccepted(world, key)]).toEqual([false, false]);
    for (const kind of ['session', 'sign_in_link', 'api_key'] as const)
      await expect(world.acme.issue({ kind, userId: id })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await world.acme.scim('PUT', `/Users/${id}`, { userName: 'leaver' });
    expect((await read(`/Users/${id}`)).active).toBe(false);
  });

  it('a group that SCIM manages is undone by nothing but SCIM: a PUT of a user with other groups changes none', async () => {
    const id = await addUser(world.acme, 'grouped');
    const [kept, other] = [await addGroup(world.acme, 'Kept', [id]), await addGroup(world.acme, 'Other')];
    await world.acme.scim('PUT', `/Users/${id}`, { userName: 'grouped', groups: [{ value: other }] });
    await world.acme.scim('PUT', `/Users/${id}`, { userName: 'grouped', groups: [] });
    expect([await membersOf(kept), await membersOf(other)]).toEqual([[id], []]);
  });

  it('case matters in an externalId and not in a userName', async () => {
    const id = await addUser(world.acme, 'CaseD', { externalId: 'ExT' });
    expect((await where('/Users', 'userName eq "cAsEd"')).body.Resources.map((user) => user.id)).toEqual([id]);
    expect((await where('/Users', 'externalId eq "ext"')).body.totalResults).toBe(0);
    expect((await where('/Users', 'externalId eq "ExT"')).body.totalResults).toBe(1);
    expect((await world.acme.scim('POST', '/Users', { userName: 'cased' })).status).toBe(409);
    expect((await world.acme.scim('POST', '/Users', { userName: 'cased2', externalId: 'ext' })).status).toBe(201);
  });

  it('who is added again is a member once, and nothing is recorded', async () => {
    const id = await addUser(world.acme, 'again');
    const group = await addGroup(world.acme, 'Again', [id]);
    const before = [(await world.acme.events()).length, (await read(`/Groups/${group}`)).meta.version];
    expect(
      (await change(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: id }, { value: id }] })).status,
    ).toBe(204);
    expect([(await world.acme.events()).length, (await read(`/Groups/${group}`)).meta.version]).toEqual(before);
    expect(await membersOf(group)).toEqual([id]);
  });

  it('a new primary element demotes the old one', async () => {
    const id = await addUser(world.acme, 'primary', { emails: [{ value: 'old@x.y', type: 'work', primary: true }] });
    const { body } = await change(`/Users/${id}`, {
      op: 'add',
      path: 'emails',
      value: [{ value: 'new@x.y', type: 'home', primary: true }],
    });
    expect(body.emails.map(({ value, primary }) => [value, primary])).toEqual([
      ['old@x.y', false],
      ['new@x.y', true],
    ]);
    expect(
      (await world.peek<{ email: string }>('eu-1', 'select email from users where user_name = $1', ['primary']))[0]
        ?.email,
    ).toBe('new@x.y');
  });

  it('an add on a path that selects nothing creates the element, with the type of the schema', async () => {
    const id = await addUser(world.acme, 'created element');
    const { body } = await change(`/Users/${id}`, {
      op: 'Add',
      path: 'roles[primary eq "True"].value',
      value: 'admin',
    });
    expect(body['roles']).toEqual([{ primary: true, value: 'admin' }]);
  });

  it('a replace on a path that selects nothing creates the element, as Entra needs', async () => {
    const id = await addUser(world.acme, 'replaced element');
    const { status, body } = await change(`/Users/${id}`, {
      op: 'replace',
      path: 'phoneNumbers[type eq "mobile"].value',
      value: '1',
    });
    expect([status, body.phoneNumbers]).toEqual([200, [{ type: 'mobile', value: '1' }]]);
  });

  it('of several operations all happen or none', async () => {
    const [id, member] = [
      await addUser(world.acme, 'atomic', { title: 'T' }),
      await addUser(world.acme, 'atomic member'),
    ];
    const group = await addGroup(world.acme, 'Atomic', [member]);
    const bad = { op: 'replace', path: 'nosuch', value: 'x' };
    expect(
      (
        await change(
          `/Users/${id}`,
          { op: 'replace', path: 'active', value: false },
          { op: 'remove', path: 'title' },
          bad,
        )
      ).status,
    ).toBe(400);
    expect(
      (
        await change(
          `/Groups/${group}`,
          { op: 'remove', path: 'members' },
          { op: 'replace', path: 'displayName', value: 'X' },
          bad,
        )
      ).status,
    ).toBe(400);
    expect(
      (
        await change(
          `/Groups/${group}`,
          { op: 'remove', path: 'members' },
          { op: 'add', path: 'members', value: [{ value: mintId('usr') }] },
        )
      ).status,
    ).toBe(400);
    expect([
      (await read(`/Users/${id}`)).active,
      (await read(`/Users/${id}`))['title'],
      await membersOf(group),
    ]).toEqual([true, 'T', [member]]);
  });

  it('what is required or readOnly cannot be removed', async () => {
    const id = await addUser(world.acme, 'required');
    for (const path of ['userName', 'id', 'meta', 'groups'])
      expect([path, (await change(`/Users/${id}`, { op: 'remove', path })).body.scimType]).toEqual([
        path,
        'mutability',
      ]);
  });

  it.each([
    ['id', 'usr_x'],
    ['meta.created', '2020-01-01T00:00:00Z'],
    ['meta', { version: 'x' }],
    ['groups', [{ value: 'x' }]],
    ['schemas', ['x']],
  ])('%s is written by nobody', async (path, value) => {
    const id = await addUser(world.acme, `unwritten ${path}`);
    const before = await read(`/Users/${id}`);
    expect((await change(`/Users/${id}`, { op: 'replace', path, value })).body.scimType).toBe('mutability');
    await world.acme.scim('PUT', `/Users/${id}`, {
      ...before,
      [path.split('.')[0] ?? '']: value,
      schemas: before.schemas,
    });
    expect(await read(`/Users/${id}`)).toEqual(before);
  });

  it.each(['a]b', 'a"b', 'a.b', 'a\\b', 'a b) or (c', 'ü\u{1f600}', "a' or 1=1 --", '%_', '[type eq "work"]', '\t'])(
    'the value %j is found and changed for what it is',
    async (value) => {
      const id = await addUser(world.acme, `holds ${value}`, {
        emails: [
          { value, type: 'work' },
          { value: 'other', type: 'home' },
        ],
      });
      const literal = JSON.stringify(value);
      for (const text of [
        literal,
        literal.replaceAll(/[^"\\\w]/g, (character) =>
          [...Array(character.length).keys()]
            .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
            .join(''),
        ),
      ])
        expect(
          (await where('/Users', `emails[value eq ${text}].type eq "work"`)).body.Resources.map((user) => user.id),
        ).toEqual([id]);
      const { body } = await change(`/Users/${id}`, {
        op: 'replace',
        path: `emails[value eq ${literal}].display`,
        value: 'found',
      });
      expect(body.emails).toEqual([
        { value, type: 'work', display: 'found' },
        { value: 'other', type: 'home' },
      ]);
    },
  );

  it('filters are bounded in length, depth and terms', async () => {
    const term = 'userName eq "x"';
    const terms = (count: number) => Array.from({ length: count }, () => 'title pr').join(' or ');
    for (const [filter, status] of [
      [`userName eq "${'x'.repeat(4096 - 14)}"`, 200],
      [`userName eq "${'x'.repeat(4096)}"`, 400],
      [`${'('.repeat(32)}${term}${')'.repeat(32)}`, 200],
      [`${'('.repeat(33)}${term}${')'.repeat(33)}`, 400],
      [terms(64), 200],
      [terms(65), 400],
    ] as const) {
      const { body } = await world.acme.scim('POST', '/Users/.search', { filter });
      expect([filter.length, body.scimType ?? 200]).toEqual([filter.length, status === 200 ? 200 : 'invalidFilter']);
    }
  });

  it('a list keeps its order while rows vanish', async () => {
    const ids = [];
    for (let index = 0; index < 6; index++) ids.push(await addUser(world.acme, `ordered ${index}`));
    const page = async (startIndex: number) =>
      (
        await world.acme.scim(
          'GET',
          `/Users?filter=${encodeURIComponent('userName sw "ordered"')}&startIndex=${startIndex}&count=2`,
        )
      ).body.Resources.map(({ id }) => id);
    expect(await page(3)).toEqual(ids.slice(2, 4));
    await world.acme.scim('DELETE', `/Users/${ids[5]}`);
    expect([await page(1), await page(3), await page(5)]).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4, 5)]);
  });

  it('of two changes that are meant for one version one wins', async () => {
    const id = await addUser(world.acme, 'raced');
    const { meta } = await read(`/Users/${id}`);
    const send = world.acme.scimAs({ headers: { 'if-match': meta.version } });
    const answers = await Promise.all(
      ['a', 'b'].map((title) => send('PATCH', `/Users/${id}`, patch({ op: 'add', path: 'title', value: title }))),
    );
    expect(answers.map(({ status }) => String(status)).toSorted()).toEqual(['200', '412']);
    expect((await read(`/Users/${id}`))['title']).toBe(answers.find(({ status }) => status === 200)?.body['title']);
  });

  it("a token finds nothing of another tenant's ids", async () => {
    const [user, group] = [await addUser(world.initech, 'theirs'), await addGroup(world.initech, 'Theirs')];
    for (const path of [`/Users/${user}`, `/Groups/${group}`]) {
      for (const [method, body] of [
        ['GET', undefined],
        ['PUT', { userName: 'x', displayName: 'x' }],
        ['PATCH', patch({ op: 'remove', path: 'externalId' })],
        ['DELETE', undefined],
      ] as const)
        expect([method, path, (await world.acme.scim(method, path, body)).status]).toEqual([method, path, 404]);
    }
  });

  it('names are unique in a tenant and not beyond', async () => {
    await addUser(world.acme, 'shared name');
    await addUser(world.initech, 'shared name');
    await addGroup(world.acme, 'Shared group');
    await addGroup(world.initech, 'Shared group');
    expect((await world.acme.scim('POST', '/Groups', { displayName: 'SHARED GROUP' })).body.scimType).toBe(
      'uniqueness',
    );
  });

  it('one member of fifty thousand is changed without the others being read', async () => {
    const group = await addGroup(world.acme, 'Fifty thousand');
    const tenant = uuidOf('tnt', world.acme.id);
    await world.peek(
      'eu-1',
      `with many as (insert into users (tenant_id, id, user_name) select $1, gen_random_uuid(), 'many-' || n from generate_series(1, 50000) n returning id)
       insert into group_members (tenant_id, group_id, user_id) select $1, $2, id from many`,
      [tenant, uuidOf('grp', group)],
    );
    await world.peek('eu-1', 'analyze group_members');
    const id = await addUser(world.acme, 'one of many');
    const count = async () =>
      (
        await world.peek<{ count: number }>(
          'eu-1',
          'select count(*)::int as count from group_members where group_id = $1',
          [uuidOf('grp', group)],
        )
      )[0]?.count;
    const answer = await change(`/Groups/${group}`, { op: 'add', path: 'members', value: [{ value: id }] });
    expect([answer.status, answer.text, await count()]).toEqual([204, '', 50_001]);
    expect((await change(`/Groups/${group}`, { op: 'remove', path: `members[value eq "${id}"]` })).text).toBe('');
    expect(await count()).toBe(50_000);
    const reads = await world.peek<{ plan: string }>(
      'eu-1',
      `explain (format text) delete from group_members m using unnest($2::uuid[]) as named(id) where m.tenant_id = $3 and m.group_id = $1 and m.user_id = named.id`,
      [uuidOf('grp', group), [uuidOf('usr', id)], tenant],
    );
    expect(JSON.stringify(reads)).not.toContain('Seq Scan on group_members');
  });
});

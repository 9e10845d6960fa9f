import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  ENTERPRISE_URN,
  GROUP_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimAnswer,
  type ScimBody,
} from './identity-platform.ts';
import { ENTRA_MODES, PLAIN, RESULT, SELECTED, VERBOSE } from './scim-entra-modes.ts';

// The list of Microsoft's SCIM validator, by its own names, as requests were recorded; once as Entra sends without its
// flag aadOptscim062020, once with it.

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const where = async (path: string, filter: string, more = ''): Promise<ScimBody> =>
  read(`${path}?filter=${encodeURIComponent(filter)}${more}`);
const send = (path: string, operations: readonly object[]): Promise<ScimAnswer> =>
  world.acme.scim('PATCH', path, patch(...operations));

/** As the validator makes users: everything at once, with the mark that only roles carry their primary as text. */
const wholeUser = (userName: string) => ({
  schemas: [USER_URN, ENTERPRISE_URN],
  userName,
  active: true,
  displayName: 'EQHPDGKXWXTF',
  emails: [{ type: 'work', value: `${userName}@acme.example`, primary: true }],
  name: { givenName: 'Eleanore', familyName: 'Boyer' },
  phoneNumbers: [{ type: 'work', value: '1', primary: true }],
  roles: [{ primary: 'True', display: 'D', value: 'V', type: 'T' }],
  addresses: null,
  [ENTERPRISE_URN]: { department: 'D' },
});

describe.each(ENTRA_MODES)('Entra $mode', ({ mode, set, add, remove, boolean, noManager, removeMember }) => {
  const named = (name: string) => `${name} ${mode}`;
  const quoted = (name: string) => JSON.stringify(named(name));

  describe('users', () => {
    it('Create a new User', async () => {
      const { status, body, headers } = await world.acme.scim('POST', '/Users', wholeUser(named('create')));
      expect([status, headers.get('location'), headers.get('content-type')]).toEqual([
        201,
        body.meta.location,
        'application/scim+json',
      ]);
      expect(body).toMatchObject({
        userName: named('create'),
        active: true,
        roles: [{ primary: true }],
        [ENTERPRISE_URN]: { department: 'D' },
      });
      expect(body).not.toHaveProperty('addresses');
    });

    it('Create a duplicate User', async () => {
      await addUser(world.acme, named('duplicate'));
      const { status, body } = await world.acme.scim('POST', '/Users', wholeUser(named('duplicate')));
      expect([status, body.status, body.scimType]).toEqual([409, '409', 'uniqueness']);
    });

    it('Filter for an existing User', async () => {
      const id = await addUser(world.acme, named('existing'));
      expect((await where('/Users', `userName eq ${quoted('existing')}`)).Resources.map((user) => user.id)).toEqual([
        id,
      ]);
    });

    it('Filter for a non-existing User', async () => {
      expect(await where('/Users', `userName eq ${quoted('nobody')}`)).toMatchObject({
        totalResults: 0,
        Resources: [],
      });
    });

    it('Filter for an existing User with different case', async () => {
      const id = await addUser(world.acme, named('cased'));
      expect(
        (await where('/Users', `userName eq ${quoted('cased').toUpperCase()}`)).Resources.map((user) => user.id),
      ).toEqual([id]);
    });

    it('Patch User - Replace Attributes, verbose', async () => {
      const { body: made } = await world.acme.scim('POST', '/Users', wholeUser(named('verbose replace')));
      const { status, body } = await send(`/Users/${made.id}`, set({ active: boolean(true), ...PLAIN, ...SELECTED }));
      expect([status, body]).toMatchObject([200, RESULT]);
      expect(await read(`/Users/${made.id}`)).toEqual(body);
    });

    it('Patch User - Replace Attributes', async () => {
      const { body: made } = await world.acme.scim('POST', '/Users', wholeUser(named('replace')));
      const { status, body } = await send(
        `/Users/${made.id}`,
        set({
          displayName: 'New',
          title: 'T',
          'emails[type eq "work"].value': 'new@acme.example',
          [`${ENTERPRISE_URN}:department`]: 'E',
        }),
      );
      expect([status, body]).toMatchObject([
        200,
        {
          displayName: 'New',
          title: 'T',
          name: { givenName: 'Eleanore' },
          emails: [{ value: 'new@acme.example', type: 'work', primary: true }],
          [ENTERPRISE_URN]: { department: 'E' },
        },
      ]);
    });

    it('Update User userName', async () => {
      const id = await addUser(world.acme, named('old name'));
      const { status, body } = await send(`/Users/${id}`, set({ userName: named('new name') }));
      expect([status, body.userName]).toEqual([200, named('new name')]);
      expect((await where('/Users', `userName eq ${quoted('old name')}`)).totalResults).toBe(0);
    });

    it('Patch User - Disable User', async () => {
      const id = await addUser(world.acme, named('disabled'));
      const { status, body } = await send(`/Users/${id}`, set({ active: boolean(false) }));
      expect([status, body.active, (await read(`/Users/${id}`)).active]).toEqual([200, false, false]);
      expect((await where('/Users', `userName eq ${quoted('disabled')}`)).totalResults).toBe(1);
      expect((await send(`/Users/${id}`, set({ active: boolean(true) }))).body.active).toBe(true);
    });

    it('Patch User - Add Attributes, verbose', async () => {
      const id = await addUser(world.acme, named('verbose add'));
      const operations = add(VERBOSE);
      expect(operations).toHaveLength(36);
      const { status, body } = await send(`/Users/${id}`, operations);
      expect([status, body]).toMatchObject([200, RESULT]);
      expect(await read(`/Users/${id}`)).toEqual(body);
    });

    it('Patch User - Add Attributes', async () => {
      const id = await addUser(world.acme, named('add'));
      const { status, body } = await send(
        `/Users/${id}`,
        add({ title: 'T', 'name.givenName': 'G', 'phoneNumbers[type eq "mobile"].value': '1' }),
      );
      expect([status, body]).toMatchObject([
        200,
        { title: 'T', name: { givenName: 'G' }, phoneNumbers: [{ type: 'mobile', value: '1' }] },
      ]);
    });

    it('Patch User - Add Manager', async () => {
      const [id, boss] = [await addUser(world.acme, named('managed')), await addUser(world.acme, named('boss'))];
      const { status, body } = await send(`/Users/${id}`, add({ [`${ENTERPRISE_URN}:manager`]: boss }));
      expect([status, body[ENTERPRISE_URN], body.schemas]).toEqual([
        200,
        { manager: { value: boss } },
        [USER_URN, ENTERPRISE_URN],
      ]);
    });

    it('Patch User - Replace Manager', async () => {
      const id = await addUser(world.acme, named('remanaged'), {
        [ENTERPRISE_URN]: { manager: { value: 'usr_old', $ref: 'x' } },
      });
      const { body } = await send(`/Users/${id}`, set({ [`${ENTERPRISE_URN}:manager`]: 'usr_new' }));
      expect(body[ENTERPRISE_URN]).toEqual({ manager: { value: 'usr_new' } });
    });

    it('Patch User - Remove Manager', async () => {
      const id = await addUser(world.acme, named('unmanaged'), { [ENTERPRISE_URN]: { manager: { value: 'usr_old' } } });
      const { status, body } = await send(`/Users/${id}`, [noManager]);
      expect([status, body.schemas, body[ENTERPRISE_URN]]).toEqual([200, [USER_URN], undefined]);
    });

    it('Delete a User', async () => {
      const id = await addUser(world.acme, named('deleted'));
      const answer = await world.acme.scim('DELETE', `/Users/${id}`);
      expect([answer.status, answer.text, (await read(`/Users/${id}`)).status]).toEqual([204, '', '404']);
    });
  });

  describe('groups', () => {
    it('Create a new Group', async () => {
      const { status, body } = await world.acme.scim('POST', '/Groups', {
        schemas: [GROUP_URN],
        externalId: named('ext'),
        displayName: named('group'),
      });
      expect([status, body.displayName, body.externalId, body.members]).toEqual([
        201,
        named('group'),
        named('ext'),
        [],
      ]);
    });

    it('Create a duplicate Group', async () => {
      await addGroup(world.acme, named('twice'));
      expect((await world.acme.scim('POST', '/Groups', { displayName: named('twice') })).status).toBe(409);
    });

    it('Get a group by Id excluding members', async () => {
      const id = await addGroup(world.acme, named('excluding'), [await addUser(world.acme, named('excluded'))]);
      const body = await read(`/Groups/${id}?excludedAttributes=members`);
      expect([body.id, 'members' in body]).toEqual([id, false]);
    });

    it('Filter for an existing group', async () => {
      const member = await addUser(world.acme, named('in the found'));
      const id = await addGroup(world.acme, named('found'), [member]);
      const body = await where('/Groups', `displayName eq ${quoted('found')}`);
      expect(body.Resources.map((group) => [group.id, group.members.map(({ value }) => value)])).toEqual([
        [id, [member]],
      ]);
    });

    it('Filter for an existing group excluding members', async () => {
      const id = await addGroup(world.acme, named('found bare'));
      const body = await where('/Groups', `displayName eq ${quoted('found bare')}`, '&excludedAttributes=members');
      expect(body.Resources.map((group) => [group.id, 'members' in group])).toEqual([[id, false]]);
    });

    it('Filter for a non-existing group', async () => {
      expect(
        (await where('/Groups', `displayName eq ${quoted('no group')}`, '&excludedAttributes=members')).totalResults,
      ).toBe(0);
    });

    it('Filter for an existing group with different case', async () => {
      const id = await addGroup(world.acme, named('Cased'));
      expect(
        (await where('/Groups', `displayName eq ${quoted('Cased').toUpperCase()}`)).Resources.map((group) => group.id),
      ).toEqual([id]);
    });

    it('Patch Group - Replace Attributes', async () => {
      const id = await addGroup(world.acme, named('replaced'));
      expect((await send(`/Groups/${id}`, [{ op: 'replace', value: { externalId: 'new' } }])).status).toBe(204);
      expect(await read(`/Groups/${id}`)).toMatchObject({ externalId: 'new', displayName: named('replaced') });
    });

    it('Update Group displayName', async () => {
      const id = await addGroup(world.acme, named('old group'));
      expect((await send(`/Groups/${id}`, set({ displayName: named('new group') }))).status).toBe(204);
      expect((await read(`/Groups/${id}`)).displayName).toBe(named('new group'));
    });

    it('Patch Group - Add Member', async () => {
      const member = await addUser(world.acme, named('added'));
      const id = await addGroup(world.acme, named('adding'));
      expect(
        (await send(`/Groups/${id}`, [{ op: 'replace', path: 'members', value: [{ value: member }] }])).status,
      ).toBe(204);
      expect((await send(`/Groups/${id}`, add({ members: [{ $ref: null, value: member }] }))).status).toBe(204);
      expect((await read(`/Groups/${id}`)).members.map(({ value }) => value)).toEqual([member]);
    });

    it('Patch Group - Remove Member', async () => {
      const [stays, goes] = [await addUser(world.acme, named('stays')), await addUser(world.acme, named('goes'))];
      const id = await addGroup(world.acme, named('removing'), [stays, goes]);
      expect((await send(`/Groups/${id}`, [removeMember(goes)])).status).toBe(204);
      expect((await read(`/Groups/${id}`)).members.map(({ value }) => value)).toEqual([stays]);
    });

    it('Delete a Group', async () => {
      const id = await addGroup(world.acme, named('deleted'));
      expect([(await world.acme.scim('DELETE', `/Groups/${id}`)).status, (await read(`/Groups/${id}`)).status]).toEqual(
        [204, '404'],
      );
    });
  });

  describe('in preview', () => {
    it('Patch User - Multiple Ops on different attributes', async () => {
      const id = await addUser(world.acme, named('several'), { title: 'gone', nickName: 'old' });
      const { status, body } = await send(`/Users/${id}`, [
        ...add({ displayName: 'added' }),
        ...set({ nickName: 'new' }),
        remove('title'),
      ]);
      expect([status, body.displayName, body['nickName'], body['title']]).toEqual([200, 'added', 'new', undefined]);
    });

    it('Patch User - Multiple Ops on the same attribute', async () => {
      const id = await addUser(world.acme, named('repeated'), { externalId: 'first' });
      const { body } = await send(`/Users/${id}`, [
        remove('externalId'),
        ...add({ externalId: 'second' }),
        ...set({ externalId: 'third' }),
      ]);
      expect(body.externalId).toBe('third');
    });

    it('Delete a non-existing User', async () => {
      expect((await world.acme.scim('DELETE', `/Users/${mintId('usr')}`)).body).toMatchObject({ status: '404' });
    });

    it('Delete the same User twice', async () => {
      const id = await addUser(world.acme, named('twice'));
      expect([
        (await world.acme.scim('DELETE', `/Users/${id}`)).status,
        (await world.acme.scim('DELETE', `/Users/${id}`)).status,
      ]).toEqual([204, 404]);
    });

    it('Delete a non-existing Group', async () => {
      expect((await world.acme.scim('DELETE', `/Groups/${mintId('grp')}`)).body).toMatchObject({ status: '404' });
    });

    it('Delete the same Group twice', async () => {
      const id = await addGroup(world.acme, named('deleted twice'));
      expect([
        (await world.acme.scim('DELETE', `/Groups/${id}`)).status,
        (await world.acme.scim('DELETE', `/Groups/${id}`)).status,
      ]).toEqual([204, 404]);
    });

    it('Patch Group - Add and Remove the same Member', async () => {
      const [stays, passing] = [
        await addUser(world.acme, named('remains')),
        await addUser(world.acme, named('passing')),
      ];
      const id = await addGroup(world.acme, named('passed'), [stays]);
      expect(
        (await send(`/Groups/${id}`, [...add({ members: [{ value: passing }] }), removeMember(passing)])).status,
      ).toBe(204);
      expect((await read(`/Groups/${id}`)).members.map(({ value }) => value)).toEqual([stays]);
    });
  });
});

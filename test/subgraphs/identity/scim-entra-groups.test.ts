import { beforeAll, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import {
  addGroup,
  addUser,
  GROUP_URN,
  openIdentity,
  patch,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';

let world: IdentityPlatform;
beforeAll(async () => {
  world = await openIdentity();
});

const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const filtered = (path: string, filter: string): string => `${path}?filter=${encodeURIComponent(filter)}`;
const LEGACY_GROUP_URN = 'http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group';

describe('a group', () => {
  it('is created with the legacy schema, found with and without members, and refused twice', async () => {
    const member = await addUser(world.acme, 'in a group');
    const body = {
      schemas: [GROUP_URN, LEGACY_GROUP_URN],
      externalId: '8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159',
      displayName: 'Display Name',
      meta: { resourceType: 'Group' },
      members: [{ $ref: null, value: member }],
    };
    const created = await world.acme.scim('POST', '/Groups', body);
    expect([created.status, created.body.schemas, created.headers.get('location')]).toEqual([
      201,
      [GROUP_URN],
      created.body.meta.location,
    ]);
    expect((await world.acme.scim('POST', '/Groups', { ...body, displayName: 'DISPLAY name' })).status).toBe(409);
    const excluded = await read(`/Groups/${created.body.id}?excludedAttributes=members`);
    expect([excluded.displayName, 'members' in excluded]).toEqual(['Display Name', false]);
    const found = await read(`${filtered('/Groups', 'displayName eq "dISPLAY nAME"')}&excludedAttributes=members`);
    expect(found.Resources.map((group) => [group.id, 'members' in group])).toEqual([[created.body.id, false]]);
    expect(
      (await read(filtered('/Groups', 'displayName eq "Display Name"'))).Resources[0]?.members.map(
        ({ value }) => value,
      ),
    ).toEqual([member]);
    for (const [id, hits] of [
      [member, 1],
      [mintId('usr'), 0],
    ] as const) {
      expect((await read(filtered('/Groups', `id eq "${created.body.id}" and members eq "${id}"`))).totalResults).toBe(
        hits,
      );
    }
    expect((await read(filtered('/Groups', 'displayName eq "Nobody"'))).totalResults).toBe(0);
  });

  it('is changed without a path and answers 204', async () => {
    const group = await addGroup(world.acme, 'Old name');
    const answer = await world.acme.scim(
      'PATCH',
      `/Groups/${group}`,
      patch({ op: 'replace', value: { displayName: 'New name', externalId: 'ext' } }),
    );
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await read(`/Groups/${group}`)).toMatchObject({ displayName: 'New name', externalId: 'ext' });
  });

  it.each([
    [
      'the default mode',
      (id: string) => ({ op: 'Add', path: 'members', value: [{ $ref: null, value: id }] }),
      (id: string) => ({ op: 'Remove', path: 'members', value: [{ $ref: null, value: id }] }),
    ],
    [
      'the other mode',
      (id: string) => ({ op: 'add', path: 'members', value: [{ value: id }] }),
      (id: string) => ({ op: 'remove', path: `members[value eq "${id}"]` }),
    ],
    [
      'the validator',
      (id: string) => ({ op: 'replace', path: 'members', value: [{ value: id }] }),
      (id: string) => ({ op: 'remove', path: `members[value eq "${id}"]` }),
    ],
  ])('gains and loses one member in %s, and no other', async (mode, add, remove) => {
    const [one, two] = [await addUser(world.acme, `one ${mode}`), await addUser(world.acme, `two ${mode}`)];
    const group = await addGroup(world.acme, `Members ${mode}`);
    for (const id of [one, one])
      expect((await world.acme.scim('PATCH', `/Groups/${group}`, patch(add(id)))).status).toBe(204);
    expect(
      (
        await world.acme.scim(
          'PATCH',
          `/Groups/${group}`,
          patch({ op: 'Add', path: 'members', value: [{ value: two }] }),
        )
      ).status,
    ).toBe(204);
    expect((await read(`/Groups/${group}`)).members).toHaveLength(2);
    for (const id of [one, one])
      expect((await world.acme.scim('PATCH', `/Groups/${group}`, patch(remove(id)))).status).toBe(204);
    expect((await read(`/Groups/${group}`)).members.map(({ value }) => value)).toEqual([two]);
  });

  it('stays as it is where the same member is added and removed', async () => {
    const id = await addUser(world.acme, 'there and back');
    const group = await addGroup(world.acme, 'There and back');
    await world.acme.scim(
      'PATCH',
      `/Groups/${group}`,
      patch(
        { op: 'add', path: 'members', value: [{ value: id }] },
        { op: 'remove', path: `members[value eq "${id}"]` },
      ),
    );
    expect((await read(`/Groups/${group}`)).members).toEqual([]);
  });

  it('is deleted once', async () => {
    const group = await addGroup(world.acme, 'Deleted');
    expect([
      (await world.acme.scim('DELETE', `/Groups/${group}`)).status,
      (await world.acme.scim('DELETE', `/Groups/${group}`)).status,
    ]).toEqual([204, 404]);
  });
});

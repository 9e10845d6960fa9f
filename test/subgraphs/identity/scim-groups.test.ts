import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { changeMembers, type MemberChange } from '../../../subgraphs/identity/scim/members.ts';
import { addGroup, addUser, GROUP_URN, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';

let world: IdentityPlatform;
let ann: string;
let bob: string;
beforeAll(async () => {
  world = await openIdentity();
  [ann, bob] = [await addUser(world.acme, 'ann', { displayName: 'Ann' }), await addUser(world.acme, 'bob')];
});

const members = async (group: string) => (await world.acme.scim('GET', `/Groups/${group}`)).body.members;
const change = (group: string, ...operations: object[]) =>
  world.acme.scim('PATCH', `/Groups/${group}`, patch(...operations));

describe('a group', () => {
  it('shows its members with name and address, in each answer that does not exclude them', async () => {
    const group = await addGroup(world.acme, 'Shown', [ann, bob]);
    const shown = [ann, bob].map((value, index) => ({
      value,
      type: 'User',
      display: ['Ann', 'bob'][index],
      $ref: `http://tenon.test/scim/v2/Users/${value}`,
    }));
    expect(await members(group)).toEqual(shown);
    expect(
      (await world.acme.scim('GET', `/Users/${ann}`)).body.groups.map(({ value, display }) => [value, display]),
    ).toContainEqual([group, 'Shown']);
  });

  it('counts a member once, however often she is named', async () => {
    const group = await addGroup(world.acme, 'Once', [ann, ann]);
    await change(group, { op: 'add', path: 'members', value: [{ value: ann }, { value: ann }] });
    expect(await members(group)).toHaveLength(1);
  });

  it.each([
    ['a user that nobody is', () => mintId('usr')],
    ['a user of another tenant', () => world.initech.adminId],
    ['an id of another kind', () => mintId('grp')],
    ['any text', () => "x'; drop table users; --"],
  ])('takes no member that is %s, and says no more than that', async (_name, id) => {
    const group = await addGroup(world.acme, `Refused ${mintId('req')}`, [ann]);
    const bodies = [];
    for (const operation of ['add', 'replace']) {
      const { status, body } = await change(group, {
        op: operation,
        path: 'members',
        value: [{ value: bob }, { value: id() }],
      });
      bodies.push([status, body.scimType, body.detail]);
    }
    const post = await world.acme.scim('POST', '/Groups', {
      schemas: [GROUP_URN],
      displayName: `New ${mintId('req')}`,
      members: [{ value: id() }],
    });
    bodies.push([post.status, post.body.scimType, post.body.detail]);
    for (const body of bodies)
      expect(body).toEqual([400, 'invalidValue', expect.stringContaining('user of this tenant')]);
    expect((await members(group)).map(({ value }) => value)).toEqual([ann]);
    expect((await world.acme.scim('GET', '/Groups?filter=displayName%20sw%20%22New%20%22')).body.totalResults).toBe(0);
  });

  it.each([
    ['a filter over something else', { op: 'remove', path: 'members[display eq "Ann"]' }, 'invalidPath'],
    ['a value that names no one', { op: 'remove', path: 'members', value: [{ id: 'x' }] }, 'invalidValue'],
    ['a removal without a path', { op: 'remove' }, 'noTarget'],
    ['a replacement by nothing', { op: 'replace', path: 'members', value: null }, 'invalidValue'],
    ['a replacement of an unnamed display name', { op: 'replace', path: 'displayName', value: '' }, 'invalidValue'],
    ['a name that no column holds', { op: 'replace', path: 'displayName', value: 'x'.repeat(321) }, 'invalidValue'],
  ])('is not emptied by %s', async (_name, operation, scimType) => {
    const group = await addGroup(world.acme, `Kept ${mintId('req')}`, [ann, bob]);
    const { status, body } = await change(group, operation);
    expect([status, body.scimType]).toEqual([400, scimType]);
    expect(await members(group)).toHaveLength(2);
  });

  it('is not touched by the removal of who is no member', async () => {
    const group = await addGroup(world.acme, 'Untouched', [ann]);
    const before = (await world.acme.scim('GET', `/Groups/${group}`)).body;
    for (const id of [bob, 'nobody', mintId('usr')])
      expect((await change(group, { op: 'remove', path: `members[value eq "${id}"]` })).status).toBe(204);
    expect((await world.acme.scim('GET', `/Groups/${group}`)).body).toEqual(before);
  });

  it('keeps its members where a PUT says nothing of them, and loses them where it lists none', async () => {
    const group = await addGroup(world.acme, 'Put', [ann]);
    const silent = await world.acme.scim('PUT', `/Groups/${group}`, { schemas: [GROUP_URN], displayName: 'Put' });
    const emptied = await world.acme.scim('PUT', `/Groups/${group}`, {
      schemas: [GROUP_URN],
      displayName: 'Put',
      members: [],
    });
    expect([silent.body.members.length, emptied.body.members.length]).toEqual([1, 0]);
  });

  it('is answered after a PATCH where attributes are asked for', async () => {
    const group = await addGroup(world.acme, 'Asked');
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Groups/${group}?attributes=displayName`,
      patch({ op: 'replace', path: 'displayName', value: 'Answered' }),
    );
    expect([status, Object.keys(body).toSorted(), body.displayName]).toEqual([
      200,
      ['displayName', 'id', 'schemas'],
      'Answered',
    ]);
  });

  it('loses no member of those that come at the same moment', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, (_, index) => addUser(world.acme, `crowd-${index}`)));
    const group = await addGroup(world.acme, 'Crowd');
    const answers = await Promise.all(
      ids.map((value) => change(group, { op: 'add', path: 'members', value: [{ value }] })),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(204));
    expect((await members(group)).map(({ value }) => value).toSorted()).toEqual(ids.toSorted());
  });

  it('keeps both of two changes that come at the same moment', async () => {
    for (let round = 0; round < 6; round++) {
      const group = await addGroup(world.acme, `Both ${round}`);
      const [displayName, externalId] = [`Renamed ${round}`, `ext-${round}`];
      const values = [{ displayName }, { externalId }];
      await Promise.all(values.map((value) => change(group, { op: 'replace', value })));
      expect((await world.acme.scim('GET', `/Groups/${group}`)).body).toMatchObject({ displayName, externalId });
    }
  });

  it('has its changes in the audit log with counts and without names of people', async () => {
    const before = (await world.initech.events()).length;
    const id = await addUser(world.initech, 'hidden person');
    const group = await addGroup(world.initech, 'Audited', [id]);
    const scim = (method: string, body?: object) => world.initech.scim(method, `/Groups/${group}`, body);
    await scim(
      'PATCH',
      patch(
        { op: 'replace', path: 'displayName', value: 'Audited 2' },
        { op: 'add', path: 'members', value: [{ value: world.initech.adminId }] },
      ),
    );
    await scim('PATCH', patch({ op: 'add', path: 'members', value: [{ value: id }] }));
    await scim('PATCH', patch({ op: 'replace', path: 'members', value: [{ value: id }] }));
    await scim('DELETE');
    const events = (await world.initech.events()).slice(before + 1);
    expect(events.map(({ action, resource, context }) => [action, resource.id === group, context])).toEqual([
      ['group.provision', true, { members_added: 1 }],
      ['group.update', true, { attributes: ['displayName'], members_added: 1, members_removed: 0 }],
      ['group.update', true, { attributes: [], members_added: 0, members_removed: 1 }],
      ['group.delete', true, {}],
    ]);
    expect(JSON.stringify(events)).not.toContain('hidden person');
  });

  it('of fifty thousand gains and loses one without the others being read', async () => {
    const group = await addGroup(world.acme, 'Huge');
    await fill(group, 50_000);
    const one = new Set([ann]);
    const none: ReadonlySet<string> = new Set();
    expect(await rowsRead(group, { add: one, remove: none })).toBeLessThan(100);
    expect(await rowsRead(group, { add: none, remove: one })).toBeLessThan(100);
    expect(await rowsRead(group, { add: none, remove: none, replace: one })).toBeGreaterThan(40_000);
  });
});

describe('an answer', () => {
  it('that would hold more members than memory should is refused, and given without them', async () => {
    for (const name of ['Vast 1', 'Vast 2']) await fill(await addGroup(world.acme, name), 50_001);
    const path = '/Groups?filter=displayName%20sw%20%22Vast%22';
    const { status, body } = await world.acme.scim('GET', path);
    expect([status, body.scimType, body.detail]).toEqual([
      400,
      'tooMany',
      expect.stringContaining('excludedAttributes'),
    ]);
    expect((await world.acme.scim('GET', `${path}&excludedAttributes=members`)).body.totalResults).toBe(2);
  });
});

/** Members by the tens of thousands, as a superuser makes them. */
async function fill(group: string, count: number): Promise<void> {
  await world.peek(
    'eu-1',
    `with made as (insert into users (tenant_id, id, user_name) select $1, gen_random_uuid(), gen_random_uuid() from generate_series(1, $3::int) returning id)
     insert into group_members (tenant_id, group_id, user_id) select $1, $2, id from made`,
    [uuidOf('tnt', world.acme.id), uuidOf('grp', group), count],
  );
  await world.peek('eu-1', 'analyze users, group_members');
}

/** How many membership rows a change makes PostgreSQL look at. */
async function rowsRead(group: string, wanted: MemberChange): Promise<number> {
  return inTenant(world.acme.request([]), async (tx) => {
    const soFar = async () => {
      const [row] = await tx.query<{ rows: string }>(
        `select seq_tup_read + coalesce(idx_tup_fetch, 0) as rows from pg_stat_xact_user_tables where relname = 'group_members'`,
      );
      return Number(row?.rows);
    };
    const before = await soFar();
    await changeMembers(tx, uuidOf('grp', group), wanted);
    return (await soFar()) - before;
  });
}

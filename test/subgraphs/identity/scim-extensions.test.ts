import { beforeAll, describe, expect, it } from 'vitest';
import {
  addGroup,
  addUser,
  ask,
  ENTERPRISE_URN,
  GROUP_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';
import { ATTRIBUTES, BADGE, EXTENSION, LIST, REGISTER, TEAM, VALUES } from './scim-extension-cases.ts';

let world: IdentityPlatform;
const admin = () => world.acme.request(['identity:read', 'identity:write']);
const register = (input: object, as = admin()) => ask(as, REGISTER, { input });
const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;
const found = async (filter: string, more = ''): Promise<string[]> =>
  (await read(`/Users?filter=${encodeURIComponent(filter)}${more}`)).Resources.map(({ userName }) => userName);

beforeAll(async () => {
  world = await openIdentity();
  expect((await register(EXTENSION)).errors).toBeUndefined();
});

describe('an extension', () => {
  it('is answered as it was registered, listed, and in the audit log', async () => {
    const { data, errors } = await register({
      ...EXTENSION,
      schema: TEAM,
      resourceType: 'GROUP',
      name: 'Team',
      attributes: [{ name: 'kind', type: 'STRING' }],
    });
    expect(errors).toBeUndefined();
    expect(data).toMatchObject({
      registerScimExtension: {
        extension: {
          schema: TEAM,
          resourceType: 'GROUP',
          attributes: [{ name: 'kind', type: 'STRING', mutability: 'READ_WRITE', returned: 'DEFAULT' }],
        },
      },
    });
    expect((await ask(admin(), LIST)).data).toMatchObject({
      scimExtensions: [{ schema: TEAM }, { schema: BADGE, attributes: ATTRIBUTES.map(({ name }) => ({ name })) }],
    });
    const events = (await world.acme.events()).filter(({ action }) => action === 'scim_extension.register');
    expect(events.map(({ resource }) => resource.id)).toEqual([BADGE, TEAM]);
  });

  it('is shown in /Schemas and /ResourceTypes of the tenant and of no other', async () => {
    const schema = await read(`/Schemas/${BADGE}`);
    expect(schema).toMatchObject({ id: BADGE, name: 'Badge' });
    expect(schema['attributes']).toMatchObject([
      { name: 'badge', type: 'string', caseExact: true, required: false, uniqueness: 'none' },
      { name: 'floor', type: 'integer' },
      { name: 'weight', type: 'decimal' },
      { name: 'remote', type: 'boolean' },
      { name: 'joined', type: 'dateTime', mutability: 'immutable' },
      { name: 'note', returned: 'request' },
      { name: 'page', type: 'reference', referenceTypes: ['external'] },
      { name: 'desk', type: 'complex', subAttributes: [{ name: 'room' }, { name: 'seat' }] },
      { name: 'devices', multiValued: true },
    ]);
    const extensions = (type: ScimBody) =>
      (type['schemaExtensions'] as { schema: string }[]).map((extension) => extension.schema);
    expect(extensions(await read('/ResourceTypes/User'))).toEqual([ENTERPRISE_URN, BADGE]);
    expect(extensions(await read('/ResourceTypes/Group'))).toEqual([TEAM]);
    expect((await world.initech.scim('GET', `/Schemas/${BADGE}`)).status).toBe(404);
    expect(extensions((await world.initech.scim('GET', '/ResourceTypes/User')).body)).toEqual([ENTERPRISE_URN]);
  });

  it('is written and shown whole, under its URN', async () => {
    const { status, body } = await world.acme.scim('POST', '/Users', {
      schemas: [USER_URN, BADGE],
      userName: 'whole',
      [BADGE]: { ...VALUES, note: 'hidden' },
    });
    expect([status, body.schemas, body[BADGE]]).toEqual([201, [USER_URN, BADGE], VALUES]);
    expect((await read(`/Users/${body.id}?attributes=${BADGE}:note`))[BADGE]).toEqual({ note: 'hidden' });
    expect((await read(`/Users/${body.id}?attributes=${BADGE}:desk.seat`))[BADGE]).toEqual({ desk: { seat: 4 } });
    expect((await read(`/Users/${body.id}?excludedAttributes=${BADGE}`)).schemas).toEqual([USER_URN]);
    const put = await world.acme.scim('PUT', `/Users/${body.id}`, {
      userName: 'whole',
      [BADGE.toUpperCase()]: { BADGE: 'B-2', joined: VALUES.joined },
    });
    expect(put.body[BADGE]).toEqual({ badge: 'B-2', joined: VALUES.joined });
  });

  it('is changed by PATCH, by any path that a standard attribute is', async () => {
    const id = await addUser(world.acme, 'patched', { [BADGE]: VALUES });
    const { status, body } = await world.acme.scim(
      'PATCH',
      `/Users/${id}`,
      patch(
        { op: 'replace', path: `${BADGE}:badge`, value: 'B-9' },
        { op: 'Add', path: `${BADGE}:floor`, value: '7' },
        { op: 'replace', path: `${BADGE}:remote`, value: 'False' },
        { op: 'replace', path: `${BADGE}:desk.room`, value: 'R2' },
        { op: 'replace', path: `${BADGE}:devices[type eq "laptop"].value`, value: 'lap-2' },
        { op: 'add', path: `${BADGE}:devices`, value: [{ value: 'tab-1', type: 'tablet', primary: 'True' }] },
        { op: 'remove', path: `${BADGE}:weight` },
        {
          op: 'replace',
          value: { [`${BADGE}:page`]: 'https://acme.example/2', [BADGE]: { joined: '2026-01-31T13:00:00+01:00' } },
        },
      ),
    );
    expect([status, body[BADGE]]).toEqual([
      200,
      {
        badge: 'B-9',
        floor: 7,
        remote: false,
        joined: VALUES.joined,
        page: 'https://acme.example/2',
        desk: { room: 'R2', seat: 4 },
        devices: [
          { value: 'lap-2', type: 'laptop', primary: false },
          { value: 'tab-1', type: 'tablet', primary: true },
        ],
      },
    ]);
    expect((await world.acme.scim('PATCH', `/Users/${id}`, patch({ op: 'remove', path: BADGE }))).body.scimType).toBe(
      'mutability',
    );
  });

  it('keeps what is immutable once it is set', async () => {
    const id = await addUser(world.acme, 'immutable');
    const set = patch({ op: 'add', path: `${BADGE}:joined`, value: VALUES.joined });
    for (const status of [200, 200]) expect((await world.acme.scim('PATCH', `/Users/${id}`, set)).status).toBe(status);
    const changes: [method: string, body: object][] = [
      ['PATCH', patch({ op: 'replace', path: `${BADGE}:joined`, value: '2027-01-01T00:00:00Z' })],
      ['PATCH', patch({ op: 'remove', path: `${BADGE}:joined` })],
      ['PUT', { userName: 'immutable' }],
      ['PUT', { userName: 'immutable', [BADGE]: { joined: '2027-01-01T00:00:00Z' } }],
    ];
    for (const [method, body] of changes) {
      const answer = await world.acme.scim(method, `/Users/${id}`, body);
      expect([method, answer.status, answer.body.scimType]).toEqual([method, 400, 'mutability']);
    }
    expect((await read(`/Users/${id}`))[BADGE]).toEqual({ joined: VALUES.joined });
  });

  it.each<[values: object]>([
    [{ badge: 5 }],
    [{ badge: 'x'.repeat(1025) }],
    [{ floor: 1.5 }],
    [{ floor: 'three' }],
    [{ floor: 2 ** 60 }],
    [{ weight: 'heavy' }],
    [{ remote: 'yes' }],
    [{ joined: 'yesterday' }],
    [{ joined: '0000-01-01T00:00:00Z' }],
    [{ desk: { seat: 'x' } }],
    [
      {
        devices: [
          { value: 'a', primary: true },
          { value: 'b', primary: true },
        ],
      },
    ],
    [{ badge: 'a', BADGE: 'b' }],
  ])('refuses %j as a value', async (values) => {
    const { status, body } = await world.acme.scim('POST', '/Users', { userName: 'refused', [BADGE]: values });
    expect([status, body.scimType]).toEqual([400, 'invalidValue']);
    expect(await found('userName eq "refused"')).toEqual([]);
  });

  it('is filtered and sorted by like the standard ones', async () => {
    const people: [string, object][] = [
      [
        'f1',
        {
          badge: 'x',
          floor: 10,
          weight: 1.25,
          remote: true,
          joined: '2026-03-01T00:00:00Z',
          devices: [{ value: 'c' }],
        },
      ],
      [
        'f2',
        {
          badge: 'X',
          floor: 9,
          weight: -1,
          joined: '2026-02-01T00:00:00Z',
          desk: { room: 'Z', seat: 2 },
          devices: [{ value: 'b' }, { value: 'a', primary: true }],
        },
      ],
      ['f3', { badge: 'a', floor: -1, remote: false, desk: { room: 'y', seat: 11 } }],
    ];
    for (const [userName, values] of people) await addUser(world.acme, userName, { [BADGE]: values });
    const only = 'userName sw "f" and ';
    const filters: [filter: string, userNames: string][] = [
      [`${BADGE}:badge eq "x"`, 'f1'],
      [`${BADGE}:badge pr`, 'f1 f2 f3'],
      [`${BADGE}:floor eq 10`, 'f1'],
      [`${BADGE}:floor eq "10"`, 'f1'],
      [`${BADGE}:floor gt 9`, 'f1'],
      [`${BADGE}:floor ge 9`, 'f1 f2'],
      [`${BADGE}:floor lt 0`, 'f3'],
      [`${BADGE}:floor ne 9`, 'f1 f3'],
      [`${BADGE}:weight le 1.25`, 'f1 f2'],
      [`not (${BADGE}:weight pr)`, 'f3'],
      [`${BADGE}:remote eq true`, 'f1'],
      [`${BADGE}:joined gt "2026-02-15T00:00:00Z"`, 'f1'],
      [`${BADGE}:desk.seat gt 2`, 'f3'],
      [`${BADGE}:devices[value eq "a" and primary eq true]`, 'f2'],
      [`${BADGE}:devices eq "c"`, 'f1'],
      ['badge eq "a"', 'f3'],
    ];
    for (const [filter, userNames] of filters)
      expect([filter, (await found(only + filter)).join(' ')]).toEqual([filter, userNames]);
    const orders: [sortBy: string, userNames: string][] = [
      [`${BADGE}:floor`, 'f3 f2 f1'],
      [`${BADGE}:weight`, 'f2 f1 f3'],
      [`${BADGE}:badge`, 'f2 f3 f1'],
      [`${BADGE}:remote`, 'f3 f1 f2'],
      [`${BADGE}:joined`, 'f2 f1 f3'],
      [`${BADGE}:desk.room`, 'f3 f2 f1'],
      [`${BADGE}:devices`, 'f2 f1 f3'],
    ];
    for (const [sortBy, userNames] of orders)
      expect([sortBy, (await found('userName sw "f"', `&sortBy=${sortBy}`)).join(' ')]).toEqual([sortBy, userNames]);
    for (const filter of [`${BADGE}:floor co 1`, `${BADGE}:floor eq "x"`, `${BADGE}:nosuch pr`, `${BADGE}:badge eq 5`])
      expect([
        filter,
        (await world.acme.scim('GET', `/Users?filter=${encodeURIComponent(filter)}`)).body.scimType,
      ]).toEqual([filter, 'invalidFilter']);
    expect(
      (await world.initech.scim('GET', `/Users?filter=${encodeURIComponent(`${BADGE}:badge pr`)}`)).body.scimType,
    ).toBe('invalidFilter');
  });

  it('of groups stands beside their members', async () => {
    const id = await addGroup(world.acme, 'Extended', [world.acme.adminId]);
    expect(
      (await world.acme.scim('PATCH', `/Groups/${id}`, patch({ op: 'add', path: `${TEAM}:kind`, value: 'squad' })))
        .status,
    ).toBe(204);
    const group = await read(`/Groups/${id}`);
    expect([group.schemas, group[TEAM], group.members.length]).toEqual([[GROUP_URN, TEAM], { kind: 'squad' }, 1]);
    expect(
      (await world.acme.scim('POST', '/.search', { filter: `${TEAM}:kind eq "SQUAD" or ${BADGE}:badge eq "nobody"` }))
        .body.totalResults,
    ).toBe(1);
  });

  it('of another tenant is dropped like any unknown attribute, and an unknown path refused', async () => {
    const { status, body } = await world.initech.scim('POST', '/Users', { userName: 'plain', [BADGE]: VALUES });
    expect([status, body.schemas, body[BADGE]]).toEqual([201, [USER_URN], undefined]);
    const answer = await world.initech.scim(
      'PATCH',
      `/Users/${body.id}`,
      patch({ op: 'add', path: `${BADGE}:badge`, value: 'x' }),
    );
    expect(answer.body.scimType).toBe('invalidPath');
  });
});

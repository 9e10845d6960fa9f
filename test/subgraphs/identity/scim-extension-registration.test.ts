import { beforeAll, describe, expect, it } from 'vitest';
import {
  addUser,
  ask,
  codeOf,
  ENTERPRISE_URN,
  openIdentity,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimBody,
} from './identity-platform.ts';
import { BADGE, EXTENSION, LIST, REGISTER, REMOVE, TEAM, VALUES } from './scim-extension-cases.ts';

let world: IdentityPlatform;
const admin = () => world.acme.request(['identity:read', 'identity:write']);
const register = (input: object, as = admin()) => ask(as, REGISTER, { input });
const read = async (path: string): Promise<ScimBody> => (await world.acme.scim('GET', path)).body;

beforeAll(async () => {
  world = await openIdentity();
  expect((await register(EXTENSION)).errors).toBeUndefined();
});

describe('registering', () => {
  const one = (schema: string, attributes: readonly object[] = [{ name: 'a', type: 'STRING' }]) => ({
    ...EXTENSION,
    schema,
    attributes,
  });

  it.each<[string, object]>([
    ['the core schema', one(USER_URN)],
    ['the enterprise schema in other case', one(ENTERPRISE_URN.toUpperCase().replace('URN:', 'urn:'))],
    ['a URN of the protocol', one('urn:ietf:params:scim:api:messages:2.0:Mine')],
    ['no URN', one('acme')],
    ['a URN that reaches a prototype', one('urn:acme:constructor:x')],
    ['a name that reaches a prototype', one('urn:acme:x:1', [{ name: 'constructor', type: 'STRING' }])],
    ['another such name', one('urn:acme:x:1', [{ name: '__proto__', type: 'STRING' }])],
    [
      'a name twice',
      one('urn:acme:x:1', [
        { name: 'a', type: 'STRING' },
        { name: 'A', type: 'STRING' },
      ]),
    ],
    ['a name with a dot', one('urn:acme:x:1', [{ name: 'a.b', type: 'STRING' }])],
    ['several plain values', one('urn:acme:x:1', [{ name: 'a', type: 'STRING', multiValued: true }])],
    ['a complex attribute without parts', one('urn:acme:x:1', [{ name: 'a', type: 'COMPLEX' }])],
    [
      'parts of a plain attribute',
      one('urn:acme:x:1', [{ name: 'a', type: 'STRING', subAttributes: [{ name: 'b' }] }]),
    ],
    [
      'a complex part',
      one('urn:acme:x:1', [{ name: 'a', type: 'COMPLEX', subAttributes: [{ name: 'b', type: 'COMPLEX' }] }]),
    ],
    ['no attributes', one('urn:acme:x:1', [])],
    [
      'fifty-one attributes',
      one(
        'urn:acme:x:1',
        Array.from({ length: 51 }, (_, index) => ({ name: `a${index}`, type: 'STRING' })),
      ),
    ],
  ])('%s is refused', async (_, input) => {
    expect(codeOf(await register(input))).toBe('BAD_USER_INPUT');
  });

  it('lets an extension grow and takes nothing from it', async () => {
    const urn = 'urn:acme:growing:1';
    const base = [
      { name: 'a', type: 'STRING' },
      { name: 'c', type: 'COMPLEX', subAttributes: [{ name: 'x' }] },
    ];
    expect(codeOf(await register(one(urn, base)))).toBeNull();
    const id = await addUser(world.acme, 'growing', { [urn]: { a: 'kept' } });
    expect(codeOf(await register(one(urn, [...base, { name: 'b', type: 'INTEGER' }])))).toBeNull();
    expect(
      (await world.acme.scim('PATCH', `/Users/${id}`, patch({ op: 'add', path: `${urn}:b`, value: 5 }))).body[urn],
    ).toEqual({ a: 'kept', b: 5 });
    const smaller = [
      one(urn, base),
      one(urn, [{ name: 'a', type: 'INTEGER' }, ...base.slice(1), { name: 'b', type: 'INTEGER' }]),
      one(urn, [
        base[0] ?? {},
        { name: 'c', type: 'COMPLEX', subAttributes: [{ name: 'y' }] },
        { name: 'b', type: 'INTEGER' },
      ]),
      { ...one(urn, [...base, { name: 'b', type: 'INTEGER' }]), resourceType: 'GROUP' },
      one(urn.toUpperCase().replace('URN:', 'urn:'), base),
      one(`${urn}:inner`),
      one('urn:acme:growing'),
    ];
    for (const input of smaller) expect([input, codeOf(await register(input))]).toEqual([input, 'CONFLICT']);
  });

  it('stops at ten, also where two come at once', async () => {
    const count = async () => Object.values((await ask(admin(), LIST)).data?.['scimExtensions'] ?? {}).length;
    for (let index = await count(); index < 9; index++)
      expect(codeOf(await register(one(`urn:acme:filler:${index}`)))).toBeNull();
    const codes = await Promise.all([register(one('urn:acme:last:1')), register(one('urn:acme:last:2'))]);
    expect(new Set(codes.map(codeOf))).toEqual(new Set(['TOO_MANY', null]));
    expect(await count()).toBe(10);
  });

  it('and removing and seeing are for those who hold the right', async () => {
    const input = one('urn:acme:forbidden:1');
    expect(codeOf(await register(input, world.acme.request(['identity:read', 'users:write'])))).toBe('FORBIDDEN');
    expect(codeOf(await ask(world.acme.request(['identity:read']), REMOVE, { input: { schema: BADGE } }))).toBe(
      'FORBIDDEN',
    );
    expect(codeOf(await ask(world.acme.request(['users:read']), LIST))).toBe('FORBIDDEN');
  });
});

describe('removing an extension', () => {
  it('takes its values along and leaves those of others', async () => {
    const id = await addUser(world.acme, 'removed', { [BADGE]: VALUES, [ENTERPRISE_URN]: { department: 'D' } });
    expect((await ask(admin(), REMOVE, { input: { schema: BADGE } })).data).toEqual({
      removeScimExtension: { schema: BADGE },
    });
    expect(await world.peek('eu-1', 'select count(*)::int as left from users where resource ? $1', [BADGE])).toEqual([
      { left: 0 },
    ]);
    const user = await read(`/Users/${id}`);
    expect([user.schemas, user[ENTERPRISE_URN]]).toEqual([[USER_URN, ENTERPRISE_URN], { department: 'D' }]);
    expect((await read(`/Schemas/${BADGE}`)).status).toBe('404');
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'scim_extension.remove',
      resource: { id: BADGE },
      context: { resource_type: 'User' },
    });
  });

  it('that another tenant has, or nobody, is not found', async () => {
    const attributes = [{ name: 'kind', type: 'STRING' }];
    expect(codeOf(await register({ ...EXTENSION, schema: TEAM, resourceType: 'GROUP', attributes }))).toBeNull();
    const as = world.initech.request(['identity:read', 'identity:write']);
    for (const schema of [TEAM, 'urn:acme:nosuch:1', '__proto__'])
      expect(codeOf(await ask(as, REMOVE, { input: { schema } }))).toBe('NOT_FOUND');
    expect((await ask(as, LIST)).data).toEqual({ scimExtensions: [] });
    expect((await read(`/Schemas/${TEAM}`)).id).toBe(TEAM);
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import {
  ENTERPRISE_URN,
  GROUP_URN,
  openIdentity,
  PATCH_URN,
  patch,
  USER_URN,
  type IdentityPlatform,
  type ScimAnswer,
} from './identity-platform.ts';
import {
  CLIENTS,
  LEGACY_GROUP,
  plainGroup,
  plainUser,
  userPatch,
  userPut,
  type Ids,
  type Sent,
} from './scim-clients.ts';
import { connect, logOf, type TestConnection } from './scim-connection-world.ts';

let world: IdentityPlatform;
const connections = new Map<string, TestConnection>();
beforeAll(async () => {
  world = await openIdentity();
  for (const { profile } of CLIENTS) connections.set(profile, await connect(world.acme, { profile }));
});

function over(profile: string): TestConnection {
  const connection = connections.get(profile);
  if (connection === undefined) throw new Error(`there is no connection ${profile}`);
  return connection;
}

/** Another one than of the client before, which may have been refused half way. */
async function made(profile: string, name: string): Promise<Ids> {
  const { scim } = over(profile);
  const user = await scim('POST', '/Users', plainUser(name));
  const group = await scim('POST', '/Groups', plainGroup(`group of ${name}`));
  expect([user.status, group.status]).toEqual([201, 201]);
  return { name, user: user.body.id, group: group.body.id };
}

describe.each(CLIENTS)('a client of the profile $profile', (client) => {
  it('takes a person through her life, and what it sent is on record', async () => {
    const { id, scim } = over(client.profile);
    const name = `lee of ${client.profile}`;
    const expectOk = ({ status, body }: ScimAnswer) =>
      expect([status, body.detail]).toEqual([expect.toSatisfy((s: number) => s < 300), undefined]);
    const user = await scim('POST', '/Users', client.create(name));
    const group = await scim('POST', '/Groups', client.createGroup(`group of ${name}`));
    expect([user.status, user.body.detail, group.status, group.body.detail]).toEqual([201, undefined, 201, undefined]);
    const ids = { name, user: user.body.id, group: group.body.id };
    const read = async () => (await scim('GET', `/Users/${ids.user}`)).body;
    const send = async (sent: Sent) => expectOk(await scim(...sent));

    await send(client.update(ids));
    expect((await read()).name.familyName).toBe('New');
    await send(client.join(ids));
    expect((await read()).groups?.map(({ value }) => value)).toEqual([ids.group]);
    await send(client.leave(ids));
    expect((await read()).groups ?? []).toEqual([]);
    await send(client.disable(ids));
    expect((await read()).active).toBe(false);
    await send(client.enable(ids));
    expect((await read()).active).toBe(true);
    if (client.deleted) {
      expect((await scim('DELETE', `/Users/${ids.user}`)).status).toBe(204);
      expect((await scim('GET', `/Users/${ids.user}`)).status).toBe(404);
    }

    const log = await logOf(world.acme, id);
    const seen = [...new Set(log.flatMap(({ rewrites }) => rewrites.map((rewrite) => rewrite.name)))].toSorted();
    expect(seen).toEqual(client.rewrites);
    const events = (await world.acme.events()).filter(({ actor }) => actor.id === over(client.profile).tokenId);
    const audited = [...new Set(events.flatMap(({ context }) => (context['rewrites'] ?? []) as string[]))].toSorted();
    expect(audited).toEqual(client.rewrites);
  });
});

/** What only some profiles take, and what the strict one answers. */
const REFUSED: readonly [form: string, scimType: string, send: (ids: Ids) => Sent][] = [
  ['op_case', 'invalidSyntax', userPatch({ op: 'Replace', path: 'title', value: 'x' })],
  ['string_boolean', 'invalidValue', userPatch({ op: 'replace', path: 'active', value: 'False' })],
  ['string_boolean', 'invalidValue', userPut({ active: 'False' })],
  ['dotted_key', 'invalidPath', userPatch({ op: 'replace', value: { 'name.familyName': 'x' } })],
  ['urn_key', 'invalidPath', userPatch({ op: 'replace', value: { [`${ENTERPRISE_URN}:department`]: 'x' } })],
  [
    'path_as_key',
    'invalidPath',
    userPatch({ op: 'replace', value: { 'emails[type eq "work"].value': 'x@x.example' } }),
  ],
  ['unqualified_extension', 'invalidPath', userPatch({ op: 'add', path: 'department', value: 'x' })],
  ['bare_value', 'invalidValue', userPatch({ op: 'add', path: `${ENTERPRISE_URN}:manager`, value: 'usr_x' })],
  [
    'list_as_single',
    'invalidValue',
    userPatch({ op: 'add', path: `${ENTERPRISE_URN}:manager`, value: [{ value: 'usr_x' }] }),
  ],
  ['wrapped_value', 'invalidValue', userPatch({ op: 'replace', path: 'title', value: { value: 'x' } })],
  ['blank_as_null', 'invalidValue', userPatch({ op: 'replace', path: `${ENTERPRISE_URN}:manager`, value: '' })],
  ['packed_role', 'invalidValue', userPatch({ op: 'add', path: 'roles', value: [{ value: '{"value":"a"}' }] })],
  ['single_as_list', 'invalidValue', userPatch({ op: 'add', path: 'roles', value: { value: 'a' } })],
  ['unknown_dropped', 'invalidSyntax', userPut({ samAccountName: 'x' })],
  [
    'read_only_dropped',
    'mutability',
    ({ user }) => userPatch({ op: 'replace', value: { id: user, title: 'x' } })({ user, name: '', group: '' }),
  ],
  ['password_dropped', 'mutability', userPatch({ op: 'replace', value: { password: 'x' } })],
  ['blank_required_kept', 'invalidValue', userPut({ userName: '', active: false })],
  [
    'schemas_added',
    'invalidSyntax',
    ({ user }) => ['PATCH', `/Users/${user}`, { Operations: [{ op: 'replace', path: 'title', value: 'x' }] }],
  ],
  [
    'remove_by_value',
    'invalidSyntax',
    ({ user, group }) => [
      'PATCH',
      `/Groups/${group}`,
      patch({ op: 'remove', path: 'members', value: [{ value: user }] }),
    ],
  ],
  [
    'legacy_schema',
    'invalidSyntax',
    ({ group, name }) => ['PUT', `/Groups/${group}`, { schemas: [GROUP_URN, LEGACY_GROUP], displayName: name }],
  ],
];

describe('the strict profile', () => {
  let ids: Ids;
  beforeAll(async () => {
    ids = await made('strict', 'untouched');
  });

  it.each(REFUSED)('refuses %s as %s, changes nothing, and the log says why', async (form, scimType, send) => {
    const { id, scim } = over('strict');
    const before = [(await scim('GET', `/Users/${ids.user}`)).body, (await scim('GET', `/Groups/${ids.group}`)).body];
    const [method, path, body] = send(ids);
    const { status, body: answer } = await scim(method, path, body);
    expect([status, answer.scimType]).toEqual([400, scimType]);
    expect(answer.detail).toContain('"strict"');
    const after = [(await scim('GET', `/Users/${ids.user}`)).body, (await scim('GET', `/Groups/${ids.group}`)).body];
    expect(after).toEqual(before);
    const [logged] = await logOf(world.acme, id, { refused: true });
    expect(logged).toMatchObject({ method, status: 400, scimType, actions: [], changedAttributes: [] });
    expect(logged?.reason).toMatch(/^The profile of the connection does not take /);
    expect(form.length).toBeGreaterThan(0);
  });

  it.each(REFUSED)('alone does: entra takes %s', async (form, _scimType, send) => {
    const own = await made(
      'entra',
      `taken ${form} ${_scimType} ${JSON.stringify(send({ name: 'n', user: 'u', group: 'g' })).length}`,
    );
    const { id, scim } = over('entra');
    const [method, path, body] = send(own);
    const { status, body: answer } = await scim(method, path, body);
    expect([status < 300, answer.detail]).toEqual([true, undefined]);
    const [logged] = await logOf(world.acme, id);
    expect(logged?.rewrites.map(({ name }) => name)).toContain(form);
  });

  it.each([
    ['explicit nulls', (name: string) => ({ ...plainUser(name), addresses: null, title: null })],
    ['attribute names in another case', (name: string) => ({ schemas: [USER_URN], USERNAME: name, DisplayName: 'x' })],
    ['readOnly attributes', (name: string) => ({ ...plainUser(name), id: 'x', groups: [], meta: {} })],
    ['a password, which it does not keep', (name: string) => ({ ...plainUser(name), password: 'x' })],
  ])('takes in a creation what RFC 7643 allows: %s', async (form, body) => {
    expect((await over('strict').scim('POST', '/Users', body(`strict ${form}`))).status).toBe(201);
  });
});

describe('a filter', () => {
  const count = async (profile: string, filter: string) => {
    const { status, body } = await over(profile).scim('GET', `/Users?filter=${encodeURIComponent(filter)}`);
    return [status, body.totalResults ?? body.scimType];
  };
  beforeAll(async () => {
    await over('ping').scim('POST', '/Users', plainUser('sought'));
  });

  it.each([
    ['emails eq sought@acme.example', 'ping', 'unquoted_literal'],
    ['userName eq sought', 'entra', 'unquoted_literal'],
    ['emails[type eq "work"].value eq "sought@acme.example"', 'entra', 'element_sub_filter'],
    [
      'emails[type eq "home" or type eq "work"].value eq "sought@acme.example" and active eq True',
      'entra',
      'element_sub_filter',
    ],
    ['userName eq "sought" and active eq "True"', 'entra', 'string_boolean'],
    ['userName eq "sought" and emails[primary eq "True"]', 'entra', 'string_boolean'],
  ])('%s is understood from %s alone', async (filter, profile, rewrite) => {
    expect(await count(profile, filter)).toEqual([200, 1]);
    const { id } = over(profile);
    expect((await logOf(world.acme, id))[0]?.rewrites.map(({ name }) => name)).toContain(rewrite);
    const [status, scimType] = await count('strict', filter);
    expect([status, scimType]).toEqual([400, expect.stringMatching(/^invalid(Filter|Value)$/)]);
  });

  it('of the RFC is the same for everybody and leaves no rewrite', async () => {
    for (const profile of ['strict', 'ping', 'entra']) {
      expect(await count(profile, 'emails eq "sought@acme.example" and active eq true and (title eq null)')).toEqual([
        200, 1,
      ]);
      expect((await logOf(world.acme, over(profile).id))[0]?.rewrites).toEqual([]);
    }
  });
});

describe('nothing is answered with 200 and not done', () => {
  it.each([
    ['an unknown attribute alone', { op: 'replace', value: { samAccountName: 'x' } }, 'invalidPath'],
    ['an unknown part of an attribute', { op: 'replace', path: 'name', value: { shoeSize: 'x' } }, 'invalidPath'],
    ['an unknown part without a path', { op: 'replace', value: { name: { shoeSize: 'x' } } }, 'invalidPath'],
    [
      'an unknown part of an extension',
      { op: 'replace', value: { [ENTERPRISE_URN]: { shoeSize: 'x' } } },
      'invalidPath',
    ],
    ['a readOnly attribute alone', { op: 'replace', value: { meta: { version: 'x' } } }, 'mutability'],
    ['a blank name alone', { op: 'replace', value: { userName: '' } }, 'invalidValue'],
    ['no attribute at all', { op: 'replace', value: {} }, 'invalidValue'],
  ])('%s is refused in every profile', async (what, operation, scimType) => {
    for (const { profile } of CLIENTS) {
      const ids = await made(profile, `${profile} ${what}`);
      const { status, body } = await over(profile).scim('PATCH', `/Users/${ids.user}`, patch(operation));
      const expected = profile === 'strict' ? expect.any(String) : scimType;
      expect([profile, status, body.scimType]).toEqual([profile, 400, expected]);
    }
  });

  it('beside a deactivation none of these stands in its way', async () => {
    for (const profile of CLIENTS.map((client) => client.profile).filter((one) => one !== 'strict')) {
      const ids = await made(profile, `${profile} leaver`);
      const value = { id: ids.user, userName: '', samAccountName: 'x', meta: {}, active: false };
      const { status } = await over(profile).scim('PATCH', `/Users/${ids.user}`, patch({ op: 'replace', value }));
      const { body } = await over(profile).scim('GET', `/Users/${ids.user}`);
      expect([profile, status, body.active, body.userName]).toEqual([profile, 200, false, `${profile} leaver`]);
    }
  });

  it('a PUT that deactivates and blanks the name keeps the name', async () => {
    const ids = await made('okta_aiw', 'blanked');
    const [method, path, body] = userPut({ userName: '', active: false })(ids);
    expect((await over('okta_aiw').scim(method, path, body)).status).toBe(200);
    expect((await over('okta_aiw').scim('GET', path)).body).toMatchObject({ userName: 'blanked', active: false });
    const enabling = userPut({ userName: '', active: true })(ids);
    expect((await over('okta_aiw').scim(...enabling)).status).toBe(400);
  });

  it('adding a member again and removing one who is none are no errors', async () => {
    const ids = await made('jumpcloud', 'member');
    const path = `/Groups/${ids.group}`;
    const add = patch({ op: 'add', path: 'members', value: [{ value: ids.user }] });
    const remove = patch({ op: 'remove', path: `members[value eq "${ids.user}"]` });
    const statuses = [];
    for (const body of [add, add, remove, remove])
      statuses.push((await over('jumpcloud').scim('PATCH', path, body)).status);
    expect(statuses).toEqual([204, 204, 204, 204]);
    expect((await logOf(world.acme, over('jumpcloud').id))[0]?.actions).toEqual([]);
  });

  it('no operation at all is refused', async () => {
    const ids = await made('entra', 'no operation');
    const { body } = await over('entra').scim('PATCH', `/Users/${ids.user}`, { schemas: [PATCH_URN], Operations: [] });
    expect(body.scimType).toBe('invalidSyntax');
  });
});

describe('the set-up of a client', () => {
  it("is passed: JumpCloud's trial user and group, Google's probe and late deletion", async () => {
    const ids = await made('jumpcloud', 'trial');
    const { scim } = over('jumpcloud');
    expect([
      (await scim('DELETE', `/Users/${ids.user}`)).status,
      (await scim('DELETE', `/Groups/${ids.group}`)).status,
    ]).toEqual([204, 204]);
    const probe = await over('google').scim('GET', '/Users?count=1');
    expect([probe.status, probe.body.Resources.length]).toEqual([200, 1]);
    const late = await made('google', 'late');
    expect((await over('google').scim('DELETE', `/Users/${late.user}`)).status).toBe(204);
    expect((await over('google').scim('DELETE', `/Users/${late.user}`)).status).toBe(404);
  });
});

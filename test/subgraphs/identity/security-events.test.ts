import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { openSession } from '../../../subgraphs/identity/sessions/session.ts';
import { openReceiver, register, startWorkerOf, verifierOf, type TestReceiver } from './event-receiver-server.ts';
import { addGroup, addUser, ask, openIdentity, patch, USER_URN, type IdentityPlatform } from './identity-platform.ts';

let house: IdentityPlatform;
let verify: Awaited<ReturnType<typeof verifierOf>>;

beforeAll(async () => {
  house = await openIdentity();
  verify = await verifierOf(house);
  await startWorkerOf(house);
});

const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';
const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/';
const SCIM = 'urn:ietf:params:scim:event:';

async function signIn(userId: Id<'usr'>): Promise<Id<'ses'>> {
  const ctx = house.acme.request([]);
  const session = await inTenant(ctx, (tx) =>
    openSession(tx, ctx, { userId, method: 'oidc', amr: [], identityProvider: null, context: {} }),
  );
  return session.id;
}

const deactivate = (userId: string) =>
  house.acme.scim('PATCH', `/Users/${userId}`, patch({ op: 'replace', path: 'active', value: false }));
const eventNames = (claims: object) => Object.keys((claims as { events: object }).events);

describe('an application that wants to be told of logouts', () => {
  let receiver: TestReceiver;
  beforeAll(async () => {
    receiver = await openReceiver();
    receiver.answer = () => ({ status: 200 });
    await register(house.acme, {
      kind: 'BACKCHANNEL_LOGOUT',
      endpoint: receiver.url,
      authorization: 'Bearer secret-1',
    });
  });

  it('gets a logout token of one session, then one of the whole person, which OIDC readers accept', async () => {
    const user = (await addUser(house.acme, 'ann@acme.example')) as Id<'usr'>;
    const session = await signIn(user);
    await signIn(user);
    const revoked = await ask(
      house.acme.request(['users:write']),
      'mutation ($id: ID!) { revokeSession(input: {sessionId: $id}) { revoked } }',
      { id: session },
    );
    expect(revoked.errors).toBeUndefined();
    const [first] = await receiver.waitFor(1);
    await deactivate(user);
    const [, second] = await receiver.waitFor(2);
    const one = await verify(first!, 'logout+jwt');
    const all = await verify(second!, 'logout+jwt');
    expect(one).toMatchObject({ sub: user, sid: session, events: { [LOGOUT]: {} } });
    expect(one.exp! - one.iat!).toBe(120);
    expect(all).toMatchObject({ sub: user, events: { [LOGOUT]: {} } });
    expect(all).not.toHaveProperty('sid');
    expect(one).not.toHaveProperty('nonce');
    expect(first!.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      authorization: 'Bearer secret-1',
    });
    expect(receiver.received).toHaveLength(2);
  });
});

describe('a receiver of shared signals', () => {
  it('is told of sessions, roles and credentials, each with what CAEP asks for and no name or address', async () => {
    const receiver = await openReceiver();
    await register(house.acme, { kind: 'CAEP', endpoint: receiver.url });
    const user = (await addUser(house.acme, 'bea@acme.example', { displayName: 'Bea Very Private' })) as Id<'usr'>;
    const { data } = await ask(house.acme.request(['users:read']), '{ roles { id name } }');
    const role = (data as { roles: { id: string; name: string }[] }).roles.find(({ name }) => name === 'member');
    const granted = await ask(
      house.acme.request([
        'users:write',
        'users:read',
        'tenant:read',
        'schema:read',
        'projects:read',
        'projects:write',
        'billing:read',
      ]),
      'mutation ($input: UserRoleInput!) { grantRole(input: $input) { user { id } } }',
      { input: { userId: user, roleId: role?.id } },
    );
    expect(granted.errors).toBeUndefined();
    await receiver.waitFor(1);
    await house.peek(
      'eu-1',
      `insert into sign_in_factors (tenant_id, id, user_id, kind, name, created_at, confirmed_at, credential_id, public_key, sign_count, transports, backed_up)
      values ($1, gen_random_uuid(), $2, 'passkey', 'key', now(), now(), '\\x00112233445566778899aabbccddeeff', '\\x00', 0, '{internal}', false)`,
      [uuidOf('tnt', house.acme.id), uuidOf('usr', user)],
    );
    await receiver.waitFor(2);
    const session = await signIn(user);
    await ask(
      house.acme.request(['users:write']),
      'mutation ($id: ID!) { revokeSession(input: {sessionId: $id}) { revoked } }',
      { id: session },
    );
    await receiver.waitFor(3);
    await deactivate(user);
    const received = await receiver.waitFor(4);
    const claims = await Promise.all(received.map((each) => verify(each, 'secevent+jwt')));
    const subject = { format: 'iss_sub', iss: 'http://tenon.test', sub: user };
    const at = { event_timestamp: expect.any(Number) };
    expect(claims.map(({ events }) => events)).toEqual([
      { [`${CAEP}token-claims-change`]: { ...at, claims: { roles: ['member'] } } },
      { [`${CAEP}credential-change`]: { ...at, credential_type: 'fido2-platform', change_type: 'create' } },
      { [`${CAEP}session-revoked`]: at },
      { [`${CAEP}session-revoked`]: at },
    ]);
    expect(claims.map((each) => each['sub_id'])).toEqual([
      subject,
      subject,
      { format: 'complex', user: subject, session: { format: 'opaque', id: session } },
      subject,
    ]);
    expect(received[0]!.headers['content-type']).toBe('application/secevent+jwt');
    expect(JSON.stringify(claims)).not.toMatch(/bea@|Private/);
    expect(claims.every((each) => each.exp === undefined && typeof each['toe'] === 'number')).toBe(true);
  });
});

describe('a receiver of directory events', () => {
  it('is told of every change of a person as RFC 9967 names it, in order, by names of attributes alone', async () => {
    const receiver = await openReceiver();
    await register(house.acme, { kind: 'SCIM_EVENTS', endpoint: receiver.url });
    const user = await addUser(house.acme, 'cat@acme.example', { displayName: 'Cat Private' });
    await house.acme.scim(
      'PATCH',
      `/Users/${user}`,
      patch({ op: 'replace', path: 'displayName', value: 'Cat Hidden' }),
    );
    await house.acme.scim('PUT', `/Users/${user}`, {
      schemas: [USER_URN],
      userName: 'cat@acme.example',
      title: 'Secret',
    });
    await deactivate(user);
    await house.acme.scim('PATCH', `/Users/${user}`, patch({ op: 'replace', path: 'active', value: true }));
    await house.acme.scim('DELETE', `/Users/${user}`);
    const received = await receiver.waitFor(6);
    const claims = await Promise.all(received.map((each) => verify(each, 'secevent+jwt')));
    expect(claims.map(({ events }) => events)).toEqual([
      { [`${SCIM}feed:add`]: {}, [`${SCIM}prov:create:notice`]: { attributes: ['active', 'displayName', 'userName'] } },
      { [`${SCIM}prov:patch:notice`]: { attributes: ['displayName'] } },
      { [`${SCIM}prov:put:notice`]: { attributes: ['displayName', 'title'] } },
      { [`${SCIM}prov:deactivate`]: {} },
      { [`${SCIM}prov:activate`]: {} },
      { [`${SCIM}feed:remove`]: {}, [`${SCIM}prov:delete`]: {} },
    ]);
    expect(claims.map((each) => each['sub_id'])).toEqual(claims.map(() => ({ format: 'scim', uri: `/Users/${user}` })));
    expect(new Set(claims.map(({ jti }) => jti)).size).toBe(6);
    expect(JSON.stringify(claims)).not.toMatch(/Private|Hidden|Secret|cat@/);
  });

  it('is sent the resource itself only where it asked for full events', async () => {
    const receiver = await openReceiver();
    const events = [`${SCIM}prov:create:full`, `${SCIM}prov:patch:full`, `${SCIM}prov:put:full`];
    await register(house.acme, { kind: 'SCIM_EVENTS', endpoint: receiver.url, events });
    const user = await addUser(house.acme, 'dan@acme.example', { displayName: 'Dan', title: 'Chief' });
    await receiver.waitFor(1);
    await house.acme.scim(
      'PATCH',
      `/Users/${user}`,
      patch({ op: 'replace', path: 'displayName', value: 'Daniel' }, { op: 'remove', path: 'title' }),
    );
    await receiver.waitFor(2);
    const group = await addGroup(house.acme, 'Deck', [user]);
    const received = await receiver.waitFor(3);
    const claims = await Promise.all(received.map((each) => verify(each, 'secevent+jwt')));
    const told = claims.map(
      ({ events: each }) => each as Record<string, { data: Record<string, unknown>; version: string }>,
    );
    expect(told[0]![`${SCIM}prov:create:full`]!.data).toMatchObject({
      id: user,
      userName: 'dan@acme.example',
      title: 'Chief',
    });
    expect(told[1]![`${SCIM}prov:patch:full`]!.data).toEqual({
      schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
      Operations: [
        { op: 'replace', path: 'displayName', value: 'Daniel' },
        { op: 'remove', path: 'title' },
      ],
    });
    expect(told[1]![`${SCIM}prov:patch:full`]!.version).toMatch(/^W\/"\d+"$/);
    expect(claims[2]!['sub_id']).toEqual({ format: 'scim', uri: `/Groups/${group}` });
    expect(told[2]![`${SCIM}prov:create:full`]!.data).toMatchObject({
      displayName: 'Deck',
      members: [{ value: user }],
    });
  });

  it('is told of members as an attribute of their group', async () => {
    const receiver = await openReceiver();
    await register(house.acme, { kind: 'SCIM_EVENTS', endpoint: receiver.url });
    const user = await addUser(house.acme, 'eve@acme.example');
    const group = await addGroup(house.acme, 'Engine', [user]);
    await house.acme.scim('PATCH', `/Groups/${group}`, patch({ op: 'remove', path: `members[value eq "${user}"]` }));
    await house.acme.scim('DELETE', `/Groups/${group}`);
    const received = await receiver.waitFor(4);
    const claims = await Promise.all(received.map((each) => verify(each, 'secevent+jwt')));
    const ofGroup = claims.filter((each) => (each['sub_id'] as { uri: string }).uri === `/Groups/${group}`);
    expect(ofGroup.map(({ events }) => events)).toEqual([
      { [`${SCIM}feed:add`]: {}, [`${SCIM}prov:create:notice`]: { attributes: ['displayName', 'members'] } },
      { [`${SCIM}prov:patch:notice`]: { attributes: ['members'] } },
      { [`${SCIM}feed:remove`]: {}, [`${SCIM}prov:delete`]: {} },
    ]);
  });

  it('hears nothing of another tenant, and nothing while it is disabled', async () => {
    const receiver = await openReceiver();
    const id = await register(house.initech, { kind: 'SCIM_EVENTS', endpoint: receiver.url });
    const change = (state: string) =>
      ask(
        house.initech.request(['identity:write']),
        'mutation ($input: UpdateSecurityEventReceiverInput!) { updateSecurityEventReceiver(input: $input) { receiver { state } } }',
        { input: { receiverId: id, state } },
      );
    await addUser(house.acme, 'fay@acme.example');
    await change('DISABLED');
    await addUser(house.initech, 'gus@initech.example');
    await change('ACTIVE');
    const user = await addUser(house.initech, 'hal@initech.example');
    const [first, ...more] = await receiver.waitFor(1);
    expect(await verify(first!, 'secevent+jwt')).toMatchObject({ sub_id: { uri: `/Users/${user}` } });
    expect(more).toHaveLength(0);
  });
});

it('a change that is rolled back is told to nobody', async () => {
  const receiver = await openReceiver();
  await register(house.acme, { kind: 'SCIM_EVENTS', endpoint: receiver.url });
  const ctx = house.acme.request([]);
  const lost = uuidOf('usr', mintId('usr'));
  await expect(
    inTenant(ctx, async (tx) => {
      await tx.query(`insert into users (id, user_name) values ($1, 'lost@acme.example')`, [lost]);
      throw new Error('no');
    }),
  ).rejects.toThrow('no');
  const user = await addUser(house.acme, 'ida@acme.example');
  const received = await receiver.waitFor(1);
  const claims = await verify(received[0]!, 'secevent+jwt');
  expect(claims).toMatchObject({ sub_id: { uri: `/Users/${user}` } });
  expect(eventNames(claims)).toContain(`${SCIM}prov:create:notice`);
  const rows = await house.peek('eu-1', 'select from security_event_deliveries where subject_id = $1', [lost]);
  expect(rows).toHaveLength(0);
});

import { generateKeyPair, type JWTPayload } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { mintId, uuidOf, type Id } from '#schema/ids.ts';
import { openSession } from '../../../subgraphs/identity/sessions/session.ts';
import { activate, makeConnection, ownDomain, type ShownConnection } from './connection-world.ts';
import { openHostileIdp, signed, signedWithSecret, unsigned, type HostileIdp } from './hostile-idp.ts';
import { addUser, isAccepted, openIdentity, type IdentityPlatform, type TestTenant } from './identity-platform.ts';

const CLIENT = 'tenon';
const SESSION_REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
let world: IdentityPlatform;
let idp: HostileIdp;
let connection: ShownConnection;
let other: ShownConnection;
let eve: Id<'usr'>;

beforeAll(async () => {
  world = await openIdentity();
  idp = await openHostileIdp();
  await ownDomain(world, world.acme, 'acme.example');
  const settings = { issuer: idp.issuer, clientId: CLIENT, clientSecret: 's' };
  connection = await makeConnection(world.acme, { name: 'Main', ...settings });
  other = await makeConnection(world.acme, { name: 'Other', ...settings, clientId: 'other' });
  await activate(world.acme, connection.id);
  eve = (await addUser(world.acme, 'eve@acme.example')) as Id<'usr'>;
  await link(world.acme, eve, 'eve-there');
});

const nowS = () => Math.floor(world.platform.clock().getTime() / 1000);

async function link(tenant: TestTenant, user: Id<'usr'>, subject: string): Promise<void> {
  await world.peek(
    tenant.cell,
    'insert into identity_links (tenant_id, connection_id, subject, user_id, last_used_at) values ($1, $2, $3, $4, now())',
    [uuidOf('tnt', tenant.id), uuidOf('con', connection.id as Id<'con'>), subject, uuidOf('usr', user)],
  );
}

async function signIn(userId: Id<'usr'>, sessionId: string | null = null): Promise<string> {
  const ctx = world.acme.request([]);
  const identityProvider = { connection: connection.id as Id<'con'>, subject: 'eve-there', sessionId };
  const session = await inTenant(ctx, (tx) =>
    openSession(tx, ctx, { userId, method: 'oidc', amr: [], identityProvider, context: {} }),
  );
  return session.token;
}

const lastEvent = async () => (await world.acme.events()).at(-1);
const without = (claims: JWTPayload, ...names: string[]): JWTPayload =>
  Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));

describe('a global token revocation', () => {
  const TYPE = { typ: 'global-token-revocation+jwt' };
  const path = (tenant = world.acme.id as string, at: string = connection.id) =>
    `/sso/token-revocation/${tenant}/${at}`;
  const claims = (): JWTPayload => ({
    iss: idp.issuer,
    sub: 'okta-app',
    aud: `http://tenon.test${path()}`,
    jti: mintId('req'),
    iat: nowS(),
    nbf: nowS() - 300,
    exp: nowS() + 300,
  });
  const send = (token: string | null, body: unknown, at = path()) =>
    world.fetch(token, at, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const honest = () => signed(idp, claims(), TYPE);
  const byMail = (email = 'eve@acme.example') => ({ sub_id: { format: 'email', email } });
  const bySubject = (sub = 'eve-there', iss = idp.issuer) => ({ sub_id: { format: 'iss_sub', iss, sub } });

  it.each([
    ['by her subject', 'sub', () => bySubject('sub-there')],
    ['by her address, in whatever case', 'mail', () => byMail('Mail@ACME.example')],
  ])('ends all that a person has, named %s, and leaves her active', async (_, name, body) => {
    const her = (await addUser(world.acme, `${name}@acme.example`)) as Id<'usr'>;
    if (name === 'sub') await link(world.acme, her, 'sub-there');
    const session = await signIn(her);
    const key = await world.acme.issue({ kind: 'api_key', userId: her, scopes: ['users:read'] });
    expect(await isAccepted(world, session)).toBe(true);
    const answer = await send(await honest(), body());
    expect([answer.status, await answer.text()]).toEqual([204, '']);
    expect([await isAccepted(world, session), await isAccepted(world, key)]).toEqual([false, false]);
    expect(await lastEvent()).toMatchObject({
      action: 'user.sign_out',
      resource: { type: 'user', id: her },
      context: { source: 'global_token_revocation', connection: connection.id, sessions: 1, api_keys: 1 },
    });
    expect(await isAccepted(world, await signIn(her))).toBe(true);
  });

  it('is good once', async () => {
    const token = await honest();
    expect((await send(token, bySubject())).status).toBe(204);
    const session = await signIn(eve);
    expect((await send(token, bySubject())).status).toBe(401);
    expect(await isAccepted(world, session)).toBe(true);
  });

  const BAD_TOKENS: readonly (readonly [string, () => Promise<string | null>])[] = [
    ['none', async () => null],
    ['no token at all', async () => 'nonsense'],
    [
      'a token of another key',
      async () => signed({ key: (await generateKeyPair('RS256')).privateKey }, claims(), TYPE),
    ],
    ['an unsigned token', async () => unsigned(claims())],
    ['one signed with the public key as a secret', async () => signedWithSecret(claims(), idp.publicPem)],
    ['another type', () => signed(idp, claims(), { typ: 'JWT' })],
    ['no type', () => signed(idp, claims())],
    ['another issuer', () => signed(idp, { ...claims(), iss: 'https://elsewhere.example' }, TYPE)],
    ['another audience', () => signed(idp, { ...claims(), aud: CLIENT }, TYPE)],
    [
      'the address of another connection',
      () => signed(idp, { ...claims(), aud: `http://tenon.test${path(world.acme.id, other.id)}` }, TYPE),
    ],
    ['an end that is past', () => signed(idp, { ...claims(), iat: nowS() - 250, exp: nowS() - 61 }, TYPE)],
    ['an age of ten minutes', () => signed(idp, { ...claims(), iat: nowS() - 600 }, TYPE)],
    ['a life of an hour', () => signed(idp, { ...claims(), exp: nowS() + 3600 }, TYPE)],
    ['no id', () => signed(idp, without(claims(), 'jti'), TYPE)],
    ['no end', () => signed(idp, without(claims(), 'exp'), TYPE)],
    ['an ID token', () => signed(idp, { ...claims(), aud: CLIENT, sub: 'eve-there' }, { typ: 'JWT' })],
  ];
  it.each(BAD_TOKENS)('with %s is 401 and ends nothing', async (_, make) => {
    const session = await signIn(eve);
    expect((await send(await make(), bySubject())).status).toBe(401);
    expect(await isAccepted(world, session)).toBe(true);
  });

  it.each([
    ['of a draft', () => path(world.acme.id, other.id)],
    ['of no tenant', () => path('tnt_nobody', connection.id)],
    ['of another tenant', () => path(world.initech.id, connection.id)],
    ['that there is not', () => path(world.acme.id, mintId('con'))],
  ])('at the address of a connection %s is 401', async (_, at) => {
    const token = await signed(idp, { ...claims(), aud: `http://tenon.test${at()}` }, TYPE);
    expect((await send(token, bySubject(), at())).status).toBe(401);
  });

  it.each([
    ['no JSON', '{', 400],
    ['no subject', {}, 400],
    ['a format that is not understood', { sub_id: { format: 'opaque', id: 'x' } }, 400],
    ['a subject that is no text', { sub_id: { format: 'iss_sub', iss: 1, sub: {} } }, 400],
    ['an address that is none', { sub_id: { format: 'email', email: 'eve' } }, 400],
    ['a prototype', '{"__proto__":{"sub_id":{"format":"email","email":"eve@acme.example"}}}', 400],
    [
      'people of another issuer',
      { sub_id: { format: 'iss_sub', iss: 'https://elsewhere.example', sub: 'eve-there' } },
      403,
    ],
    ['somebody unknown', { sub_id: { format: 'email', email: 'nobody@acme.example' } }, 404],
  ])('with %s is refused and ends nothing', async (_, body, status) => {
    const session = await signIn(eve);
    const answer = await send(await honest(), body);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({ error: expect.any(String), error_description: expect.any(String) });
    expect(await isAccepted(world, session)).toBe(true);
  });

  it('reaches nobody whom the connection neither knows nor vouches for', async () => {
    await addUser(world.acme, 'external@partner.example');
    await addUser(world.initech, 'eve2@initech.example');
    expect((await send(await honest(), byMail('external@partner.example'))).status).toBe(404);
    expect((await send(await honest(), byMail('eve2@initech.example'))).status).toBe(404);
  });

  it('that names two people is 422', async () => {
    await addUser(world.acme, 'twin@acme.example');
    await addUser(world.acme, 'twin-2@acme.example', { emails: [{ value: 'twin@acme.example', primary: true }] });
    expect((await send(await honest(), byMail('twin@acme.example'))).status).toBe(422);
  });

  it('does nothing to somebody who is out already, and says that it is done', async () => {
    const her = await addUser(world.acme, 'out@acme.example', { active: false });
    const before = (await world.acme.events()).length;
    expect((await send(await honest(), byMail('out@acme.example'))).status).toBe(204);
    expect((await world.acme.events()).slice(before)).toEqual([]);
    expect((await world.acme.scim('GET', `/Users/${her}`)).body.active).toBe(false);
  });

  it('that is no JSON by its type is 415', async () => {
    const answer = await world.fetch(await honest(), path(), { method: 'POST', body: new URLSearchParams({ a: 'b' }) });
    expect(answer.status).toBe(415);
  });
});

describe('a pushed security event', () => {
  const TYPE = { typ: 'secevent+jwt' };
  const path = () => `/sso/events/${world.acme.id}/${connection.id}`;
  const claims = (more: JWTPayload = {}): JWTPayload => ({
    iss: idp.issuer,
    aud: CLIENT,
    jti: mintId('req'),
    iat: nowS(),
    sub_id: { format: 'iss_sub', iss: idp.issuer, sub: 'eve-there' },
    events: { [SESSION_REVOKED]: { event_timestamp: nowS() } },
    ...more,
  });
  const send = (token: string, type = 'application/secevent+jwt') =>
    world.fetch(null, path(), { method: 'POST', headers: { 'content-type': type }, body: token });

  it('that all sessions of a person have ended ends those over its connection, and no key', async () => {
    const sessions = [await signIn(eve, 'there-1'), await signIn(eve)];
    const key = await world.acme.issue({ kind: 'api_key', userId: eve, scopes: ['users:read'] });
    const answer = await send(await signed(idp, claims(), TYPE));
    expect([answer.status, await answer.text()]).toEqual([202, '']);
    expect(await Promise.all(sessions.map((token) => isAccepted(world, token)))).toEqual([false, false]);
    expect(await isAccepted(world, key)).toBe(true);
    expect(await lastEvent()).toMatchObject({
      action: 'session.end',
      context: { cause: 'caep_session_revoked', connection: connection.id },
    });
  });

  it('that one session has ended ends that one', async () => {
    const [ended, stays] = [await signIn(eve, 'there-2'), await signIn(eve, 'there-3')];
    const user = { format: 'iss_sub', iss: idp.issuer, sub: 'eve-there' };
    const subject = { format: 'complex', user, session: { format: 'opaque', id: 'there-2' } };
    expect((await send(await signed(idp, claims({ sub_id: subject }), TYPE))).status).toBe(202);
    expect([await isAccepted(world, ended), await isAccepted(world, stays)]).toEqual([false, true]);
  });

  it('is taken again without ending anything again', async () => {
    const token = await signed(idp, claims(), TYPE);
    expect((await send(token)).status).toBe(202);
    const session = await signIn(eve);
    expect((await send(token)).status).toBe(202);
    expect(await isAccepted(world, session)).toBe(true);
  });

  it.each([
    [
      'of a kind that means nothing here',
      { events: { 'https://schemas.openid.net/secevent/ssf/event-type/verification': {} } },
    ],
    ['about somebody unknown', { sub_id: { format: 'email', email: 'nobody@acme.example' } }],
    [
      'about people of another issuer',
      { sub_id: { format: 'iss_sub', iss: 'https://elsewhere.example', sub: 'eve-there' } },
    ],
    ['about nobody', { sub_id: { format: 'opaque', id: 'x' } }],
    ['with an event that is none', { events: { [SESSION_REVOKED]: null, toString: {} } }],
  ])('%s is taken and ends nothing', async (_, more) => {
    const session = await signIn(eve);
    const expected = (more as { events?: Record<string, unknown> }).events?.[SESSION_REVOKED] === null;
    expect((await send(await signed(idp, claims(more as JWTPayload), TYPE))).status).toBe(202);
    expect(await isAccepted(world, session)).toBe(!expected);
  });

  it.each([
    ['of another key', async () => signed({ key: (await generateKeyPair('RS256')).privateKey }, claims(), TYPE)],
    ['unsigned', async () => unsigned(claims())],
    ['of another type', () => signed(idp, claims(), { typ: 'logout+jwt' })],
    ['of another issuer', () => signed(idp, claims({ iss: 'https://elsewhere.example' }), TYPE)],
    ['for another audience', () => signed(idp, claims({ aud: 'other' }), TYPE)],
    ['that is old', () => signed(idp, claims({ iat: nowS() - 600 }), TYPE)],
    ['without an id', () => signed(idp, without(claims(), 'jti'), TYPE)],
    ['without events', () => signed(idp, without(claims(), 'events'), TYPE)],
    ['that is no token', async () => '<xml/>'],
  ])('%s is refused as RFC 8935 says, and ends nothing', async (_, make) => {
    const session = await signIn(eve);
    const answer = await send(await make());
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { err: 'authentication_failed', description: expect.any(String) },
    ]);
    expect(await isAccepted(world, session)).toBe(true);
  });

  it('of another content type is refused', async () => {
    const answer = await send(await signed(idp, claims(), TYPE), 'application/json');
    expect([answer.status, await answer.json()]).toMatchObject([400, { err: 'invalid_request' }]);
  });
});

it('receivers find issuer and keys by discovery', async () => {
  const answer = await world.fetch(null, '/.well-known/ssf-configuration');
  expect(await answer.json()).toMatchObject({
    issuer: 'http://tenon.test',
    jwks_uri: 'http://tenon.test/.well-known/jwks.json',
    delivery_methods_supported: ['urn:ietf:rfc:8935'],
  });
});

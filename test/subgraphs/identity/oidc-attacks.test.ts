import { generateKeyPair, type JWTPayload } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { mintId } from '#schema/ids.ts';
import { activate, makeConnection, ownDomain, refusals, type ShownConnection } from './connection-world.ts';
import { openHostileIdp, signed, signedWithSecret, unsigned, type HostileIdp } from './hostile-idp.ts';
import { addUser, isAccepted, openIdentity, type IdentityPlatform } from './identity-platform.ts';
import { openBrowser, type Browser } from './oidc-idp.ts';

const PUBLIC_URL = 'http://tenon.test';
const CLIENT = 'tenon';
let world: IdentityPlatform;
let idp: HostileIdp;
let connection: ShownConnection;
let other: ShownConnection;
let userId: string;

beforeAll(async () => {
  world = await openIdentity();
  idp = await openHostileIdp();
  await ownDomain(world, world.acme, 'acme.example');
  await ownDomain(world, world.initech, 'initech.example');
  connection = await makeConnection(world.acme, {
    name: 'Main',
    issuer: idp.issuer,
    clientId: CLIENT,
    clientSecret: 's',
  });
  other = await makeConnection(world.acme, { name: 'Other', issuer: idp.issuer, clientId: 'other', clientSecret: 's' });
  await activate(world.acme, connection.id);
  await activate(world.acme, other.id);
  userId = await addUser(world.acme, 'eve@acme.example');
});
beforeEach(() => {
  idp.userinfo = { sub: 'eve' };
});

/** The platform's time: it stands still in this test. */
const nowS = () => Math.floor(world.platform.clock().getTime() / 1000);

/** What an honest identity provider would say. */
function honest(nonce: string): JWTPayload {
  return {
    iss: idp.issuer,
    aud: CLIENT,
    sub: 'eve',
    iat: nowS(),
    exp: nowS() + 300,
    nonce,
    email: 'eve@acme.example',
    email_verified: true,
    name: 'Eve',
    sid: 'session-1',
  };
}

interface Begun {
  readonly browser: Browser;
  readonly state: string;
  readonly nonce: string;
}

async function begin(at = connection): Promise<Begun> {
  const browser = openBrowser({ publicUrl: PUBLIC_URL, ownServer: world.url });
  const { searchParams } = new URL((await browser.fetch(at.oidc.initiateLoginUri)).headers.get('location') ?? '');
  return { browser, state: searchParams.get('state') ?? '', nonce: searchParams.get('nonce') ?? '' };
}

/** Signs in with a token that is made of the nonce of this sign-in. */
async function signInWith(token: (nonce: string) => Promise<string> | string, at = connection): Promise<Response> {
  const { browser, state, nonce } = await begin(at);
  idp.answer = async () => ({ idToken: await token(nonce) });
  return browser.fetch(`${at.oidc.redirectUri}?code=any&state=${state}`);
}

async function lastRefusal(): Promise<unknown> {
  return (await refusals(world.acme)).at(-1);
}

describe('an ID token', () => {
  it('that is honest signs in, with the verifier of its own sign-in', async () => {
    const response = await signInWith((nonce) => signed(idp, honest(nonce)));
    expect([response.status, await response.json()]).toMatchObject([200, { user: { id: userId } }]);
    expect(Object.fromEntries(idp.tokenRequests.at(-1) ?? [])).toEqual({
      grant_type: 'authorization_code',
      code: 'any',
      redirect_uri: connection.oidc.redirectUri,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  const WRONG: readonly (readonly [string, (nonce: string) => Promise<string> | string])[] = [
    ['with the nonce of another sign-in', (nonce) => signed(idp, { ...honest(nonce), nonce: 'another' })],
    ['without a nonce', (nonce) => signed(idp, without(honest(nonce), 'nonce'))],
    ['of another issuer', (nonce) => signed(idp, { ...honest(nonce), iss: 'https://login.example' })],
    ['of an issuer that differs by a slash', (nonce) => signed(idp, { ...honest(nonce), iss: `${idp.issuer}/` })],
    ['without an issuer', (nonce) => signed(idp, without(honest(nonce), 'iss'))],
    ['for another client', (nonce) => signed(idp, { ...honest(nonce), aud: 'other' })],
    ['for two clients, without saying who asked', (nonce) => signed(idp, { ...honest(nonce), aud: [CLIENT, 'other'] })],
    [
      'that another client asked for',
      (nonce) => signed(idp, { ...honest(nonce), aud: [CLIENT, 'other'], azp: 'other' }),
    ],
    ['without an audience', (nonce) => signed(idp, without(honest(nonce), 'aud'))],
    ['without a subject', (nonce) => signed(idp, without(honest(nonce), 'sub'))],
    ['with an empty subject', (nonce) => signed(idp, { ...honest(nonce), sub: '' })],
    ['that expired more than a minute ago', (nonce) => signed(idp, { ...honest(nonce), exp: nowS() - 63 })],
    ['without an end', (nonce) => signed(idp, without(honest(nonce), 'exp'))],
    ['that is valid in more than a minute', (nonce) => signed(idp, { ...honest(nonce), nbf: nowS() + 65 })],
    ['without a signature', (nonce) => unsigned(honest(nonce))],
    ['without a signature, said to have one', (nonce) => unsigned(honest(nonce), 'RS256')],
    ['signed with the public key as a secret', (nonce) => signedWithSecret(honest(nonce), idp.publicPem)],
    ['signed with the client secret', (nonce) => signedWithSecret(honest(nonce), 's')],
    ['signed with an algorithm that is not set', (nonce) => signed(idp, honest(nonce), { alg: 'RS512' })],
    ['signed with a key that is not known', (nonce) => signed(idp, honest(nonce), { kid: 'unknown' })],
    [
      'signed with another key under a known name',
      async (nonce) => signed({ key: (await generateKeyPair('RS256')).privateKey }, honest(nonce)),
    ],
    ['that is none', () => 'nonsense'],
  ];

  it.each(WRONG)('%s opens nothing', async (_what, token) => {
    const before = await refusals(world.acme);
    const response = await signInWith(token);
    expect([response.status, (await response.json()) as object]).toMatchObject([401, { code: 'UNAUTHENTICATED' }]);
    const after = await refusals(world.acme);
    expect([after.length - before.length, after.at(-1)]).toEqual([1, 'invalid_assertion']);
  });

  it.each([
    ['expired less than a minute ago', () => ({ exp: nowS() - 57 })],
    ['is valid in less than a minute', () => ({ nbf: nowS() + 57 })],
  ])('that %s is taken, since clocks differ', async (_what, claims) => {
    expect((await signInWith((nonce) => signed(idp, { ...honest(nonce), ...claims() }))).status).toBe(200);
  });

  it('of one connection opens nothing at another, whatever its way', async () => {
    const [first, second] = [await begin(connection), await begin(other)];
    idp.answer = async () => ({ idToken: await signed(idp, honest(second.nonce)) });
    // The answer of the one identity provider is brought to the address of the other.
    const mixed = await second.browser.fetch(`${other.oidc.redirectUri}?code=any&state=${second.state}`);
    expect([mixed.status, await lastRefusal()]).toEqual([401, 'invalid_assertion']);
    const crossed = await first.browser.fetch(`${other.oidc.redirectUri}?code=any&state=${first.state}`);
    expect([crossed.status, await lastRefusal()]).toEqual([401, 'unknown_flow']);
    const named = await begin(connection);
    const issuer = encodeURIComponent('https://other.example');
    await named.browser.fetch(`${connection.oidc.redirectUri}?code=any&state=${named.state}&iss=${issuer}`);
    expect(await lastRefusal()).toBe('invalid_assertion');
  });

  it('for a person of another tenant opens nothing', async () => {
    const claims = { email: 'ada@initech.example', sub: 'ada' };
    idp.userinfo = { sub: 'ada' };
    expect((await signInWith((nonce) => signed(idp, { ...honest(nonce), ...claims }))).status).toBe(401);
    expect([await lastRefusal(), await refusals(world.initech)]).toEqual(['foreign_domain', []]);
  });
});

describe('the token endpoint', () => {
  it.each([
    ['refuses a code that was used', 400, { error: 'invalid_grant' }, 'provider_refused'],
    ['fails', 500, {}, 'invalid_assertion'],
    ['sends no ID token', 200, { access_token: 'a', token_type: 'Bearer' }, 'invalid_assertion'],
    ['sends more than it should', 200, { pad: 'x'.repeat(1024 * 1024) }, 'provider_unavailable'],
  ])('that %s opens nothing', async (_what, status, body, reason) => {
    const { browser, state } = await begin();
    idp.answer = async () => ({ status, body });
    const response = await browser.fetch(`${connection.oidc.redirectUri}?code=used&state=${state}`);
    expect([response.status, await lastRefusal()]).toEqual([401, reason]);
  });

  it.each(['code=a&code=b&state=', 'state=', 'code=a&state=x&state='])('is not asked for %j', async (query) => {
    const { browser, state } = await begin();
    const asked = idp.tokenRequests.length;
    expect((await browser.fetch(`${connection.oidc.redirectUri}?${query}${state}`)).status).toBe(401);
    expect(idp.tokenRequests.length).toBe(asked);
  });
});

describe('the userinfo endpoint', () => {
  it('fills in what the ID token leaves open', async () => {
    idp.userinfo = { sub: 'eve', email: 'eve@acme.example', email_verified: 'true' };
    const token = (nonce: string) => signed(idp, without(honest(nonce), 'email', 'email_verified'));
    expect((await signInWith(token)).status).toBe(200);
  });

  it('of another subject is not believed', async () => {
    idp.userinfo = { sub: 'somebody-else', email: 'eve@acme.example', email_verified: true };
    const token = (nonce: string) => signed(idp, without(honest(nonce), 'email'));
    expect([(await signInWith(token)).status, await lastRefusal()]).toEqual([401, 'invalid_assertion']);
  });

  it('does not vouch for an address that stands in the ID token', async () => {
    await addUser(world.acme, 'boss@acme.example');
    idp.userinfo = { sub: 'mallory', email_verified: true };
    const claims = { sub: 'mallory', email: 'boss@acme.example' };
    const token = (nonce: string) => signed(idp, { ...without(honest(nonce), 'email_verified'), ...claims });
    expect([(await signInWith(token)).status, await lastRefusal()]).toEqual([401, 'unverified_email']);
  });
});

describe('a logout token', () => {
  const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout';
  const logout = (): JWTPayload => ({
    iss: idp.issuer,
    aud: CLIENT,
    iat: nowS(),
    exp: nowS() + 120,
    jti: mintId('req'),
    sub: 'eve',
    sid: 'session-1',
    events: { [LOGOUT]: {} },
  });
  const send = (token: string, at = connection) =>
    world.fetch(null, new URL(at.oidc.backchannelLogoutUri).pathname, {
      method: 'POST',
      body: new URLSearchParams({ logout_token: token }),
    });
  const newSession = async (claims: JWTPayload = {}) => {
    const response = await signInWith((nonce) => signed(idp, { ...honest(nonce), ...claims }));
    return ((await response.json()) as { token: string }).token;
  };

  const GOOD: readonly (readonly [string, () => Promise<string>])[] = [
    ['that names session and subject', () => signed(idp, logout(), { typ: 'logout+jwt' })],
    ['without a type', () => signed(idp, logout())],
    ['that names the subject alone', () => signed(idp, without(logout(), 'sid'), { typ: 'logout+jwt' })],
    ['that names the session alone', () => signed(idp, without(logout(), 'sub'), { typ: 'logout+jwt' })],
    ['without an end', () => signed(idp, without(logout(), 'exp'), { typ: 'logout+jwt' })],
  ];
  it.each(GOOD)('%s ends the session, once', async (_what, make) => {
    const session = await newSession();
    const token = await make();
    const response = await send(token);
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(await isAccepted(world, session)).toBe(false);
    const next = await newSession();
    expect([(await send(token)).status, await isAccepted(world, next)]).toEqual([400, true]);
  });

  it('of a session that nobody has is fine, and leaves the others', async () => {
    const session = await newSession();
    expect((await send(await signed(idp, { ...logout(), sid: 'session-9' }))).status).toBe(200);
    expect((await send(await signed(idp, { ...logout(), sub: 'somebody' }))).status).toBe(200);
    expect(await isAccepted(world, session)).toBe(true);
  });

  const BAD: readonly (readonly [string, () => Promise<string> | string])[] = [
    ['that is an ID token', () => signed(idp, { ...honest('n') })],
    ['with a nonce', () => signed(idp, { ...logout(), nonce: 'n' }, { typ: 'logout+jwt' })],
    ['of another type', () => signed(idp, logout(), { typ: 'at+jwt' })],
    ['without the event', () => signed(idp, without(logout(), 'events'))],
    ['with another event', () => signed(idp, { ...logout(), events: { 'https://other': {} } })],
    ['with an event that is no object', () => signed(idp, { ...logout(), events: { [LOGOUT]: true } })],
    ['without an id', () => signed(idp, without(logout(), 'jti'))],
    ['that names nobody', () => signed(idp, without(logout(), 'sub', 'sid'))],
    ['of another issuer', () => signed(idp, { ...logout(), iss: 'https://login.example' })],
    ['for another client', () => signed(idp, { ...logout(), aud: 'other' })],
    ['that has expired', () => signed(idp, { ...logout(), exp: nowS() - 62 })],
    ['that is old', () => signed(idp, { ...without(logout(), 'exp'), iat: nowS() - 400 })],
    ['without a time', () => signed(idp, without(logout(), 'iat'))],
    ['without a signature', () => unsigned(logout())],
    ['signed with the public key as a secret', () => signedWithSecret(logout(), idp.publicPem)],
    ['of an unknown key', () => signed(idp, logout(), { kid: 'unknown' })],
    ['signed with an algorithm that is not set', () => signed(idp, logout(), { alg: 'RS512' })],
    ['that is none', () => 'nonsense'],
    ['that is empty', () => ''],
    ['that is endless', () => 'x'.repeat(100_000)],
  ];
  it.each(BAD)('%s ends nothing', async (_what, make) => {
    const session = await newSession();
    const response = await send(await make());
    expect([response.status, (await response.json()) as object]).toMatchObject([400, { code: 'BAD_REQUEST' }]);
    expect(await isAccepted(world, session)).toBe(true);
  });

  it('ends nothing at another connection or tenant', async () => {
    const session = await newSession();
    const path = new URL(connection.oidc.backchannelLogoutUri).pathname;
    const body = () => new URLSearchParams({ logout_token: '' });
    expect((await send(await signed(idp, logout()), other)).status).toBe(400);
    const foreign = path.replace(world.acme.id, world.initech.id);
    expect((await world.fetch(null, foreign, { method: 'POST', body: body() })).status).toBe(400);
    const token = await signed(idp, logout());
    const sent = new URLSearchParams({ logout_token: token });
    expect((await world.fetch(null, foreign, { method: 'POST', body: sent })).status).toBe(401);
    const json = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
    expect((await world.fetch(null, path, json)).status).toBe(415);
    expect(await isAccepted(world, session)).toBe(true);
  });
});

function without(claims: JWTPayload, ...names: string[]): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)));
}

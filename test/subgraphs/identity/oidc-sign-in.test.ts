import { beforeAll, describe, expect, it } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import {
  activate,
  ALL,
  makeConnection,
  mutate,
  ownDomain,
  refusals,
  type ShownConnection,
} from './connection-world.ts';
import { addUser, ask, isAccepted, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';
import { openBrowser, openIdp, type Browser, type TestIdp } from './oidc-idp.ts';

const PUBLIC_URL = 'http://tenon.test';
let world: IdentityPlatform;
let idp: TestIdp;
let connection: ShownConnection;
let second: ShownConnection;

beforeAll(async () => {
  world = await openIdentity();
  idp = await openIdp({ publicUrl: PUBLIC_URL, ownServer: world.url });
  await ownDomain(world, world.acme, 'acme.example');
  idp.setClients([]);
  connection = await makeConnection(world.acme, {
    name: 'Main',
    issuer: idp.issuer,
    clientId: 'tenon',
    clientSecret: 'a secret of the client',
    scopes: ['openid', 'email', 'profile', 'groups'],
    groupsAttribute: 'groups',
    jit: true,
    defaultRoleId: await roleId('member'),
  });
  second = await makeConnection(world.acme, {
    name: 'Second',
    issuer: idp.issuer,
    clientId: 'tenon-second',
    clientSecret: 'another secret of it',
  });
  idp.setClients([
    clientOf(connection, 'tenon', 'a secret of the client'),
    clientOf(second, 'tenon-second', 'another secret of it'),
  ]);
  await activate(world.acme, connection.id);
  await activate(world.acme, second.id);
});

const clientOf = ({ oidc }: ShownConnection, client_id: string, client_secret: string) => ({
  client_id,
  client_secret,
  redirect_uris: [oidc.redirectUri],
  backchannel_logout_uri: oidc.backchannelLogoutUri,
  backchannel_logout_session_required: true,
});

async function roleId(name: string): Promise<string> {
  const { data } = await ask(world.acme.request(ALL), '{ roles { id name } }');
  return (data as { roles: { id: string; name: string }[] }).roles.find((role) => role.name === name)?.id ?? '';
}

function person(login: string, claims: object = {}): void {
  const email = `${login}@acme.example`;
  idp.accounts.set(login, { email, email_verified: true, name: `${login} Somebody`, ...claims });
}

const newBrowser = () => openBrowser({ publicUrl: PUBLIC_URL, ownServer: world.url });

/** Goes to the identity provider and back to the address of the return, which is not opened yet. */
async function comeBack(browser: Browser, login: string, from = connection): Promise<string> {
  return browser.goOn(from.oidc.initiateLoginUri, { login, until: from.oidc.redirectUri });
}

interface SignedIn {
  readonly token: string;
  readonly user: { readonly id: string };
}

async function signIn(login: string, browser = newBrowser(), from = connection): Promise<SignedIn> {
  const response = await browser.fetch(await comeBack(browser, login, from));
  expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store']);
  return (await response.json()) as SignedIn;
}

async function groupsOf(userId: string): Promise<string[]> {
  const { data } = await ask(world.acme.request(ALL), 'query ($id: ID!) { user(id: $id) { groups { displayName } } }', {
    id: userId,
  });
  return (data as { user: { groups: { displayName: string }[] } }).user.groups.map(({ displayName }) => displayName);
}

describe('whoever signs in over OpenID Connect', () => {
  it('comes in as the person of her verified address, and next time by her subject', async () => {
    person('grace');
    const userId = await addUser(world.acme, 'grace@acme.example');
    const first = await signIn('grace');
    expect(first.user.id).toBe(userId);
    expect(await isAccepted(world, first.token)).toBe(true);
    const events = (await world.acme.events()).slice(-2);
    expect(events.map(({ action }) => action)).toEqual(['identity.link', 'session.create']);
    expect(events.at(-1)).toMatchObject({
      actor: { type: 'user', id: userId },
      context: { method: 'oidc', connection: connection.id },
    });
    person('grace', { email: 'married@acme.example' });
    expect((await signIn('grace')).user.id).toBe(userId);
  });

  it('becomes a person with the default role and her groups where the connection makes people', async () => {
    person('newcomer', { groups: ['Engineers', 'Everyone'] });
    const { user, token } = await signIn('newcomer');
    const { data } = await ask(
      world.acme.request(ALL),
      'query ($id: ID!) { user(id: $id) { userName displayName email roles { name } } }',
      { id: user.id },
    );
    expect(data).toEqual({
      user: {
        userName: 'newcomer@acme.example',
        displayName: 'newcomer Somebody',
        email: 'newcomer@acme.example',
        roles: [{ name: 'member' }],
      },
    });
    expect(await groupsOf(user.id)).toEqual(['Engineers', 'Everyone']);
    expect(await isAccepted(world, token)).toBe(true);
  });

  it('becomes one person, in however many browsers she comes for the first time at once', async () => {
    person('eager', { groups: ['Engineers'] });
    const browsers = Array.from({ length: 4 }, newBrowser);
    const urls: string[] = [];
    for (const browser of browsers) urls.push(await comeBack(browser, 'eager'));
    const answers = await Promise.all(browsers.map((browser, index) => browser.fetch(urls[index] ?? '')));
    const ids = await Promise.all(answers.map(async (answer) => ((await answer.json()) as SignedIn).user.id));
    expect([new Set(answers.map(({ status }) => status)), new Set(ids).size]).toEqual([new Set([200]), 1]);
  });

  it('is in the groups of her last sign-in, while groups of SCIM stay as SCIM has them', async () => {
    const scimGroup = await world.acme.scim('POST', '/Groups', {
      schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'],
      displayName: 'Provisioned',
    });
    person('mover', { groups: ['Red', 'Blue', 'Provisioned'] });
    const { user } = await signIn('mover');
    expect(await groupsOf(user.id)).toEqual(['Blue', 'Red']);
    expect((await world.acme.events()).findLast(({ action }) => action === 'user.sync_groups')).toMatchObject({
      context: { groups_left_alone: ['Provisioned'] },
    });
    await world.acme.scim(
      'PATCH',
      `/Groups/${scimGroup.body.id}`,
      patch({ op: 'add', path: 'members', value: [{ value: user.id }] }),
    );
    person('mover', { groups: ['Green', 'Red'] });
    await signIn('mover');
    expect(await groupsOf(user.id)).toEqual(['Green', 'Provisioned', 'Red']);
    person('mover', { groups: [] });
    await signIn('mover');
    expect(await groupsOf(user.id)).toEqual(['Provisioned']);
  });

  it('is refused where the connection makes nobody, and is not told why', async () => {
    person('stranger');
    const browser = newBrowser();
    const response = await browser.fetch(await comeBack(browser, 'stranger', second));
    expect([response.status, await response.text()]).toEqual([
      401,
      expect.not.stringMatching(/stranger|person|unknown_/),
    ]);
    expect((await refusals(world.acme)).at(-1)).toBe('unknown_person');
  });

  it.each([
    ['unverified', { email_verified: false }, 'unverified_email'],
    ['silent', { email_verified: undefined }, 'unverified_email'],
    ['nameless', { email: undefined }, 'no_email'],
    ['foreign', { email: 'foreign@elsewhere.example' }, 'foreign_domain'],
    ['tricky', { email: 'tricky@acme.example@elsewhere.example' }, 'invalid_assertion'],
  ])('is refused with an address that is %s', async (login, claims, reason) => {
    person(login, claims);
    const browser = newBrowser();
    expect((await browser.fetch(await comeBack(browser, login))).status).toBe(401);
    expect((await refusals(world.acme)).at(-1)).toBe(reason);
  });

  it('stays out after SCIM has put her out, whether she was known by address or by subject', async () => {
    person('leaver');
    const { user, token } = await signIn('leaver');
    await world.acme.scim('PATCH', `/Users/${user.id}`, patch({ op: 'replace', path: 'active', value: false }));
    expect(await isAccepted(world, token)).toBe(false);
    await addUser(world.acme, 'gone@acme.example', { active: false });
    person('gone');
    for (const login of ['leaver', 'gone']) {
      const browser = newBrowser();
      expect((await browser.fetch(await comeBack(browser, login))).status).toBe(401);
      expect((await refusals(world.acme)).at(-1)).toBe('inactive_person');
    }
    const rows = await world.peek<{ active: boolean }>(
      'eu-1',
      `select active from users where user_name in ('leaver@acme.example', 'gone@acme.example')`,
    );
    expect(rows).toEqual([{ active: false }, { active: false }]);
  });

  it('does not get the account of somebody whose address went to her', async () => {
    person('reused');
    await signIn('reused');
    person('reused-2', { email: 'reused@acme.example' });
    const browser = newBrowser();
    expect((await browser.fetch(await comeBack(browser, 'reused-2'))).status).toBe(401);
    expect((await refusals(world.acme)).at(-1)).toBe('other_subject');
  });

  it('comes in once the link with her old account there is removed', async () => {
    person('anew');
    const { user } = await signIn('anew');
    await mutate(
      world.acme,
      'removeIdentityLink',
      'RemoveIdentityLinkInput',
      { userId: user.id, connectionId: connection.id },
      'userId',
    );
    person('anew-2', { email: 'anew@acme.example' });
    expect((await signIn('anew-2')).user.id).toBe(user.id);
  });

  it('comes in after the identity provider has changed its keys', async () => {
    person('rotated');
    await signIn('rotated');
    const before = idp.keyRequests();
    await signIn('rotated');
    expect(idp.keyRequests()).toBe(before);
    await idp.rotateKeys();
    await signIn('rotated');
    expect(idp.keyRequests()).toBe(before + 1);
  });

  it('comes back with what the app waits for', async () => {
    person('app');
    const start = `${connection.oidc.initiateLoginUri}?redirect_uri=https://evil.example/&code_challenge=${'a'.repeat(43)}`;
    expect((await newBrowser().fetch(start)).status).toBe(400);
  });
});

describe('the way back', () => {
  it('is taken once', async () => {
    person('twice');
    const browser = newBrowser();
    const url = await comeBack(browser, 'twice');
    expect((await browser.fetch(url)).status).toBe(200);
    expect((await browser.fetch(url)).status).toBe(401);
    expect((await refusals(world.acme)).at(-1)).toBe('unknown_flow');
  });

  it('is taken once of several at the same moment', async () => {
    person('racer');
    const browser = newBrowser();
    const url = await comeBack(browser, 'racer');
    const answers = await Promise.all(Array.from({ length: 5 }, () => browser.fetch(url)));
    expect(answers.map(({ status }) => status).filter((status) => status !== 401)).toEqual([200]);
  });

  it('is not taken from another browser, and is still open to the right one', async () => {
    person('lured');
    const browser = newBrowser();
    const url = await comeBack(browser, 'lured');
    expect((await newBrowser().fetch(url)).status).toBe(401);
    expect((await browser.fetch(url)).status).toBe(200);
  });

  it('is not taken with another state, nor at another connection or tenant, nor late', async () => {
    person('misled');
    const browser = newBrowser();
    const url = new URL(await comeBack(browser, 'misled'));
    const state = url.searchParams.get('state') ?? '';
    const withState = (value: string) => {
      const changed = new URL(url);
      changed.searchParams.set('state', value);
      return changed.href;
    };
    const wrong = [
      withState(state.replace(/.{43}$/, 'A'.repeat(43))),
      withState(''),
      withState("'"),
      withState(state.replace(world.acme.id.slice(4), world.initech.id.slice(4))),
      url.href.replace(connection.id, second.id),
      url.href.replace(world.acme.id, world.initech.id),
      url.href.replace(world.acme.id, world.globex.id),
      url.href.replace(world.acme.id, 'tnt_00000000000000000000000000'),
      url.href.replace(connection.id, 'con_00000000000000000000000000'),
      url.href.replace(connection.id, 'nonsense'),
    ];
    for (const each of wrong) expect([each, (await browser.fetch(each)).status]).toEqual([each, 401]);
    world.setNow(new Date(Date.now() + 10 * 60_000 + 1));
    try {
      expect((await browser.fetch(url.href)).status).toBe(401);
    } finally {
      world.setNow(new Date());
    }
  });

  it('is closed while the connection is disabled, also to whoever is on her way', async () => {
    person('late');
    const browser = newBrowser();
    const url = await comeBack(browser, 'late', second);
    const input = { connectionId: second.id };
    await mutate(world.acme, 'disableIdentityConnection', 'IdentityConnectionInput', input, 'connection { state }');
    expect((await browser.fetch(url)).status).toBe(401);
    expect((await newBrowser().fetch(second.oidc.initiateLoginUri)).status).toBe(401);
    await activate(world.acme, second.id);
  });

  it('says little when she cancels at the identity provider', async () => {
    const browser = newBrowser();
    const start = await browser.fetch(connection.oidc.initiateLoginUri);
    const state = new URL(start.headers.get('location') ?? '').searchParams.get('state') ?? '';
    const url = `${connection.oidc.redirectUri}?error=access_denied&error_description=<script>&state=${state}&iss=${encodeURIComponent(idp.issuer)}`;
    const response = await browser.fetch(url);
    expect([response.status, await response.text()]).toEqual([401, expect.not.stringContaining('script')]);
    expect((await refusals(world.acme)).at(-1)).toBe('provider_refused');
  });
});

describe('the request that leaves', () => {
  it('carries PKCE, state and nonce, her address, and a cookie that scripts cannot read', async () => {
    const response = await newBrowser().fetch(`${connection.oidc.initiateLoginUri}?login_hint=grace@acme.example`);
    const { origin, searchParams } = new URL(response.headers.get('location') ?? '');
    expect([response.status, origin]).toEqual([302, idp.issuer]);
    expect(Object.fromEntries(searchParams)).toEqual({
      client_id: 'tenon',
      response_type: 'code',
      redirect_uri: connection.oidc.redirectUri,
      scope: 'openid email profile groups',
      state: expect.stringMatching(/^tnf_/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: 'S256',
      login_hint: 'grace@acme.example',
    });
    expect(response.headers.get('set-cookie')).toMatch(/; Path=\/sso\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
  });

  it('leaves nothing readable behind in the database', async () => {
    await newBrowser().fetch(connection.oidc.initiateLoginUri);
    const rows = await world.peek<Record<string, unknown>>(
      'eu-1',
      'select * from sign_in_flows order by id desc limit 1',
    );
    expect(JSON.stringify(rows)).not.toMatch(/nonce|codeVerifier/);
    const [stored] = await world.peek<{ secret: string }>(
      'eu-1',
      'select secret from identity_connections where id = $1',
      [uuidOf('con', connection.id)],
    );
    expect(stored?.secret).toMatch(/^v1\./);
    expect(JSON.stringify(await world.acme.events())).not.toContain('a secret of the client');
  });
});

describe('a logout at the identity provider', () => {
  const logOut = async (browser: Browser) => {
    const response = await browser.fetch(`${idp.issuer}/session/end`);
    const html = await response.text();
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const action = /<form[^>]* action="([^"]+)"/.exec(html)?.[1] ?? '';
    const answer = await browser.fetch(new URL(action, idp.issuer).href, {
      method: 'POST',
      body: new URLSearchParams({ xsrf, logout: 'yes' }),
    });
    expect([302, 303]).toContain(answer.status);
  };

  it('ends the session of that browser and no other', async () => {
    person('two-browsers');
    person('bystander');
    const [one, two] = [newBrowser(), newBrowser()];
    const [first, other, bystander] = [
      await signIn('two-browsers', one),
      await signIn('two-browsers', two),
      await signIn('bystander'),
    ];
    await logOut(one);
    expect(await isAccepted(world, first.token)).toBe(false);
    expect([await isAccepted(world, other.token), await isAccepted(world, bystander.token)]).toEqual([true, true]);
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'session.end',
      context: { cause: 'back_channel_logout', connection: connection.id },
    });
  });
});

import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { openHouse, type House } from '../support/house.ts';

const HOUSES = ['local', 'remote'] as const;
const APP = 'https://app.example.com/signed-in';
const VERIFIER = 'v'.repeat(43);
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');

describe.each(HOUSES)('with %s subgraphs, an access token', (mode) => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse({ mode, env: { TENON_REDIRECT_URIS: APP } });
  });

  const tokens = async (form: Record<string, string>) => {
    const response = await house.fetch(null, '/sso/token', { method: 'POST', body: new URLSearchParams(form) });
    return (await response.json()) as { access_token: string; refresh_token: string };
  };
  const statusOf = async (token: string) => (await house.graphql(token, '{ viewer { scopes } }')).status;

  it('acts as the session, with its rights and no others', async () => {
    const { access_token: token } = await tokens({ grant_type: 'session', session_token: house.acme.member });
    const asks = '{ viewer { scopes user { id } sessions { current } } tenant { id } }';
    const [byToken, bySession] = [await house.graphql(token, asks), await house.graphql(house.acme.member, asks)];
    expect([byToken.status, byToken.data]).toEqual([200, bySession.data]);
    expect((await house.graphql(token, '{ auditLog { size } }')).status).toBe(403);
  });

  it('is refused at the very next request once its session has ended, as often as it was used before', async () => {
    const { access_token: token } = await tokens({ grant_type: 'session', session_token: house.acme.member });
    for (let round = 0; round < 5; round++) expect(await statusOf(token)).toBe(200);
    await house.graphql(token, 'mutation { signOut { signedOut } }');
    expect([await statusOf(token), await statusOf(house.acme.member)]).toEqual([401, 401]);
  });

  it('is refused at the very next request once a refresh token of its session was used twice', async () => {
    const first = await tokens({ grant_type: 'session', session_token: house.acme.auditor });
    const second = await tokens({ grant_type: 'refresh_token', refresh_token: first.refresh_token });
    expect([await statusOf(first.access_token), await statusOf(second.access_token)]).toEqual([200, 200]);
    await tokens({ grant_type: 'refresh_token', refresh_token: first.refresh_token });
    await expect.poll(() => statusOf(second.access_token), { timeout: 1000 }).toBe(401);
    expect(await statusOf(house.acme.auditor)).toBe(401);
  });

  it('comes of a link that a browser follows on behalf of an app, by a code and the app’s verifier', async () => {
    const { data } = await house.graphql(house.acme.admin, '{ users(first: 100) { edges { node { id userName } } } }');
    const people = (data as unknown as { users: { edges: { node: { id: string; userName: string } }[] } }).users.edges;
    const userId = people.find(({ node }) => node.userName.startsWith('mia'))?.node.id;
    const link = await house.graphql(
      house.acme.admin,
      'mutation ($input: UserInput!) { createSignInLink(input: $input) { url } }',
      { input: { userId } },
    );
    // She holds less than the administrator, who may therefore make the link.
    const url = new URL((link.data as unknown as { createSignInLink: { url: string } }).createSignInLink.url);
    url.searchParams.set('redirect_uri', APP);
    url.searchParams.set('state', '"><b>');
    url.searchParams.set('code_challenge', CHALLENGE);
    const shown = await house.fetch(null, `${url.pathname}${url.search}`);
    expect(shown.headers.get('content-security-policy')).toContain("form-action 'self' https://app.example.com;");
    const fields = [...(await shown.text()).matchAll(/name="(\w+)" value="([^"]*)"/g)].map(
      ([, name = '', value = '']) => [
        name,
        value.replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCodePoint(Number(code))),
      ],
    );
    const sent = await house.fetch(null, '/sso/link', {
      method: 'POST',
      body: new URLSearchParams(fields),
      redirect: 'manual',
    });
    const location = new URL(sent.headers.get('location') ?? '');
    expect([sent.status, location.origin + location.pathname, location.searchParams.get('state')]).toEqual([
      302,
      APP,
      '"><b>',
    ]);
    const { access_token: token } = await tokens({
      grant_type: 'authorization_code',
      code: location.searchParams.get('code') ?? '',
      redirect_uri: APP,
      code_verifier: VERIFIER,
    });
    const answer = await house.graphql(token, '{ viewer { user { id } } }');
    expect(answer.data).toEqual({ viewer: { user: { id: userId } } });
  });

  it('is promised to no app that the settings do not name', async () => {
    const query = new URLSearchParams({
      email: 'mia@acme.example',
      redirect_uri: 'https://evil.example/',
      code_challenge: CHALLENGE,
    });
    expect((await house.fetch(null, `/sso?${query.toString()}`, { redirect: 'manual' })).status).toBe(400);
  });

  it('of a changed tenant or form is nobody', async () => {
    const { access_token: token } = await tokens({ grant_type: 'session', session_token: house.acme.admin });
    for (const text of [`${token}x`, token.slice(0, -8), token.replace(/\.[\w-]+\./, '.e30.')])
      expect(await statusOf(text)).toBe(401);
    expect(await statusOf(token)).toBe(200);
  });
});

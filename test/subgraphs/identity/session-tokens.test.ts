import { createHash, randomBytes } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT, generateKeyPair } from 'jose';
import { beforeAll, describe, expect, it, afterEach } from 'vitest';
import { inTenant } from '#kit/database.ts';
import { accessTokenKeys, signAccessToken, verifyAccessToken } from '#kit/session-jwt.ts';
import { mintId, type Id } from '#schema/ids.ts';
import type { ContextKey } from '#schema/tenant-context.ts';
import { anonymousContext, openSession, signedInResponse } from '../../../subgraphs/identity/sessions/session.ts';
import { readContinuation, type Continuation } from '../../../subgraphs/identity/sessions/continuation.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { addUser, ask, isAccepted, openIdentity, type IdentityPlatform } from './identity-platform.ts';

let world: IdentityPlatform;
let userId: Id<'usr'>;
beforeAll(async () => {
  world = await openIdentity();
  userId = (await addUser(world.acme, 'tess')) as Id<'usr'>;
});
afterEach(() => world.setNow(new Date()));

const APP = 'https://app.example.com/signed-in?tab=1';
const VERIFIER = randomBytes(32).toString('base64url');
const CHALLENGE = createHash('sha256').update(VERIFIER).digest('base64url');
const CONTINUATION: Continuation = { redirectUri: APP, state: 'x y&z', codeChallenge: CHALLENGE };

const origin = () => ({ requestId: mintId('req'), ip: '203.0.113.9', ua: 'browser/1' });

async function signIn(continuation: Continuation | null = null) {
  const ctx = await anonymousContext(world.platform, world.acme.id, origin());
  return inTenant(ctx, (tx) =>
    openSession(tx, ctx, {
      userId,
      method: 'sign_in_link',
      amr: ['mfa'],
      identityProvider: null,
      context: {},
      continuation,
    }),
  );
}

interface TokenAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, string> & { readonly expires_in?: number };
}

async function token(form: Record<string, string>): Promise<TokenAnswer> {
  const response = await world.fetch(null, '/sso/token', { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, headers: response.headers, body: (await response.json()) as TokenAnswer['body'] };
}

const refresh = (refreshToken = '') => token({ grant_type: 'refresh_token', refresh_token: refreshToken });
const exchange = (code: string, change: Record<string, string> = {}) =>
  token({ grant_type: 'authorization_code', code, redirect_uri: APP, code_verifier: VERIFIER, ...change });
const refused = ({ status, body }: TokenAnswer) => [status, body['error']];

async function codeOfSignIn(): Promise<{ code: string; session: string }> {
  const opened = await signIn(CONTINUATION);
  const { headers } = signedInResponse(opened);
  return { code: new URL(headers?.['location'] ?? '').searchParams.get('code') ?? '', session: opened.token };
}

async function pairOfSession() {
  const opened = await signIn();
  const { body } = await token({ grant_type: 'session', session_token: opened.token });
  return { opened, access: body['access_token'] ?? '', refresh: body['refresh_token'] ?? '' };
}

describe('tokens for a session', () => {
  it('are an access token of five minutes that acts as the person, and a refresh token', async () => {
    const opened = await signIn();
    const { status, headers, body } = await token({ grant_type: 'session', session_token: opened.token });
    expect([status, headers.get('cache-control'), body['token_type'], body.expires_in]).toEqual([
      200,
      'no-store',
      'Bearer',
      300,
    ]);
    expect(await isAccepted(world, body['access_token'] ?? '')).toBe(true);
    expect(decodeJwt(body['access_token'] ?? '')).toMatchObject({
      iss: 'http://tenon.test',
      sub: userId,
      sid: opened.id,
      tid: world.acme.id,
      uep: 1,
      tep: 1,
      jti: expect.any(String),
    });
    expect(Object.keys(decodeJwt(body['access_token'] ?? ''))).not.toContain('scope');
    expect(JSON.stringify(await world.peek('eu-1', 'select * from refresh_tokens'))).not.toContain(
      (body['refresh_token'] ?? '').slice(-43),
    );
  });

  it('verify with the published keys, by whoever reads them', async () => {
    const { access } = await pairOfSession();
    const response = await world.fetch(null, '/.well-known/jwks.json');
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/jwk-set+json']);
    const set = (await response.json()) as { keys: Record<string, string>[] };
    expect(set.keys.every((key) => key['d'] === undefined && ['Ed25519', 'P-256'].includes(key['crv'] ?? ''))).toBe(
      true,
    );
    const verified = await jwtVerify(access, createLocalJWKSet(set as never), { typ: 'at+jwt' });
    expect(verified.payload.sub).toBe(userId);
    expect(decodeProtectedHeader(access).kid).toBe(set.keys[0]?.['kid']);
  });

  it('are not handed out for an access token, an API key or another text', async () => {
    const { access } = await pairOfSession();
    const key = await world.acme.issue({ kind: 'api_key', userId: null, client: 'partner', scopes: ['projects:read'] });
    for (const text of [access, key, 'tnu_no', world.acme.scimToken])
      expect(refused(await token({ grant_type: 'session', session_token: text }))).toEqual([400, 'invalid_grant']);
  });

  it('end with the session, at once', async () => {
    const { access, refresh: refreshToken, opened } = await pairOfSession();
    const ctx = world.acme.request(['users:write']);
    const mutation = 'mutation ($id: ID!) { revokeSession(input: { sessionId: $id }) { revoked } }';
    const first = await ask(ctx, mutation, { id: opened.id });
    const again = await ask(ctx, mutation, { id: opened.id });
    expect([first.data, again.data]).toEqual([
      { revokeSession: { revoked: true } },
      { revokeSession: { revoked: false } },
    ]);
    expect([await isAccepted(world, access), await isAccepted(world, opened.token)]).toEqual([false, false]);
    expect(refused(await refresh(refreshToken))).toEqual([400, 'invalid_grant']);
    const events = (await world.acme.events()).filter(({ action }) => action === 'session.revoke');
    expect(events).toMatchObject([{ resource: { type: 'session', id: opened.id }, context: { user: userId } }]);
  });
});

describe('an access token', () => {
  it('is over after its time, and never outlives its session', async () => {
    const { access, opened } = await pairOfSession();
    world.setNow(new Date(Date.now() + 301_000));
    expect(await isAccepted(world, access)).toBe(false);
    world.setNow(new Date(opened.expiresAt.getTime() - 10_000));
    const late = await token({ grant_type: 'session', session_token: opened.token });
    expect(late.body.expires_in).toBeLessThanOrEqual(10);
  });

  it.each(['user', 'tenant'] as const)('counts in the epoch of the %s that it was signed in alone', async (whose) => {
    const { access, opened } = await pairOfSession();
    expect(await isAccepted(world, access)).toBe(true);
    const claims = decodeJwt(access) as { uep: number; tep: number };
    const forgedEpoch = await signAccessToken(
      CONTEXT_KEYS,
      {
        tenant: world.acme.id,
        user: userId,
        session: opened.id,
        userEpoch: claims.uep + (whose === 'user' ? 1 : 0),
        tenantEpoch: claims.tep + (whose === 'tenant' ? 1 : 0),
      },
      { issuer: 'http://tenon.test', now: new Date(), expiresAt: opened.expiresAt },
    );
    expect(await isAccepted(world, forgedEpoch.token)).toBe(false);
  });

  it('of one person does not open the session of another', async () => {
    const { opened } = await pairOfSession();
    const { token: crossed } = await signAccessToken(
      CONTEXT_KEYS,
      { tenant: world.acme.id, user: world.acme.adminId, session: opened.id, userEpoch: 1, tenantEpoch: 1 },
      { issuer: 'http://tenon.test', now: new Date(), expiresAt: opened.expiresAt },
    );
    expect(await isAccepted(world, crossed)).toBe(false);
  });

  it('is worth nothing unsigned, signed by another key, of another type, or changed', async () => {
    const { access } = await pairOfSession();
    const payload = decodeJwt(access);
    const { kid = '' } = decodeProtectedHeader(access);
    const { privateKey } = await generateKeyPair('EdDSA');
    const signed = (header: object, key = privateKey) =>
      new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', kid, ...header }).sign(key);
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const [head = '', body = '', mac = ''] = access.split('.');
    const hostile = [
      await signed({ typ: 'at+jwt' }),
      await signed({ typ: 'JWT' }),
      `${part({ alg: 'none', typ: 'at+jwt', kid })}.${body}.`,
      `${part({ alg: 'HS256', typ: 'at+jwt', kid })}.${body}.${mac}`,
      `${head}.${part({ ...payload, sub: world.acme.adminId })}.${mac}`,
      `${part({ alg: 'EdDSA', typ: 'at+jwt', kid: 'unknown' })}.${body}.${mac}`,
      `${head}.${body}.${mac.slice(0, -4)}AAAA`,
      'eyJ..',
      'eyJhbGciOiJFZERTQSJ9.e30.AA',
    ];
    for (const text of hostile)
      expect([text.slice(0, 40), await isAccepted(world, text)]).toEqual([text.slice(0, 40), false]);
  });

  it('verifies by a key that no longer signs, and not by one that is gone', async () => {
    const newer: ContextKey = { kid: 'newer', secret: randomBytes(32) };
    const both = { signing: newer, all: [newer, ...CONTEXT_KEYS.all] };
    const { access } = await pairOfSession();
    expect(await verifyAccessToken(both, access, new Date())).toMatchObject({ user: userId });
    await expect(verifyAccessToken({ signing: newer, all: [newer] }, access, new Date())).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(accessTokenKeys(both).keys).toHaveLength(1 + CONTEXT_KEYS.all.length);
  });
});

describe('a refresh token', () => {
  it('is good once; the next one goes on', async () => {
    const first = await pairOfSession();
    const second = await refresh(first.refresh);
    expect([second.status, second.body['refresh_token'] === first.refresh]).toEqual([200, false]);
    expect(await isAccepted(world, second.body['access_token'] ?? '')).toBe(true);
    const third = await refresh(second.body['refresh_token']);
    expect(third.status).toBe(200);
  });

  it('that is used a second time ends the session and all that was handed out for it, with one event', async () => {
    const { opened, access, refresh: stolen } = await pairOfSession();
    const { body: next } = await refresh(stolen);
    expect(refused(await refresh(stolen))).toEqual([400, 'invalid_grant']);
    expect(refused(await refresh(stolen))).toEqual([400, 'invalid_grant']);
    expect(refused(await refresh(next['refresh_token']))).toEqual([400, 'invalid_grant']);
    for (const dead of [access, next['access_token'] ?? '', opened.token])
      expect(await isAccepted(world, dead)).toBe(false);
    const ended = (await world.acme.events()).filter(
      ({ action, resource }) => action === 'session.end' && resource.id === opened.id,
    );
    expect(ended).toMatchObject([{ context: { cause: 'refresh_reuse' }, session_id: opened.id }]);
  });

  it('that is used twice at the same moment is handed on at most once', async () => {
    const { refresh: shared } = await pairOfSession();
    const answers = await Promise.all([refresh(shared), refresh(shared), refresh(shared)]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  it('is no bearer token, and of another tenant or secret is nothing', async () => {
    const { refresh: real } = await pairOfSession();
    expect((await world.fetch(real, '/scim/v2/Users')).status).toBe(401);
    const changed = [
      real.replace(world.acme.id.slice(4), world.initech.id.slice(4)),
      real.replace(world.acme.id.slice(4), world.globex.id.slice(4)),
      `${real.slice(0, -43)}${randomBytes(32).toString('base64url')}`,
      `tnc_${real.slice(4)}`,
    ];
    for (const text of changed) expect(refused(await refresh(text))).toEqual([400, 'invalid_grant']);
    expect((await refresh(real)).status).toBe(200);
  });

  it('ends with the person', async () => {
    const leaver = (await addUser(world.acme, `leaver-${Date.now()}`)) as Id<'usr'>;
    const session = await world.acme.issue({ kind: 'session', userId: leaver });
    const { body } = await token({ grant_type: 'session', session_token: session });
    await ask(
      world.acme.request(['users:write']),
      'mutation ($id: ID!) { deactivateUser(input: { userId: $id }) { user { id } } }',
      { id: leaver },
    );
    await ask(
      world.acme.request(['users:write']),
      'mutation ($id: ID!) { reactivateUser(input: { userId: $id }) { user { id } } }',
      { id: leaver },
    );
    expect(refused(await refresh(body['refresh_token']))).toEqual([400, 'invalid_grant']);
    expect(await isAccepted(world, body['access_token'] ?? '')).toBe(false);
  });
});

describe('a sign-in that an app waits for', () => {
  it('sends the browser there with a code and the state, without the token', async () => {
    const opened = await signIn(CONTINUATION);
    const { status, headers, body } = signedInResponse(opened);
    const address = new URL(headers?.['location'] ?? '');
    expect([status, address.origin, address.searchParams.get('tab'), address.searchParams.get('state')]).toEqual([
      302,
      'https://app.example.com',
      '1',
      'x y&z',
    ]);
    expect([address.href.includes(opened.token), body]).toEqual([false, undefined]);
    const { body: pair } = await exchange(address.searchParams.get('code') ?? '');
    expect(await isAccepted(world, pair['access_token'] ?? '')).toBe(true);
  });

  it.each<[string, Record<string, string>]>([
    ['another verifier', { code_verifier: randomBytes(32).toString('base64url') }],
    ['another address', { redirect_uri: 'https://app.example.com/signed-in' }],
  ])('refuses its code with %s, which does not use it up', async (_name, change) => {
    const { code } = await codeOfSignIn();
    expect(refused(await exchange(code, change))).toEqual([400, 'invalid_grant']);
    expect((await exchange(code)).status).toBe(200);
  });

  it('takes its code for a minute', async () => {
    const { code } = await codeOfSignIn();
    world.setNow(new Date(Date.now() + 61_000));
    expect(refused(await exchange(code))).toEqual([400, 'invalid_grant']);
  });

  it('takes its code once; a second use ends the session', async () => {
    const { code, session } = await codeOfSignIn();
    const { body } = await exchange(code);
    expect(refused(await exchange(code))).toEqual([400, 'invalid_grant']);
    expect([await isAccepted(world, session), await isAccepted(world, body['access_token'] ?? '')]).toEqual([
      false,
      false,
    ]);
    const events = await world.acme.events();
    expect(events.some(({ action, context }) => action === 'session.end' && context['cause'] === 'code_reuse')).toBe(
      true,
    );
  });
});

describe('the token endpoint', () => {
  it.each<[string, Record<string, string>, string]>([
    ['an unknown grant', { grant_type: 'password', username: 'x' }, 'unsupported_grant_type'],
    ['no grant', {}, 'invalid_request'],
    ['no refresh token', { grant_type: 'refresh_token' }, 'invalid_request'],
    [
      'a verifier that is too short',
      { grant_type: 'authorization_code', code: 'c', redirect_uri: APP, code_verifier: 'short' },
      'invalid_request',
    ],
    [
      'a code of no form',
      { grant_type: 'authorization_code', code: 'c', redirect_uri: APP, code_verifier: VERIFIER },
      'invalid_grant',
    ],
  ])('answers %s as RFC 6749 says', async (_name, form, error) => {
    expect(refused(await token(form))).toEqual([400, error]);
  });

  it('takes each parameter once, and forms alone', async () => {
    const post = (body: string, type: string) =>
      world.fetch(null, '/sso/token', { method: 'POST', headers: { 'content-type': type }, body });
    const twice = await post('grant_type=session&grant_type=session', 'application/x-www-form-urlencoded');
    const json = await post('{"grant_type":"session"}', 'application/json');
    expect([twice.status, ((await twice.json()) as { error: string }).error]).toEqual([400, 'invalid_request']);
    expect([json.status, ((await json.json()) as { error: string }).error]).toEqual([400, 'invalid_request']);
  });
});

describe('where a browser may be sent', () => {
  const config = { redirectUris: [APP] };
  it('is named by the settings, to the letter', () => {
    const query = { redirect_uri: APP, state: 's', code_challenge: CHALLENGE };
    expect(readContinuation(config, query)).toEqual({ redirectUri: APP, state: 's', codeChallenge: CHALLENGE });
    expect(readContinuation(config, { state: 's' })).toBeNull();
  });

  it.each<[string, Record<string, string>]>([
    ['another address', { redirect_uri: `${APP}&x`, code_challenge: CHALLENGE }],
    ['no challenge', { redirect_uri: APP }],
    ['a plain challenge', { redirect_uri: APP, code_challenge: CHALLENGE, code_challenge_method: 'plain' }],
    ['a state without end', { redirect_uri: APP, code_challenge: CHALLENGE, state: 'x'.repeat(1025) }],
  ])('is refused with %s', (_name, query) => {
    expect(() => readContinuation(config, query)).toThrowError(
      expect.objectContaining({ code: 'BAD_REQUEST' }) as Error,
    );
  });
});

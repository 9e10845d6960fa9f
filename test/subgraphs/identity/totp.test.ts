import { Secret } from 'otpauth';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { followSignInLink } from '../../../subgraphs/identity/sign-in/sign-in-link.ts';
import { addUser, ask, codeOf, isAccepted, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';
import {
  asPerson,
  CONFIRM_TOTP,
  done,
  enrolTotp,
  followLink,
  givePasskey,
  giveTotp,
  mailboxOf,
  post,
  requestOptions,
  sendPasskey,
  statusesOf,
  totpCode,
  wrongTotpCode,
  type Mailbox,
  type SignInAnswer,
} from './sign-in-steps.ts';

let world: IdentityPlatform;
let mailbox: Mailbox;
let people = 0;
let now = new Date();

beforeAll(async () => {
  world = await openIdentity();
  mailbox = mailboxOf(world);
});
beforeEach(() => setNow(new Date(1_790_000_000_000 + people * 86_400_000)));

function setNow(time: Date): void {
  now = time;
  world.setNow(time);
}

/** Steps of the clock, in seconds. */
function pass(seconds: number): void {
  setNow(new Date(now.getTime() + seconds * 1000));
}

const FACTORS = '{ viewer { factors { id kind lastUsedAt } recoveryCodesLeft } }';

async function newPerson(): Promise<string> {
  people += 1;
  const email = `phone${people}@acme.example`;
  return addUser(world.acme, email, { emails: [{ value: email, primary: true }] });
}

const enrol = (userId: string) => enrolTotp(asPerson(world.acme, userId));
const codeAt = (secret: string, steps = 0) => totpCode(secret, now, steps);
const notCode = (secret: string) => wrongTotpCode(secret, now);

/** A person with an authenticator application; its first code is used up, so the clock moves on. */
async function holder(): Promise<{ userId: string; secret: string; factorId: string }> {
  const userId = await newPerson();
  const { factor, secret } = await giveTotp(asPerson(world.acme, userId));
  pass(60);
  return { userId, secret, factorId: factor.id };
}

async function half(userId: string): Promise<string> {
  const { status, body } = await followLink(world, world.acme, userId);
  expect([status, body.token]).toEqual([202, undefined]);
  return body.secondFactor?.token ?? '';
}

const totp = (token: string, code: string): Promise<SignInAnswer> => post(world, '/sso/totp', { token, code });
const lastEvents = async (count: number) => (await world.acme.events()).slice(-count);

describe('an authenticator application', () => {
  it('is set up with a seed of 160 bits, shown once and stored sealed', async () => {
    const userId = await newPerson();
    const { factor, uri, secret } = await enrol(userId);
    const read = new URL(uri);
    expect([read.protocol, read.host, decodeURIComponent(read.pathname)]).toEqual([
      'otpauth:',
      'totp',
      `/tenon.local:phone${people}@acme.example`,
    ]);
    expect(Object.fromEntries(read.searchParams)).toEqual({
      issuer: 'tenon.local',
      secret,
      algorithm: 'SHA1',
      digits: '6',
      period: '30',
    });
    expect(Secret.fromBase32(secret).bytes).toHaveLength(20);
    const [row] = await world.peek<{ sealed_seed: string }>(
      'eu-1',
      `select * from sign_in_factors where user_id = (select id from users where email = $1)`,
      [`phone${people}@acme.example`],
    );
    expect(row?.sealed_seed).toMatch(/^v1\./);
    expect(JSON.stringify(row)).not.toContain(secret);
    expect(JSON.stringify(await world.acme.events())).not.toContain(secret);
    expect(factor.id).toMatch(/^fct_/);
  });

  it('counts from its first code on, and brings ten recovery codes and a mail', async () => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    const { factor, secret } = await enrol(userId);
    expect((await followLink(world, world.acme, userId)).status).toBe(200);
    expect(await done(ctx, FACTORS)).toMatchObject({ viewer: { factors: [] } });
    const wrong = await ask(ctx, CONFIRM_TOTP, { input: { factorId: factor.id, code: notCode(secret) } });
    expect(codeOf(wrong)).toBe('UNAUTHENTICATED');
    let codes: readonly string[] = [];
    const mail = await mailbox.after('An authenticator application was added', async () => {
      const data = await done<{ confirmTotp: { recoveryCodes: string[] } }>(ctx, CONFIRM_TOTP, {
        input: { factorId: factor.id, code: codeAt(secret) },
      });
      codes = data.confirmTotp.recoveryCodes;
    });
    expect(mail).toContain(`To: phone${people}@acme.example`);
    expect(new Set(codes).size).toBe(10);
    for (const code of codes) expect(code).toMatch(/^([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}$/);
    expect(await done(ctx, FACTORS)).toMatchObject({
      viewer: { factors: [{ id: factor.id, kind: 'TOTP' }], recoveryCodesLeft: 10 },
    });
    expect((await followLink(world, world.acme, userId)).status).toBe(202);
    expect(codeOf(await ask(ctx, CONFIRM_TOTP, { input: { factorId: factor.id, code: codeAt(secret, 1) } }))).toBe(
      'NOT_FOUND',
    );
  });

  it('gives way to the next one only once that is confirmed', async () => {
    const { userId, secret, factorId } = await holder();
    const next = await enrol(userId);
    expect((await totp(await half(userId), codeAt(secret))).status).toBe(200);
    expect((await totp(await half(userId), codeAt(next.secret))).status).toBe(401);
    await done(asPerson(world.acme, userId), CONFIRM_TOTP, {
      input: { factorId: next.factor.id, code: codeAt(next.secret) },
    });
    pass(60);
    expect((await totp(await half(userId), codeAt(secret))).status).toBe(401);
    expect((await totp(await half(userId), codeAt(next.secret))).status).toBe(200);
    const { viewer } = await done<{ viewer: { factors: { id: string }[] } }>(asPerson(world.acme, userId), FACTORS);
    expect(viewer.factors.map(({ id }) => id)).toEqual([next.factor.id]);
    expect(viewer.factors[0]?.id).not.toBe(factorId);
  });

  it('of another person cannot be confirmed, renamed or removed, nor that of another tenant', async () => {
    const { factor, secret } = await enrol(await newPerson());
    const stranger = asPerson(world.acme, await newPerson());
    const foreign = asPerson(world.initech, world.initech.adminId);
    for (const ctx of [stranger, foreign]) {
      const answers = [
        await ask(ctx, CONFIRM_TOTP, { input: { factorId: factor.id, code: codeAt(secret) } }),
        await ask(ctx, 'mutation ($input: RenameFactorInput!) { renameFactor(input: $input) { factor { id } } }', {
          input: { factorId: factor.id, name: 'mine' },
        }),
        await ask(ctx, 'mutation ($input: FactorInput!) { removeFactor(input: $input) { removedFactorId } }', {
          input: { factorId: factor.id },
        }),
      ];
      expect(answers.map(codeOf)).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND']);
    }
  });

  it('can be renamed and removed by her, and its recovery codes go with it', async () => {
    const { userId, factorId } = await holder();
    const ctx = asPerson(world.acme, userId);
    await done(ctx, 'mutation ($input: RenameFactorInput!) { renameFactor(input: $input) { factor { name } } }', {
      input: { factorId, name: 'old phone' },
    });
    const mail = await mailbox.after('A sign-in factor was removed', () =>
      done(ctx, 'mutation ($input: FactorInput!) { removeFactor(input: $input) { removedFactorId } }', {
        input: { factorId },
      }),
    );
    expect(mail).toContain(`To: phone${people}@acme.example`);
    expect(await done(ctx, FACTORS)).toEqual({ viewer: { factors: [], recoveryCodesLeft: 0 } });
    expect((await followLink(world, world.acme, userId)).status).toBe(200);
    expect((await lastEvents(3)).map(({ action, resource }) => [action, resource.name])).toEqual([
      ['factor.rename', 'old phone'],
      ['factor.remove', 'old phone'],
      ['session.create', null],
    ]);
    expect(codeOf(await ask(ctx, 'mutation { renewRecoveryCodes { recoveryCodes } }'))).toBe('CONFLICT');
  });
});

describe('a one-time code', () => {
  it('completes a sign-in that a link began, and says both in the log', async () => {
    const { userId, secret, factorId } = await holder();
    const { status, body } = await followLink(world, world.acme, userId);
    expect([status, body.secondFactor?.methods]).toEqual([202, ['totp', 'recovery_code']]);
    const token = body.secondFactor?.token ?? '';
    expect(await isAccepted(world, token)).toBe(false);
    const answer = await totp(token, codeAt(secret).replace(/^(...)/, '$1 '));
    expect([answer.status, answer.body.user]).toEqual([200, { id: userId }]);
    expect(await isAccepted(world, answer.body.token ?? '')).toBe(true);
    expect((await lastEvents(1))[0]).toMatchObject({
      action: 'session.create',
      actor: { type: 'user', id: userId },
      context: {
        method: 'totp',
        amr: ['otp', 'mfa'],
        factor: factorId,
        sign_in_link: expect.stringMatching(/^lnk_/),
      },
    });
  });

  it('is taken a step early and a step late, not two', async () => {
    const { userId, secret } = await holder();
    const statuses = [];
    for (const steps of [-2, 2, -1, 0, 1])
      statuses.push((await totp(await half(userId), codeAt(secret, steps))).status);
    expect(statuses).toEqual([401, 401, 200, 200, 200]);
  });

  it('is taken once, also at the same moment in several sign-ins, and none before it afterwards', async () => {
    const { userId, secret } = await holder();
    const tokens = [await half(userId), await half(userId), await half(userId)];
    const code = codeAt(secret);
    const answers = await Promise.all(tokens.map((token) => totp(token, code)));
    expect(statusesOf(answers)).toEqual([200, 401, 401]);
    expect((await totp(await half(userId), codeAt(secret, -1))).status).toBe(401);
    expect((await lastEvents(1))[0]?.context['reason']).toBe('code_used');
  });

  it('that was right for the setup is not taken again for a sign-in', async () => {
    const userId = await newPerson();
    const { factor, secret } = await enrol(userId);
    const code = codeAt(secret);
    await done(asPerson(world.acme, userId), CONFIRM_TOTP, { input: { factorId: factor.id, code } });
    expect((await totp(await half(userId), code)).status).toBe(401);
  });

  it('of her does nothing in the sign-in of another', async () => {
    const [first, second] = [await holder(), await holder()];
    expect((await totp(await half(first.userId), codeAt(second.secret))).status).toBe(401);
  });

  it.each(['', 'abcdef', '12345', '1234567', '12345６', '-12345', '1e5000', ' '])(
    'of the form %j is none',
    async (code) => {
      const { userId } = await holder();
      expect([400, 401]).toContain((await totp(await half(userId), code)).status);
    },
  );
});

describe('a sign-in that lacks its second factor', () => {
  it('ends after five minutes, with its first use, and with her deactivation', async () => {
    const { userId, secret } = await holder();
    const late = await half(userId);
    pass(300);
    expect((await totp(late, codeAt(secret))).status).toBe(401);
    const used = await half(userId);
    expect((await totp(used, codeAt(secret))).status).toBe(200);
    pass(60);
    expect((await totp(used, codeAt(secret))).status).toBe(401);
    const open = await half(userId);
    await world.acme.scim('PATCH', `/Users/${userId}`, patch({ op: 'replace', path: 'active', value: false }));
    expect((await totp(open, codeAt(secret))).status).toBe(401);
    await world.acme.scim('PATCH', `/Users/${userId}`, patch({ op: 'replace', path: 'active', value: true }));
    expect((await totp(open, codeAt(secret))).status).toBe(401);
  });

  it('is nothing for a token of another secret, another tenant, another kind or no form at all', async () => {
    const { userId, secret } = await holder();
    const token = await half(userId);
    const session = await world.acme.issue({ kind: 'session', userId: userId });
    const wrong = [
      token.replace(/.{43}$/, 'A'.repeat(43)),
      token.replace(world.acme.id.slice(4), world.initech.id.slice(4)),
      token.replace(world.acme.id.slice(4), world.globex.id.slice(4)),
      session,
      '',
      'tnf_x.y.z',
    ];
    for (const one of wrong) {
      expect((await totp(one, codeAt(secret))).status).toBe(401);
      const recovered = await post(world, '/sso/recovery', { token: one, code: 'aaaa-aaaa-aaaa-aaaa' });
      expect(recovered.status).toBe(401);
      expect((await post(world, '/sso/totp/enrolment', { token: one })).status).toBe(401);
    }
    expect((await totp(token, codeAt(secret))).status).toBe(200);
  });

  it('is a page with forms for a browser, and its code goes on to a session', async () => {
    const { userId, secret } = await holder();
    const link = await world.acme.issue({ kind: 'sign_in_link', userId: userId });
    const form = (path: string, fields: Record<string, string>) =>
      world.fetch(null, path, { method: 'POST', headers: { accept: 'text/html' }, body: new URLSearchParams(fields) });
    const asked = await form('/sso/link', { token: link });
    const html = await asked.text();
    expect([asked.status, html.includes('action="/sso/totp"'), html.includes('action="/sso/recovery"')]).toEqual([
      200,
      true,
      true,
    ]);
    expect(html).not.toContain('<script');
    const token = /name="token" value="([^"]+)"/.exec(html)?.[1] ?? '';
    const mistyped = await form('/sso/totp', { token, code: notCode(secret) });
    expect([mistyped.status, mistyped.headers.get('content-type')]).toEqual([401, 'text/html; charset=utf-8']);
    expect(await mistyped.text()).toContain(`name="token" value="${token}"`);
    const completed = await form('/sso/totp', { token, code: codeAt(secret) });
    expect(completed.status).toBe(200);
  });

  it('leads on to the app that waited when the first step was made: a program is told where, a form is sent', async () => {
    const { userId, secret } = await holder();
    const continuation = { redirectUri: 'https://app.example.com/in', state: 's', codeChallenge: 'A'.repeat(43) };
    const begin = async () => {
      const token = await world.acme.issue({ kind: 'sign_in_link', userId: userId });
      const origin = { requestId: 'req_test', ip: '203.0.113.7', ua: null };
      const followed = await followSignInLink(world.platform, { token, continuation }, origin);
      return 'owed' in followed ? followed.owed.token : '';
    };
    const { status, body } = await totp(await begin(), codeAt(secret));
    expect([status, body.token]).toEqual([200, undefined]);
    expect(body.location).toMatch(/^https:\/\/app\.example\.com\/in\?code=tnc_.*&state=s/);
    pass(60);
    const sent = await world.fetch(null, '/sso/totp', {
      method: 'POST',
      redirect: 'manual',
      body: new URLSearchParams({ token: await begin(), code: codeAt(secret) }),
    });
    expect([sent.status, sent.headers.get('location')?.slice(0, 36)]).toEqual([
      302,
      'https://app.example.com/in?code=tnc_',
    ]);
  });

  it('is not asked of whoever comes with a passkey, which is both', async () => {
    const { userId } = await holder();
    const { passkey } = await givePasskey(asPerson(world.acme, userId));
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });
});

import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { idOf, uuidOf } from '#schema/ids.ts';
import {
  newChallenge,
  readChallenge,
  type ChallengeUse,
} from '../../../subgraphs/identity/sign-in/passkey-challenge.ts';
import { userHandleOf } from '../../../subgraphs/identity/sign-in/passkey-response.ts';
import { CONTEXT_KEYS } from '../../support/databases.ts';
import { addUser, ask, codeOf, isAccepted, openIdentity, patch, type IdentityPlatform } from './identity-platform.ts';
import {
  ADD_PASSKEY,
  asPerson,
  creationOptions,
  done,
  givePasskey,
  mailboxOf,
  ORIGIN,
  post,
  requestOptions,
  sendPasskey,
  statusesOf,
  type Mailbox,
} from './sign-in-steps.ts';
import { newPasskey, type Deviation, type SoftwarePasskey } from './software-authenticator.ts';

let world: IdentityPlatform;
let mailbox: Mailbox;
let count = 0;
beforeAll(async () => {
  world = await openIdentity();
  mailbox = mailboxOf(world);
});
beforeEach(() => world.setNow(new Date()));

async function newPerson(tenant: 'acme' | 'initech' = 'acme'): Promise<string> {
  count += 1;
  const email = `holder${count}@${tenant}.example`;
  return addUser(world[tenant], email, { emails: [{ value: email, primary: true }] });
}

async function holder(
  passkey?: SoftwarePasskey,
): Promise<{ userId: string; passkey: SoftwarePasskey; factorId: string }> {
  const userId = await newPerson();
  return { userId, ...(await givePasskey(asPerson(world.acme, userId), passkey)) };
}

const refusals = async () =>
  (await world.acme.events())
    .filter(({ action }) => action === 'sign_in.refuse')
    .map(({ context }) => context['reason']);

describe('a new passkey', () => {
  it('is asked for as one that finds itself, knows its user and names her and her tenant', async () => {
    const userId = await newPerson();
    const options = await creationOptions(asPerson(world.acme, userId));
    expect(options).toMatchObject({
      rp: { id: 'tenon.test' },
      attestation: 'none',
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      pubKeyCredParams: [{ alg: -8 }, { alg: -7 }, { alg: -257 }],
    });
    expect(Buffer.from(options.user.id, 'base64url').toString('hex')).toBe(
      `${uuidOf('tnt', world.acme.id)}${uuidOf('usr', userId)}`.replaceAll('-', ''),
    );
  });

  it.each(['ES256', 'EdDSA'] as const)('of %s signs in without anybody saying who she is', async (algorithm) => {
    const { userId, passkey, factorId } = await holder(newPasskey(ORIGIN, { algorithm }));
    const { status, headers, body } = await sendPasskey(world, passkey.get(await requestOptions(world)));
    expect([status, headers.get('cache-control'), body.user]).toEqual([200, 'no-store', { id: userId }]);
    expect(await isAccepted(world, body.token ?? '')).toBe(true);
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'session.create',
      actor: { type: 'user', id: userId },
      context: { method: 'passkey', amr: ['hwk', 'user', 'mfa'], factor: factorId },
    });
  });

  it('signs in the person whose address was said, however it was written', async () => {
    const { userId, passkey } = await holder();
    const options = await requestOptions(world, { email: `HOLDER${count}@acme.example` });
    expect((await sendPasskey(world, passkey.get(options))).body.user).toEqual({ id: userId });
  });

  it('is told to her by mail, recorded, and listed for her without its key', async () => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    const mail = await mailbox.after(`To: holder${count}@acme.example`, () => givePasskey(ctx));
    expect(mail).toContain('A passkey was added');
    const { viewer } = await done<{ viewer: { factors: { id: string }[] } }>(
      ctx,
      '{ viewer { factors { id kind name backedUp createdAt lastUsedAt } recoveryCodesLeft } }',
    );
    expect(viewer).toMatchObject({
      factors: [{ kind: 'PASSKEY', name: 'laptop', backedUp: false, lastUsedAt: null }],
      recoveryCodesLeft: 0,
    });
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'factor.create',
      resource: { type: 'factor', id: viewer.factors[0]?.id, name: 'laptop' },
      context: { user: userId, kind: 'passkey' },
    });
  });

  it('stands beside others of hers, on another authenticator each', async () => {
    const { userId, passkey, factorId } = await holder();
    const ctx = asPerson(world.acme, userId);
    const { excludeCredentials } = await creationOptions(ctx);
    expect(excludeCredentials).toHaveLength(1);
    const second = await givePasskey(ctx, newPasskey(ORIGIN, { counts: false }));
    for (const one of [passkey, second.passkey, second.passkey])
      expect((await sendPasskey(world, one.get(await requestOptions(world)))).status).toBe(200);
    await done(ctx, 'mutation ($input: FactorInput!) { removeFactor(input: $input) { removedFactorId } }', {
      input: { factorId },
    });
    const after = [passkey, second.passkey].map(
      async (one) => (await sendPasskey(world, one.get(await requestOptions(world)))).status,
    );
    expect(await Promise.all(after)).toEqual([401, 200]);
  });

  const wrong: [string, (challenge: { other: string; own: string }) => { challenge: string; deviation?: Deviation }][] =
    [
      ['of another origin', ({ own }) => ({ challenge: own, deviation: { origin: 'http://evil.test' } })],
      ['of another relying party', ({ own }) => ({ challenge: own, deviation: { rpId: 'evil.test' } })],
      ['without verification of its user', ({ own }) => ({ challenge: own, deviation: { userVerified: false } })],
      ['made in a frame of another site', ({ own }) => ({ challenge: own, deviation: { crossOrigin: true } })],
      ['that was asked for as a sign-in', ({ own }) => ({ challenge: own, deviation: { type: 'webauthn.get' } })],
      ["for another person's challenge", ({ other }) => ({ challenge: other })],
      ['for a challenge of nobody', () => ({ challenge: Buffer.alloc(54).toString('base64url') })],
    ];
  it.each(wrong)('%s is not kept', async (_name, make) => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    const options = await creationOptions(ctx);
    const other = (await creationOptions(asPerson(world.acme, world.acme.adminId))).challenge;
    const { challenge, deviation } = make({ own: options.challenge, other });
    const credential = newPasskey(ORIGIN).create({ ...options, challenge }, deviation);
    expect(codeOf(await ask(ctx, ADD_PASSKEY, { input: { name: 'x', credential } }))).toBe('BAD_USER_INPUT');
    expect(await done(ctx, '{ viewer { factors { id } } }')).toEqual({ viewer: { factors: [] } });
  });

  it('is not kept for a challenge of a sign-in, one that was used, or one that is five minutes old', async () => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    const options = await creationOptions(ctx);
    const add = async (challenge: string) =>
      codeOf(
        await ask(ctx, ADD_PASSKEY, {
          input: { name: 'x', credential: newPasskey(ORIGIN).create({ ...options, challenge }) },
        }),
      );
    expect(await add((await requestOptions(world)).challenge)).toBe('BAD_USER_INPUT');
    expect([await add(options.challenge), await add(options.challenge)]).toEqual([null, 'BAD_USER_INPUT']);
    const late = (await creationOptions(ctx)).challenge;
    world.setNow(new Date(Date.now() + 5 * 60_000));
    expect(await add(late)).toBe('BAD_USER_INPUT');
  });

  it('that is known already is nobody else’s', async () => {
    const { passkey } = await holder();
    const ctx = asPerson(world.acme, await newPerson());
    const credential = passkey.create(await creationOptions(ctx));
    expect(codeOf(await ask(ctx, ADD_PASSKEY, { input: { name: 'x', credential } }))).toBe('UNIQUENESS');
  });

  it.each([
    {},
    { id: 'a', rawId: 'b', type: 'public-key', response: {} },
    { id: 'a', rawId: 'a', type: 'public-key', response: { clientDataJSON: 'e30', attestationObject: 'oA' } },
    {
      id: 'a',
      rawId: 'a',
      type: 'public-key',
      response: { clientDataJSON: 'A'.repeat(20_000), attestationObject: 'oA' },
    },
    { id: 'a', rawId: 'a', type: 'public-key', response: { clientDataJSON: ['e30'], attestationObject: 'oA' } },
  ])('is not made of %j', async (credential) => {
    const ctx = asPerson(world.acme, world.acme.adminId);
    expect(codeOf(await ask(ctx, ADD_PASSKEY, { input: { name: 'x', credential } }))).toBe('BAD_USER_INPUT');
  });

  it('is for people in a session: a key has none', async () => {
    const key = world.acme.request([], {
      actor: { type: 'api_key', id: 'key_x', ip: null, ua: null },
      sessionId: null,
    });
    expect(codeOf(await ask(key, '{ viewer { passkeyRegistrationOptions } }'))).toBe('FORBIDDEN');
    expect(codeOf(await ask(key, ADD_PASSKEY, { input: { name: 'x', credential: {} } }))).toBe('FORBIDDEN');
  });
});

describe('an answer to a challenge', () => {
  const wrong: [string, string, Deviation][] = [
    ['from another origin', 'response_invalid', { origin: 'http://evil.test' }],
    ['from a page whose origin begins like ours', 'response_invalid', { origin: `${ORIGIN}.evil.test` }],
    ['for another relying party', 'response_invalid', { rpId: 'evil.test' }],
    ['without verification of the user', 'response_invalid', { userVerified: false }],
    ['from a frame of another site', 'challenge_unknown', { crossOrigin: true }],
    ['that was given as a registration', 'response_invalid', { type: 'webauthn.create' }],
    ['of a passkey that nobody has', 'credential_unknown', { credentialId: Buffer.alloc(32).toString('base64url') }],
  ];
  it.each(wrong)('%s opens nothing, and the log says %s', async (_name, reason, deviation) => {
    const { passkey } = await holder();
    const answer = await sendPasskey(world, passkey.get(await requestOptions(world), deviation));
    expect([answer.status, answer.body.code, (await refusals()).at(-1)]).toEqual([401, 'UNAUTHENTICATED', reason]);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });

  it('with a byte of the signature, of the data or of what the browser says changed opens nothing', async () => {
    const { passkey } = await holder();
    for (const name of ['signature', 'authenticatorData', 'clientDataJSON'] as const) {
      const sent = passkey.get(await requestOptions(world));
      const bytes = Buffer.from(sent.response[name], 'base64url');
      bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1;
      const response = { ...sent.response, [name]: bytes.toString('base64url') };
      expect((await sendPasskey(world, { ...sent, response })).status).toBe(401);
    }
  });

  it('opens one session: sent again, or several times at once, it opens no other', async () => {
    const { passkey } = await holder();
    const sent = passkey.get(await requestOptions(world));
    const answers = await Promise.all(Array.from({ length: 4 }, () => sendPasskey(world, sent)));
    expect(statusesOf(answers)).toEqual([200, 401, 401, 401]);
    expect((await sendPasskey(world, sent)).status).toBe(401);
    expect((await refusals()).at(-1)).toBe('challenge_used');
  });

  it('for the same challenge by another passkey opens none either', async () => {
    const { userId, passkey } = await holder();
    const other = await givePasskey(asPerson(world.acme, userId));
    const options = await requestOptions(world);
    expect((await sendPasskey(world, passkey.get(options))).status).toBe(200);
    expect((await sendPasskey(world, other.passkey.get(options))).status).toBe(401);
  });

  it('to a challenge that is five minutes old, of our own making, or made for a registration, opens nothing', async () => {
    const { userId, passkey } = await holder();
    const options = await requestOptions(world);
    const registration = (await creationOptions(asPerson(world.acme, userId))).challenge;
    const forged = Buffer.from(options.challenge, 'base64url');
    forged.writeUIntBE(Date.now() + 3_600_000, 0, 6);
    for (const challenge of [registration, forged.toString('base64url'), ''])
      expect((await sendPasskey(world, passkey.get({ ...options, challenge }))).status).toBe(401);
    world.setNow(new Date(Date.now() + 5 * 60_000));
    expect((await sendPasskey(world, passkey.get(options))).status).toBe(401);
    expect((await refusals()).at(-1)).toBe('challenge_unknown');
  });

  it('to a challenge for the address of another person opens nothing', async () => {
    const { passkey } = await holder();
    const options = await requestOptions(world, { email: 'ada@acme.example' });
    expect((await sendPasskey(world, passkey.get(options))).status).toBe(401);
  });

  it('in the name of another person, of the same tenant or another, opens nothing', async () => {
    const { passkey, userId } = await holder();
    const others = [
      userHandleOf({ tenant: world.acme.id, userId: world.acme.adminId }),
      userHandleOf({ tenant: world.initech.id, userId: world.initech.adminId }),
      userHandleOf({ tenant: world.initech.id, userId: idOf('usr', uuidOf('usr', userId)) }),
      userHandleOf({ tenant: world.globex.id, userId: world.globex.adminId }),
      userHandleOf({
        tenant: idOf('tnt', uuidOf('tnt', world.acme.id).replaceAll('a', 'b')),
        userId: world.acme.adminId,
      }),
      new Uint8Array(16),
    ];
    const answers = [];
    for (const bytes of others) {
      const userHandle = Buffer.from(bytes).toString('base64url');
      const { status, body } = await sendPasskey(world, passkey.get(await requestOptions(world), { userHandle }));
      answers.push([status, body.code]);
    }
    expect(answers).toEqual(others.map(() => [401, 'UNAUTHENTICATED']));
  });

  it('of an authenticator that was copied is refused once the other one has been used, and said so', async () => {
    const { userId, passkey, factorId } = await holder();
    const copy = passkey.clone();
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
    expect((await sendPasskey(world, copy.get(await requestOptions(world)))).status).toBe(401);
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'sign_in.refuse',
      actor: { type: 'anonymous' },
      resource: { type: 'user', id: userId },
      context: { method: 'passkey', reason: 'counter_regressed', factor: factorId },
    });
    expect((await sendPasskey(world, copy.get(await requestOptions(world), { counter: 0 }))).status).toBe(401);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });

  it('of somebody who was deactivated opens nothing', async () => {
    const { userId, passkey } = await holder();
    await world.acme.scim('PATCH', `/Users/${userId}`, patch({ op: 'replace', path: 'active', value: false }));
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(401);
    expect((await refusals()).at(-1)).toBe('user_inactive');
  });

  it.each([
    '{}',
    '[]',
    'null',
    '{"credential":null}',
    '{"credential":{"__proto__":{"id":"a"}}}',
    '{"credential":{"id":"a","rawId":"a","type":"public-key","response":{"clientDataJSON":"e30"}}}',
    'no json',
  ])('of the form %s is told what is expected', async (body) => {
    const { status } = await post(world, '/sso/passkey', body);
    expect(status).toBe(400);
  });
});

describe('the challenge', () => {
  it('is of the same form whether or not anybody has the address, and another each time', async () => {
    await holder();
    const asked = await Promise.all(
      [`holder${count}@acme.example`, 'nobody@acme.example', 'nobody@nowhere.example'].map((email) =>
        requestOptions(world, { email }),
      ),
    );
    expect(new Set(asked.map(({ challenge }) => challenge)).size).toBe(3);
    const forms = asked.map((options) => ({ ...options, challenge: options.challenge.length }));
    expect(forms).toEqual([forms[0], forms[0], forms[0]]);
  });

  it('is good for its purpose, its subject and its five minutes alone', () => {
    const now = new Date();
    const use = { purpose: 'sign-in', subject: 'ada@acme.example' } as const;
    const text = Buffer.from(newChallenge(CONTEXT_KEYS, use, now)).toString('base64url');
    const isKnown = (change: Partial<ChallengeUse>, ms = 0) =>
      readChallenge(CONTEXT_KEYS, text, { uses: [{ ...use, ...change }], now: new Date(now.getTime() + ms) }) !== null;
    expect([isKnown({}), isKnown({}, 299_999), isKnown({}, 300_000)]).toEqual([true, true, false]);
    expect([isKnown({ purpose: 'registration' }), isKnown({ subject: '' })]).toEqual([false, false]);
  });

  it('leaves nothing in the database until it is answered, and is forgotten once it is out of time', async () => {
    const spent = async () =>
      Number(
        (
          await world.peek<{ n: string }>('eu-1', 'select count(*) as n from spent_challenges where tenant_id = $1', [
            uuidOf('tnt', world.acme.id),
          ])
        )[0]?.n,
      );
    const { passkey } = await holder();
    const before = await spent();
    const options = await requestOptions(world);
    expect(await spent()).toBe(before);
    await sendPasskey(world, passkey.get(options));
    expect(await spent()).toBe(before + 1);
    world.setNow(new Date(Date.now() + 30 * 60_000));
    await sendPasskey(world, passkey.get(await requestOptions(world)));
    expect(await spent()).toBe(1);
  });
});

import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mintId, uuidOf } from '#schema/ids.ts';
import { SCOPES, type Scope } from '#schema/scopes.ts';
import { mailSignInLink } from '../../../subgraphs/identity/sign-in/sign-in-link.ts';
import { identity } from '../../../subgraphs/identity/index.ts';
import { addUser, ask, codeOf, isAccepted, openIdentity, type IdentityPlatform } from './identity-platform.ts';
import {
  asPerson,
  done,
  followLink,
  givePasskey,
  giveTotp,
  mailboxOf,
  post,
  proveDomain,
  requestOptions,
  sendPasskey,
  totpCode,
  type Mailbox,
} from './sign-in-steps.ts';

let world: IdentityPlatform;
let mailbox: Mailbox;
let people = 0;
beforeAll(async () => {
  world = await openIdentity();
  mailbox = mailboxOf(world);
  await proveDomain(world, world.acme, 'acme.example');
});
afterEach(async () => {
  for (const table of ['sign_in_policies', 'break_glass_users', 'domain_proofs'])
    await world.peek('eu-1', `delete from ${table}`);
  await mailbox.empty();
});

const ALL = Object.keys(SCOPES) as Scope[];
const ORIGIN = { requestId: 'req_test', ip: '203.0.113.7', ua: null };
const POLICY = 'localMethods requireSecondFactor';
const CHANGE = `mutation ($input: ChangeSignInPolicyInput!) { changeSignInPolicy(input: $input) { signInPolicy { ${POLICY} } } }`;

const change = (localMethods: string[], requireSecondFactor = false) =>
  done(world.acme.request(['identity:write']), CHANGE, { input: { localMethods, requireSecondFactor } });
const codeFor = (secret: string) => totpCode(secret, world.platform.clock());

async function newPerson(): Promise<string> {
  people += 1;
  const email = `person${people}@acme.example`;
  return addUser(world.acme, email, { emails: [{ value: email, primary: true }] });
}

const linkMails = async () => (await mailbox.all()).filter((mail) => mail.includes('Your sign-in link')).length;
const lastRefusal = async () => (await world.acme.events()).findLast(({ action }) => action === 'sign_in.refuse');

describe('what a tenant asks of those who sign in', () => {
  it('is by default nothing but one of the ways there are, and changes with a record of before and after', async () => {
    const reader = world.acme.request(['identity:read']);
    const policy = async () =>
      (await done<{ signInPolicy: object }>(reader, `{ signInPolicy { ${POLICY} } }`)).signInPolicy;
    expect(await policy()).toEqual({ localMethods: ['SIGN_IN_LINK', 'PASSKEY'], requireSecondFactor: false });
    await change(['PASSKEY'], true);
    expect(await policy()).toEqual({ localMethods: ['PASSKEY'], requireSecondFactor: true });
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'sign_in_policy.change',
      resource: { type: 'sign_in_policy', id: world.acme.id },
      context: {
        from: { local_methods: ['sign_in_link', 'passkey'], require_second_factor: false },
        to: { local_methods: ['passkey'], require_second_factor: true },
      },
    });
    const other = world.initech.request(['identity:read']);
    expect(await done(other, `{ signInPolicy { ${POLICY} } }`)).toEqual({
      signInPolicy: { localMethods: ['SIGN_IN_LINK', 'PASSKEY'], requireSecondFactor: false },
    });
  });

  it('leaves at least one way, each once', async () => {
    for (const localMethods of [[], ['PASSKEY', 'PASSKEY']])
      expect(
        codeOf(
          await ask(world.acme.request(['identity:write']), CHANGE, {
            input: { localMethods, requireSecondFactor: false },
          }),
        ),
      ).toBe('BAD_USER_INPUT');
  });
});

describe('where links are closed', () => {
  it('none is mailed, those that were end, and one made by an administrator still opens', async () => {
    const userId = await newPerson();
    const address = `person${people}@acme.example`;
    const mail = await mailbox.after('Your sign-in link', () => mailSignInLink(world.platform, address, ORIGIN));
    const plain = mail.replaceAll(/=\r?\n/g, '').replaceAll('=3D', '=');
    const token = /token=([^&\s]+)/.exec(plain)?.[1] ?? '';
    await change(['PASSKEY']);
    expect((await post(world, '/sso/link', { token })).status).toBe(401);
    await mailSignInLink(world.platform, address, ORIGIN);
    expect(await linkMails()).toBe(1);
    expect((await followLink(world, world.acme, userId)).status).toBe(200);
  });
});

describe('where passkeys are closed', () => {
  it('one opens nothing, and the log says why', async () => {
    const userId = await newPerson();
    const { passkey } = await givePasskey(asPerson(world.acme, userId));
    await change(['SIGN_IN_LINK']);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(401);
    expect((await lastRefusal())?.context['reason']).toBe('method_not_allowed');
    await change(['SIGN_IN_LINK', 'PASSKEY']);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });
});

describe('where a second factor is asked for', () => {
  it('whoever has none sets one up on her way in, and comes in with its first code', async () => {
    const userId = await newPerson();
    await change(['SIGN_IN_LINK'], true);
    const { status, body } = await followLink(world, world.acme, userId);
    expect([status, body.secondFactor?.methods]).toEqual([202, ['totp_enrolment']]);
    const token = body.secondFactor?.token ?? '';
    expect((await post(world, '/sso/totp', { token, code: '123456' })).status).toBe(404);
    const enrolled = await post(world, '/sso/totp/enrolment', { token });
    const secret = enrolled.body.secret ?? '';
    expect(enrolled.body.uri).toContain(`secret=${secret}`);
    let completed = enrolled;
    const mail = await mailbox.after('An authenticator application was added', async () => {
      completed = await post(world, '/sso/totp', { token, code: codeFor(secret) });
    });
    expect(mail).toContain(`To: person${people}@acme.example`);
    expect([completed.status, completed.body.user, completed.body.recoveryCodes?.length]).toEqual([
      200,
      { id: userId },
      10,
    ]);
    const again = await followLink(world, world.acme, userId);
    expect(again.body.secondFactor?.methods).toEqual(['totp', 'recovery_code']);
    const taken = await post(world, '/sso/totp/enrolment', { token: again.body.secondFactor?.token });
    expect([taken.status, taken.body.code]).toEqual([403, 'FORBIDDEN']);
  });

  it('a passkey is enough', async () => {
    const { passkey } = await givePasskey(asPerson(world.acme, await newPerson()));
    await change(['SIGN_IN_LINK', 'PASSKEY'], true);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });
});

describe('where people of a domain have to come over single sign-on', () => {
  const enforce = () =>
    world.peek(
      'eu-1',
      `insert into domain_proofs (tenant_id, id, domain, token, verified_at, sso_enforced)
         values ($1, $2, 'acme.example', $3, now(), true)`,
      [uuidOf('tnt', world.acme.id), uuidOf('dom', mintId('dom')), 'a'.repeat(43)],
    );

  it('no link, passkey or code of theirs opens, and none is mailed; others of the tenant sign in as before', async () => {
    const userId = await newPerson();
    const guest = await addUser(world.acme, 'guest@elsewhere.example');
    const { passkey } = await givePasskey(asPerson(world.acme, userId));
    await change(['SIGN_IN_LINK', 'PASSKEY'], true);
    const waiting = (await followLink(world, world.acme, userId)).body.secondFactor?.token ?? '';
    const { secret = '' } = (await post(world, '/sso/totp/enrolment', { token: waiting })).body;
    await change(['SIGN_IN_LINK', 'PASSKEY']);
    await enforce();
    expect((await followLink(world, world.acme, userId)).status).toBe(401);
    expect(await lastRefusal()).toMatchObject({
      resource: { type: 'user', id: userId },
      context: { method: 'sign_in_link', reason: 'sso_enforced' },
    });
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(401);
    expect((await post(world, '/sso/totp', { token: waiting, code: codeFor(secret) })).status).toBe(401);
    expect((await lastRefusal())?.context['reason']).toBe('sso_enforced');
    await mailSignInLink(world.platform, `person${people}@acme.example`, ORIGIN);
    expect(await linkMails()).toBe(0);
    expect((await followLink(world, world.acme, guest)).status).toBe(200);
  });

  it('whoever may break the glass signs in as before', async () => {
    const userId = await newPerson();
    await enforce();
    await world.peek(
      'eu-1',
      'insert into break_glass_users (tenant_id, user_id, named_by, named_at) values ($1, $2, $3, now())',
      [uuidOf('tnt', world.acme.id), uuidOf('usr', userId), world.acme.adminId],
    );
    expect((await followLink(world, world.acme, userId)).status).toBe(200);
  });
});

describe('an administrator', () => {
  const RESET = 'mutation ($input: UserInput!) { resetFactors(input: $input) { user { id factors { id } } } }';

  it('resets the factors of somebody who has lost hers: they are gone, her sessions end, she is told', async () => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    const { passkey } = await givePasskey(ctx);
    const { body } = await sendPasskey(world, passkey.get(await requestOptions(world)));
    const key = await world.acme.issue({ kind: 'api_key', userId, scopes: ['projects:read'] });
    const mail = await mailbox.after('removed by an administrator', () =>
      done(world.acme.request(['users:write', 'users:read']), RESET, { input: { userId } }),
    );
    expect(mail).toContain(`To: person${people}@acme.example`);
    expect([await isAccepted(world, body.token ?? ''), await isAccepted(world, key)]).toEqual([false, true]);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(401);
    const reset = (await world.acme.events()).find(
      ({ action, resource }) => action === 'factors.reset' && resource.id === userId,
    );
    expect(reset).toMatchObject({ actor: { id: world.acme.adminId }, context: { factors: 1, sessions: 1 } });
    const before = (await world.acme.events()).length;
    await done(world.acme.request(['users:write', 'users:read']), RESET, { input: { userId } });
    const after = (await world.acme.events()).slice(before);
    expect(after.map(({ action }) => action)).toEqual(['mutation.unchanged']);
  });

  it('sees the factors of people where she may change people, not otherwise', async () => {
    const userId = await newPerson();
    await givePasskey(asPerson(world.acme, userId));
    const SHOW = 'query ($id: ID!) { user(id: $id) { factors { kind name } } }';
    expect(await done(world.acme.request(['users:read', 'users:write']), SHOW, { id: userId })).toEqual({
      user: { factors: [{ kind: 'PASSKEY', name: 'laptop' }] },
    });
    expect(codeOf(await ask(world.acme.request(['users:read']), SHOW, { id: userId }))).toBe('FORBIDDEN');
  });

  it('resets nobody who holds rights that she does not hold herself', async () => {
    await givePasskey(asPerson(world.acme, world.acme.adminId));
    const before = await world.peek('eu-1', 'select id from sign_in_factors');
    const input = { userId: world.acme.adminId };
    expect(codeOf(await ask(world.acme.request(['users:write', 'users:read']), RESET, { input }))).toBe('FORBIDDEN');
    expect(await world.peek('eu-1', 'select id from sign_in_factors')).toEqual(before);
  });

  it('of another tenant finds nobody to reset', async () => {
    const userId = await newPerson();
    for (const tenant of [world.initech, world.globex])
      expect(codeOf(await ask(tenant.request(ALL), RESET, { input: { userId } }))).toBe('NOT_FOUND');
  });
});

describe('what identity holds of how a person signs in', () => {
  it('is shown to her whole, without a key, a seed or a hash', async () => {
    const userId = await newPerson();
    const ctx = asPerson(world.acme, userId);
    await givePasskey(ctx);
    const { factor, secret } = await giveTotp(ctx);
    const { body } = await followLink(world, world.acme, userId);
    await post(world, '/sso/totp', { token: body.secondFactor?.token, code: codeFor(secret) });
    const sets = await identity.personalData?.collect(world.acme.request(ALL), { userId, email: null });
    const stores = Object.fromEntries((sets ?? []).map(({ store, rows }) => [store, rows]));
    expect(stores).toMatchObject({
      'identity.signInFactors': [
        { id: expect.stringMatching(/^fct_/), kind: 'passkey', name: 'laptop', transports: ['internal'] },
        { id: factor.id, kind: 'totp', name: 'phone' },
      ],
      'identity.recoveryCodes': Array.from({ length: 10 }, () => ({ usedAt: null })),
      'identity.signInAttempts': [{ failures: 1 }],
      'identity.pendingSignIns': [{ firstFactor: { sign_in_link: expect.stringMatching(/^lnk_/) } }],
    });
    expect(JSON.stringify(stores)).not.toMatch(/sealed|v1\.|secret|hash|publicKey/i);
    const foreign = await identity.personalData?.collect(world.initech.request(ALL), { userId, email: null });
    expect(foreign?.flatMap(({ rows }) => rows)).toEqual([]);
  });

  it('goes with her when she is deleted', async () => {
    const userId = await newPerson();
    await givePasskey(asPerson(world.acme, userId));
    await world.acme.scim('DELETE', `/Users/${userId}`);
    const left = await world.peek('eu-1', 'select id from sign_in_factors where user_id = $1', [uuidOf('usr', userId)]);
    expect(left).toEqual([]);
  });
});

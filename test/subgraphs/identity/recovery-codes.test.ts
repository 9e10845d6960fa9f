import { beforeAll, describe, expect, it } from 'vitest';
import { addUser, openIdentity, type IdentityPlatform } from './identity-platform.ts';
import {
  asPerson,
  done,
  followLink,
  giveTotp,
  mailboxOf,
  post,
  statusesOf,
  type Mailbox,
  type SignInAnswer,
} from './sign-in-steps.ts';

let world: IdentityPlatform;
let mailbox: Mailbox;
let people = 0;
beforeAll(async () => {
  world = await openIdentity();
  mailbox = mailboxOf(world);
});

const RENEW = 'mutation { renewRecoveryCodes { recoveryCodes } }';
const LEFT = '{ viewer { recoveryCodesLeft } }';

async function holder(): Promise<{ userId: string; codes: readonly string[] }> {
  people += 1;
  const email = `phone${people}@acme.example`;
  const userId = await addUser(world.acme, email, { emails: [{ value: email, primary: true }] });
  return { userId, codes: (await giveTotp(asPerson(world.acme, userId))).codes };
}

const half = async (userId: string) => (await followLink(world, world.acme, userId)).body.secondFactor?.token ?? '';
const recover = (token: string, code: string): Promise<SignInAnswer> => post(world, '/sso/recovery', { token, code });
const lastEvents = async (count: number) => (await world.acme.events()).slice(-count);

describe('a recovery code', () => {
  it('completes a sign-in once, in whatever case and grouping; that is recorded, mailed and counted', async () => {
    const { userId, codes } = await holder();
    const [first = '', second = ''] = codes;
    const mail = await mailbox.after('A recovery code was used', async () => {
      const { status, body } = await recover(await half(userId), first.toUpperCase().replaceAll('-', ' '));
      expect([status, body.user]).toEqual([200, { id: userId }]);
    });
    expect(mail).toContain(`To: phone${people}@acme.example`);
    expect(mail).toContain('9 of them are left');
    expect((await lastEvents(2)).map(({ action, context }) => [action, context['left'] ?? context['method']])).toEqual([
      ['recovery_code.use', 9],
      ['session.create', 'recovery_code'],
    ]);
    expect((await recover(await half(userId), first)).status).toBe(401);
    expect((await recover(await half(userId), second.replaceAll('1', 'l').replaceAll('0', 'O'))).status).toBe(200);
    expect(await done(asPerson(world.acme, userId), LEFT)).toEqual({ viewer: { recoveryCodesLeft: 8 } });
  });

  it('used in several sign-ins at the same moment completes one', async () => {
    const { userId, codes } = await holder();
    const tokens = [await half(userId), await half(userId), await half(userId)];
    const answers = await Promise.all(tokens.map((token) => recover(token, codes[0] ?? '')));
    expect(statusesOf(answers)).toEqual([200, 401, 401]);
  });

  it('ends when new ones are made, and is nobody else’s', async () => {
    const [first, second] = [await holder(), await holder()];
    expect((await recover(await half(second.userId), first.codes[0] ?? '')).status).toBe(401);
    const { renewRecoveryCodes } = await done<{ renewRecoveryCodes: { recoveryCodes: string[] } }>(
      asPerson(world.acme, first.userId),
      RENEW,
    );
    expect((await recover(await half(first.userId), first.codes[0] ?? '')).status).toBe(401);
    expect((await recover(await half(first.userId), renewRecoveryCodes.recoveryCodes[0] ?? '')).status).toBe(200);
  });

  it('stands in the database as a hash alone', async () => {
    const { codes } = await holder();
    const rows = await world.peek('eu-1', 'select code_hash::text, created_at, used_at from recovery_codes');
    const text = JSON.stringify(rows);
    for (const code of codes) {
      expect(text).not.toContain(code);
      expect(text).not.toContain(Buffer.from(code.replaceAll('-', '')).toString('hex'));
    }
  });
});

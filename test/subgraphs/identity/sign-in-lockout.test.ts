import fc from 'fast-check';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemContext } from '#kit/credential.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { attemptSignIn, LockedOutError } from '../../../subgraphs/identity/sign-in/attempts.ts';
import {
  ACCOUNT_LOCKOUT,
  ADDRESS_LOCKOUT,
  afterFailure,
  lockedForMs,
  type FailedAttempts,
  type LockoutRule,
} from '../../../subgraphs/identity/sign-in/lockout.ts';
import { addUser, ask, codeOf, openIdentity, type IdentityPlatform } from './identity-platform.ts';
import {
  asPerson,
  CONFIRM_TOTP,
  done,
  enrolTotp,
  followLink,
  givePasskey,
  giveTotp,
  post,
  requestOptions,
  sendPasskey,
  totpCode,
  wrongTotpCode,
} from './sign-in-steps.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const START = new Date('2026-03-01T08:00:00Z');
const later = (time: Date, ms: number) => new Date(time.getTime() + ms);
const NONE = (now: Date): FailedAttempts => ({ failures: 0, lastFailedAt: now, lockedUntil: null });

describe('the rule of the lock-out', () => {
  const rules: [string, LockoutRule][] = [
    ['account', ACCOUNT_LOCKOUT],
    ['address', ADDRESS_LOCKOUT],
  ];

  it.each(rules)('of an %s lets the free failures pass, then doubles up to its cap', (_name, rule) => {
    let state = NONE(START);
    const locks: number[] = [];
    for (let failure = 1; failure <= rule.failuresToLock + 12; failure++) {
      state = afterFailure(rule, state, START);
      locks.push(lockedForMs(state, START));
    }
    const free = locks.slice(0, rule.failuresToLock - 1);
    expect(free.every((ms) => ms === 0)).toBe(true);
    const expected = locks
      .slice(rule.failuresToLock - 1)
      .map((_, at) => Math.min(rule.firstLockMs * 2 ** at, rule.maxLockMs));
    expect(locks.slice(rule.failuresToLock - 1)).toEqual(expected);
    expect(locks.at(-1)).toBe(rule.maxLockMs);
    expect(rule.forgottenAfterMs).toBeGreaterThanOrEqual(rule.maxLockMs);
  });

  it('leaves whoever guesses as fast as she may at most 40 guesses of a code in a day, whatever pauses she makes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 3 * 60 * MINUTE_MS }), { maxLength: 200 }), (pauses) => {
        let [state, now, guesses] = [NONE(START), START, 0];
        for (const pause of [...pauses, ...Array.from({ length: 200 }, () => 0)]) {
          now = later(now, pause);
          now = later(now, lockedForMs(state, now));
          if (now.getTime() - START.getTime() >= DAY_MS) break;
          state = afterFailure(ACCOUNT_LOCKOUT, state, now);
          guesses += 1;
        }
        return guesses <= 40;
      }),
    );
  });

  it('never shortens a lock by one more failure, and forgets after its time without one alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 2 * DAY_MS }), (failures, pauseMs) => {
        const before: FailedAttempts = { failures, lastFailedAt: START, lockedUntil: null };
        const after = afterFailure(ACCOUNT_LOCKOUT, before, later(START, pauseMs));
        return after.failures === (pauseMs >= ACCOUNT_LOCKOUT.forgottenAfterMs ? 1 : failures + 1);
      }),
    );
  });
});

let world: IdentityPlatform;
let now = START;
let people = 0;

beforeAll(async () => {
  world = await openIdentity();
  // The tests move the clock by days; the token that provisions people is not what they are about.
  await world.peek('eu-1', `update credentials set expires_at = $1 where kind = 'scim_token'`, [
    later(START, 900 * DAY_MS),
  ]);
});
beforeEach(async () => {
  setNow(later(START, (people + 1) * 2 * DAY_MS));
  await world.peek('eu-1', 'delete from sign_in_attempts');
});

function setNow(time: Date): void {
  now = time;
  world.setNow(time);
}

const codeAt = (secret: string) => totpCode(secret, now);

async function holder(): Promise<{ userId: string; secret: string; codes: readonly string[] }> {
  people += 1;
  const userId = await addUser(world.acme, `guessed${people}@acme.example`);
  const { secret, codes } = await giveTotp(asPerson(world.acme, userId));
  setNow(later(now, MINUTE_MS));
  return { userId, secret, codes };
}

const half = async (userId: string) => (await followLink(world, world.acme, userId)).body.secondFactor?.token ?? '';
const guess = async ({ userId, secret }: { userId: string; secret: string }) =>
  post(world, '/sso/totp', { token: await half(userId), code: wrongTotpCode(secret, now) });
const attempt = async (userId: string, code: string) => post(world, '/sso/totp', { token: await half(userId), code });

describe('whoever guesses codes', () => {
  it('is shut out after five, for longer each time, with Retry-After; the right code then opens nothing either', async () => {
    const person = await holder();
    const seen: [number, string | null][] = [];
    for (let round = 0; round < 8; round++) {
      const { status } = await guess(person);
      expect(status).toBe(401);
      const after = await attempt(person.userId, codeAt(person.secret));
      if (round < 4) expect(after.status).toBe(200);
      else seen.push([after.status, after.headers.get('retry-after')]);
      if (round >= 4) setNow(later(now, Number(after.headers.get('retry-after')) * 1000));
      // A right code between forgives what came before: from the fifth round on nothing right gets in.
      if (round < 3) setNow(later(now, MINUTE_MS));
      if (round === 3) for (let more = 0; more < 4; more++) expect((await guess(person)).status).toBe(401);
    }
    expect(seen).toEqual([
      [429, '30'],
      [429, '60'],
      [429, '120'],
      [429, '240'],
    ]);
    expect((await attempt(person.userId, codeAt(person.secret))).status).toBe(200);
  });

  it('is shut out in recovery codes as in one-time codes, and in the setup of another application', async () => {
    const person = await holder();
    for (let round = 0; round < 3; round++) {
      const { status } = await post(world, '/sso/recovery', {
        token: await half(person.userId),
        code: 'aaaa-aaaa-aaaa-aaaa',
      });
      expect(status).toBe(401);
    }
    for (let round = 0; round < 2; round++) expect((await guess(person)).status).toBe(401);
    const recovery = await post(world, '/sso/recovery', { token: await half(person.userId), code: person.codes[0] });
    expect([recovery.status, recovery.body.code]).toEqual([429, 'THROTTLED']);
    const ctx = asPerson(world.acme, person.userId);
    const { factor, secret } = await enrolTotp(ctx);
    const confirmed = await ask(ctx, CONFIRM_TOTP, { input: { factorId: factor.id, code: codeAt(secret) } });
    expect(codeOf(confirmed)).toBe('THROTTLED');
  });

  it('gets no more tries by trying all at once', async () => {
    const person = await holder();
    const tokens = await Promise.all(Array.from({ length: 4 }, () => half(person.userId)));
    const code = wrongTotpCode(person.secret, now);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => post(world, '/sso/totp', { token: tokens[at % 4], code })),
    );
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(15);
  });

  it('shuts out that account alone, and only its codes: its passkey goes on opening', async () => {
    const [person, other] = [await holder(), await holder()];
    const { passkey } = await givePasskey(asPerson(world.acme, person.userId));
    for (let round = 0; round < 5; round++) await guess(person);
    expect((await attempt(person.userId, codeAt(person.secret))).status).toBe(429);
    expect((await attempt(other.userId, codeAt(other.secret))).status).toBe(200);
    expect((await sendPasskey(world, passkey.get(await requestOptions(world)))).status).toBe(200);
  });

  it('stands in the audit log with each failure and each lock, and in no answer', async () => {
    const person = await holder();
    for (let round = 0; round < 5; round++) await guess(person);
    const [refused, locked] = (await world.acme.events()).slice(-2);
    expect(refused).toMatchObject({
      action: 'sign_in.refuse',
      resource: { type: 'user', id: person.userId },
      context: { method: 'totp', reason: 'code_wrong' },
    });
    expect(locked).toMatchObject({
      action: 'sign_in.lock',
      resource: { type: 'user', id: person.userId },
      context: { failures: 5, until: later(now, 30_000).toISOString() },
    });
    const told = await guess(person);
    expect(JSON.stringify(told.body)).not.toContain(person.userId);
  });

  it('is let in again by an administrator, which is recorded; that of another tenant finds nobody', async () => {
    const person = await holder();
    for (let round = 0; round < 5; round++) await guess(person);
    const UNLOCK = 'mutation ($input: UserInput!) { unlockSignIn(input: $input) { user { id } } }';
    const input = { userId: person.userId };
    expect(codeOf(await ask(world.acme.request(['users:read']), UNLOCK, { input }))).toBe('FORBIDDEN');
    expect(codeOf(await ask(world.initech.request(['users:write']), UNLOCK, { input }))).toBe('NOT_FOUND');
    expect((await attempt(person.userId, codeAt(person.secret))).status).toBe(429);
    await done(world.acme.request(['users:write']), UNLOCK, { input });
    expect((await world.acme.events()).at(-1)).toMatchObject({
      action: 'sign_in.unlock',
      resource: { type: 'user', id: person.userId },
    });
    expect((await attempt(person.userId, codeAt(person.secret))).status).toBe(200);
    const before = (await world.acme.events()).length;
    await done(world.acme.request(['users:write']), UNLOCK, { input });
    expect((await world.acme.events()).slice(before)).toMatchObject([{ action: 'mutation.unchanged' }]);
  });
});

describe('an address that fails too often', () => {
  async function from(ip: string | null): Promise<RequestContext> {
    const context = await systemContext(world.platform.databases, world.acme.id, {
      name: 'test',
      requestId: 'req_test',
    });
    return requestContext(world.platform, { ...context, actor: { type: 'anonymous', id: 'anonymous', ip, ua: null } });
  }
  const refusal = { method: 'passkey', reason: 'response_invalid', userId: null } as const;
  const NOBODY = { userId: null, countsForAccount: false };
  const fails = async (ctx: RequestContext) =>
    attemptSignIn(ctx, NOBODY, async () => ({ refused: refusal })).catch((error: unknown) =>
      error instanceof LockedOutError ? error.retryAfterSeconds : 'refused',
    );
  const failTimes = async (ctx: RequestContext, times: number) => {
    for (let round = 0; round < times; round++) expect(await fails(ctx)).toBe('refused');
  };

  it('is shut out after fifty, whomever it tried to be, and not for longer than a quarter of an hour', async () => {
    const ctx = await from('203.0.113.77');
    await failTimes(ctx, 50);
    expect(await fails(ctx)).toBe(30);
    expect(await fails(await from('203.0.113.78'))).toBe('refused');
    for (const seconds of [30, 60, 120, 240, 480, 900, 900]) {
      expect(await fails(ctx)).toBe(seconds);
      setNow(later(now, seconds * 1000));
      expect(await fails(ctx)).toBe('refused');
    }
  });

  it('of version 6 is shut out with its network of 2^64 addresses', async () => {
    await failTimes(await from('2001:db8:1:2::1'), 25);
    await failTimes(await from('2001:db8:1:2:ffff:1:2:3'), 25);
    expect(await fails(await from('2001:db8:1:2:a::'))).toBe(30);
    expect(await fails(await from('2001:db8:1:3::1'))).toBe('refused');
    expect(await fails(await from('::1'))).toBe('refused');
  });

  it('loses one failure with each success from it, and all of them after an hour', async () => {
    const ctx = await from('203.0.113.79');
    await failTimes(ctx, 49);
    await attemptSignIn(ctx, NOBODY, async () => ({ done: true }));
    await failTimes(ctx, 2);
    expect(await fails(ctx)).toBe(30);
    setNow(later(now, 60 * MINUTE_MS));
    await failTimes(ctx, 49);
  });

  it('is kept no longer than it counts', async () => {
    const addresses = async () => (await world.peek('eu-1', 'select subject from sign_in_attempts')).length;
    for (const last of [1, 2, 3]) await failTimes(await from(`198.51.100.${last}`), 1);
    expect(await addresses()).toBe(3);
    setNow(later(now, 60 * MINUTE_MS));
    await failTimes(await from('198.51.100.9'), 1);
    expect(await addresses()).toBe(1);
  });

  it('gets the same answer for an account that is there and one that is not', async () => {
    const { passkey } = await givePasskey(asPerson(world.acme, (await holder()).userId));
    const answers = async (userHandle: string | undefined) => {
      await world.peek('eu-1', 'delete from sign_in_attempts');
      const seen = [];
      for (let round = 0; round < 52; round++) {
        const sent = passkey.get(await requestOptions(world), { rpId: 'evil.test', ...(userHandle && { userHandle }) });
        const { status, body, headers } = await sendPasskey(world, sent);
        seen.push([status, body['title'], headers.get('retry-after')]);
      }
      return seen;
    };
    const nobody = Buffer.from(`${uuidOf('tnt', world.acme.id)}${'0'.repeat(32)}`.replaceAll('-', ''), 'hex');
    const known = await answers(undefined);
    expect(known.at(-1)?.[0]).toBe(429);
    expect(await answers(nobody.toString('base64url'))).toEqual(known);
  });
});

describe('the right to a second factor', () => {
  it('is proven by the first alone: nobody shuts an account out who has not', async () => {
    const person = await holder();
    for (let round = 0; round < 10; round++)
      await post(world, '/sso/totp', {
        token: (await half(person.userId)).replace(/.{43}$/, 'A'.repeat(43)),
        code: '000000',
      });
    expect((await attempt(person.userId, codeAt(person.secret))).status).toBe(200);
    const rows = await world.peek('eu-1', 'select subject from sign_in_attempts where user_id = $1', [
      uuidOf('usr', person.userId as Id<'usr'>),
    ]);
    expect(rows).toEqual([]);
  });
});

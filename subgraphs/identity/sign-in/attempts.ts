import { isIPv6 } from 'node:net';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { lockUser } from '../sessions/session.ts';
import {
  ACCOUNT_LOCKOUT,
  ADDRESS_LOCKOUT,
  afterFailure,
  lockedForMs,
  type FailedAttempts,
  type LockoutRule,
} from './lockout.ts';
import { auditRefusal, type Refusal } from './refusal.ts';

/** How an attempt to sign in ended: with what it was for, or refused. */
export type Attempt<T> = { readonly done: T } | { readonly refused: Refusal };

/** Too many failures: THROTTLED, with the seconds of Retry-After. */
export class LockedOutError extends TenonError {
  override readonly retryAfterSeconds: number;

  constructor(retryAfterMs: number) {
    const seconds = Math.ceil(retryAfterMs / 1000);
    super('THROTTLED', 'too many failed sign-ins', { hint: `After too many failures: ${seconds} seconds.` });
    this.retryAfterSeconds = seconds;
  }
}

/** Whose failures count: the address always, the account where what is guessed is hers. */
export interface Attempted {
  /** Her row is locked before anything of hers; null where nobody is known yet. */
  readonly userId: Id<'usr'> | null;
  /**
   * Whether failures shut her account out. They do for codes, which can be guessed and come after a first factor; they do
   * not for keys, which cannot: there a stranger would only shut her out.
   */
  readonly countsForAccount: boolean;
}

/**
 * Makes an attempt in one transaction that counts its failure: attempts at the same account, or from the same address,
 * wait for each other on whatever replica, so that none is made on an old count. What is refused is UNAUTHENTICATED,
 * whatever the reason; what comes too soon is a LockedOutError, and not tried at all.
 */
export async function attemptSignIn<T>(
  ctx: RequestContext,
  attempted: Attempted,
  work: (tx: TenantTransaction) => Promise<Attempt<T>>,
): Promise<T> {
  const now = ctx.clock();
  const outcome = await inTenant(ctx, async (tx) => {
    if (attempted.userId !== null) await lockUser(tx, attempted.userId);
    const counts = await lockCounts(tx, subjectsOf(ctx, attempted), now);
    const waitMs = Math.max(0, ...counts.map((count) => lockedForMs(count, now)));
    if (waitMs > 0) return { waitMs };
    const attempt = await work(tx);
    if ('done' in attempt) await forgive(tx, counts);
    else await countFailure(tx, ctx, { counts, refusal: attempt.refused });
    return attempt;
  });
  if ('waitMs' in outcome) throw new LockedOutError(outcome.waitMs);
  if ('refused' in outcome) return fail('UNAUTHENTICATED', `sign-in refused: ${outcome.refused.reason}`);
  return outcome.done;
}

/** Forgets the failures of an account; false where there were none that shut it out. */
export async function unlockAccount(
  tx: Pick<TenantTransaction, 'query'>,
  userId: Id<'usr'>,
  now: Date,
): Promise<boolean> {
  const rows = await tx.query<{ locked_until: Date | null }>(
    'delete from sign_in_attempts where user_id = $1 returning locked_until',
    [uuidOf('usr', userId)],
  );
  return rows.some(({ locked_until: until }) => until !== null && until > now);
}

type Query = Pick<TenantTransaction, 'query'>;

interface Subject {
  readonly subject: string;
  readonly userUuid: string | null;
  readonly rule: LockoutRule;
}

interface Count extends Subject, FailedAttempts {}

interface CountRow {
  readonly failures: number;
  readonly last_failed_at: Date;
  readonly locked_until: Date | null;
}

/** The address first: everybody takes the locks in this order. */
function subjectsOf(ctx: RequestContext, { userId, countsForAccount }: Attempted): Subject[] {
  const { ip } = ctx.tenant.actor;
  const address = ip === null ? [] : [{ subject: networkOf(ip), userUuid: null, rule: ADDRESS_LOCKOUT }];
  if (userId === null || !countsForAccount) return address;
  const userUuid = uuidOf('usr', userId);
  return [...address, { subject: userUuid, userUuid, rule: ACCOUNT_LOCKOUT }];
}

/** A proxy may write more than an address. */
const MAX_ADDRESS_LENGTH = 64;

/** A household has 2^64 addresses of version 6, and one of version 4. */
function networkOf(ip: string): string {
  if (!isIPv6(ip) || ip.includes('.')) return ip.slice(0, MAX_ADDRESS_LENGTH);
  const [head = '', tail = ''] = (ip.split('%')[0] ?? '').split('::');
  const [left, right] = [head.split(':'), tail === '' ? [] : tail.split(':')];
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0');
  const groups = [...left, ...zeros, ...right].slice(0, 4).map((group) => (group === '' ? '0' : group));
  return `${groups.join(':')}::/64`;
}

/** A row is made where there is none, since only a row can be waited for. */
async function lockCounts(tx: Query, subjects: readonly Subject[], now: Date): Promise<Count[]> {
  const counts: Count[] = [];
  for (const { subject, userUuid, rule } of subjects) {
    const [row] = await tx.query<CountRow>(
      `insert into sign_in_attempts (subject, user_id, failures, last_failed_at)
         select $1, (select id from users where id = $2), 0, $3
         on conflict (tenant_id, subject) do update set subject = excluded.subject
         returning failures, last_failed_at, locked_until`,
      [subject, userUuid, now],
    );
    const {
      failures,
      last_failed_at: lastFailedAt,
      locked_until: lockedUntil,
    } = row ?? { ...NONE, last_failed_at: now };
    counts.push({ subject, userUuid, rule, failures, lastFailedAt, lockedUntil });
  }
  return counts;
}

const NONE = { failures: 0, locked_until: null };

/** A success clears the account, and takes one failure from the address, from which others may be guessing. */
async function forgive(tx: Query, counts: readonly Count[]): Promise<void> {
  for (const { subject, userUuid, failures } of counts) {
    if (userUuid !== null || failures <= 1)
      await tx.query('delete from sign_in_attempts where subject = $1', [subject]);
    else
      await tx.query('update sign_in_attempts set failures = failures - 1, locked_until = null where subject = $1', [
        subject,
      ]);
  }
}

async function countFailure(
  tx: TenantTransaction,
  ctx: RequestContext,
  { counts, refusal }: { counts: readonly Count[]; refusal: Refusal },
): Promise<void> {
  const now = ctx.clock();
  await auditRefusal(tx, ctx, refusal);
  for (const count of counts) {
    const { failures, lockedUntil } = afterFailure(count.rule, count, now);
    await tx.query(
      'update sign_in_attempts set failures = $2, last_failed_at = $3, locked_until = $4 where subject = $1',
      [count.subject, failures, now, lockedUntil],
    );
    if (lockedUntil !== null) await auditLock(tx, ctx, { refusal, count, failures, lockedUntil });
  }
  await forgetOld(tx, now);
}

async function auditLock(
  tx: Query,
  ctx: RequestContext,
  about: { refusal: Refusal; count: Count; failures: number; lockedUntil: Date },
): Promise<void> {
  const { refusal, count, failures, lockedUntil } = about;
  const subject = count.userUuid === null ? { address: count.subject } : {};
  await appendAudit(tx, ctx, {
    action: 'sign_in.lock',
    resource: { type: 'user', id: refusal.userId ?? 'unknown', name: null },
    context: { ...subject, failures, until: lockedUntil.toISOString() },
    outcome: 'denied',
  });
}

/** So that nobody fills the table by coming from ever other addresses; and nobody's address is kept for longer than it counts. */
async function forgetOld(tx: Query, now: Date): Promise<void> {
  await tx.query(
    `delete from sign_in_attempts where subject in (
       select subject from sign_in_attempts
        where last_failed_at <= case when user_id is null then $1::timestamptz else $2 end
        order by last_failed_at limit 100 for update skip locked)`,
    [
      new Date(now.getTime() - ADDRESS_LOCKOUT.forgottenAfterMs),
      new Date(now.getTime() - ACCOUNT_LOCKOUT.forgottenAfterMs),
    ],
  );
}

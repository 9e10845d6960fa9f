/** How failures in a row shut out: from a certain one on, each shuts out for twice as long as the one before. */
export interface LockoutRule {
  readonly failuresToLock: number;
  readonly firstLockMs: number;
  readonly maxLockMs: number;
  /** After so long without a failure all are forgotten; longer than the longest lock. */
  readonly forgottenAfterMs: number;
}

/** Failures in a row of one account, or from one address. */
export interface FailedAttempts {
  readonly failures: number;
  readonly lastFailedAt: Date;
  readonly lockedUntil: Date | null;
}

const HOUR_MS = 3_600_000;

/** Leaves about 34 guesses in the first day and 24 in each after it, where one guess of six digits is right 3 times in a million. */
export const ACCOUNT_LOCKOUT: LockoutRule = {
  failuresToLock: 5,
  firstLockMs: 30_000,
  maxLockMs: HOUR_MS,
  forgottenAfterMs: 24 * HOUR_MS,
};

/** Whole offices share an address: it may fail more often, and is shut out for less long. */
export const ADDRESS_LOCKOUT: LockoutRule = {
  failuresToLock: 50,
  firstLockMs: 30_000,
  maxLockMs: HOUR_MS / 4,
  forgottenAfterMs: HOUR_MS,
};

/** Returns what stands after one more failure. */
export function afterFailure(rule: LockoutRule, before: FailedAttempts, now: Date): FailedAttempts {
  const forgotten = now.getTime() - before.lastFailedAt.getTime() >= rule.forgottenAfterMs;
  const failures = (forgotten ? 0 : before.failures) + 1;
  const doublings = failures - rule.failuresToLock;
  if (doublings < 0) return { failures, lastFailedAt: now, lockedUntil: null };
  const lockMs = Math.min(rule.firstLockMs * 2 ** doublings, rule.maxLockMs);
  return { failures, lastFailedAt: now, lockedUntil: new Date(now.getTime() + lockMs) };
}

/** Returns for how long no attempt is taken, 0 where one is. */
export function lockedForMs({ lockedUntil }: FailedAttempts, now: Date): number {
  return lockedUntil === null ? 0 : Math.max(0, lockedUntil.getTime() - now.getTime());
}

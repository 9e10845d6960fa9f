import { fail } from '#schema/errors.ts';

/** A request is answered within a month, or within so many where it is extended (GDPR Article 12(3)). */
export const MONTHS_TO_ANSWER = 1;
/** By so many months at most it can be extended. */
export const MOST_EXTENSION_MONTHS = 2;
/** A request that somebody enters so long after it came is a slip of the keyboard. */
const OLDEST_MS = 366 * 86_400_000;

/**
 * Returns the end of a period of months after a moment, in UTC: the same day and time of the month, or its last day where it
 * has no such day, so that a period is never longer than the law gives (Regulation 1182/71 Article 3(2)(c)).
 */
export function monthsAfter(from: Date, months: number): Date {
  const day = from.getUTCDate();
  const end = new Date(from);
  end.setUTCDate(1);
  end.setUTCMonth(end.getUTCMonth() + months);
  const lastDay = new Date(Date.UTC(end.getUTCFullYear(), end.getUTCMonth() + 1, 0)).getUTCDate();
  end.setUTCDate(Math.min(day, lastDay));
  return end;
}

/** Returns when a request came; one from the future, or older than a year, is BAD_USER_INPUT. */
export function requireReceived(receivedAt: Date | null | undefined, now: Date): Date {
  const received = receivedAt ?? now;
  const ageMs = now.getTime() - received.getTime();
  if (!(ageMs >= 0 && ageMs <= OLDEST_MS))
    fail('BAD_USER_INPUT', 'received out of range', { hint: '"receivedAt" lies in the past, by a year at most.' });
  return received;
}

import { fail } from './errors.ts';

/** How long each part of a tenant's life lasts at least; of a tier, unless her contract says otherwise. */
export interface LifeDays {
  /** Days of a trial. */
  readonly trial: number;
  /** Hours that a trial goes on after its end, and between the mail that announces a conversion and the conversion. */
  readonly trialGraceHours: number;
  /** Days from a missed payment to read-only. */
  readonly readOnlyAfter: number;
  /** Days from a missed payment to the full pause, and from the end of a trial. */
  readonly suspendAfter: number;
  /** Days from the full pause to the deletion that can be undone. */
  readonly deleteSuspendedAfter: number;
  /** Days from a cancellation to it, in which she can take her data with her. */
  readonly deleteCancelledAfter: number;
  /** Days in which a deletion can be undone. */
  readonly eraseAfter: number;
}

/** The bounds of each number, and where it starts. No promise of grace can be set to nothing. */
export const LIFE_DAY_BOUNDS: Readonly<Record<keyof LifeDays, readonly [least: number, start: number, most: number]>> =
  {
    trial: [1, 14, 365],
    trialGraceHours: [24, 24, 720],
    readOnlyAfter: [1, 7, 365],
    suspendAfter: [2, 30, 730],
    deleteSuspendedAfter: [7, 60, 3650],
    deleteCancelledAfter: [30, 30, 3650],
    eraseAfter: [7, 30, 365],
  };

/** The names of the numbers. */
export const LIFE_DAY_NAMES = Object.keys(LIFE_DAY_BOUNDS) as (keyof LifeDays)[];

/** What every tier starts with. */
export const DEFAULT_LIFE_DAYS: LifeDays = changedDays(
  Object.fromEntries(LIFE_DAY_NAMES.map((name) => [name, LIFE_DAY_BOUNDS[name][1]])) as unknown as LifeDays,
  {},
);

/** Returns the numbers with those of a change in their place; one out of its bounds is BAD_USER_INPUT. */
export function changedDays(before: LifeDays, change: Partial<Record<keyof LifeDays, number | null>>): LifeDays {
  const after: Record<keyof LifeDays, number> = { ...before };
  for (const name of LIFE_DAY_NAMES) {
    const value = change[name] ?? before[name];
    const [least, , most] = LIFE_DAY_BOUNDS[name];
    if (!Number.isInteger(value) || value < least || value > most) {
      fail('BAD_USER_INPUT', `${name} out of range`, { hint: `"${name}" takes ${least} to ${most}.` });
    }
    after[name] = value;
  }
  if (after.suspendAfter <= after.readOnlyAfter) {
    fail('BAD_USER_INPUT', 'the pause before read-only', { hint: '"suspendAfter" has to lie behind "readOnlyAfter".' });
  }
  return after;
}

/** Returns what is stored of a change: numbers alone, by their names; the rest is left out. */
export function readDays(stored: unknown): Partial<LifeDays> {
  const object = (typeof stored === 'object' && stored !== null ? stored : {}) as Record<string, unknown>;
  return Object.fromEntries(
    LIFE_DAY_NAMES.filter((name) => typeof object[name] === 'number').map((name) => [name, object[name]]),
  );
}

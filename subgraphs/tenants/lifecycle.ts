import { fail } from '#schema/errors.ts';
import type { LifeDays } from '#schema/life-days.ts';
import type { TenantState } from '#schema/tenant-context.ts';

/** Who takes a step: operators and the tenant ask for theirs, the clock and the platform's own work take theirs unasked. */
export type LifeActor = 'operator' | 'tenant' | 'clock' | 'platform';

/** What is known of a tenant beside her state. */
export interface LifeFacts {
  /** A legal hold stands. */
  readonly held: boolean;
  /** An invoice is unpaid. */
  readonly paymentOpen: boolean;
  /** Somebody agreed to pay once the trial is over, or signed a contract. */
  readonly confirmed: boolean;
  /** When the mail that announces the conversion was handed to the mail server. */
  readonly announcedAt: Date | null;
  readonly trialEndsAt: Date | null;
  /** The step that led into the state. */
  readonly lastStep: string | null;
  /** When the last of what there was of her was erased. */
  readonly erasedAt: Date | null;
}

/** What has to be true for a step. */
export type Guard = keyof typeof GUARDS;

/** What has to have passed before a step. */
export type Wait = keyof typeof WAITS;

/** What goes with a step, in its transaction. */
export type Effect =
  /** Administrators get a mail. */
  | 'mail'
  /** Everybody is signed out for good. */
  | 'end_sessions'
  /** What is personal in her log becomes unreadable. */
  | 'destroy_keys';

/** One step of a tenant's life. */
export interface Transition {
  readonly from: TenantState;
  readonly to: TenantState;
  /** What happens, as a verb. */
  readonly action: string;
  readonly by: readonly LifeActor[];
  /** The grace that she was promised, whoever takes the step. */
  readonly wait?: Wait;
  readonly guards?: readonly Guard[];
  /** What the clock asks for beside. */
  readonly clock?: { readonly wait?: Wait; readonly guards?: readonly Guard[] };
  readonly effects?: readonly Effect[];
}

/** A tenant at a moment, and who wants her to go on. */
export interface LifeMoment {
  readonly from: TenantState;
  /** When she came into `from`. */
  readonly since: Date;
  readonly now: Date;
  readonly facts: LifeFacts;
  readonly days: LifeDays;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Every guard: when it holds, and what is said where it does not. */
export const GUARDS = {
  payment_open: { about: 'an invoice is unpaid', holds: ({ facts }) => facts.paymentOpen },
  payment_settled: { about: 'no invoice is unpaid', holds: ({ facts }) => !facts.paymentOpen },
  confirmed: { about: 'paying was confirmed', holds: ({ facts }) => facts.confirmed },
  unconfirmed: { about: 'paying was not confirmed', holds: ({ facts }) => !facts.confirmed },
  unsettled: {
    about: 'an invoice is unpaid, or paying was never confirmed',
    holds: ({ facts }) => facts.paymentOpen || !facts.confirmed,
  },
  announced: {
    about: 'the mail that announces it was sent the hours of grace ago',
    holds: ({ facts: { announcedAt }, days, now }) =>
      announcedAt !== null && now.getTime() >= announcedAt.getTime() + days.trialGraceHours * HOUR_MS,
  },
  paused: { about: 'she was paused for want of payment', holds: ({ facts }) => facts.lastStep === 'pause' },
  no_hold: { about: 'no legal hold stands', holds: ({ facts }) => !facts.held },
  erased_everywhere: { about: 'nothing of her is left in any store', holds: ({ facts }) => facts.erasedAt !== null },
} as const satisfies Record<string, { about: string; holds: (moment: LifeMoment) => boolean }>;

/** Every wait: how it is said, and when it is over. */
export const WAITS = {
  trial: {
    about: 'the end of the trial and `trialGraceHours`',
    until: ({ since, days, facts }) =>
      (facts.trialEndsAt?.getTime() ?? since.getTime() + days.trial * DAY_MS) + days.trialGraceHours * HOUR_MS,
  },
  read_only: {
    about: '`readOnlyAfter` days',
    until: ({ since, days }) => since.getTime() + days.readOnlyAfter * DAY_MS,
  },
  suspend: {
    about: '`suspendAfter` less `readOnlyAfter` days',
    until: ({ since, days }) => since.getTime() + (days.suspendAfter - days.readOnlyAfter) * DAY_MS,
  },
  delete_suspended: {
    about: '`deleteSuspendedAfter` days',
    until: ({ since, days }) => since.getTime() + days.deleteSuspendedAfter * DAY_MS,
  },
  delete_cancelled: {
    about: '`deleteCancelledAfter` days',
    until: ({ since, days }) => since.getTime() + days.deleteCancelledAfter * DAY_MS,
  },
  erase: { about: '`eraseAfter` days', until: ({ since, days }) => since.getTime() + days.eraseAfter * DAY_MS },
} as const satisfies Record<string, { about: string; until: (moment: LifeMoment) => number }>;

/**
 * Every step there is; what is not listed is refused. Nobody is charged in silence: a trial converts only where somebody
 * confirmed it and a mail announced it. Whom an operator suspended, the clock leaves alone.
 */
export const TRANSITIONS: readonly Transition[] = [
  { from: 'provisioning', to: 'trial', action: 'start_trial', by: ['platform'] },
  { from: 'provisioning', to: 'active', action: 'activate', by: ['platform'] },

  {
    from: 'trial',
    to: 'active',
    action: 'convert',
    by: ['operator', 'clock'],
    guards: ['confirmed'],
    clock: { wait: 'trial', guards: ['announced'] },
    effects: ['mail'],
  },
  {
    from: 'trial',
    to: 'read_only',
    action: 'end_trial',
    by: ['operator', 'clock'],
    clock: { wait: 'trial', guards: ['unconfirmed'] },
    effects: ['mail'],
  },
  { from: 'trial', to: 'suspended', action: 'suspend', by: ['operator'], effects: ['mail'] },
  { from: 'trial', to: 'cancelled', action: 'cancel', by: ['operator', 'tenant'], effects: ['mail'] },

  {
    from: 'active',
    to: 'past_due',
    action: 'miss_payment',
    by: ['operator', 'clock'],
    guards: ['payment_open'],
    effects: ['mail'],
  },
  { from: 'active', to: 'suspended', action: 'suspend', by: ['operator'], effects: ['mail'] },
  { from: 'active', to: 'cancelled', action: 'cancel', by: ['operator', 'tenant'], effects: ['mail'] },

  { from: 'past_due', to: 'active', action: 'pay', by: ['operator', 'clock'], guards: ['payment_settled'] },
  {
    from: 'past_due',
    to: 'read_only',
    action: 'restrict',
    by: ['operator', 'clock'],
    wait: 'read_only',
    guards: ['payment_open'],
    effects: ['mail'],
  },
  { from: 'past_due', to: 'cancelled', action: 'cancel', by: ['operator', 'tenant'], effects: ['mail'] },

  {
    from: 'read_only',
    to: 'active',
    action: 'pay',
    by: ['operator', 'clock'],
    guards: ['confirmed', 'payment_settled'],
    effects: ['mail'],
  },
  {
    from: 'read_only',
    to: 'suspended',
    action: 'pause',
    by: ['operator', 'clock'],
    wait: 'suspend',
    guards: ['unsettled'],
    effects: ['mail'],
  },
  { from: 'read_only', to: 'cancelled', action: 'cancel', by: ['operator', 'tenant'], effects: ['mail'] },

  {
    from: 'suspended',
    to: 'active',
    action: 'reinstate',
    by: ['operator', 'clock'],
    guards: ['confirmed', 'payment_settled'],
    clock: { guards: ['paused'] },
    effects: ['mail'],
  },
  {
    from: 'suspended',
    to: 'soft_deleted',
    action: 'delete',
    by: ['operator', 'clock'],
    clock: { wait: 'delete_suspended', guards: ['paused'] },
    effects: ['mail'],
  },

  {
    from: 'cancelled',
    to: 'active',
    action: 'resume',
    by: ['operator', 'tenant'],
    guards: ['confirmed', 'payment_settled'],
  },
  {
    from: 'cancelled',
    to: 'soft_deleted',
    action: 'delete',
    by: ['operator', 'clock'],
    clock: { wait: 'delete_cancelled' },
    effects: ['mail'],
  },

  // Whoever is recovered comes back paused: what led to the deletion is settled before service goes on. While she was
  // deleted nobody got in, and nobody does with what he signed in with before.
  { from: 'soft_deleted', to: 'suspended', action: 'recover', by: ['operator'], effects: ['mail', 'end_sessions'] },
  {
    from: 'soft_deleted',
    to: 'erasing',
    action: 'erase',
    by: ['clock', 'platform'],
    wait: 'erase',
    guards: ['no_hold'],
    effects: ['destroy_keys'],
  },
  {
    from: 'erasing',
    to: 'erased',
    action: 'finish_erasure',
    by: ['clock', 'platform'],
    guards: ['no_hold', 'erased_everywhere'],
  },
];

/** Returns a step that somebody asks for; any other, one that comes too early, or whose guard fails, is INVALID_TRANSITION. */
export function requireStep(moment: LifeMoment & { readonly to: TenantState; readonly by: LifeActor }): Transition {
  const { from, to, by, now } = moment;
  const possible = TRANSITIONS.filter((known) => known.from === from && known.by.includes(by));
  const step = possible.find((known) => known.to === to);
  if (step === undefined) return refuse(moment, `From ${from} it can go to ${listOf(possible)}.`);
  for (const wait of waitsOf(step, by)) {
    const until = new Date(WAITS[wait].until(moment));
    if (now < until) return refuse(moment, `It can go to ${to} from ${until.toISOString()} on.`);
  }
  const broken = guardsOf(step, by).find((guard) => !GUARDS[guard].holds(moment));
  return broken === undefined ? step : refuse(moment, `It can go to ${to} only when ${GUARDS[broken].about}.`);
}

/** Returns the step that the clock takes at this moment, or null. */
export function dueStep(moment: LifeMoment): Transition | null {
  const due = TRANSITIONS.find(
    (step) =>
      step.from === moment.from &&
      step.by.includes('clock') &&
      waitsOf(step, 'clock').every((wait) => moment.now.getTime() >= WAITS[wait].until(moment)) &&
      guardsOf(step, 'clock').every((guard) => GUARDS[guard].holds(moment)),
  );
  return due ?? null;
}

/** What a step waits for when somebody takes it. */
export function waitsOf({ wait, clock }: Transition, by: LifeActor): Wait[] {
  return [wait, by === 'clock' ? clock?.wait : undefined].filter((one) => one !== undefined);
}

/** What has to be true for a step when somebody takes it. */
export function guardsOf({ guards = [], clock }: Transition, by: LifeActor): Guard[] {
  return [...guards, ...(by === 'clock' ? (clock?.guards ?? []) : [])];
}

function listOf(transitions: readonly Transition[]): string {
  return transitions.length === 0 ? 'no other state' : transitions.map(({ to }) => to).join(', ');
}

function refuse({ from, to }: { readonly from: TenantState; readonly to: TenantState }, hint: string): never {
  return fail('INVALID_TRANSITION', `no step from ${from} to ${to}`, { hint });
}

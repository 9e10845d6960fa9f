import { fail } from '#schema/errors.ts';
import type { TenantState } from '#schema/tenant-context.ts';

/** One step of a tenant's life. */
export interface Transition {
  readonly from: TenantState;
  readonly to: TenantState;
  /** What happens, as a verb. */
  readonly action: string;
  /** Operators ask for their steps; the platform takes its own as part of its work, and nobody can ask for them. */
  readonly by: 'operator' | 'platform';
  /** The tenant must have been in `from` for so many days: the grace that she was promised. */
  readonly afterDays?: number;
}

/** A step that somebody asks for. */
export interface TransitionRequest {
  readonly from: TenantState;
  readonly to: TenantState;
  /** When the tenant came into `from`. */
  readonly since: Date;
  readonly now: Date;
}

const DAY_MS = 86_400_000;

/**
 * Every step there is; what is not listed is refused. A missed payment leads to read-only after 7 days and to the full
 * pause after 30 (7 and 23 more); deleting is soft for 30 days, in which the tenant can be recovered.
 */
export const TRANSITIONS: readonly Transition[] = [
  { from: 'provisioning', to: 'trial', action: 'start_trial', by: 'platform' },
  { from: 'provisioning', to: 'active', action: 'activate', by: 'platform' },

  { from: 'trial', to: 'active', action: 'convert', by: 'operator' },
  { from: 'trial', to: 'read_only', action: 'end_trial', by: 'operator' },
  { from: 'trial', to: 'suspended', action: 'suspend', by: 'operator' },
  { from: 'trial', to: 'cancelled', action: 'cancel', by: 'operator' },

  { from: 'active', to: 'past_due', action: 'miss_payment', by: 'operator' },
  { from: 'active', to: 'suspended', action: 'suspend', by: 'operator' },
  { from: 'active', to: 'cancelled', action: 'cancel', by: 'operator' },

  { from: 'past_due', to: 'active', action: 'pay', by: 'operator' },
  { from: 'past_due', to: 'read_only', action: 'restrict', by: 'operator', afterDays: 7 },
  { from: 'past_due', to: 'cancelled', action: 'cancel', by: 'operator' },

  { from: 'read_only', to: 'active', action: 'pay', by: 'operator' },
  { from: 'read_only', to: 'suspended', action: 'pause', by: 'operator', afterDays: 23 },
  { from: 'read_only', to: 'cancelled', action: 'cancel', by: 'operator' },

  { from: 'suspended', to: 'active', action: 'reinstate', by: 'operator' },
  { from: 'suspended', to: 'soft_deleted', action: 'delete', by: 'operator' },

  { from: 'cancelled', to: 'active', action: 'resume', by: 'operator' },
  { from: 'cancelled', to: 'soft_deleted', action: 'delete', by: 'operator' },

  // Whoever is recovered comes back paused: what led to the deletion is settled before service goes on.
  { from: 'soft_deleted', to: 'suspended', action: 'recover', by: 'operator' },
  { from: 'soft_deleted', to: 'erasing', action: 'erase', by: 'platform', afterDays: 30 },
  { from: 'erasing', to: 'erased', action: 'finish_erasure', by: 'platform' },
];

/** Returns the step that an operator may take; any other is INVALID_TRANSITION, which names the ones there are. */
export function operatorTransition(request: TransitionRequest): Transition {
  return transitionBy('operator', request);
}

/** Returns a step that the platform takes as part of its own work; any other is INVALID_TRANSITION. */
export function platformTransition(request: TransitionRequest): Transition {
  return transitionBy('platform', request);
}

function transitionBy(by: Transition['by'], request: TransitionRequest): Transition {
  const { from, to, since, now } = request;
  const possible = TRANSITIONS.filter((known) => known.from === from && known.by === by);
  const transition = possible.find((known) => known.to === to);
  if (transition === undefined) return refuse(request, `From ${from} it can go to ${listOf(possible)}.`);
  const earliest = new Date(since.getTime() + (transition.afterDays ?? 0) * DAY_MS);
  if (now < earliest) return refuse(request, `It can go to ${to} from ${earliest.toISOString()} on.`);
  return transition;
}

function listOf(transitions: readonly Transition[]): string {
  return transitions.length === 0 ? 'no other state' : transitions.map(({ to }) => to).join(', ');
}

function refuse({ from, to }: TransitionRequest, hint: string): never {
  return fail('INVALID_TRANSITION', `no step from ${from} to ${to}`, { hint });
}

import {
  OPERATION_CLASSES,
  type BudgetLimits,
  type LimitSubject,
  type OperationClass,
  type Rate,
} from '#schema/budget-limits.ts';
import { fail } from '#schema/errors.ts';
import type { BudgetHolder, BudgetStatus, PolicyName, PolicyStatus } from './budgets.ts';

/** A bucket of a subject: one for each class of operation, and one for requests. */
export type BucketName = OperationClass | 'requests';

/** One bucket that a request is paid from. */
export interface Policy {
  readonly name: PolicyName;
  readonly unit: 'points' | 'requests';
  readonly subject: LimitSubject;
  readonly bucket: BucketName;
  readonly rate: Rate;
}

/** The buckets that a request is paid from, the tenant's points first. */
export type Policies = readonly [Policy, ...Policy[]];

/** The levels of the buckets of a request, in the order of its policies. */
export type Levels = readonly number[];

/** Seconds that no answer exceeds, however slowly a bucket fills: a year. */
const LONGEST_SECONDS = 31_536_000;

/**
 * Returns a function that gives the policies of a request: one list for each kind of request under the same limits, made
 * once. With a share below 1 every bucket holds and restores that part.
 */
export function newPolicyTable(share = 1): (holder: BudgetHolder) => Policies {
  const tables = new WeakMap<BudgetLimits, (Policies | undefined)[]>();
  return (holder) => {
    let table = tables.get(holder.limits);
    if (table === undefined) tables.set(holder.limits, (table = []));
    const { operationClass, client, user } = holder;
    const kind = OPERATION_CLASSES.indexOf(operationClass) * 4 + (client === null ? 0 : 2) + (user === null ? 0 : 1);
    return (table[kind] ??= policiesOf(holder, share));
  };
}

/** Proves that full buckets could pay the cost; otherwise fails with COST_ESTIMATED_TOO_EXPENSIVE or THROTTLED. */
export function checkAffordable(policies: Policies, cost: number): void {
  checkPoints(cost);
  for (const { name, unit, rate } of policies) {
    if (unit === 'requests' && rate.capacity < 1)
      fail('THROTTLED', `${name} is closed`, { hint: `The limit ${name} allows no requests.` });
    if (unit === 'points' && cost > rate.capacity)
      fail('COST_ESTIMATED_TOO_EXPENSIVE', `cost ${cost} above ${rate.capacity} of ${name}`, {
        hint: `It is estimated at ${cost} points; the budget ${name} holds ${rate.capacity}.`,
      });
  }
}

/** Proves that this is a number of points; anything else is a fault of the caller. */
export function checkPoints(points: number): void {
  if (!(points >= 0 && points <= Number.MAX_SAFE_INTEGER)) throw new Error(`not a number of points: ${points}`);
}

/** Returns what a request takes from a bucket; what a full one cannot pay, it pays with all it holds. */
export function amountOf({ unit, rate }: Policy, cost: number): number {
  return Math.min(unit === 'points' ? cost : 1, rate.capacity);
}

/** Returns what a caller learns of her buckets. */
export function statusOf(policies: Policies, levels: Levels): BudgetStatus {
  const [first] = policies;
  const statuses: [PolicyStatus, ...PolicyStatus[]] = [policyStatus(first, levels[0] ?? 0)];
  for (let index = 1; index < policies.length; index++) {
    const policy = policies[index];
    if (policy !== undefined) statuses.push(policyStatus(policy, levels[index] ?? 0));
  }
  return { policies: statuses, table: policies };
}

/** Returns which policies cannot pay the cost, which lets wait longest, and for how many whole seconds. */
export function refusalOf(
  policies: Policies,
  levels: Levels,
  cost: number,
): { refusedBy: PolicyName | null; violated: PolicyName[]; retryAfterSeconds: number } {
  const refusal = { refusedBy: null as PolicyName | null, violated: [] as PolicyName[], retryAfterSeconds: 0 };
  policies.forEach((policy, index) => {
    const missing = amountOf(policy, cost) - (levels[index] ?? 0);
    if (missing <= 0) return;
    const seconds = Math.max(1, secondsToEarn(policy, missing));
    refusal.violated.push(policy.name);
    if (seconds <= refusal.retryAfterSeconds) return;
    refusal.refusedBy = policy.name;
    refusal.retryAfterSeconds = seconds;
  });
  return refusal;
}

function policiesOf({ limits, client, user, operationClass }: BudgetHolder, share: number): Policies {
  const of = (subject: LimitSubject): [Policy, Policy] => {
    const { points, requests } = limits[subject];
    return [
      policyOf(subject, operationClass, scaled(points[operationClass], share)),
      policyOf(subject, 'requests', scaled(requests, share)),
    ];
  };
  return [...of('tenant'), ...(client === null ? [] : of('client')), ...(user === null ? [] : of('user'))];
}

function policyOf(subject: LimitSubject, bucket: BucketName, rate: Rate): Policy {
  return { name: `${subject}-${bucket}`, unit: bucket === 'requests' ? 'requests' : 'points', subject, bucket, rate };
}

function scaled(rate: Rate, share: number): Rate {
  if (share === 1) return rate;
  return { capacity: rate.capacity * share, restorePerSecond: rate.restorePerSecond * share };
}

function policyStatus(policy: Policy, level: number): PolicyStatus {
  const { name, unit, rate } = policy;
  return {
    name,
    unit,
    limit: rate.capacity,
    remaining: level > 0 ? Math.floor(level) : 0,
    restorePerSecond: rate.restorePerSecond,
    resetSeconds: secondsToEarn(policy, rate.capacity - level),
  };
}

function secondsToEarn({ rate }: Policy, missing: number): number {
  return missing <= 0 ? 0 : Math.min(LONGEST_SECONDS, Math.ceil(missing / rate.restorePerSecond));
}

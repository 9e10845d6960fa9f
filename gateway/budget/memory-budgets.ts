import type { LimitSubject, Rate } from '#schema/budget-limits.ts';
import { fail } from '#schema/errors.ts';
import type { BudgetHolder, BudgetRequest, Budgets, BudgetStatus, PolicyName, Reservation } from './budgets.ts';
import {
  amountOf,
  checkAffordable,
  checkPoints,
  newPolicyTable,
  refusalOf,
  statusOf,
  type BucketName,
  type Levels,
  type Policies,
} from './policies.ts';

/** How budgets in memory are kept. */
export interface MemoryBudgetsOptions {
  /** Tenants, clients and users held together; 100 000 where nothing is said: some 30 MB. */
  readonly maxSubjects?: number;
  /**
   * Every bucket holds and restores this part of the limits; all where nothing is said. Below 1 a full bucket pays with
   * all it holds what it could pay in full, so that a smaller share makes no operation impossible.
   */
  readonly share?: number;
}

/** Budgets in the memory of this process. */
export interface MemoryBudgets extends Budgets {
  reserve(request: BudgetRequest): Reservation;
  /** Tenants, clients and users held now. */
  readonly size: number;
}

const MAX_SUBJECTS = 100_000;
/** How many subjects are looked at for one that may go. */
const EVICTION_SCAN = 32;

/** One bucket, brought up to date where it is used. */
interface Bucket {
  /** Below 0 where operations cost more than they were estimated at. */
  level: number;
  updatedMs: number;
  rate: Rate;
}

/** A tenant, client or user: its buckets, each made when it is first used, since one that is missing is a full one. */
interface Subject {
  readonly buckets: Record<BucketName, Bucket | null>;
  /** Where it is found, and what depends on it. */
  readonly home: Map<string, Subject>;
  readonly key: string;
  readonly clients: Map<string, Subject>;
  readonly users: Map<string, Subject>;
}

/**
 * Returns budgets in memory. To make room a subject whose buckets are full goes, which loses nothing since a new one is
 * full as well; one that is still filling stays, so nobody sheds a debt by having it forgotten. Where none can go, a
 * further subject fails with SERVICE_UNAVAILABLE. A clock that jumps back adds nothing; the buckets go on filling from
 * the new time. A change of limits adds no points.
 */
export function newMemoryBudgets({ maxSubjects = MAX_SUBJECTS, share = 1 }: MemoryBudgetsOptions = {}): MemoryBudgets {
  const policiesOf = newPolicyTable(share);
  const subjects = newSubjects(maxSubjects);
  return {
    reserve(request) {
      const { cost, nowMs } = request;
      const policies = policiesOf(request);
      if (share === 1) checkAffordable(policies, cost);
      const buckets = subjects.bucketsOf(request, policies);
      return take({ policies, buckets, cost, nowMs });
    },
    settle(reservation, actual, nowMs) {
      checkPoints(actual);
      if (!(reservation instanceof MemoryReservation)) return reservation.status;
      return settle(reservation, actual, nowMs);
    },
    status(holder) {
      const policies = policiesOf(holder);
      const buckets = subjects.lookAt(holder, policies);
      return statusOf(
        policies,
        policies.map(({ rate }, index) => levelAt(buckets[index] ?? null, holder.nowMs, rate)),
      );
    },
    close: () => Promise.resolve(),
    get size() {
      return subjects.size();
    },
  };
}

interface Claim {
  readonly policies: Policies;
  readonly buckets: readonly Bucket[];
  readonly cost: number;
  readonly nowMs: number;
}

/** A class, so that a reservation that was made elsewhere or copied is told apart from one that holds points. */
class MemoryReservation implements Reservation {
  readonly allowed: boolean;
  readonly refusedBy: PolicyName | null;
  readonly violated: readonly PolicyName[];
  readonly retryAfterSeconds: number;
  readonly policies: Policies;
  readonly buckets: readonly Bucket[];
  readonly cost: number;
  /** Whether points are still out: false once it was settled, and where it was refused. */
  isOpen: boolean;

  constructor({ policies, buckets, cost }: Claim, refusal: ReturnType<typeof refusalOf> | null) {
    this.allowed = refusal === null;
    this.refusedBy = refusal?.refusedBy ?? null;
    this.violated = refusal?.violated ?? NONE;
    this.retryAfterSeconds = refusal?.retryAfterSeconds ?? 0;
    this.policies = policies;
    this.buckets = buckets;
    this.cost = cost;
    this.isOpen = this.allowed;
  }

  /** As the buckets stand; made for those who ask, since nearly nobody does before the end. */
  get status(): BudgetStatus {
    return statusOf(this.policies, levelsOf(this.buckets));
  }
}

const NONE: readonly PolicyName[] = [];

function take(claim: Claim): MemoryReservation {
  const { policies, buckets, cost, nowMs } = claim;
  let isEnough = true;
  for (let index = 0; index < policies.length; index++) {
    const [policy, bucket] = [policies[index], buckets[index]];
    if (policy === undefined || bucket === undefined) continue;
    refill(bucket, nowMs, policy.rate);
    if (bucket.level < amountOf(policy, cost)) isEnough = false;
  }
  if (!isEnough) return new MemoryReservation(claim, refusalOf(policies, levelsOf(buckets), cost));
  for (let index = 0; index < policies.length; index++) {
    const [policy, bucket] = [policies[index], buckets[index]];
    if (policy !== undefined && bucket !== undefined) bucket.level -= amountOf(policy, cost);
  }
  return new MemoryReservation(claim, null);
}

/** The buckets are those that paid, even where the limits changed since: what was taken from them goes back to them. */
function settle(reservation: MemoryReservation, actual: number, nowMs: number): BudgetStatus {
  const { policies, buckets, cost, isOpen } = reservation;
  reservation.isOpen = false;
  for (let index = 0; index < policies.length; index++) {
    const [policy, bucket] = [policies[index], buckets[index]];
    if (policy === undefined || bucket === undefined) continue;
    refill(bucket, nowMs, bucket.rate);
    if (!isOpen || policy.unit !== 'points') continue;
    const { capacity } = bucket.rate;
    bucket.level = Math.min(capacity, Math.max(-capacity, bucket.level + amountOf(policy, cost) - actual));
  }
  return statusOf(policies, levelsOf(buckets));
}

function refill(bucket: Bucket, nowMs: number, rate: Rate): void {
  bucket.level = levelAt(bucket, nowMs, rate);
  bucket.updatedMs = nowMs;
  bucket.rate = rate;
}

/** A bucket that nobody has used is full. */
function levelAt(bucket: Bucket | null, nowMs: number, { capacity: most }: Rate): number {
  if (bucket === null) return most;
  const elapsedMs = nowMs - bucket.updatedMs;
  const { capacity, restorePerSecond } = bucket.rate;
  const level = elapsedMs > 0 ? bucket.level + (elapsedMs * restorePerSecond) / 1000 : bucket.level;
  return Math.min(capacity, most, level);
}

function levelsOf(buckets: readonly Bucket[]): Levels {
  return buckets.map(({ level }) => level);
}

interface Subjects {
  bucketsOf(request: BudgetRequest, policies: Policies): Bucket[];
  /** The same without making any: null where there is none yet. */
  lookAt(holder: BudgetHolder, policies: Policies): (Bucket | null)[];
  size(): number;
}

function newSubjects(maxSubjects: number): Subjects {
  const tenants = new Map<string, Subject>();
  // All of them, whichever map they are found in, for the search of one that may go.
  const held = new Set<Subject>();
  const subjectIn = (home: Map<string, Subject>, key: string): Subject => {
    const known = home.get(key);
    if (known !== undefined) return known;
    const subject = newSubject(home, key);
    home.set(key, subject);
    held.add(subject);
    return subject;
  };
  return {
    bucketsOf({ tenantId, client, user, nowMs }, policies) {
      // Room is made before anything is looked up for good: what is about to be used must not be what goes.
      const missing = missingOf(tenants.get(tenantId), client, user);
      if (missing > 0) makeRoom(held, { size: maxSubjects - missing, nowMs });
      const tenant = subjectIn(tenants, tenantId);
      const subjects: Record<LimitSubject, Subject> = {
        tenant,
        client: client === null ? tenant : subjectIn(tenant.clients, client),
        user: user === null ? tenant : subjectIn(tenant.users, user),
      };
      return policies.map(({ subject, bucket, rate }) => {
        const { buckets } = subjects[subject];
        return (buckets[bucket] ??= { level: rate.capacity, updatedMs: nowMs, rate });
      });
    },
    lookAt({ tenantId, client, user }, policies) {
      const tenant = tenants.get(tenantId);
      const subjects: Record<LimitSubject, Subject | undefined> = {
        tenant,
        client: tenant?.clients.get(client ?? ''),
        user: tenant?.users.get(user ?? ''),
      };
      return policies.map(({ subject, bucket }) => subjects[subject]?.buckets[bucket] ?? null);
    },
    size: () => held.size,
  };
}

function missingOf(tenant: Subject | undefined, client: string | null, user: string | null): number {
  return (tenant === undefined ? 1 : 0) + lacking(client, tenant?.clients) + lacking(user, tenant?.users);
}

function lacking(key: string | null, home: Map<string, Subject> | undefined): number {
  return key === null || home?.has(key) === true ? 0 : 1;
}

function newSubject(home: Map<string, Subject>, key: string): Subject {
  const buckets = { query: null, mutation: null, bulk: null, requests: null };
  return { buckets, home, key, clients: new Map(), users: new Map() };
}

function makeRoom(held: Set<Subject>, { size, nowMs }: { size: number; nowMs: number }): void {
  let examined = 0;
  for (const subject of held) {
    if (held.size <= size) return;
    examined += 1;
    if (examined > EVICTION_SCAN) break;
    held.delete(subject);
    // One that stays goes behind the others, so that the next search does not meet the same ones.
    if (isForgettable(subject, nowMs)) subject.home.delete(subject.key);
    else held.add(subject);
  }
  if (held.size > size) fail('SERVICE_UNAVAILABLE', `no room for another budget beside ${held.size}`);
}

/** A tenant stays as long as one of her clients and users does. */
function isForgettable({ buckets, clients, users }: Subject, nowMs: number): boolean {
  if (clients.size > 0 || users.size > 0) return false;
  return Object.values(buckets).every((bucket) => bucket === null || isFull(bucket, nowMs));
}

function isFull({ level, updatedMs, rate }: Bucket, nowMs: number): boolean {
  return level + (Math.max(0, nowMs - updatedMs) * rate.restorePerSecond) / 1000 >= rate.capacity;
}

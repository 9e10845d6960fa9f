import { LRUCache } from 'lru-cache';
import type { BudgetHolder, BudgetRequest, Budgets, BudgetStatus, PolicyName, Reservation } from './budgets.ts';
import { newMemoryBudgets } from './memory-budgets.ts';
import {
  amountOf,
  checkAffordable,
  checkPoints,
  newPolicyTable,
  refusalOf,
  statusOf,
  type Levels,
  type Policies,
  type Policy,
} from './policies.ts';
import { keyOf, type CallAnswer, type Entry } from './redis-script.ts';
import { openRedisStore, type RedisStoreOptions } from './redis-store.ts';

/** How budgets are shared by all gateways on one Redis. */
export interface RedisBudgetsOptions extends RedisStoreOptions {
  /** Settlements that no request carries meanwhile are sent after this time; 100 ms where nothing is said. */
  readonly settleIntervalMs?: number;
}

const SETTLE_INTERVAL_MS = 100;
/** Settlements that one call carries at most; the others wait for the next. */
const MAX_CARRIED = 64;
/** Of every budget each gateway gives this share while it cannot ask what the others gave. */
const LOCAL_SHARE = 0.5;
/** Tenants and callers whose last answer is remembered, to tell them of it where nothing is taken. */
const MOST_REMEMBERED = 10_000;

/**
 * Returns budgets in Redis, in one round trip a request: a settlement waits for the tenant's next request through this
 * gateway, which carries it, or for the timer. Until then the others see too few points, never too many.
 *
 * No points are taken in advance for requests to come: a lease that keeps all gateways together within 1 % of a budget
 * could hold five points of a small one and no whole request of any, so nearly every request would ask all the same.
 *
 * While the store is away, each gateway gives half of every budget out of its own memory, and shares again once it is
 * back, without a restart. A reservation is settled where it was taken; settlements that the store missed are dropped,
 * and refilling makes up for them in time.
 */
export function newRedisBudgets(options: RedisBudgetsOptions): Budgets {
  const store = openRedisStore(options);
  const local = newMemoryBudgets({ share: LOCAL_SHARE });
  const policiesOf = newPolicyTable();
  const ledger = newLedger();
  const last: LastAnswers = new LRUCache({ max: MOST_REMEMBERED });
  let isAway = false;
  let timer: NodeJS.Timeout | null = null;
  const flush = async (): Promise<void> => {
    timer = null;
    await Promise.all(
      ledger.tenants().flatMap((tenantId) => {
        const calls: Promise<unknown>[] = [];
        for (
          let open = ledger.carry(tenantId, MAX_CARRIED);
          open.length > 0;
          open = ledger.carry(tenantId, MAX_CARRIED)
        )
          calls.push(store.run({ settlements: open, reservations: [] }));
        return calls;
      }),
    );
  };
  return {
    async reserve(request) {
      const policies = policiesOf(request);
      checkAffordable(policies, request.cost);
      const reservations = policies.map((policy) => entryOf(request, policy, amountOf(policy, request.cost)));
      const settlements = ledger.carry(request.tenantId, MAX_CARRIED);
      const answer = await store.run({ settlements, reservations });
      isAway = answer === null;
      if (answer === null) return local.reserve(request);
      const reservation = new SharedReservation(request, policies, answer);
      last.set(lastKey(request, 'tenant'), reservation);
      last.set(lastKey(request, 'caller'), reservation);
      return reservation;
    },
    settle(reservation, actual, nowMs) {
      checkPoints(actual);
      if (!(reservation instanceof SharedReservation)) return local.settle(reservation, actual, nowMs);
      if (!reservation.isOpen) return reservation.leftAt(nowMs);
      reservation.spent = actual;
      ledger.add(reservation.request.tenantId, reservation.refunds());
      timer ??= setTimeout(() => void flush(), options.settleIntervalMs ?? SETTLE_INTERVAL_MS).unref();
      return reservation.leftAt(nowMs);
    },
    status(holder) {
      if (isAway) return local.status(holder);
      return lastStatus(holder, policiesOf(holder), last);
    },
    close: async () => {
      if (timer !== null) clearTimeout(timer);
      await flush();
      store.close();
    },
  };
}

/** A class, so that a reservation that was made elsewhere or copied is told apart from one that holds points. */
class SharedReservation implements Reservation {
  readonly allowed: boolean;
  readonly status: BudgetStatus;
  readonly refusedBy: PolicyName | null;
  readonly violated: readonly PolicyName[];
  readonly retryAfterSeconds: number;
  readonly request: BudgetRequest;
  /** What the operation cost, null before it was settled. */
  spent: number | null = null;
  readonly #policies: Policies;
  readonly #levels: Levels;

  constructor(request: BudgetRequest, policies: Policies, { allowed, levels }: CallAnswer) {
    const refusal = allowed ? null : refusalOf(policies, levels, request.cost);
    this.allowed = allowed;
    this.status = statusOf(policies, levels);
    this.refusedBy = refusal?.refusedBy ?? null;
    this.violated = refusal?.violated ?? [];
    this.retryAfterSeconds = refusal?.retryAfterSeconds ?? 0;
    this.request = request;
    this.#policies = policies;
    this.#levels = levels;
  }

  get isOpen(): boolean {
    return this.allowed && this.spent === null;
  }

  /** What goes back to every bucket of points; below 0 where more was spent than reserved. */
  refunds(): Entry[] {
    return this.#policies
      .filter(({ unit }) => unit === 'points')
      .map((policy) => entryOf(this.request, policy, this.#refundOf(policy)));
  }

  /** What this gateway knows of the buckets without asking again: the levels it was told, refilled and settled since. */
  leftAt(nowMs: number): BudgetStatus {
    const levels = this.#policies.map((policy, index) => this.#levelAt(policy, index, nowMs));
    return statusOf(this.#policies, levels);
  }

  /** The same of one bucket; undefined for one that this request was not paid from. */
  levelAt({ name }: Policy, nowMs: number): number | undefined {
    const index = this.#policies.findIndex((policy) => policy.name === name);
    const policy = this.#policies[index];
    return policy === undefined ? undefined : this.#levelAt(policy, index, nowMs);
  }

  #levelAt(policy: Policy, index: number, nowMs: number): number {
    const { capacity, restorePerSecond } = policy.rate;
    const elapsedMs = Math.max(0, nowMs - this.request.nowMs);
    const level = (this.#levels[index] ?? 0) + (elapsedMs * restorePerSecond) / 1000 + this.#refundOf(policy);
    return Math.min(capacity, Math.max(-capacity, level));
  }

  #refundOf(policy: Policy): number {
    if (this.spent === null || policy.unit !== 'points') return 0;
    return amountOf(policy, this.request.cost) - this.spent;
  }
}

type LastAnswers = LRUCache<string, SharedReservation>;

/** Returns what this gateway was told last of each bucket, refilled since; one that it never asked about counts as full. */
function lastStatus(holder: BudgetHolder, policies: Policies, last: LastAnswers): BudgetStatus {
  const tenant = last.get(lastKey(holder, 'tenant'));
  const caller = last.get(lastKey(holder, 'caller'));
  const levels = policies.map((policy) => {
    const known = policy.subject === 'tenant' ? tenant : caller;
    return Math.min(policy.rate.capacity, known?.levelAt(policy, holder.nowMs) ?? policy.rate.capacity);
  });
  return statusOf(policies, levels);
}

/** What a tenant, or one caller of hers, was told last is found under this. */
function lastKey({ tenantId, operationClass, client, user }: BudgetHolder, of: 'tenant' | 'caller'): string {
  return of === 'tenant' ? `${tenantId} ${operationClass}` : `${tenantId} ${operationClass}\n${client}\n${user}`;
}

function entryOf({ tenantId, client, user }: BudgetRequest, policy: Policy, amount: number): Entry {
  const { subject, bucket, rate } = policy;
  const id = subject === 'client' ? client : user;
  return { key: keyOf(tenantId, subject, id ?? ''), bucket, rate, amount };
}

/** Settlements that the store was not told of yet, summed up for each bucket. */
interface Ledger {
  add(tenantId: string, entries: readonly Entry[]): void;
  /** Takes out at most so many settlements of a tenant. */
  carry(tenantId: string, most: number): Entry[];
  tenants(): string[];
}

function newLedger(): Ledger {
  const tenants = new Map<string, Map<string, Entry>>();
  return {
    add(tenantId, entries) {
      let open = tenants.get(tenantId);
      if (open === undefined) tenants.set(tenantId, (open = new Map()));
      for (const entry of entries) {
        if (entry.amount === 0) continue;
        const id = `${entry.bucket} ${entry.key}`;
        open.set(id, { ...entry, amount: entry.amount + (open.get(id)?.amount ?? 0) });
      }
    },
    carry(tenantId, most) {
      const open = tenants.get(tenantId);
      if (open === undefined) return [];
      if (open.size <= most) tenants.delete(tenantId);
      const carried = [...open].slice(0, most);
      for (const [id] of carried) open.delete(id);
      return carried.map(([, entry]) => entry);
    },
    tenants: () => [...tenants.keys()],
  };
}

import type { BudgetLimits, LimitSubject, OperationClass } from '#schema/budget-limits.ts';

/** What a quota is counted in. */
export type QuotaUnit = 'points' | 'requests' | 'concurrent-requests';

/** The name a caller reads of the budget that refused her; `tenant-concurrency` is the share of the fair queue. */
export type PolicyName = `${LimitSubject}-${OperationClass | 'requests'}` | 'tenant-concurrency';

/** One quota as a caller sees it. */
export interface PolicyStatus {
  readonly name: PolicyName;
  readonly unit: QuotaUnit;
  /** What a full bucket holds. */
  readonly limit: number;
  /** What can be spent now, whole and never below 0. */
  readonly remaining: number;
  readonly restorePerSecond: number;
  /** Whole seconds until the bucket is full again. */
  readonly resetSeconds: number;
}

/** Every quota that one request was held against. */
export interface BudgetStatus {
  /** The tenant's points of the operation's class come first. */
  readonly policies: readonly [PolicyStatus, ...PolicyStatus[]];
  /** The same object wherever names, limits and rates are the same; absent where nobody cares. */
  readonly table?: object;
}

/** Whose buckets a request is paid from, and which of them. */
export interface BudgetHolder {
  readonly tenantId: string;
  /** Registered client of the API key, null where a person asks; told apart within the tenant alone. */
  readonly client: string | null;
  /** The person who asks, null where nobody does; told apart within the tenant alone. */
  readonly user: string | null;
  readonly operationClass: OperationClass;
  /** The same object as long as the limits are the same: what is derived from it is kept beside it. */
  readonly limits: BudgetLimits;
  /** By a clock of this process. */
  readonly nowMs: number;
}

/** What is asked of the budgets. */
export interface BudgetRequest extends BudgetHolder {
  /** Points that the operation is estimated at. */
  readonly cost: number;
}

/** What a request was answered; handed back once to settle it. */
export interface Reservation {
  readonly allowed: boolean;
  readonly status: BudgetStatus;
  /** The policy that lets it wait longest, null where it was allowed. */
  readonly refusedBy: PolicyName | null;
  /** Every policy that refuses it. */
  readonly violated: readonly PolicyName[];
  /** Whole seconds until all of them let it pass, 0 where it was allowed. */
  readonly retryAfterSeconds: number;
}

/** The budgets of all tenants, wherever they are kept. */
export interface Budgets {
  /**
   * Takes the cost from every bucket of points and one from every bucket of requests: the tenant's, her client's and her
   * user's, all or none. A cost that a full bucket could not pay, so that no wait would help, is
   * COST_ESTIMATED_TOO_EXPENSIVE.
   */
  reserve(request: BudgetRequest): Reservation | Promise<Reservation>;
  /**
   * Puts back at every level what was reserved above the actual cost, or takes what the operation cost more: a bucket may
   * owe up to what it holds when full. Once: again changes nothing. A request stays counted as one. Returns what is left.
   */
  settle(reservation: Reservation, actual: number, nowMs: number): BudgetStatus;
  /** Returns what is left as far as this process knows, for an answer that takes nothing; asks nobody. */
  status(holder: BudgetHolder): BudgetStatus;
  /** Ends what runs in the background, after the store has been told of the last settlements. */
  close(): Promise<void>;
}

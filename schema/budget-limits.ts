import type { Tier } from './tenant-context.ts';

/** The kinds of operation with a budget of their own: what one spends, the others keep. */
export const OPERATION_CLASSES = ['query', 'mutation', 'bulk'] as const;
/** A kind of operation. */
export type OperationClass = (typeof OPERATION_CLASSES)[number];

/** A token bucket: what a full one holds, and how fast it fills again. */
export interface Rate {
  readonly capacity: number;
  readonly restorePerSecond: number;
}

/** What one subject may spend: points by class of operation, and requests whatever they cost. */
export interface SubjectLimits {
  readonly points: Readonly<Record<OperationClass, Rate>>;
  readonly requests: Rate;
}

/** Whose budgets a request is paid from: the tenant's, and under it that of the API key's client or of the user. */
export const LIMIT_SUBJECTS = ['tenant', 'client', 'user'] as const;
/** One whose budget a request is paid from. */
export type LimitSubject = (typeof LIMIT_SUBJECTS)[number];

/** Everything that bounds the requests of a tenant, and of each of her clients and users by itself. */
export interface BudgetLimits extends Readonly<Record<LimitSubject, SubjectLimits>> {
  /** Points that one operation may be estimated at. */
  readonly maxQueryCost: number;
  /** Operations of the tenant that run at once; more wait in line. */
  readonly concurrency: number;
}

/** Where a tier's budgets start; the directory holds the ones in force, which operators change while the platform runs. */
export const TIER_LIMITS: Readonly<Record<Tier, BudgetLimits>> = {
  FREE: limitsOf({ capacity: 1_000, restorePerSecond: 50 }, { maxQueryCost: 1_000, concurrency: 8 }),
  GROWTH: limitsOf({ capacity: 2_000, restorePerSecond: 100 }, { maxQueryCost: 1_000, concurrency: 16 }),
  ENTERPRISE: limitsOf({ capacity: 10_000, restorePerSecond: 500 }, { maxQueryCost: 5_000, concurrency: 32 }),
  ENTERPRISE_PLUS: limitsOf({ capacity: 20_000, restorePerSecond: 1_000 }, { maxQueryCost: 10_000, concurrency: 64 }),
};

/** A client gets at most three quarters of its tenant and a user half, so that neither uses up all the others have. */
function limitsOf(query: Rate, single: Pick<BudgetLimits, 'maxQueryCost' | 'concurrency'>): BudgetLimits {
  const share = (part: number) => subjectLimits(query, { part, smallest: single.maxQueryCost });
  return { ...single, tenant: share(1), client: share(0.75), user: share(0.5) };
}

/** No bucket of points is too small for one operation at the highest cost. */
function subjectLimits(query: Rate, { part, smallest }: { part: number; smallest: number }): SubjectLimits {
  const rate = (capacity: number, restore: number): Rate => ({
    capacity: query.capacity * capacity * part,
    restorePerSecond: query.restorePerSecond * restore * part,
  });
  const points = (restore: number): Rate => {
    const { capacity, restorePerSecond } = rate(1, restore);
    return { capacity: Math.max(smallest, capacity), restorePerSecond };
  };
  return { points: { query: points(1), mutation: points(0.5), bulk: points(0.2) }, requests: rate(0.5, 0.5) };
}

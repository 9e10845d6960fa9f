import type { Span } from '@opentelemetry/api';
import type { RequestContext } from '#kit/request-context.ts';
import type { BudgetLimits } from '#schema/budget-limits.ts';
import type { ErrorCode } from '#schema/errors.ts';
import type { LimitName } from '#schema/limits.ts';
import type { Reservation } from './budget/budgets.ts';
import type { Leave } from './budget/fair-queue.ts';
import type { PreparedOperation } from './prepared-operation.ts';

/** What the gateway's steps share of one GraphQL request. */
export interface GatewayContext {
  readonly request: RequestContext;
  /** What the tenant, the client and the user may spend. */
  readonly limits: BudgetLimits;
  /** The span of the request; its calls of subgraphs stand below it. */
  readonly span: Span;
  /** Points that the operation was registered with; null for one that was sent as text. */
  costCeiling: number | null;
  /** Whether it is one of several operations of one HTTP request. */
  readonly isBatched: boolean;
  /** Whether the client asks what the operation would cost, and no more. */
  readonly dryRun: boolean;
  /** Limits that the document was found to be beyond; set where it was measured. */
  exceeded?: readonly LimitName[];
  /** Set when the operation has been compiled. */
  operation?: PreparedOperation;
  /** Points that the operation was estimated at, where they were too many. */
  tooDear?: number;
  /** Set once points are reserved. */
  spending?: Spending;
  /** Code of the first error of the answer. */
  code?: ErrorCode;
  /** False where the operation was refused before it ran. */
  ran?: boolean;
}

/** What a request has reserved, and what it turned out to cost. */
export interface Spending {
  readonly estimated: number;
  readonly reservation: Reservation;
  /** Gives the place in the fair queue back; null while there is none. */
  leave: Leave | null;
  /** Null until the operation has run. */
  actual: number | null;
  /** When a refused request may come again; 0 where it was let in. */
  retryAfterSeconds: number;
}

/** A request on its way through Apollo Server, which hands out copies of the context itself: what it holds is not copied. */
export interface ApolloContext {
  readonly gateway: GatewayContext;
}

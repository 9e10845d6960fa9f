import type { OperationTypeNode } from 'graphql';
import type { OperationClass } from '#schema/budget-limits.ts';

/** What is known of an operation once it is measured. */
export interface MeasuredOperation {
  readonly kind: OperationTypeNode | `${OperationTypeNode}`;
  /** Points that it is estimated at. */
  readonly cost: number;
  /** Points that one operation of the tenant may be estimated at. */
  readonly maxQueryCost: number;
  /** Whether it is one of several operations in one HTTP request. */
  readonly isBatched: boolean;
}

/**
 * Returns the class whose budget an operation is paid from. A mutation is always a mutation, so that no write dodges the
 * budget of writes by its size or by company. A read counts as bulk where it comes in a batch or is estimated above half
 * of what one operation may be: exports then leave the budget of screens alone. Nothing a client says decides it.
 */
export function operationClassOf({ kind, cost, maxQueryCost, isBatched }: MeasuredOperation): OperationClass {
  if (kind === 'mutation') return 'mutation';
  return isBatched || cost > maxQueryCost / 2 ? 'bulk' : 'query';
}

import type { GraphQLFormattedError } from 'graphql';
import { budgetHeaders, costExtension, type CostExtension } from './budget/budget-headers.ts';
import type { BudgetStatus } from './budget/budgets.ts';
import { ERRORS, type ErrorCode } from '#schema/errors.ts';
import type { GatewayContext } from './gateway-context.ts';

/** What an operation came to, before it is written. */
export interface Outcome {
  /** The text of `data`; undefined where nothing ran. */
  readonly data?: string | null | undefined;
  readonly errors: readonly GraphQLFormattedError[];
  readonly extensions: Readonly<Record<string, unknown>> | null;
}

/** Faults of a document or its variables, which `application/json` answers with 200 (GraphQL over HTTP, section 6.4.1). */
const DOCUMENT_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
]);

/** Returns the text of an answer: errors first, so that a reader sees them before a long answer. */
export function outcomeText({ data, errors, extensions }: Outcome): string {
  const parts: string[] = [];
  if (errors.length > 0) parts.push(`"errors":${JSON.stringify(errors)}`);
  if (data !== undefined) parts.push(`"data":${data ?? 'null'}`);
  if (extensions !== null) parts.push(`"extensions":${JSON.stringify(extensions)}`);
  return `{${parts.join(',')}}`;
}

/** Returns the status of an answer in which nothing ran: the error's own, or 200 for faults of a document in plain JSON. */
export function refusalStatus(code: ErrorCode, mediaType: string, status: number = ERRORS[code].status): number {
  return mediaType === 'application/json' && DOCUMENT_FAULTS.has(code) ? 200 : status;
}

/**
 * Returns the headers and `extensions.cost` that tell what the operation cost and what is left of the budgets; `detail` is
 * added to the latter. Nothing where no budget was ever asked.
 */
export function spendingAnswer(
  { spending }: GatewayContext,
  left: BudgetStatus | null,
  detail: object,
): { headers: Record<string, string>; extensions: { readonly cost: CostExtension } | null } {
  if (spending === undefined || left === null) return { headers: {}, extensions: null };
  const { retryAfterSeconds, estimated, actual } = spending;
  return {
    headers: budgetHeaders(left, retryAfterSeconds),
    extensions: { cost: { ...costExtension(left, { requested: estimated, actual }), ...detail } },
  };
}

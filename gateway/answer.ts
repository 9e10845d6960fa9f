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
  /** The text of `extensions`, null where there are none. */
  readonly extensions: string | null;
}

/** Faults of a document or its variables, which `application/json` answers with 200 (GraphQL over HTTP, section 6.4.1). */
const DOCUMENT_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
]);

/** Returns the text of an answer: errors first, so that a reader sees them before a long answer. */
export function outcomeText({ data, errors, extensions }: Outcome): string {
  let text = errors.length > 0 ? `{"errors":${JSON.stringify(errors)}` : '';
  if (data !== undefined) text += `${text === '' ? '{' : ','}"data":${data ?? 'null'}`;
  if (extensions !== null) text += `${text === '' ? '{' : ','}"extensions":${extensions}`;
  return `${text}}`;
}

/** Returns the status of an answer in which nothing ran: the error's own, or 200 for faults of a document in plain JSON. */
export function refusalStatus(code: ErrorCode, mediaType: string, status: number = ERRORS[code].status): number {
  return mediaType === 'application/json' && DOCUMENT_FAULTS.has(code) ? 200 : status;
}

const NOTHING_SPENT = { retryAfterSeconds: 0, actual: null };

/** What an answer says of its cost. */
export interface SpendingAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly cost: CostExtension;
}

/**
 * Returns the headers and `extensions.cost` that tell what the operation cost and what is left of the budgets; `detail` is
 * added to the latter.
 */
export function spendingAnswer(
  { spending, tooDear }: Pick<GatewayContext, 'spending' | 'tooDear'>,
  left: BudgetStatus,
  detail: object,
): SpendingAnswer {
  const { retryAfterSeconds, estimated, actual } = spending ?? { ...NOTHING_SPENT, estimated: tooDear ?? null };
  const cost = costExtension(left, { requested: estimated, actual });
  return { headers: budgetHeaders(left, retryAfterSeconds), cost: Object.assign(cost, detail) };
}

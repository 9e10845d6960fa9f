import type {
  ApolloServerPlugin,
  GraphQLRequestContextDidResolveOperation,
  GraphQLRequestContextWillSendResponse,
} from '@apollo/server';
import type { OperationDefinitionNode } from 'graphql';
import { fail } from '#schema/errors.ts';
import type { CostSchema } from '#schema/cost/cost-schema.ts';
import type { GatewayContext } from './gateway-context.ts';
import { toGraphqlError } from './use-error-masking.ts';
import { checkLimits, type OperationLimits } from '#schema/operation-limits.ts';
import { actualCost, estimateCost, fragmentsOf, type CostInput } from '#schema/cost/query-cost.ts';
import { costExtension, rateLimitHeaders } from './budget/rate-limit-headers.ts';
import { TIER_LIMITS, type Reservation, type TenantBudgets } from './budget/token-bucket.ts';

/** What the budget step needs. */
export interface QueryBudget {
  readonly buckets: TenantBudgets;
  readonly limits: OperationLimits;
  /** The costs of the supergraph that is loaded now. */
  readonly costs: () => CostSchema;
  readonly nowMs: () => number;
  /** Told of every operation that the budget refused. */
  readonly onThrottled: (ctx: GatewayContext) => Promise<void>;
}

/** Limits of every operation, whoever sends it: far above what a screen needs, far below what hurts. */
export const OPERATION_LIMITS: OperationLimits = { maxDepth: 15, maxAliases: 50, maxRootFields: 20, maxDirectives: 50 };
/** What an operation costs that was planned and then failed as a whole. */
const FAILURE_COST = 1;
/** Tokens of a document, counted before it is parsed. */
export const MAX_TOKENS = 10_000;

/**
 * Third step: before anything is planned, the operation is measured, its cost estimated and reserved from the tenant's
 * budget; afterwards the reservation is settled to what it really cost. Every answer says what was asked and what is left.
 */
export function useQueryBudget(budget: QueryBudget): ApolloServerPlugin<GatewayContext> {
  return {
    requestDidStart: async () => ({
      didResolveOperation: async (rc) => {
        await reserve(budget, rc);
      },
      willSendResponse: async (rc) => settle(budget, rc),
    }),
  };
}

async function reserve(
  budget: QueryBudget,
  rc: GraphQLRequestContextDidResolveOperation<GatewayContext>,
): Promise<void> {
  const { tenant } = rc.contextValue.request;
  try {
    checkLimits(rc.document, budget.limits);
    const cost = estimateCost(costInput(budget, rc)).total;
    const limits = TIER_LIMITS[tenant.tier];
    if (cost > limits.maxQueryCost) {
      fail('COST_ESTIMATED_TOO_EXPENSIVE', `estimated ${cost}`, {
        hint: `It is estimated at ${cost} points; at most ${limits.maxQueryCost} are allowed.`,
      });
    }
    const reservation = await budget.buckets.reserve({ tenantId: tenant.tenant, limits, cost, nowMs: budget.nowMs() });
    rc.contextValue.spending = { requested: cost, reservation };
    if (!reservation.status.allowed) await refuse(budget, rc.contextValue, reservation);
  } catch (error) {
    throw toGraphqlError(error, tenant.requestId);
  }
}

async function refuse(budget: QueryBudget, ctx: GatewayContext, reservation: Reservation): Promise<never> {
  await budget.onThrottled(ctx);
  return fail('THROTTLED', 'the budget is used up', { hint: `Retry after ${reservation.status.retryAfterSeconds} s.` });
}

async function settle(budget: QueryBudget, rc: GraphQLRequestContextWillSendResponse<GatewayContext>): Promise<void> {
  const { spending } = rc.contextValue;
  const { body, http } = rc.response;
  if (body.kind !== 'single' || spending === undefined) return;
  const { allowed } = spending.reservation.status;
  const actual = allowed ? actualOf(budget, rc, body.singleResult.data) : null;
  const settled = await budget.buckets.settle(spending.reservation, actual ?? 0, budget.nowMs());
  const status = allowed ? settled : spending.reservation.status;
  for (const [name, value] of Object.entries(rateLimitHeaders(status))) http.headers.set(name, value);
  body.singleResult.extensions = {
    ...body.singleResult.extensions,
    cost: costExtension(status, { requested: spending.requested, actual }),
  };
}

/** What failed as a whole gives the reservation back but for one point: failing without end must not be free. */
function actualOf(
  budget: QueryBudget,
  rc: GraphQLRequestContextWillSendResponse<GatewayContext>,
  data: unknown,
): number {
  const { operation, document, schema, request } = rc;
  if (data == null || operation == null || document === undefined) return FAILURE_COST;
  return actualCost({ ...costInput(budget, { operation, document, schema, request }), data });
}

interface Costed extends Pick<
  GraphQLRequestContextDidResolveOperation<GatewayContext>,
  'document' | 'request' | 'schema'
> {
  readonly operation?: OperationDefinitionNode | null | undefined;
}

function costInput(budget: QueryBudget, { operation, document, request, schema }: Costed): CostInput {
  if (operation == null)
    fail('BAD_REQUEST', 'no such operation', { hint: 'Name one of the operations in the document.' });
  return {
    operation,
    fragments: fragmentsOf(document),
    variables: request.variables ?? {},
    schema,
    costs: budget.costs(),
  };
}

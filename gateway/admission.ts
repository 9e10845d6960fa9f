import { fail } from '#schema/errors.ts';
import type { Budgets, BudgetStatus } from './budget/budgets.ts';
import type { FairQueue } from './budget/fair-queue.ts';
import { operationClassOf } from './budget/operation-class.ts';
import type { RefusalPace } from './budget/refusal-pace.ts';
import { ThrottledError } from './budget/throttled-error.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { PreparedOperation } from './prepared-operation.ts';

/** What decides whether an operation may run now. */
export interface Admission {
  readonly budgets: Budgets;
  readonly queue: FairQueue;
  readonly pace: RefusalPace;
  /** By a clock that only goes forward. */
  readonly nowMs: () => number;
  /** Told of every policy that refused a request. */
  readonly onThrottled: (policy: string) => void;
}

/** An operation and what it is asked with; hostile, since the variables are as the client sent them. */
export interface AskedOperation {
  readonly operation: PreparedOperation;
  readonly variables: Readonly<Record<string, unknown>>;
}

/** What an operation costs that was admitted and then failed as a whole: failing without end must not be free. */
const FAILURE_COST = 1;

/**
 * Lets an operation in: its estimate must stay under the tier's maximum and under the ceiling it was registered with
 * (COST_ESTIMATED_TOO_EXPENSIVE), every budget must hold it, and the tenant's share of the gateway must have room
 * (THROTTLED). What is taken here is given back by `settle`.
 */
export async function admit(by: Admission, ctx: GatewayContext, asked: AskedOperation): Promise<void> {
  requireIntrospectionRight(ctx, asked.operation);
  const estimated = asked.operation.cost.estimate(asked.variables).total;
  // A dry run spends no points; it counts as a request.
  const cost = ctx.dryRun ? 0 : requireAffordable(ctx, estimated);
  const { tenant, actor, client } = ctx.request.tenant;
  const { limits } = ctx;
  const taken = by.budgets.reserve({
    tenantId: tenant,
    client,
    user: actor.type === 'user' ? actor.id : null,
    operationClass: operationClassOf({
      kind: asked.operation.kind,
      cost,
      maxQueryCost: limits.maxQueryCost,
      isBatched: ctx.isBatched,
    }),
    limits,
    cost,
    nowMs: by.nowMs(),
  });
  const reservation = taken instanceof Promise ? await taken : taken;
  ctx.spending = { estimated, reservation, leave: null, actual: null, retryAfterSeconds: 0 };
  if (!reservation.allowed) throw await throttled(by, ctx, new ThrottledError(reservation));
  try {
    const entered = by.queue.enter(tenant, limits, ctx.request.signal);
    ctx.spending.leave = entered instanceof Promise ? await entered : entered;
  } catch (error) {
    ctx.spending.actual = 0;
    throw error instanceof ThrottledError ? await throttled(by, ctx, error) : error;
  }
}

/** A flood of refusals is answered at a pace: asking again at once earns nothing. */
async function throttled(by: Admission, ctx: GatewayContext, error: ThrottledError): Promise<ThrottledError> {
  const { refusal } = error;
  if (ctx.spending !== undefined) ctx.spending.retryAfterSeconds = refusal.retryAfterSeconds;
  for (const policy of refusal.violated) by.onThrottled(policy);
  await by.pace.hold(ctx.request.tenant.tenant, ctx.request.signal);
  return error;
}

/**
 * Settles what `admit` took to what the operation cost, one point where it failed as a whole, and gives its place in the
 * queue back. Returns what is left, null where nothing was ever reserved.
 */
export function settle({ budgets, nowMs }: Admission, { spending, dryRun }: GatewayContext): BudgetStatus | null {
  if (spending === undefined) return null;
  spending.leave?.();
  const { reservation, actual } = spending;
  if (!reservation.allowed) return reservation.status;
  return budgets.settle(reservation, actual ?? (dryRun ? 0 : FAILURE_COST), nowMs());
}

/** People explore; a partner's key runs what was registered for it, and learns no more of the graph than that. */
function requireIntrospectionRight({ request: { tenant } }: GatewayContext, { usesIntrospection }: PreparedOperation) {
  if (usesIntrospection && !tenant.scopes.includes('schema:read'))
    fail('INTROSPECTION_DISABLED', 'introspection without schema:read', { hint: 'It needs the scope schema:read.' });
}

function requireAffordable({ limits, costCeiling }: GatewayContext, cost: number): number {
  const allowed = Math.min(limits.maxQueryCost, costCeiling ?? Infinity);
  if (cost <= allowed) return cost;
  return fail('COST_ESTIMATED_TOO_EXPENSIVE', `estimated ${cost}, allowed ${allowed}`, {
    hint: `It is estimated at ${cost} points; at most ${allowed} are allowed.`,
  });
}

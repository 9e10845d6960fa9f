import { fail } from '#schema/errors.ts';
import type { BudgetRequest, Budgets, BudgetStatus } from './budget/budgets.ts';
import type { FairQueue } from './budget/fair-queue.ts';
import { operationClassOf } from './budget/operation-class.ts';
import type { RefusalPace } from './budget/refusal-pace.ts';
import { ThrottledError } from './budget/throttled-error.ts';
import type { GatewayContext, Spending } from './gateway-context.ts';
import { requirePermissions } from './permissions.ts';
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
 * Lets an operation in: the caller must hold every right that it needs (FORBIDDEN), its estimate must stay under the
 * tier's maximum and under the ceiling it was registered with (COST_ESTIMATED_TOO_EXPENSIVE), every budget must hold it,
 * and the tenant's share of the gateway must have room (THROTTLED). What is taken here is given back by `settle`. Without
 * a promise where nothing has to be waited for.
 */
export function admit(by: Admission, ctx: GatewayContext, asked: AskedOperation): Promise<void> | undefined {
  requireIntrospectionRight(ctx, asked.operation);
  requirePermissions(ctx.request, asked.operation.permissions, asked.variables);
  const estimated = asked.operation.cost.estimate(asked.variables).total;
  // A dry run spends no points; it counts as a request.
  const cost = ctx.dryRun ? 0 : requireAffordable(ctx, estimated);
  const taken = by.budgets.reserve(budgetRequest(ctx, { kind: asked.operation.kind, cost, nowMs: by.nowMs() }));
  return taken instanceof Promise
    ? taken.then((reservation) => enter(by, ctx, { estimated, reservation }))
    : enter(by, ctx, { estimated, reservation: taken });
}

function enter(
  by: Admission,
  ctx: GatewayContext,
  { estimated, reservation }: Pick<Spending, 'estimated' | 'reservation'>,
): Promise<void> | undefined {
  const spending: Spending = { estimated, reservation, leave: null, actual: null, retryAfterSeconds: 0 };
  ctx.spending = spending;
  if (!reservation.allowed) return overdrawn(by, ctx, new ThrottledError(reservation));
  try {
    const entered = by.queue.enter(ctx.request.tenant.tenant, ctx.limits, ctx.request.signal);
    if (entered instanceof Promise) {
      return entered.then(
        (leave) => void (spending.leave = leave),
        (error) => turnedAway(by, ctx, error),
      );
    }
    spending.leave = entered;
    return undefined;
  } catch (error) {
    return turnedAway(by, ctx, error);
  }
}

async function overdrawn(by: Admission, ctx: GatewayContext, error: ThrottledError): Promise<never> {
  throw await throttled(by, ctx, error);
}

/** Who found no place has spent nothing. */
async function turnedAway(by: Admission, ctx: GatewayContext, error: unknown): Promise<never> {
  if (ctx.spending !== undefined) ctx.spending.actual = 0;
  throw error instanceof ThrottledError ? await throttled(by, ctx, error) : error;
}

/** A flood of refusals is answered at a pace: asking again at once earns nothing. */
async function throttled(by: Admission, ctx: GatewayContext, error: ThrottledError): Promise<ThrottledError> {
  const { refusal } = error;
  if (ctx.spending !== undefined) ctx.spending.retryAfterSeconds = refusal.retryAfterSeconds;
  for (const policy of refusal.violated) by.onThrottled(policy);
  await by.pace.hold(ctx.request.tenant.tenant, ctx.request.signal);
  return error;
}

/** Who asks, and for what, as far as it is known; an operation that nobody could read is told of the queries' budget. */
export interface Asker extends Pick<GatewayContext, 'request' | 'limits' | 'isBatched' | 'tooDear'> {
  readonly operation?: Pick<PreparedOperation, 'kind'>;
}

/** Returns what is left of the budgets of an operation that was refused before it came to them; takes nothing. */
export function budgetsLeft({ budgets, nowMs }: Pick<Admission, 'budgets' | 'nowMs'>, asker: Asker): BudgetStatus {
  const { operation, tooDear = 0 } = asker;
  return budgets.status(budgetRequest(asker, { kind: operation?.kind ?? 'query', cost: tooDear, nowMs: nowMs() }));
}

function budgetRequest(
  { request, limits, isBatched }: Asker,
  { kind, cost, nowMs }: { kind: PreparedOperation['kind']; cost: number; nowMs: number },
): BudgetRequest {
  const { tenant, actor, client } = request.tenant;
  const operationClass = operationClassOf({ kind, cost, maxQueryCost: limits.maxQueryCost, isBatched });
  return {
    tenantId: tenant,
    client,
    user: actor.type === 'user' ? actor.id : null,
    operationClass,
    limits,
    cost,
    nowMs,
  };
}

/**
 * Settles what `admit` took to what the operation cost, one point where it failed as a whole, and gives its place in the
 * queue back. Returns what is left.
 */
export function settle(by: Admission, ctx: GatewayContext): BudgetStatus {
  const { budgets, nowMs } = by;
  const { spending, dryRun } = ctx;
  if (spending === undefined) return budgetsLeft(by, ctx);
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

function requireAffordable(ctx: GatewayContext, cost: number): number {
  const { limits, costCeiling } = ctx;
  const allowed = Math.min(limits.maxQueryCost, costCeiling ?? Infinity);
  if (cost <= allowed) return cost;
  ctx.tooDear = cost;
  return fail('COST_ESTIMATED_TOO_EXPENSIVE', `estimated ${cost}, allowed ${allowed}`, {
    hint: `It is estimated at ${cost} points; at most ${allowed} are allowed.`,
  });
}

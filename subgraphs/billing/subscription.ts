import type { TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { findPlan, PLAN_OF_TIER, type PricePlan } from './pricing-plans.ts';

/**
 * Puts the tenant on the plan of her tier, if she is on another or on none, from now on. Called by everything that
 * changes billing data, so that a change of tier is on record before the next usage counts.
 */
export async function settleSubscription(tx: Pick<TenantTransaction, 'query'>, ctx: RequestContext): Promise<void> {
  const plan = findPlan(PLAN_OF_TIER[ctx.tenant.tier]);
  // Two requests at the same moment may both write the row; they name the same plan.
  await tx.query(
    `insert into subscriptions (started_at, plan, plan_version, currency)
     select $1::timestamptz, $2::text, $3::integer, $4::text
      where (select plan from subscriptions order by started_at desc limit 1) is distinct from $2::text
     on conflict do nothing`,
    [ctx.clock(), plan.name, plan.version, plan.currency.code],
  );
}

/** Returns the plan the tenant is on now: that of her tier, in the version she subscribed to. */
export async function planNow(tx: Pick<TenantTransaction, 'query'>, ctx: RequestContext): Promise<PricePlan> {
  const [row] = await tx.query<PlanRow>(
    'select plan, plan_version from subscriptions order by started_at desc limit 1',
  );
  const name = PLAN_OF_TIER[ctx.tenant.tier];
  return row?.plan === name ? findPlan(name, row.plan_version) : findPlan(name);
}

/**
 * Returns the plan that a period is rated by: the one in force at its end, or now where it has not ended. A period that
 * ended before the first subscription is rated by the first plan.
 */
export async function planAt(tx: Pick<TenantTransaction, 'query'>, ctx: RequestContext, end: Date): Promise<PricePlan> {
  if (end > ctx.clock()) return planNow(tx, ctx);
  const [row] = await tx.query<PlanRow>(
    `(select 1 as choice, plan, plan_version from subscriptions where started_at < $1 order by started_at desc limit 1)
     union all
     (select 2 as choice, plan, plan_version from subscriptions where started_at >= $1 order by started_at limit 1)
     order by choice limit 1`,
    [end],
  );
  return row === undefined ? planNow(tx, ctx) : findPlan(row.plan, row.plan_version);
}

interface PlanRow {
  readonly plan: string;
  readonly plan_version: number;
}

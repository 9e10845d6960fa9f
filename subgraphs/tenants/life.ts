import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { findTenant } from '#kit/directory.ts';
import { appendAudit, recordAudit, type AuditNote } from '#kit/outbox.ts';
import { requestContext, type RequestContext } from '#kit/request-context.ts';
import { appendUnchanged } from '#kit/unchanged.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf } from '#schema/ids.ts';
import { readContract } from './contract.ts';
import { daysOfTier } from './life-days.ts';
import type { ReportPaymentInput, TenantLife } from './life-model.ts';
import { lockTenant, momentOf, takeDueStep, takeStep } from './life-step.ts';
import { GUARDS, guardsOf, TRANSITIONS, WAITS, waitsOf, type LifeMoment } from './lifecycle.ts';
import { Tenant } from './model.ts';
import { contextIn, OPERATOR_SLUG } from './operator.ts';

/** Returns where the caller's own tenant stands in her life, and what comes next. */
export async function findLife(ctx: RequestContext): Promise<TenantLife> {
  const tierDays = await daysOfTier(ctx.databases, ctx.tenant.tier);
  return inTenant(ctx, async (tx) => {
    const tenant = await tx.manager.findOneByOrFail(Tenant, { id: ctx.tenant.tenant });
    const moment = await momentOf(tx, ctx, { tenant, tierDays });
    const { trialEndsAt, confirmedAt, announcedAt, unpaidSince } = await readContract(tx);
    return {
      since: moment.since,
      trialEndsAt,
      confirmedAt,
      announcedAt,
      unpaidSince,
      days: moment.days,
      coming: comingStep(moment),
    };
  });
}

/**
 * Agrees to pay once the trial is over; a trial that nobody agrees to costs nothing. Of a trial that has ended it makes the
 * tenant active at once. In any other state it is INVALID_TRANSITION; said twice it changes nothing.
 */
export async function confirmTrial(ctx: RequestContext): Promise<Tenant> {
  const tenant = await inTenant(ctx, async (tx) => {
    const before = await lockTenant(tx, ctx.tenant.tenant);
    requireState(before, ['trial', 'read_only']);
    const { confirmedAt, trialEndsAt } = await readContract(tx);
    if (confirmedAt !== null) {
      await appendUnchanged(tx, ctx, 'tenant.confirm_trial');
      return before;
    }
    await setConfirmed(tx, { at: ctx.clock(), by: ctx.tenant.actor.id });
    const context = { trial_ends_at: trialEndsAt?.toISOString() ?? null };
    await appendAudit(tx, ctx, { action: 'tenant.confirm_trial', resource: resourceOf(before), context });
    return before;
  });
  return (await takeDueStep(ctx))?.tenant ?? tenant;
}

/** Takes back the agreement to pay, as long as the trial has not become a contract; else INVALID_TRANSITION. */
export async function withdrawConfirmation(ctx: RequestContext): Promise<Tenant> {
  return inTenant(ctx, async (tx) => {
    const before = await lockTenant(tx, ctx.tenant.tenant);
    requireState(before, ['trial']);
    const { confirmedAt } = await readContract(tx);
    if (confirmedAt === null) {
      await appendUnchanged(tx, ctx, 'tenant.withdraw_confirmation');
      return before;
    }
    await setConfirmed(tx, { at: null, by: null });
    const context = { confirmed_at: confirmedAt.toISOString() };
    await appendAudit(tx, ctx, { action: 'tenant.withdraw_confirmation', resource: resourceOf(before), context });
    return before;
  });
}

/** Cancels the caller's own tenant: she is read-only from now on and deleted later, unless she resumes before. */
export async function cancelTenant(ctx: RequestContext): Promise<Tenant> {
  return (await takeStep(ctx, { to: 'cancelled', by: 'tenant' })).tenant;
}

/** Takes the cancellation of the caller's own tenant back; INVALID_TRANSITION where she never agreed to pay, or owes. */
export async function resumeTenant(ctx: RequestContext): Promise<Tenant> {
  return (await takeStep(ctx, { to: 'active', by: 'tenant' })).tenant;
}

/**
 * Notes for an operator, or what collects payments, that an invoice of a tenant is unpaid or was paid, and takes the step
 * that follows at once. Said twice it changes nothing. An unknown tenant is NOT_FOUND.
 */
export async function reportPayment(ctx: RequestContext, input: ReportPaymentInput): Promise<Tenant> {
  const target = await contextOf(ctx, input.tenantId);
  const { outcome, reference } = input;
  const noted = await inTenant(target, async (tx) => {
    const before = await lockTenant(tx, target.tenant.tenant);
    const now = ctx.clock();
    const note = {
      action: 'tenant.report_payment',
      resource: resourceOf(before),
      context: { outcome, reference },
    };
    await tx.query(
      `update tenant_contracts set updated_at = $1,
              unpaid_since = case when $2 then coalesce(unpaid_since, $1) end,
              unpaid_reference = case when $2 then coalesce(unpaid_reference, $3) end`,
      [now, outcome === 'missed', reference],
    );
    await appendAudit(tx, target, note);
    return { before, note };
  });
  const taken = await takeDueStep(target);
  await recordAudit(ctx, noted.note);
  return taken?.tenant ?? noted.before;
}

/** Returns a request of the caller in a tenant of the directory; the operators' own is not hers to change. */
async function contextOf(ctx: RequestContext, tenantId: string): Promise<RequestContext> {
  const place = await findTenant(ctx.databases, idOf('tnt', uuidOf('tnt', tenantId)));
  if (place === null) return fail('NOT_FOUND', 'the directory has no such tenant');
  if (place.slug === OPERATOR_SLUG) {
    return fail('INVALID_TRANSITION', 'the operators pay nobody', {
      hint: "The operators' own tenant stays as it is.",
    });
  }
  return requestContext(ctx.platform, contextIn(place, ctx.tenant));
}

/** The first step of the clock whose guards hold but for those that time alone fulfils. */
function comingStep(moment: LifeMoment): TenantLife['coming'] {
  const next = TRANSITIONS.filter(({ from, by }) => from === moment.from && by.includes('clock')).find((step) =>
    guardsOf(step, 'clock').every((guard) => guard === 'announced' || GUARDS[guard].holds(moment)),
  );
  if (next === undefined) return null;
  const untilMs = waitsOf(next, 'clock').map((wait) => WAITS[wait].until(moment));
  return { action: next.action, to: next.to, from: new Date(Math.max(moment.now.getTime(), ...untilMs)) };
}

async function setConfirmed(
  tx: Pick<TenantTransaction, 'query'>,
  { at, by }: { readonly at: Date | null; readonly by: string | null },
): Promise<void> {
  await tx.query('update tenant_contracts set confirmed_at = $1, confirmed_by = $2, announced_at = null', [at, by]);
}

function requireState({ state }: Tenant, states: readonly Tenant['state'][]): void {
  if (!states.includes(state)) {
    fail('INVALID_TRANSITION', `the tenant is ${state}`, { hint: `It is for tenants in ${states.join(' or ')}.` });
  }
}

function resourceOf(tenant: Tenant): AuditNote['resource'] {
  return { type: 'tenant', id: tenant.id, name: tenant.name };
}

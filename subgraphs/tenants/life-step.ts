import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { log } from '#kit/log.ts';
import { appendAudit, type AuditNote } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { changedDays, type LifeDays } from '#schema/life-days.ts';
import { uuidOf } from '#schema/ids.ts';
import { readFacts } from './contract.ts';
import { copyToDirectory } from './directory-entry.ts';
import { daysOfTier } from './life-days.ts';
import { askForNotice } from './life-notices.ts';
import { dueStep, requireStep, type Effect, type LifeActor, type LifeMoment, type Transition } from './lifecycle.ts';
import { Tenant } from './model.ts';
import { OPERATOR_SLUG } from './operator.ts';

/** A tenant who has gone a step further. */
export interface StepTaken {
  readonly tenant: Tenant;
  readonly step: Transition;
  /** What her own log says of it. */
  readonly note: AuditNote;
}

/** Which step, and who takes it. */
export interface StepRequest {
  readonly to: Tenant['state'];
  readonly by: LifeActor;
  /** For an erasure: what it is called in the books. */
  readonly request?: string | null;
}

/**
 * Takes the context's tenant one step further. State, effects and audit event are one transaction in her cell; the
 * directory's copy follows. A step that the table does not know, that comes too early, or whose guard does not hold is
 * INVALID_TRANSITION, and what a legal hold keeps is CONFLICT.
 */
export async function takeStep(ctx: RequestContext, request: StepRequest): Promise<StepTaken> {
  const days = await daysOfTier(ctx.databases, ctx.tenant.tier);
  const taken = await inTenant(ctx, async (tx) => {
    const moment = await readMoment(tx, ctx, days);
    if (request.to === 'erasing' && moment.facts.held)
      fail('CONFLICT', 'a legal hold keeps the tenant', { hint: 'A legal hold keeps what she has.' });
    return apply(tx, ctx, { before: moment.tenant, step: requireStep({ ...moment, ...request }), request });
  });
  await followInDirectory(ctx, taken.tenant);
  return taken;
}

/** Takes the step that the clock takes now, or returns null where there is none. */
export async function takeDueStep(ctx: RequestContext): Promise<StepTaken | null> {
  const days = await daysOfTier(ctx.databases, ctx.tenant.tier);
  const taken = await inTenant(ctx, async (tx) => {
    const moment = await readMoment(tx, ctx, days);
    const step = dueStep(moment);
    const request = { by: 'clock', request: null } as const;
    return step === null ? null : apply(tx, ctx, { before: moment.tenant, step, request });
  });
  if (taken !== null) await followInDirectory(ctx, taken.tenant);
  return taken;
}

/** Returns a tenant as her life sees her, with her row locked until the transaction ends. */
async function readMoment(
  tx: TenantTransaction,
  ctx: RequestContext,
  tierDays: LifeDays,
): Promise<LifeMoment & { readonly tenant: Tenant }> {
  return momentOf(tx, ctx, { tenant: await lockTenant(tx, ctx.tenant.tenant), tierDays });
}

/** Returns a tenant whose row was read as her life sees her. */
export async function momentOf(
  tx: TenantTransaction,
  ctx: RequestContext,
  { tenant, tierDays }: { readonly tenant: Tenant; readonly tierDays: LifeDays },
): Promise<LifeMoment & { readonly tenant: Tenant }> {
  const { facts, contract } = await readFacts(tx, tenant.stateStep);
  const days = changedDays(tierDays, contract.days);
  return { tenant, from: tenant.state, since: tenant.stateSince, now: ctx.clock(), facts, days };
}

/** Returns the tenant's row, locked until the transaction ends. */
export async function lockTenant(tx: TenantTransaction, id: string): Promise<Tenant> {
  const tenant = await tx.manager.findOne(Tenant, { where: { id }, lock: { mode: 'pessimistic_write' } });
  return tenant ?? fail('NOT_FOUND', 'the tenant has no row in her cell');
}

/** The cell has decided and its row counts; a directory that is away gets its copy at the next start. */
export async function followInDirectory(ctx: RequestContext, tenant: Tenant): Promise<void> {
  try {
    await copyToDirectory(ctx.databases, tenant);
  } catch (error) {
    log('warn', 'the directory did not take the copy of a tenant', { tenant: tenant.id, error: String(error) });
  }
}

interface Chosen {
  readonly before: Tenant;
  readonly step: Transition;
  readonly request: Pick<StepRequest, 'by' | 'request'>;
}

async function apply(tx: TenantTransaction, ctx: RequestContext, chosen: Chosen): Promise<StepTaken> {
  const { before, step } = chosen;
  if (before.slug === OPERATOR_SLUG) {
    fail('INVALID_TRANSITION', 'operators would lock themselves out', {
      hint: "The operators' own tenant stays as it is.",
    });
  }
  const now = ctx.clock();
  await tx.query(
    `update tenants set state = $2, state_since = $3, state_step = $4, version = version + 1, updated_at = $3
      where id = $1`,
    [uuidOf('tnt', before.id), step.to, now, step.action],
  );
  const note = {
    action: 'tenant.change_state',
    resource: { type: 'tenant', id: before.id, name: before.name },
    context: { from: step.from, to: step.to, step: step.action },
  };
  await appendAudit(tx, ctx, note);
  for (const effect of step.effects ?? []) await EFFECTS[effect](tx, ctx, chosen);
  return { tenant: await tx.manager.findOneByOrFail(Tenant, { id: before.id }), step, note };
}

const EFFECTS: Readonly<Record<Effect, (tx: TenantTransaction, ctx: RequestContext, chosen: Chosen) => Promise<void>>> =
  {
    mail: async (tx, ctx, { step }) => askForNotice(tx, ctx, { notice: step.action, about: ctx.clock() }),
    end_sessions: async (tx, ctx) => {
      await tx.query(`update credentials set revoked_at = $1 where kind = 'session' and revoked_at is null`, [
        ctx.clock(),
      ]);
    },
    destroy_keys: async (tx, ctx, { before, request }) => {
      await ctx.databases.personalKeys.destroyTenant(tx, ctx.tenant.tenant, ctx.clock());
      await appendAudit(tx, ctx, {
        action: 'tenant.erased',
        resource: { type: 'tenant', id: before.id, name: null },
        context: { basis: 'tenant_ended', request: request.request ?? null },
      });
    },
  };

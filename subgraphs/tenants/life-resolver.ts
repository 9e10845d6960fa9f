import { Arg, Ctx, Directive, FieldResolver, Mutation, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { cancelTenant, confirmTrial, findLife, reportPayment, resumeTenant, withdrawConfirmation } from './life.ts';
import { setLifeDays } from './life-days.ts';
import {
  ReportPaymentInput,
  SetLifeDaysInput,
  SetLifeDaysPayload,
  TenantLife,
  TenantLifePayload,
} from './life-model.ts';
import { Tenant } from './model.ts';
import { authorizeOperator } from './operator.ts';

const OWN = '@permission(scope: "tenant:write")';
const OPERATORS = '@permission(scope: "platform:tenants")';

/** The steps of a tenant's life that she, or what collects payments, asks for; the clock takes its own. */
@Resolver(() => Tenant)
export class LifeResolver {
  @FieldResolver(() => TenantLife, { description: 'Where she stands in her life, and what comes next.' })
  async life(@Ctx() ctx: RequestContext, @Root() tenant: Tenant) {
    return tenant.id === ctx.tenant.tenant ? findLife(ctx) : fail('NOT_FOUND', "another tenant's life");
  }

  @Mutation(() => TenantLifePayload, {
    description: 'Agrees to pay once the trial is over. Without it a trial costs nothing and ends read-only.',
  })
  @Directive('@audit(action: "tenant.confirm_trial")')
  @Directive(OWN)
  async confirmTrial(@Ctx() ctx: RequestContext) {
    return { tenant: await confirmTrial(ctx) };
  }

  @Mutation(() => TenantLifePayload, { description: 'Takes the agreement to pay back, before anything is charged.' })
  @Directive('@audit(action: "tenant.withdraw_confirmation")')
  @Directive(OWN)
  async withdrawConfirmation(@Ctx() ctx: RequestContext) {
    return { tenant: await withdrawConfirmation(ctx) };
  }

  @Mutation(() => TenantLifePayload, {
    description:
      'Cancels the tenant: read-only from now on, and deleted after the days in which data can be taken along.',
  })
  @Directive('@audit(action: "tenant.change_state")')
  @Directive('@control(ids: ["CC6.5"])')
  @Directive(OWN)
  async cancelTenant(@Ctx() ctx: RequestContext) {
    return { tenant: await cancelTenant(ctx) };
  }

  @Mutation(() => TenantLifePayload, { description: 'Takes the cancellation of the tenant back.' })
  @Directive('@audit(action: "tenant.change_state")')
  @Directive(OWN)
  async resumeTenant(@Ctx() ctx: RequestContext) {
    return { tenant: await resumeTenant(ctx) };
  }

  @Mutation(() => TenantLifePayload, {
    description: 'Says that an invoice of a tenant is unpaid or was paid; for operators and what collects payments.',
  })
  @Directive('@audit(action: "tenant.report_payment")')
  @Directive('@control(ids: ["PI1.3"])')
  @Directive(OPERATORS)
  async reportPayment(@Ctx() ctx: RequestContext, @Arg('input', () => ReportPaymentInput) input: ReportPaymentInput) {
    await authorizeOperator(ctx);
    return { tenant: await reportPayment(ctx, input) };
  }

  @Mutation(() => SetLifeDaysPayload, {
    description: 'Changes how long the parts of a life last in a tier; for operators.',
  })
  @Directive('@audit(action: "tenant.set_life_days")')
  @Directive('@control(ids: ["A1.1"])')
  @Directive(OPERATORS)
  async setLifeDays(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SetLifeDaysInput) { tier, days }: SetLifeDaysInput,
  ) {
    await authorizeOperator(ctx);
    return { tier, days: await setLifeDays(ctx, { tier, change: days }) };
  }
}

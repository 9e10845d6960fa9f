import { Arg, Ctx, Directive, FieldResolver, Mutation, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { limitsOf, removeClientLimits, setClientLimits, setTenantLimits } from './limits.ts';
import {
  BudgetLimitsPayload,
  BudgetLimitsView,
  RemoveClientLimitsInput,
  SetClientLimitsInput,
  SetTenantLimitsInput,
  SetTierLimitsInput,
  SetTierLimitsPayload,
} from './limits-model.ts';
import { Tenant } from './model.ts';
import { authorizeOperator } from './operator.ts';
import { setTierLimits } from './tier-limits.ts';

/** What a tenant may spend, and who may change it. */
@Resolver(() => Tenant)
export class LimitsResolver {
  @FieldResolver(() => BudgetLimitsView, { description: 'What bounds her requests now.' })
  async budgetLimits(@Ctx() ctx: RequestContext, @Root() tenant: Tenant): Promise<BudgetLimitsView> {
    if (tenant.id !== ctx.tenant.tenant) await authorizeOperator(ctx);
    return limitsOf(ctx, tenant.id);
  }

  @Mutation(() => BudgetLimitsPayload, {
    description: 'Sets what a tenant may spend beside what her tier allows; for operators.',
  })
  @Directive('@audit(action: "limits.change")')
  @Directive('@control(ids: ["A1.1"])')
  @Directive('@permission(scope: "platform:tenants")')
  async setTenantLimits(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SetTenantLimitsInput) input: SetTenantLimitsInput,
  ) {
    await authorizeOperator(ctx);
    return { budgetLimits: await setTenantLimits(ctx, input) };
  }

  @Mutation(() => SetTierLimitsPayload, { description: 'Changes what the tenants of a tier may spend; for operators.' })
  @Directive('@audit(action: "limits.change_tier")')
  @Directive('@control(ids: ["A1.1"])')
  @Directive('@permission(scope: "platform:tenants")')
  async setTierLimits(@Ctx() ctx: RequestContext, @Arg('input', () => SetTierLimitsInput) input: SetTierLimitsInput) {
    await authorizeOperator(ctx);
    return { tier: input.tier, budgetLimits: await setTierLimits(ctx, input) };
  }

  @Mutation(() => BudgetLimitsPayload, {
    description: 'Allows one client of the tenant less than the others; never more.',
  })
  @Directive('@audit(action: "limits.change_client")')
  @Directive('@permission(scope: "tenant:write")')
  async setClientLimits(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SetClientLimitsInput) input: SetClientLimitsInput,
  ) {
    return { budgetLimits: await setClientLimits(ctx, input) };
  }

  @Mutation(() => BudgetLimitsPayload, { description: 'Allows one client of the tenant as much as the others again.' })
  @Directive('@audit(action: "limits.remove_client")')
  @Directive('@permission(scope: "tenant:write")')
  async removeClientLimits(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RemoveClientLimitsInput) input: RemoveClientLimitsInput,
  ) {
    return { budgetLimits: await removeClientLimits(ctx, input) };
  }
}

import { Arg, Args, Ctx, Directive, Mutation, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  ChangeTenantStateInput,
  ChangeTenantStatePayload,
  ChangeTierInput,
  ChangeTierPayload,
  CreateTenantInput,
  CreateTenantPayload,
} from './inputs.ts';
import { Tenant, TenantPlaceConnection } from './model.ts';
import { authorizeOperator } from './operator.ts';
import { changeTenantState, changeTier, createTenant, findOwnTenant, listTenants } from './service.ts';

/** The tenant herself, and what the operators of the platform may do with tenants. */
@Resolver(() => Tenant)
export class TenantResolver {
  @Query(() => Tenant, { description: 'The tenant of the credential.' })
  @Directive('@permission(scope: "tenant:read")')
  async tenant(@Ctx() ctx: RequestContext) {
    return findOwnTenant(ctx);
  }

  @Query(() => TenantPlaceConnection, { description: 'All tenants of the platform, newest first; for its operators.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "platform:tenants")')
  async tenants(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    await authorizeOperator(ctx);
    return listTenants(ctx, args);
  }

  @Mutation(() => CreateTenantPayload, {
    description: 'Creates a tenant in a cell of the region, or finishes a creation that broke off; for operators.',
  })
  @Directive('@audit(action: "tenant.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive('@permission(scope: "platform:tenants")')
  async createTenant(@Ctx() ctx: RequestContext, @Arg('input', () => CreateTenantInput) input: CreateTenantInput) {
    await authorizeOperator(ctx);
    return createTenant(ctx, input);
  }

  @Mutation(() => ChangeTierPayload, { description: 'Changes the service tier of the tenant.' })
  @Directive('@audit(action: "tenant.change_tier")')
  @Directive('@permission(scope: "tenant:write")')
  async changeTier(@Ctx() ctx: RequestContext, @Arg('input', () => ChangeTierInput) input: ChangeTierInput) {
    return { tenant: await changeTier(ctx, input) };
  }

  @Mutation(() => ChangeTenantStatePayload, {
    description: 'Takes a tenant one step further in her life; for operators.',
  })
  @Directive('@audit(action: "tenant.change_state")')
  @Directive('@control(ids: ["CC6.1", "CC6.5"])')
  @Directive('@permission(scope: "platform:tenants")')
  async changeTenantState(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ChangeTenantStateInput) input: ChangeTenantStateInput,
  ) {
    await authorizeOperator(ctx);
    return { tenant: await changeTenantState(ctx, input) };
  }
}

import { Arg, Args, Ctx, Directive, Mutation, Query, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { authorizeOperator } from './operator.ts';
import {
  OpenSupportSessionPayload,
  RequestSupportInput,
  SupportGrant,
  SupportGrantArgs,
  SupportGrantConnection,
  SupportInput,
  SupportPayload,
  TenantSupportGrantArgs,
  TenantSupportInput,
} from './support-model.ts';
import {
  decideSupport,
  endSupport,
  listSupportGrants,
  listTenantSupport,
  openSupportSession,
  requestSupport,
  revokeSupport,
} from './support.ts';

const OPERATORS = '@permission(scope: "platform:tenants")';
const DECIDERS = '@permission(scope: "credentials:write")';
const CONTROLS = '@control(ids: ["CC6.1", "CC6.3"])';
const PAGES = '@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)';

/** How an operator is let into a tenant, and what the tenant sees and decides of it. */
@Resolver(() => SupportGrant)
export class SupportResolver {
  @Query(() => SupportGrantConnection, { description: 'Operators who asked to be let in or were, newest first.' })
  @Directive(PAGES)
  @Directive('@permission(scope: "audit:read")')
  async supportGrants(@Ctx() ctx: RequestContext, @Args(() => SupportGrantArgs) args: SupportGrantArgs) {
    return listSupportGrants(ctx, args);
  }

  @Query(() => SupportGrantConnection, { description: 'The same of a tenant; for operators.' })
  @Directive(PAGES)
  @Directive(OPERATORS)
  async tenantSupportGrants(
    @Ctx() ctx: RequestContext,
    @Args(() => TenantSupportGrantArgs) args: TenantSupportGrantArgs,
  ) {
    await authorizeOperator(ctx);
    return listTenantSupport(ctx, args);
  }

  @Mutation(() => SupportPayload, {
    description: 'Asks a tenant to let the operator in; her administrators get a mail. For operators.',
  })
  @Directive('@audit(action: "support.request")')
  @Directive(CONTROLS)
  @Directive(OPERATORS)
  async requestSupport(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RequestSupportInput) input: RequestSupportInput,
  ) {
    await authorizeOperator(ctx);
    return { grant: await requestSupport(ctx, input) };
  }

  @Mutation(() => OpenSupportSessionPayload, {
    description: 'Gives the operator a token for the tenant that let her in, for half an hour at most. For operators.',
  })
  @Directive('@audit(action: "support.open_session")')
  @Directive(CONTROLS)
  @Directive(OPERATORS)
  async openSupportSession(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => TenantSupportInput) input: TenantSupportInput,
  ) {
    await authorizeOperator(ctx);
    return openSupportSession(ctx, input);
  }

  @Mutation(() => SupportPayload, { description: 'Gives an access back before its time. For operators.' })
  @Directive('@audit(action: "support.end")')
  @Directive(CONTROLS)
  @Directive(OPERATORS)
  async endSupport(@Ctx() ctx: RequestContext, @Arg('input', () => TenantSupportInput) input: TenantSupportInput) {
    await authorizeOperator(ctx);
    return { grant: await endSupport(ctx, input) };
  }

  @Mutation(() => SupportPayload, { description: 'Lets the operator in, for the minutes that she asked for.' })
  @Directive('@audit(action: "support.approve")')
  @Directive(CONTROLS)
  @Directive(DECIDERS)
  async approveSupport(@Ctx() ctx: RequestContext, @Arg('input', () => SupportInput) { id }: SupportInput) {
    return { grant: await decideSupport(ctx, { id, approved: true }) };
  }

  @Mutation(() => SupportPayload, { description: 'Does not let the operator in.' })
  @Directive('@audit(action: "support.deny")')
  @Directive(CONTROLS)
  @Directive(DECIDERS)
  async denySupport(@Ctx() ctx: RequestContext, @Arg('input', () => SupportInput) { id }: SupportInput) {
    return { grant: await decideSupport(ctx, { id, approved: false }) };
  }

  @Mutation(() => SupportPayload, { description: 'Ends the access of an operator at once.' })
  @Directive('@audit(action: "support.end")')
  @Directive(CONTROLS)
  @Directive(DECIDERS)
  async revokeSupport(@Ctx() ctx: RequestContext, @Arg('input', () => SupportInput) { id }: SupportInput) {
    return { grant: await revokeSupport(ctx, id) };
  }
}

import { Arg, Args, Ctx, Directive, FieldResolver, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  AuditView,
  AuditViewConnection,
  AuditViewFilter,
  CreateAuditViewInput,
  CreateAuditViewPayload,
  DeleteAuditViewInput,
  DeleteAuditViewPayload,
  UpdateAuditViewInput,
  UpdateAuditViewPayload,
} from './saved-view.ts';
import { createView, deleteView, filterOf, listViews, updateView } from './saved-views.ts';

/** Filters of the log under a name. */
@Resolver(() => AuditView)
export class AuditViewResolver {
  @Query(() => AuditViewConnection, {
    description: 'Saved views of the audit log, newest first: the own ones, and those that others share.',
  })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "audit:read")')
  async auditViews(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listViews(ctx, args);
  }

  @FieldResolver(() => AuditViewFilter)
  filter(@Root() view: AuditView) {
    return filterOf(view);
  }

  @Mutation(() => CreateAuditViewPayload, { description: 'Saves a filter of the audit log under a name.' })
  @Directive('@audit(action: "audit_view.create")')
  @Directive('@permission(scope: "audit:read")')
  async createAuditView(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateAuditViewInput) input: CreateAuditViewInput,
  ) {
    return { view: await createView(ctx, input) };
  }

  @Mutation(() => UpdateAuditViewPayload, { description: 'Changes a saved view of the own ones.' })
  @Directive('@audit(action: "audit_view.update")')
  @Directive('@permission(scope: "audit:read")')
  async updateAuditView(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateAuditViewInput) input: UpdateAuditViewInput,
  ) {
    return { view: await updateView(ctx, input) };
  }

  @Mutation(() => DeleteAuditViewPayload, {
    description: 'Deletes a saved view: an own one, or a shared one with the right to change the tenant.',
  })
  @Directive('@audit(action: "audit_view.delete")')
  @Directive('@permission(scope: "audit:read")')
  async deleteAuditView(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => DeleteAuditViewInput) input: DeleteAuditViewInput,
  ) {
    return { deletedId: await deleteView(ctx, input.id) };
  }
}

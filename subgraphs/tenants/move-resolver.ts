import { Arg, Args, Ctx, Directive, ID, Mutation, Query, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import {
  CancelTenantMoveInput,
  StartTenantMoveInput,
  TenantMove,
  TenantMoveArgs,
  TenantMoveConnection,
  TenantMovePayload,
} from './move-model.ts';
import { cancelTenantMove, findMove, listMoves, startTenantMove } from './moves.ts';
import { authorizeOperator } from './operator.ts';

const OPERATORS = '@permission(scope: "platform:tenants")';

/** Moves of tenants between cells, for the operators of the platform. */
@Resolver(() => TenantMove)
export class MoveResolver {
  @Query(() => TenantMoveConnection, { description: 'Moves of tenants between cells, newest first; for operators.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive(OPERATORS)
  async tenantMoves(@Ctx() ctx: RequestContext, @Args(() => TenantMoveArgs) args: TenantMoveArgs) {
    await authorizeOperator(ctx);
    return listMoves(ctx, args);
  }

  @Query(() => TenantMove, { nullable: true, description: 'One move of a tenant between cells; for operators.' })
  @Directive(OPERATORS)
  async tenantMove(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    await authorizeOperator(ctx);
    return findMove(ctx.databases, id);
  }

  @Mutation(() => TenantMovePayload, {
    description:
      'Asks for a move of a tenant to another cell, or into a silo and out of it, made while she works; for operators.',
  })
  @Directive('@audit(action: "tenant.start_move")')
  @Directive('@control(ids: ["A1.1", "CC8.1"])')
  @Directive(OPERATORS)
  async startTenantMove(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => StartTenantMoveInput) input: StartTenantMoveInput,
  ) {
    await authorizeOperator(ctx);
    return { move: await startTenantMove(ctx, input) };
  }

  @Mutation(() => TenantMovePayload, {
    description: 'Calls a move off, as long as the tenant is not sent to her new cell; for operators.',
  })
  @Directive('@audit(action: "tenant.cancel_move")')
  @Directive('@control(ids: ["A1.1", "CC8.1"])')
  @Directive(OPERATORS)
  async cancelTenantMove(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CancelTenantMoveInput) { id }: CancelTenantMoveInput,
  ) {
    await authorizeOperator(ctx);
    return { move: await cancelTenantMove(ctx, id) };
  }
}

import { Arg, Args, Ctx, Directive, ID, Mutation, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { eraseSubject, findErasure, listErasures } from './personal-erasure.ts';
import { EraseSubjectInput, EraseSubjectPayload, Erasure, ErasureConnection } from './personal-erasure-model.ts';

/** Erasing people; certificates go through `/v1/audit/erasures`. */
@Resolver(() => Erasure)
export class ErasureResolver {
  @Query(() => ErasureConnection, { description: 'The erasures of the tenant, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "audit:read")')
  async erasures(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listErasures(ctx, args);
  }

  @Query(() => Erasure, { nullable: true, description: 'One erasure, or null where the log holds none of that id.' })
  @Directive('@permission(scope: "audit:read")')
  async erasure(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findErasure(ctx, id);
  }

  @Mutation(() => EraseSubjectPayload, {
    description: 'Erases a person: from this answer on, nobody can read what the audit log holds of her.',
  })
  @Directive('@audit(action: "subject.erased")')
  @Directive('@control(ids: ["P4.3"])')
  @Directive('@permission(scope: "audit:write")')
  async eraseSubject(@Ctx() ctx: RequestContext, @Arg('input', () => EraseSubjectInput) input: EraseSubjectInput) {
    return { erasure: await eraseSubject(ctx, input) };
  }
}

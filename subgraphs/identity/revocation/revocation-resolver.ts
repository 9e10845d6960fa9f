import { Args, Ctx, Directive, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { listRevocations } from './revocation-list.ts';
import { Revocation, RevocationConnection } from './revocation-model.ts';

/** The ends of accesses, with the time that each took to be in force everywhere. */
@Resolver(() => Revocation)
export class RevocationResolver {
  @Query(() => RevocationConnection, {
    description: 'Whose access ended and how long it took until every gateway refused it, newest first.',
  })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@control(ids: ["CC6.2", "CC6.3"])')
  @Directive('@permission(scope: "audit:read")')
  async revocations(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listRevocations(ctx, args);
  }
}

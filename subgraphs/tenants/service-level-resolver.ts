import { Arg, Ctx, Directive, FieldResolver, Int, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { Tenant } from './model.ts';
import { ServiceLevel } from './service-level.ts';
import { findServiceLevels } from './service-levels.ts';

/** What a tenant may know of the service that she got. */
@Resolver(() => Tenant)
export class ServiceLevelResolver {
  @FieldResolver(() => [ServiceLevel], {
    description: 'What she got in each hour that had requests, newest first; the last minute is added a minute later.',
  })
  @Directive('@listSize(slicingArguments: ["hours"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "tenant:read")')
  async serviceLevels(
    @Ctx() ctx: RequestContext,
    @Arg('hours', () => Int, { defaultValue: 24, description: 'How far back; 1 to 744, a month.' }) hours: number,
  ): Promise<ServiceLevel[]> {
    return findServiceLevels(ctx, hours);
  }
}

import { Arg, Args, Ctx, Directive, FieldResolver, ID, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import { loaderOf } from '#kit/define-subgraph.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { AuditFilter } from './inputs.ts';
import { AuditEvent, AuditEventConnection, AuditLog, InclusionProof } from './model.ts';
import { findProofs } from './proof.ts';
import { findEvents, findLog, listEvents } from './service.ts';

/** The audit log: what happened, and the proof that it stands there. */
@Resolver(() => AuditEvent)
export class AuditEventResolver {
  @Query(() => AuditEventConnection, {
    description: 'The audit log of the tenant, newest first. Reading it is recorded in it.',
  })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "audit:read")')
  async auditEvents(
    @Ctx() ctx: RequestContext,
    @Args(() => ConnectionArgs) args: ConnectionArgs,
    @Arg('filter', () => AuditFilter, { nullable: true }) filter?: AuditFilter | null,
  ) {
    return listEvents(ctx, args, filter ?? {});
  }

  @Query(() => AuditEvent, {
    nullable: true,
    description: "One event, or null where the tenant's log has none of that id.",
  })
  @Directive('@permission(scope: "audit:read")')
  async auditEvent(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    const [event] = await findEvents(ctx, [id]);
    return event ?? null;
  }

  @Query(() => AuditLog, { description: 'How far the audit log has come.' })
  @Directive('@control(ids: ["CC7.2"])')
  @Directive('@permission(scope: "audit:read")')
  async auditLog(@Ctx() ctx: RequestContext) {
    return findLog(ctx);
  }

  @FieldResolver(() => InclusionProof, { description: 'The proof that the event is in the log.' })
  @Directive('@cost(weight: 5)')
  @Directive('@permission(scope: "audit:read")')
  async proof(@Root() event: AuditEvent, @Ctx() ctx: RequestContext) {
    return loaderOf(ctx, 'InclusionProof', findProofs).load(event.id);
  }
}

import { Arg, Args, Ctx, Directive, FieldResolver, ID, Query, Resolver, Root } from 'type-graphql';
import { loaderOf } from '#kit/define-subgraph.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { AuditEventArgs } from './inputs.ts';
import { AuditEvent, AuditEventConnection, AuditLog, InclusionProof } from './model.ts';
import { findProofs } from './proof.ts';
import { findEvents, findLog, listEvents } from './service.ts';

/** The audit log: what happened, and the proof that it stands there. */
@Resolver(() => AuditEvent)
export class AuditEventResolver {
  @Query(() => AuditEventConnection, {
    description:
      'The audit log of the tenant, newest first. Reading it is recorded in it. A page can be short, or empty, while `pageInfo` says that there is more: one request looks at so much of the log, and the next goes on from the cursor.',
  })
  @Directive(
    '@listSize(assumedSize: 20, slicingArguments: ["first", "last"], sizedFields: ["edges"], requireOneSlicingArgument: false)',
  )
  @Directive('@permission(scope: "audit:read")')
  async auditEvents(@Ctx() ctx: RequestContext, @Args(() => AuditEventArgs) args: AuditEventArgs) {
    return listEvents(ctx, args);
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

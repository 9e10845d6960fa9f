import { Arg, Args, Ctx, Directive, Mutation, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { listHolds, placeHold, readRetention, releaseHold, setRetention } from './retention.ts';
import {
  AuditRetention,
  LegalHoldConnection,
  PlaceLegalHoldInput,
  PlaceLegalHoldPayload,
  ReleaseLegalHoldInput,
  ReleaseLegalHoldPayload,
  SetAuditRetentionInput,
  SetAuditRetentionPayload,
} from './retention-model.ts';

/** How long the archive keeps the log, and legal holds. */
@Resolver(() => AuditRetention)
export class AuditRetentionResolver {
  @Query(() => AuditRetention, { description: 'How far ahead the archive keeps the audit log.' })
  @Directive('@permission(scope: "audit:read")')
  async auditRetention(@Ctx() ctx: RequestContext) {
    return readRetention(ctx);
  }

  @Query(() => LegalHoldConnection, { description: 'Legal holds, those that were released too, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "audit:read")')
  async legalHolds(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listHolds(ctx, args);
  }

  @Mutation(() => SetAuditRetentionPayload, { description: 'Decides how far ahead the archive keeps the audit log.' })
  @Directive('@audit(action: "audit_retention.update")')
  @Directive('@control(ids: ["CC7.3"])')
  @Directive('@permission(scope: "audit:write")')
  async setAuditRetention(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SetAuditRetentionInput) input: SetAuditRetentionInput,
  ) {
    return { retention: await setRetention(ctx, input) };
  }

  @Mutation(() => PlaceLegalHoldPayload, {
    description:
      'Places a legal hold: nothing of the audit log is removed and nobody is erased from it while it stands.',
  })
  @Directive('@audit(action: "legal_hold.place")')
  @Directive('@control(ids: ["CC7.3"])')
  @Directive('@permission(scope: "audit:write")')
  async placeLegalHold(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => PlaceLegalHoldInput) input: PlaceLegalHoldInput,
  ) {
    return { hold: await placeHold(ctx, input) };
  }

  @Mutation(() => ReleaseLegalHoldPayload, {
    description: 'Releases a legal hold; whoever placed it cannot.',
  })
  @Directive('@audit(action: "legal_hold.release")')
  @Directive('@control(ids: ["CC7.3"])')
  @Directive('@permission(scope: "audit:write")')
  async releaseLegalHold(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ReleaseLegalHoldInput) input: ReleaseLegalHoldInput,
  ) {
    return { hold: await releaseHold(ctx, input.id) };
  }
}

import { Arg, Args, Ctx, Directive, ID, Mutation, Query, Resolver } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { TenonError } from '#schema/errors.ts';
import { findEvidence, listEvidence, requestEvidence } from './evidence.ts';
import { EvidencePack, EvidencePackConnection, RequestEvidenceInput, RequestEvidencePayload } from './evidence-pack.ts';

/** Evidence packs; their bytes go through `/v1/evidence`. */
@Resolver(() => EvidencePack)
export class EvidencePackResolver {
  @Query(() => EvidencePackConnection, { description: 'The evidence packs of the tenant, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "evidence:read")')
  async evidencePacks(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listEvidence(ctx, args);
  }

  @Query(() => EvidencePack, { nullable: true, description: 'One pack, or null where the tenant has none of that id.' })
  @Directive('@permission(scope: "evidence:read")')
  async evidencePack(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findEvidence(ctx, id).catch(nullIfMissing);
  }

  @Mutation(() => RequestEvidencePayload, { description: 'Has an evidence pack built.' })
  @Directive('@audit(action: "evidence.request")')
  @Directive('@control(ids: ["CC4.1"])')
  @Directive('@permission(scope: "evidence:write")')
  async requestEvidence(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RequestEvidenceInput) input: RequestEvidenceInput,
  ) {
    return { pack: await requestEvidence(ctx, input) };
  }

  @Mutation(() => RequestEvidencePayload, {
    description:
      'Has all that the tenant has put together: every table with its schema, and the audit log with its proofs.',
  })
  @Directive('@audit(action: "evidence.request")')
  @Directive('@permission(scope: "tenant:export")')
  async requestTenantExport(@Ctx() ctx: RequestContext) {
    return { pack: await requestEvidence(ctx, { kind: 'tenant_export', from: new Date(0), to: ctx.clock() }) };
  }
}

function nullIfMissing(error: unknown): null {
  if (error instanceof TenonError && error.code === 'NOT_FOUND') return null;
  throw error;
}

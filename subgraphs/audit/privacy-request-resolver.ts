import { Arg, Args, Ctx, Directive, ID, Mutation, Query, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import {
  ExtendPrivacyRequestInput,
  PrivacyRequest,
  PrivacyRequestArgs,
  PrivacyRequestConnection,
  PrivacyRequestPayload,
  RequestSubjectAccessInput,
} from './privacy-request-model.ts';
import { extendRequest, findRequest, listRequests, requestSubjectAccess } from './privacy-requests.ts';

/** Requests under the GDPR, with the days until which they have to be answered. */
@Resolver(() => PrivacyRequest)
export class PrivacyRequestResolver {
  @Query(() => PrivacyRequestConnection, { description: 'What people have asked for under the GDPR, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "evidence:read")')
  async privacyRequests(@Ctx() ctx: RequestContext, @Args(() => PrivacyRequestArgs) args: PrivacyRequestArgs) {
    return listRequests(ctx, args);
  }

  @Query(() => PrivacyRequest, { nullable: true, description: 'One request of the tenant.' })
  @Directive('@permission(scope: "evidence:read")')
  async privacyRequest(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findRequest(ctx, id);
  }

  @Mutation(() => PrivacyRequestPayload, {
    description: 'Enters that a person asks for what is held of her, and has the pack built that answers it.',
  })
  @Directive('@audit(action: "privacy_request.open")')
  @Directive('@control(ids: ["P5.1"])')
  @Directive('@permission(scope: "evidence:write")')
  async requestSubjectAccess(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RequestSubjectAccessInput) input: RequestSubjectAccessInput,
  ) {
    return { request: await requestSubjectAccess(ctx, input) };
  }

  @Mutation(() => PrivacyRequestPayload, {
    description: 'Takes up to two months more for a request, once and before it is due.',
  })
  @Directive('@audit(action: "privacy_request.extend")')
  @Directive('@control(ids: ["P5.1"])')
  @Directive('@permission(scope: "audit:write")')
  async extendPrivacyRequest(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ExtendPrivacyRequestInput) input: ExtendPrivacyRequestInput,
  ) {
    return { request: await extendRequest(ctx, input) };
  }
}

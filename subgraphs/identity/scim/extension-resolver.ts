import { Arg, Ctx, Directive, Mutation, Query, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import {
  RegisterScimExtensionInput,
  RemoveScimExtensionInput,
  RemoveScimExtensionPayload,
  ScimExtensionPayload,
} from './extension-inputs.ts';
import { ScimExtension } from './extension-model.ts';
import { listScimExtensions, registerScimExtension, removeScimExtension } from './extensions.ts';

/** Schemas that a tenant adds to the standard ones of SCIM. */
@Resolver(() => ScimExtension)
export class ScimExtensionResolver {
  @Query(() => [ScimExtension], { description: 'The schemas that the tenant added to SCIM, by URN; at most 10.' })
  @Directive('@permission(scope: "identity:read")')
  async scimExtensions(@Ctx() ctx: RequestContext) {
    return listScimExtensions(ctx);
  }

  @Mutation(() => ScimExtensionPayload, {
    description: 'Adds a schema to the SCIM users or groups of the tenant, or attributes to one that she added.',
  })
  @Directive('@audit(action: "scim_extension.register")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive('@permission(scope: "identity:write")')
  async registerScimExtension(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RegisterScimExtensionInput) input: RegisterScimExtensionInput,
  ) {
    return { extension: await registerScimExtension(ctx, input) };
  }

  @Mutation(() => RemoveScimExtensionPayload, {
    description: 'Removes a schema that the tenant added, with every value under it.',
  })
  @Directive('@audit(action: "scim_extension.remove")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive('@permission(scope: "identity:write")')
  async removeScimExtension(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RemoveScimExtensionInput) input: RemoveScimExtensionInput,
  ) {
    return { schema: await removeScimExtension(ctx, input.schema) };
  }
}

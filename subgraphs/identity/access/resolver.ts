import { Arg, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import {
  createApiKey,
  createSignInLink,
  credentialId,
  listMachineCredentials,
  revokeCredential,
  rotateApiKey,
  setAllowedNetworks,
} from './credentials.ts';
import {
  DeleteRoleInput,
  DeleteRolePayload,
  PermissionsPreview,
  PermissionsPreviewInput,
  RotateApiKeyInput,
  SetAllowedNetworksInput,
  UpdateRoleInput,
} from './inputs.ts';
import { createScimToken } from '../provisioning/tokens.ts';
import { previewPermissions } from './permissions.ts';
import {
  CreateApiKeyInput,
  CreateRoleInput,
  CreateScimTokenInput,
  GroupPayload,
  GroupRoleInput,
  IssuedCredentialPayload,
  RevokeCredentialInput,
  RevokeCredentialPayload,
  RolePayload,
  SignInLinkPayload,
  UserInput,
  UserPayload,
  UserRoleInput,
} from '../inputs.ts';
import { Credential, Role } from '../model.ts';
import { createRole, deleteRole, grantRole, listRoles, mapGroupToRole, revokeRole, updateRole } from './roles.ts';

/** Who may do what: roles, their grants, and the groups that carry them. */
@Resolver(() => Role)
export class RoleResolver {
  @Query(() => [Role], { description: 'The roles of the tenant, by name; at most 200.' })
  @Directive('@permission(scope: "users:read")')
  async roles(@Ctx() ctx: RequestContext) {
    return listRoles(ctx);
  }

  @Mutation(() => RolePayload, { description: 'Makes a role of rights that you hold yourself.' })
  @Directive('@audit(action: "role.create")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async createRole(@Ctx() ctx: RequestContext, @Arg('input', () => CreateRoleInput) input: CreateRoleInput) {
    return { role: await createRole(ctx, input) };
  }

  @Query(() => PermissionsPreview, {
    description: 'What a person could do after a change of her roles and groups; nothing is changed.',
  })
  @Directive('@permission(scope: "users:read")')
  async permissionsPreview(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => PermissionsPreviewInput) input: PermissionsPreviewInput,
  ): Promise<PermissionsPreview> {
    return previewPermissions(ctx, input);
  }

  @Mutation(() => RolePayload, {
    description: 'Changes a role, for all who hold it; nobody adds a right that she does not hold herself.',
  })
  @Directive('@audit(action: "role.update")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async updateRole(@Ctx() ctx: RequestContext, @Arg('input', () => UpdateRoleInput) input: UpdateRoleInput) {
    return { role: await updateRole(ctx, input) };
  }

  @Mutation(() => DeleteRolePayload, { description: 'Deletes a role, and with it every grant of it.' })
  @Directive('@audit(action: "role.delete")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async deleteRole(@Ctx() ctx: RequestContext, @Arg('input', () => DeleteRoleInput) input: DeleteRoleInput) {
    return { roleId: await deleteRole(ctx, input.roleId) };
  }

  @Mutation(() => UserPayload, { description: 'Gives a person a role.' })
  @Directive('@audit(action: "role.grant")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async grantRole(@Ctx() ctx: RequestContext, @Arg('input', () => UserRoleInput) input: UserRoleInput) {
    return { user: await grantRole(ctx, input) };
  }

  @Mutation(() => UserPayload, { description: 'Takes a role from a person; her next request is without it.' })
  @Directive('@audit(action: "role.revoke")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async revokeRole(@Ctx() ctx: RequestContext, @Arg('input', () => UserRoleInput) input: UserRoleInput) {
    return { user: await revokeRole(ctx, input) };
  }

  @Mutation(() => GroupPayload, { description: 'Gives every member of a group a role, those who join later too.' })
  @Directive('@audit(action: "group.map_role")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async mapGroupToRole(@Ctx() ctx: RequestContext, @Arg('input', () => GroupRoleInput) input: GroupRoleInput) {
    return { group: await mapGroupToRole(ctx, input) };
  }
}

/** What proves who asks: keys, tokens and links. */
@Resolver(() => Credential)
export class CredentialResolver {
  @FieldResolver(() => ID)
  id(@Root() credential: Credential) {
    return credentialId(credential);
  }

  @Query(() => [Credential], {
    description: 'The API keys and SCIM tokens that still work, newest first; at most 200.',
  })
  @Directive('@permission(scope: "credentials:write")')
  async machineCredentials(@Ctx() ctx: RequestContext) {
    return listMachineCredentials(ctx);
  }

  @Mutation(() => IssuedCredentialPayload, {
    description: 'Issues an API key for the registered operations of a client.',
  })
  @Directive('@audit(action: "api_key.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive('@permission(scope: "credentials:write")')
  async createApiKey(@Ctx() ctx: RequestContext, @Arg('input', () => CreateApiKeyInput) input: CreateApiKeyInput) {
    return createApiKey(ctx, input);
  }

  @Mutation(() => IssuedCredentialPayload, {
    description: 'Issues an API key in place of another one, which works on for the hours of grace.',
  })
  @Directive('@audit(action: "api_key.rotate")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "credentials:write")')
  async rotateApiKey(@Ctx() ctx: RequestContext, @Arg('input', () => RotateApiKeyInput) input: RotateApiKeyInput) {
    return rotateApiKey(ctx, input);
  }

  @Mutation(() => RevokeCredentialPayload, { description: 'Says from which networks an API key may be used.' })
  @Directive('@audit(action: "api_key.set_networks")')
  @Directive('@control(ids: ["CC6.1", "CC6.6"])')
  @Directive('@permission(scope: "credentials:write")')
  async setAllowedNetworks(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => SetAllowedNetworksInput) input: SetAllowedNetworksInput,
  ) {
    return { credential: await setAllowedNetworks(ctx, input) };
  }

  @Mutation(() => IssuedCredentialPayload, { description: 'Issues a SCIM token for an identity provider.' })
  @Directive('@audit(action: "scim_token.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive('@permission(scope: "credentials:write")')
  async createScimToken(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateScimTokenInput) input: CreateScimTokenInput,
  ) {
    return createScimToken(ctx, input);
  }

  @Mutation(() => SignInLinkPayload, { description: 'Makes a link that opens one session for a person within a day.' })
  @Directive('@audit(action: "sign_in_link.create")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "credentials:write")')
  async createSignInLink(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    return { url: await createSignInLink(ctx, input.userId) };
  }

  @Mutation(() => RevokeCredentialPayload, {
    description: 'Revokes a key, token, link or session; its next use is refused.',
  })
  @Directive('@audit(action: "credential.revoke")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive('@permission(scope: "credentials:write")')
  async revokeCredential(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RevokeCredentialInput) input: RevokeCredentialInput,
  ) {
    return { credential: await revokeCredential(ctx, input.credentialId) };
  }
}

import { Arg, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import {
  createApiKey,
  createScimToken,
  createSignInLink,
  credentialId,
  listMachineCredentials,
  revokeCredential,
} from './credentials.ts';
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
import { createRole, grantRole, listRoles, mapGroupToRole, revokeRole } from './roles.ts';

/** Who may do what: roles, their grants, and the groups that carry them. */
@Resolver(() => Role)
export class RoleResolver {
  @Query(() => [Role], { description: 'The roles of the tenant, by name; at most 200.' })
  async roles(@Ctx() ctx: RequestContext) {
    authorize(ctx, 'users:read');
    return listRoles(ctx);
  }

  @Mutation(() => RolePayload, { description: 'Makes a role of rights that you hold yourself.' })
  @Directive('@audit(action: "role.create")')
  @Directive('@control(ids: ["CC6.3"])')
  async createRole(@Ctx() ctx: RequestContext, @Arg('input', () => CreateRoleInput) input: CreateRoleInput) {
    authorize(ctx, 'users:write');
    return { role: await createRole(ctx, input) };
  }

  @Mutation(() => UserPayload, { description: 'Gives a person a role.' })
  @Directive('@audit(action: "role.grant")')
  @Directive('@control(ids: ["CC6.3"])')
  async grantRole(@Ctx() ctx: RequestContext, @Arg('input', () => UserRoleInput) input: UserRoleInput) {
    authorize(ctx, 'users:write');
    return { user: await grantRole(ctx, input) };
  }

  @Mutation(() => UserPayload, { description: 'Takes a role from a person; her next request is without it.' })
  @Directive('@audit(action: "role.revoke")')
  @Directive('@control(ids: ["CC6.3"])')
  async revokeRole(@Ctx() ctx: RequestContext, @Arg('input', () => UserRoleInput) input: UserRoleInput) {
    authorize(ctx, 'users:write');
    return { user: await revokeRole(ctx, input) };
  }

  @Mutation(() => GroupPayload, { description: 'Gives every member of a group a role, those who join later too.' })
  @Directive('@audit(action: "group.map_role")')
  @Directive('@control(ids: ["CC6.3"])')
  async mapGroupToRole(@Ctx() ctx: RequestContext, @Arg('input', () => GroupRoleInput) input: GroupRoleInput) {
    authorize(ctx, 'users:write');
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
  async machineCredentials(@Ctx() ctx: RequestContext) {
    authorize(ctx, 'credentials:write');
    return listMachineCredentials(ctx);
  }

  @Mutation(() => IssuedCredentialPayload, {
    description: 'Issues an API key for the registered operations of a client.',
  })
  @Directive('@audit(action: "api_key.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  async createApiKey(@Ctx() ctx: RequestContext, @Arg('input', () => CreateApiKeyInput) input: CreateApiKeyInput) {
    authorize(ctx, 'credentials:write');
    return createApiKey(ctx, input);
  }

  @Mutation(() => IssuedCredentialPayload, { description: 'Issues a SCIM token for an identity provider.' })
  @Directive('@audit(action: "scim_token.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  async createScimToken(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateScimTokenInput) input: CreateScimTokenInput,
  ) {
    authorize(ctx, 'credentials:write');
    return createScimToken(ctx, input);
  }

  @Mutation(() => SignInLinkPayload, { description: 'Makes a link that opens one session for a person within a day.' })
  @Directive('@audit(action: "sign_in_link.create")')
  @Directive('@control(ids: ["CC6.1"])')
  async createSignInLink(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    authorize(ctx, 'credentials:write');
    return { url: await createSignInLink(ctx, input.userId) };
  }

  @Mutation(() => RevokeCredentialPayload, {
    description: 'Revokes a key, token, link or session; its next use is refused.',
  })
  @Directive('@audit(action: "credential.revoke")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  async revokeCredential(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RevokeCredentialInput) input: RevokeCredentialInput,
  ) {
    authorize(ctx, 'credentials:write');
    return { credential: await revokeCredential(ctx, input.credentialId) };
  }
}

import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { GroupPayload, GroupRoleInput, IssuedCredentialPayload, UserPayload } from '../inputs.ts';
import { Credential, User } from '../model.ts';
import { previewGroupRole, unmapGroupFromRole } from './group-role.ts';
import {
  CreateScimConnectionInput,
  DeleteScimConnectionInput,
  DeleteScimConnectionPayload,
  GroupRolePreview,
  RotateScimTokenInput,
  ScimConnectionPayload,
  ScimRequestArgs,
  UpdateScimConnectionInput,
  UpdateUserInput,
} from './inputs.ts';
import { AccessChange, AttributeOwner, ScimConnection, ScimRequestConnection } from './model.ts';
import { accessHistory, attributeOwners, updateUser } from './person.ts';
import { listRequests } from './request-page.ts';
import {
  createScimConnection,
  deleteScimConnection,
  findScimConnection,
  listScimConnections,
  updateScimConnection,
} from './service.ts';
import { listTokens, rotateScimToken } from './tokens.ts';

const READ = '@permission(scope: "identity:read")';
const WRITE = '@permission(scope: "identity:write")';
const PAGED = '@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)';

/** Provisioning clients of the tenant. */
@Resolver(() => ScimConnection)
export class ScimConnectionResolver {
  @Query(() => [ScimConnection], { description: 'The provisioning clients of the tenant, oldest first; at most 50.' })
  @Directive(READ)
  async scimConnections(@Ctx() ctx: RequestContext) {
    return listScimConnections(ctx);
  }

  @Query(() => ScimConnection, { nullable: true, description: 'One of them, or null where there is none of that id.' })
  @Directive(READ)
  async scimConnection(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findScimConnection(ctx, id);
  }

  @FieldResolver(() => [Credential], { description: 'Its tokens that still work, newest first.' })
  @Directive(READ)
  async tokens(@Root() connection: ScimConnection, @Ctx() ctx: RequestContext) {
    return listTokens(ctx, connection);
  }

  @FieldResolver(() => ScimRequestConnection, {
    description: 'What it has asked in the last 30 days, newest first; at most 10,000 requests are kept.',
  })
  @Directive(PAGED)
  @Directive(READ)
  async requests(
    @Root() connection: ScimConnection,
    @Ctx() ctx: RequestContext,
    @Args(() => ScimRequestArgs) args: ScimRequestArgs,
  ) {
    return listRequests(ctx, connection.id, args);
  }

  @Mutation(() => ScimConnectionPayload, { description: 'Makes a connection for a provisioning client.' })
  @Directive('@audit(action: "scim_connection.create")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive(WRITE)
  async createScimConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateScimConnectionInput) input: CreateScimConnectionInput,
  ) {
    return { connection: await createScimConnection(ctx, input) };
  }

  @Mutation(() => ScimConnectionPayload, {
    description: 'Changes how a provisioning client is understood and what it manages, or disables it.',
  })
  @Directive('@audit(action: "scim_connection.update")')
  @Directive('@control(ids: ["CC6.2", "CC6.3"])')
  @Directive(WRITE)
  async updateScimConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateScimConnectionInput) input: UpdateScimConnectionInput,
  ) {
    return { connection: await updateScimConnection(ctx, input) };
  }

  @Mutation(() => DeleteScimConnectionPayload, {
    description: 'Deletes a connection; its tokens end at once, and its people stay and are managed by hand.',
  })
  @Directive('@audit(action: "scim_connection.delete")')
  @Directive('@control(ids: ["CC6.2", "CC6.3"])')
  @Directive(WRITE)
  async deleteScimConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => DeleteScimConnectionInput) { connectionId }: DeleteScimConnectionInput,
  ) {
    return { deletedConnectionId: await deleteScimConnection(ctx, connectionId) };
  }

  @Mutation(() => IssuedCredentialPayload, {
    description: 'Issues a SCIM token in place of another one, which works on for the hours of grace.',
  })
  @Directive('@audit(action: "scim_token.rotate")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "credentials:write")')
  async rotateScimToken(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RotateScimTokenInput) input: RotateScimTokenInput,
  ) {
    return rotateScimToken(ctx, input);
  }
}

/** Who may do what because of a group. */
@Resolver()
export class GroupRoleResolver {
  @Query(() => GroupRolePreview, {
    description:
      'Who would gain rights by mapping a group to a role, or lose them by unmapping it; nothing is changed.',
  })
  @Directive('@permission(scope: "users:read")')
  async previewGroupRole(
    @Ctx() ctx: RequestContext,
    @Arg('groupId', () => ID) groupId: string,
    @Arg('roleId', () => ID) roleId: string,
  ) {
    return previewGroupRole(ctx, { groupId, roleId });
  }

  @Mutation(() => GroupPayload, {
    description: 'Takes a role from a group; who has it from elsewhere as well keeps it.',
  })
  @Directive('@audit(action: "group.unmap_role")')
  @Directive('@control(ids: ["CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async unmapGroupFromRole(@Ctx() ctx: RequestContext, @Arg('input', () => GroupRoleInput) input: GroupRoleInput) {
    return { group: await unmapGroupFromRole(ctx, input) };
  }
}

/** What is written of people, and by whom. */
@Resolver(() => User)
export class ProvisionedUserResolver {
  @FieldResolver(() => [AttributeOwner], { description: 'Who writes her attributes; there is one writer of each.' })
  @Directive('@permission(scope: "users:read")')
  async attributeOwners(@Root() user: User, @Ctx() ctx: RequestContext) {
    return attributeOwners(ctx, user);
  }

  @FieldResolver(() => [AccessChange], {
    description: 'When her access ended or came back, and by which request; newest first, at most 50.',
  })
  @Directive(READ)
  async accessHistory(@Root() user: User, @Ctx() ctx: RequestContext) {
    return accessHistory(ctx, user);
  }

  @Mutation(() => UserPayload, {
    description: 'Changes names and address of a person whom no provisioning client manages.',
  })
  @Directive('@audit(action: "user.update")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive('@permission(scope: "users:write")')
  async updateUser(@Ctx() ctx: RequestContext, @Arg('input', () => UpdateUserInput) input: UpdateUserInput) {
    return { user: await updateUser(ctx, input) };
  }
}

import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { credentialsOf } from './access/credentials.ts';
import { CreateUserInput, UserInput, UserPayload } from './inputs.ts';
import { Credential, Group, GroupConnection, Role, User, UserConnection, Viewer } from './model.ts';
import { rolesOf } from './access/roles.ts';
import {
  createUser,
  deactivateUser,
  findGroups,
  findUsers,
  groupsOf,
  listGroups,
  listMembers,
  listUsers,
  reactivateUser,
  viewer,
} from './service.ts';

const PAGED = '@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)';

/** People of the tenant. */
@Resolver(() => User)
export class UserResolver {
  @Query(() => Viewer, { description: 'Who asks, and with which rights.' })
  async viewer(@Ctx() ctx: RequestContext) {
    return viewer(ctx);
  }

  @Query(() => User, { nullable: true, description: 'One person, or null where the tenant has nobody of that id.' })
  @Directive('@permission(scope: "users:read")')
  async user(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return (await findUsers(ctx, [id]))[0] ?? null;
  }

  @Query(() => UserConnection, { description: 'The people of the tenant, newest first.' })
  @Directive(PAGED)
  @Directive('@permission(scope: "users:read")')
  async users(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listUsers(ctx, args);
  }

  @FieldResolver(() => [Group], { description: 'The groups she is in, by name; at most 100.' })
  @Directive('@permission(scope: "users:read")')
  async groups(@Root() user: User, @Ctx() ctx: RequestContext) {
    return groupsOf(ctx, user);
  }

  @FieldResolver(() => [Role], { description: 'The roles she holds, her own and those of her groups.' })
  @Directive('@permission(scope: "users:read")')
  async roles(@Root() user: User, @Ctx() ctx: RequestContext) {
    return rolesOf(ctx, user);
  }

  @FieldResolver(() => [Credential], { description: 'Her sessions, keys and links that still work; at most 100.' })
  @Directive('@permission(scope: "users:write")')
  async credentials(@Root() user: User, @Ctx() ctx: RequestContext) {
    return credentialsOf(ctx, user);
  }

  @Mutation(() => UserPayload, { description: 'Creates a person by hand.' })
  @Directive('@audit(action: "user.create")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive('@permission(scope: "users:write")')
  async createUser(@Ctx() ctx: RequestContext, @Arg('input', () => CreateUserInput) input: CreateUserInput) {
    return { user: await createUser(ctx, input) };
  }

  @Mutation(() => UserPayload, { description: 'Ends all access of a person at once, in one transaction.' })
  @Directive('@audit(action: "user.deactivate")')
  @Directive('@control(ids: ["CC6.2", "CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async deactivateUser(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    return { user: await deactivateUser(ctx, input.userId) };
  }

  @Mutation(() => UserPayload, { description: 'Lets a person in again; what she had before stays revoked.' })
  @Directive('@audit(action: "user.reactivate")')
  @Directive('@control(ids: ["CC6.2"])')
  @Directive('@permission(scope: "users:write")')
  async reactivateUser(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    return { user: await reactivateUser(ctx, input.userId) };
  }
}

/** Groups of the tenant. */
@Resolver(() => Group)
export class GroupResolver {
  @Query(() => Group, { nullable: true, description: 'One group, or null where the tenant has none of that id.' })
  @Directive('@permission(scope: "users:read")')
  async group(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return (await findGroups(ctx, [id]))[0] ?? null;
  }

  @Query(() => GroupConnection, { description: 'The groups of the tenant, newest first.' })
  @Directive(PAGED)
  @Directive('@permission(scope: "users:read")')
  async groups(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listGroups(ctx, args);
  }

  @FieldResolver(() => UserConnection, { description: 'The people in the group, newest first.' })
  @Directive(PAGED)
  @Directive('@permission(scope: "users:read")')
  async members(@Root() group: Group, @Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listMembers(ctx, group, args);
  }
}

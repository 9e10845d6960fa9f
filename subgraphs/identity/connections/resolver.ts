import { Arg, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { createOidcConnection, shownSettings, updateOidcConnection } from '../oidc/service.ts';
import {
  ConnectionTestPayload,
  CreateOidcConnectionInput,
  DeleteIdentityConnectionPayload,
  IdentityConnectionInput,
  IdentityConnectionPayload,
  OidcConnectionSettings,
  RemoveIdentityLinkInput,
  RemoveIdentityLinkPayload,
  UpdateOidcConnectionInput,
} from './inputs.ts';
import { IdentityConnection } from './model.ts';
import {
  activateConnection,
  deleteConnection,
  disableConnection,
  findConnection,
  listConnections,
  removeIdentityLink,
  testConnection,
} from './service.ts';

const READ = '@permission(scope: "identity:read")';
const WRITE = '@permission(scope: "identity:write")';

/** Identity providers of the tenant. */
@Resolver(() => IdentityConnection)
export class IdentityConnectionResolver {
  @Query(() => [IdentityConnection], { description: 'The identity providers of the tenant, oldest first; at most 50.' })
  @Directive(READ)
  async identityConnections(@Ctx() ctx: RequestContext) {
    return listConnections(ctx);
  }

  @Query(() => IdentityConnection, {
    nullable: true,
    description: 'One of them, or null where there is none of that id.',
  })
  @Directive(READ)
  async identityConnection(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findConnection(ctx, id);
  }

  @FieldResolver(() => OidcConnectionSettings, { nullable: true, description: 'Of a connection over OpenID Connect.' })
  oidc(@Root() connection: IdentityConnection, @Ctx() ctx: RequestContext) {
    return shownSettings(ctx, connection);
  }

  @Mutation(() => IdentityConnectionPayload, {
    description: 'Makes a draft of a connection over OpenID Connect; nobody signs in over it yet.',
  })
  @Directive('@audit(action: "identity_connection.create")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive(WRITE)
  async createOidcConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => CreateOidcConnectionInput) input: CreateOidcConnectionInput,
  ) {
    return { connection: await createOidcConnection(ctx, input) };
  }

  @Mutation(() => IdentityConnectionPayload, { description: 'Changes a connection over OpenID Connect.' })
  @Directive('@audit(action: "identity_connection.update")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive(WRITE)
  async updateOidcConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => UpdateOidcConnectionInput) input: UpdateOidcConnectionInput,
  ) {
    return { connection: await updateOidcConnection(ctx, input) };
  }

  @Mutation(() => ConnectionTestPayload, {
    description: 'Asks the identity provider of a connection, now, whether people could sign in over it.',
  })
  @Directive('@audit(action: "identity_connection.test")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async testIdentityConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => IdentityConnectionInput) { connectionId }: IdentityConnectionInput,
  ) {
    return testConnection(ctx, connectionId);
  }

  @Mutation(() => IdentityConnectionPayload, {
    description:
      'Lets people sign in over a connection, once its test passes; it takes every right that anybody holds.',
  })
  @Directive('@audit(action: "identity_connection.activate")')
  @Directive('@control(ids: ["CC6.1", "CC6.2"])')
  @Directive(WRITE)
  async activateIdentityConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => IdentityConnectionInput) { connectionId }: IdentityConnectionInput,
  ) {
    return { connection: await activateConnection(ctx, connectionId) };
  }

  @Mutation(() => IdentityConnectionPayload, {
    description: 'Ends signing in over a connection; sessions that stand stay.',
  })
  @Directive('@audit(action: "identity_connection.disable")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async disableIdentityConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => IdentityConnectionInput) { connectionId }: IdentityConnectionInput,
  ) {
    return { connection: await disableConnection(ctx, connectionId) };
  }

  @Mutation(() => DeleteIdentityConnectionPayload, {
    description: 'Deletes a connection; its people and groups stay.',
  })
  @Directive('@audit(action: "identity_connection.delete")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async deleteIdentityConnection(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => IdentityConnectionInput) { connectionId }: IdentityConnectionInput,
  ) {
    return { deletedConnectionId: await deleteConnection(ctx, connectionId) };
  }

  @Mutation(() => RemoveIdentityLinkPayload, {
    description:
      'Forgets as whom a person is known to an identity provider; her next sign-in finds her by address again.',
  })
  @Directive('@audit(action: "identity.unlink")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive(WRITE)
  async removeIdentityLink(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RemoveIdentityLinkInput) input: RemoveIdentityLinkInput,
  ) {
    return { userId: await removeIdentityLink(ctx, input) };
  }
}

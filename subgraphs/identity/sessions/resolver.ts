import { Arg, Ctx, Directive, FieldResolver, ID, Mutation, Resolver, Root } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { SignOutPayload } from '../inputs.ts';
import { User, Viewer } from '../model.ts';
import { RevokeSessionInput, RevokeSessionPayload, Session } from './model.ts';
import { revokeSession, sessionsOf, signOut } from './service.ts';

/** Sessions, and their end. */
@Resolver(() => User)
export class SessionResolver {
  @FieldResolver(() => [Session], { description: 'Her sessions that still work, newest first; at most 100.' })
  @Directive('@listSize(assumedSize: 10)')
  @Directive('@permission(scope: "users:write")')
  async sessions(@Root() user: User, @Ctx() ctx: RequestContext): Promise<Session[]> {
    return sessionsOf(ctx, user.id);
  }

  @Mutation(() => SignOutPayload, {
    description:
      'Ends the session that asks, or another one of the same person; false where a key or token asks. It needs no right: whoever is in may leave.',
  })
  @Directive('@audit(action: "session.end")')
  @Directive('@control(ids: ["CC6.1"])')
  async signOut(
    @Ctx() ctx: RequestContext,
    @Arg('sessionId', () => ID, { nullable: true }) sessionId?: string | null,
  ): Promise<SignOutPayload> {
    return { signedOut: await signOut(ctx, sessionId ?? null) };
  }

  @Mutation(() => RevokeSessionPayload, { description: 'Ends a session of anybody; its next request is refused.' })
  @Directive('@audit(action: "session.revoke")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async revokeSession(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => RevokeSessionInput) input: RevokeSessionInput,
  ): Promise<RevokeSessionPayload> {
    return { revoked: await revokeSession(ctx, input.sessionId) };
  }
}

/** The sessions of whoever asks. */
@Resolver(() => Viewer)
export class ViewerSessionResolver {
  @FieldResolver(() => [Session], { description: 'Your sessions that still work, newest first; none of a key.' })
  @Directive('@listSize(assumedSize: 10)')
  async sessions(@Ctx() ctx: RequestContext): Promise<Session[]> {
    const { actor } = ctx.tenant;
    return actor.type === 'user' ? sessionsOf(ctx, actor.id) : [];
  }
}

import { Ctx, Directive, Mutation, Resolver } from 'type-graphql';
import type { RequestContext } from '#kit/request-context.ts';
import { SignOutPayload } from '../inputs.ts';
import { endSession } from './session.ts';

/** The session that asks. */
@Resolver()
export class SessionResolver {
  @Mutation(() => SignOutPayload, {
    description:
      'Ends the session that asks; false where a key or token asks. It needs no right: whoever is in may leave.',
  })
  @Directive('@audit(action: "session.end")')
  @Directive('@control(ids: ["CC6.1"])')
  async signOut(@Ctx() ctx: RequestContext): Promise<SignOutPayload> {
    return { signedOut: await endSession(ctx) };
  }
}

import { GraphQLJSONObject } from 'graphql-scalars';
import { Arg, Ctx, Directive, FieldResolver, Int, Mutation, Query, Resolver, Root } from 'type-graphql';
import { inTenant } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOf, type Id } from '#schema/ids.ts';
import { UserInput, UserPayload } from '../inputs.ts';
import { User, Viewer } from '../model.ts';
import { askingPerson, factorsOf, removeFactor, renameFactor, requireFactor } from './factor.ts';
import {
  AddPasskeyInput,
  ChangeSignInPolicyInput,
  ConfirmTotpInput,
  ConfirmTotpPayload,
  EnrolTotpInput,
  EnrolTotpPayload,
  FactorInput,
  FactorPayload,
  RecoveryCodesPayload,
  RemoveFactorPayload,
  RenameFactorInput,
  SignInPolicyPayload,
} from './inputs.ts';
import { SignInFactor, SignInPolicy } from './model.ts';
import { notify } from './notice.ts';
import { addPasskey, passkeyRegistrationOptions } from './passkey-registration.ts';
import { changeSignInPolicy, readSignInPolicy } from './policy.ts';
import {
  enrolTotpOfAsker,
  recoveryCodesLeftOf,
  renewRecoveryCodesOfAsker,
  resetFactors,
  unlockSignIn,
} from './service.ts';
import { confirmTotp } from './totp.ts';

const OWN = 'It needs no right but a session: it is about the person who asks.';

/** What the person who asks signs in with. */
@Resolver(() => Viewer)
export class ViewerFactorResolver {
  @FieldResolver(() => [SignInFactor], { description: 'What she signs in with, oldest first.' })
  async factors(@Ctx() ctx: RequestContext) {
    return factorsOf(ctx, askingPerson(ctx));
  }

  @FieldResolver(() => Int, { description: 'Her recovery codes that are unused.' })
  async recoveryCodesLeft(@Ctx() ctx: RequestContext) {
    return recoveryCodesLeftOf(ctx, askingPerson(ctx));
  }

  @FieldResolver(() => GraphQLJSONObject, {
    description:
      'What a browser takes to make a passkey (PublicKeyCredential.parseCreationOptionsFromJSON); good for five minutes, once.',
  })
  async passkeyRegistrationOptions(@Ctx() ctx: RequestContext) {
    return passkeyRegistrationOptions(ctx, askingPerson(ctx));
  }
}

/** Adding, naming and removing what the person who asks signs in with. */
@Resolver()
export class FactorResolver {
  @Mutation(() => FactorPayload, { description: `Adds the passkey that a browser has made. ${OWN}` })
  @Directive('@audit(action: "factor.create")')
  @Directive('@control(ids: ["CC6.1"])')
  async addPasskey(@Ctx() ctx: RequestContext, @Arg('input', () => AddPasskeyInput) input: AddPasskeyInput) {
    const { name, credential } = input;
    return { factor: await addPasskey(ctx, { userId: askingPerson(ctx), name, credential }) };
  }

  @Mutation(() => EnrolTotpPayload, {
    description: `Makes a seed for an authenticator application; it counts once a code confirms it. ${OWN}`,
  })
  @Directive('@audit(action: "factor.enrol")')
  @Directive('@control(ids: ["CC6.1"])')
  async enrolTotp(@Ctx() ctx: RequestContext, @Arg('input', () => EnrolTotpInput) input: EnrolTotpInput) {
    const userId = askingPerson(ctx);
    const { factorId, uri, secret } = await enrolTotpOfAsker(ctx, input.name);
    return { factor: await inTenant(ctx, (tx) => requireFactor(tx, { userId, factorId })), uri, secret };
  }

  @Mutation(() => ConfirmTotpPayload, {
    description: `Makes a seed count, in place of the one before, and gives recovery codes. ${OWN}`,
  })
  @Directive('@audit(action: "factor.create")')
  @Directive('@control(ids: ["CC6.1"])')
  async confirmTotp(@Ctx() ctx: RequestContext, @Arg('input', () => ConfirmTotpInput) input: ConfirmTotpInput) {
    const userId = askingPerson(ctx);
    uuidOf('fct', input.factorId);
    const confirmed = await confirmTotp(ctx, { userId, factorId: input.factorId as Id<'fct'>, code: input.code });
    notify(ctx, { userId, event: 'totp_added' });
    return confirmed;
  }

  @Mutation(() => FactorPayload, { description: `Gives a factor another name. ${OWN}` })
  @Directive('@audit(action: "factor.rename")')
  @Directive('@control(ids: ["CC6.1"])')
  async renameFactor(@Ctx() ctx: RequestContext, @Arg('input', () => RenameFactorInput) input: RenameFactorInput) {
    return { factor: await renameFactor(ctx, { userId: askingPerson(ctx), factorId: input.factorId }, input.name) };
  }

  @Mutation(() => RemoveFactorPayload, { description: `Removes a factor; the next sign-in is without it. ${OWN}` })
  @Directive('@audit(action: "factor.remove")')
  @Directive('@control(ids: ["CC6.1"])')
  async removeFactor(@Ctx() ctx: RequestContext, @Arg('input', () => FactorInput) input: FactorInput) {
    const userId = askingPerson(ctx);
    const { id } = await removeFactor(ctx, { userId, factorId: input.factorId });
    notify(ctx, { userId, event: 'factor_removed' });
    return { removedFactorId: id };
  }

  @Mutation(() => RecoveryCodesPayload, { description: `Gives ten new recovery codes. ${OWN}` })
  @Directive('@audit(action: "recovery_codes.create")')
  @Directive('@control(ids: ["CC6.1"])')
  async renewRecoveryCodes(@Ctx() ctx: RequestContext) {
    return { recoveryCodes: await renewRecoveryCodesOfAsker(ctx) };
  }
}

/** What an administrator does for those who sign in without an identity provider. */
@Resolver(() => User)
export class SignInAdministrationResolver {
  @FieldResolver(() => [SignInFactor], { description: 'What she signs in with, oldest first.' })
  @Directive('@permission(scope: "users:write")')
  async factors(@Root() user: User, @Ctx() ctx: RequestContext) {
    return factorsOf(ctx, user.id);
  }

  @Mutation(() => UserPayload, {
    description:
      'Takes every factor from somebody who has lost hers and ends her sessions; she starts again with a link.',
  })
  @Directive('@audit(action: "factors.reset")')
  @Directive('@control(ids: ["CC6.1", "CC6.3"])')
  @Directive('@permission(scope: "users:write")')
  async resetFactors(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    return { user: await resetFactors(ctx, input.userId) };
  }

  @Mutation(() => UserPayload, { description: 'Lets somebody try again at once who has failed too often.' })
  @Directive('@audit(action: "sign_in.unlock")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "users:write")')
  async unlockSignIn(@Ctx() ctx: RequestContext, @Arg('input', () => UserInput) input: UserInput) {
    return { user: await unlockSignIn(ctx, input.userId) };
  }

  @Query(() => SignInPolicy, { description: 'What is asked of those who sign in without an identity provider.' })
  @Directive('@permission(scope: "identity:read")')
  async signInPolicy(@Ctx() ctx: RequestContext) {
    return inTenant(ctx, (tx) => readSignInPolicy(tx));
  }

  @Mutation(() => SignInPolicyPayload, {
    description: 'Says what is asked of those who sign in without an identity provider, from their next sign-in on.',
  })
  @Directive('@audit(action: "sign_in_policy.change")')
  @Directive('@control(ids: ["CC6.1"])')
  @Directive('@permission(scope: "identity:write")')
  async changeSignInPolicy(
    @Ctx() ctx: RequestContext,
    @Arg('input', () => ChangeSignInPolicyInput) input: ChangeSignInPolicyInput,
  ) {
    return { signInPolicy: await changeSignInPolicy(ctx, input) };
  }
}

import { ArrayMaxSize, ArrayMinSize, ArrayUnique, Length, Matches } from 'class-validator';
import { GraphQLJSONObject } from 'graphql-scalars';
import { Field, ID, InputType, ObjectType } from 'type-graphql';
import { LocalMethod, SignInFactor, SignInPolicy } from './model.ts';

@InputType()
export class AddPasskeyInput {
  @Field(() => String, { description: 'What she calls it, such as the device it is on.' })
  @Length(1, 100)
  name!: string;

  @Field(() => GraphQLJSONObject, {
    description: 'What the browser returned, as PublicKeyCredential.toJSON() writes it (RegistrationResponseJSON).',
  })
  credential!: Record<string, unknown>;
}

@InputType()
export class RenameFactorInput {
  @Field(() => ID)
  factorId!: string;

  @Field(() => String)
  @Length(1, 100)
  name!: string;
}

@ObjectType()
export class FactorPayload {
  @Field(() => SignInFactor)
  factor!: SignInFactor;
}

@InputType()
export class FactorInput {
  @Field(() => ID)
  factorId!: string;
}

@ObjectType()
export class RemoveFactorPayload {
  @Field(() => ID)
  removedFactorId!: string;
}

@InputType()
export class EnrolTotpInput {
  @Field(() => String, { description: 'What she calls it, such as the device it is on.' })
  @Length(1, 100)
  name!: string;
}

@ObjectType()
export class EnrolTotpPayload {
  @Field(() => SignInFactor)
  factor!: SignInFactor;

  @Field(() => String, {
    description: 'For the authenticator application (otpauth://), mostly as a QR code; shown this once.',
  })
  uri!: string;

  @Field(() => String, { description: 'The seed in base 32, for typing; shown this once.' })
  secret!: string;
}

@InputType()
export class ConfirmTotpInput {
  @Field(() => ID)
  factorId!: string;

  @Field(() => String)
  @Matches(/^\d{6}$/)
  code!: string;
}

@ObjectType()
export class ConfirmTotpPayload {
  @Field(() => SignInFactor)
  factor!: SignInFactor;

  @Field(() => [String], { description: 'Recovery codes; shown this once. Earlier ones no longer work.' })
  recoveryCodes!: string[];
}

@ObjectType()
export class RecoveryCodesPayload {
  @Field(() => [String], { description: 'Shown this once. Earlier ones no longer work.' })
  recoveryCodes!: string[];
}

@InputType()
export class ChangeSignInPolicyInput {
  @Field(() => [LocalMethod])
  @ArrayMinSize(1)
  @ArrayMaxSize(2)
  @ArrayUnique()
  localMethods!: LocalMethod[];

  @Field(() => Boolean)
  requireSecondFactor!: boolean;
}

@ObjectType()
export class SignInPolicyPayload {
  @Field(() => SignInPolicy)
  signInPolicy!: SignInPolicy;
}

import { ArrayMaxSize, IsEmail, Length, Matches, Max, Min } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { Credential, Group, Role, User } from './model.ts';

@InputType()
export class CreateUserInput {
  @Field(() => String)
  @Length(1, 320)
  userName!: string;

  @Field(() => String)
  @Length(1, 200)
  displayName!: string;

  @Field(() => String)
  @IsEmail()
  email!: string;
}

@InputType()
export class UserInput {
  @Field(() => ID)
  userId!: string;
}

@ObjectType()
export class UserPayload {
  @Field(() => User)
  user!: User;
}

@InputType()
export class CreateRoleInput {
  @Field(() => String)
  @Matches(/^[a-z][a-z0-9_-]{0,62}$/)
  name!: string;

  @Field(() => [String])
  @ArrayMaxSize(100)
  scopes!: string[];
}

@ObjectType()
export class RolePayload {
  @Field(() => Role)
  role!: Role;
}

@InputType()
export class UserRoleInput {
  @Field(() => ID)
  userId!: string;

  @Field(() => ID)
  roleId!: string;
}

@InputType()
export class GroupRoleInput {
  @Field(() => ID)
  groupId!: string;

  @Field(() => ID)
  roleId!: string;
}

@ObjectType()
export class GroupPayload {
  @Field(() => Group)
  group!: Group;
}

@InputType()
export class CreateApiKeyInput {
  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => String, { description: 'The registered client whose operations the key may run.' })
  @Matches(/^[a-z][a-z0-9-]{0,62}$/)
  client!: string;

  @Field(() => [String])
  @ArrayMaxSize(100)
  scopes!: string[];

  @Field(() => ID, {
    nullable: true,
    description: 'The person it belongs to: it ends when she leaves. Without one it belongs to the tenant.',
  })
  userId?: string | null;

  @Field(() => [String], {
    nullable: true,
    description: 'Networks (CIDR, IPv4 or IPv6) or addresses that it may be used from; everywhere without.',
  })
  @ArrayMaxSize(100)
  allowedNetworks?: string[] | null;

  @Field(() => Int, { defaultValue: 90 })
  @Min(1)
  @Max(730)
  expiresInDays!: number;
}

@InputType()
export class CreateScimTokenInput {
  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => ID, { nullable: true, description: 'The SCIM connection that it is for; without one the default.' })
  connectionId?: string | null;

  @Field(() => Int, { defaultValue: 365 })
  @Min(1)
  @Max(730)
  expiresInDays!: number;
}

@ObjectType()
export class IssuedCredentialPayload {
  @Field(() => Credential)
  credential!: Credential;

  @Field(() => String, { description: 'The token; it is shown this once.' })
  token!: string;
}

@InputType()
export class RevokeCredentialInput {
  @Field(() => ID)
  credentialId!: string;
}

@ObjectType()
export class RevokeCredentialPayload {
  @Field(() => Credential)
  credential!: Credential;
}

@ObjectType()
export class SignInLinkPayload {
  @Field(() => String, { description: 'Opens a session once, within a day.' })
  url!: string;
}

@ObjectType()
export class SignOutPayload {
  @Field(() => Boolean)
  signedOut!: boolean;
}

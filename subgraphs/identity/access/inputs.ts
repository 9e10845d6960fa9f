import { ArrayMaxSize, Matches, Max, Min } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { Role } from '../model.ts';

@InputType()
export class RotateApiKeyInput {
  @Field(() => ID)
  credentialId!: string;

  @Field(() => Int, { defaultValue: 24, description: 'How long the old key still works; 0 ends it at once.' })
  @Min(0)
  @Max(720)
  graceHours!: number;

  @Field(() => Int, { defaultValue: 90 })
  @Min(1)
  @Max(730)
  expiresInDays!: number;
}

@InputType()
export class SetAllowedNetworksInput {
  @Field(() => ID)
  credentialId!: string;

  @Field(() => [String], { description: 'Networks (CIDR, IPv4 or IPv6) or addresses; empty for everywhere.' })
  @ArrayMaxSize(100)
  allowedNetworks!: string[];
}

@InputType()
export class UpdateRoleInput {
  @Field(() => ID)
  roleId!: string;

  @Field(() => String, { nullable: true })
  @Matches(/^[a-z][a-z0-9_-]{0,62}$/)
  name?: string | null;

  @Field(() => [String], { nullable: true })
  @ArrayMaxSize(100)
  scopes?: string[] | null;
}

@InputType()
export class DeleteRoleInput {
  @Field(() => ID)
  roleId!: string;
}

@ObjectType()
export class DeleteRolePayload {
  @Field(() => ID)
  roleId!: string;
}

@InputType({ description: 'A change of roles and groups that is only looked at.' })
export class PermissionsPreviewInput {
  @Field(() => ID)
  userId!: string;

  @Field(() => [ID], { defaultValue: [], description: 'Roles that she would be given.' })
  @ArrayMaxSize(100)
  grantRoles!: string[];

  @Field(() => [ID], { defaultValue: [], description: 'Roles of her own that would be taken.' })
  @ArrayMaxSize(100)
  revokeRoles!: string[];

  @Field(() => [ID], { defaultValue: [], description: 'Groups that she would join.' })
  @ArrayMaxSize(100)
  joinGroups!: string[];

  @Field(() => [ID], { defaultValue: [], description: 'Groups that she would leave.' })
  @ArrayMaxSize(100)
  leaveGroups!: string[];
}

/** A right, and the roles that it comes from. */
@ObjectType({ description: 'A right, and the roles that it comes from.' })
export class EffectivePermission {
  @Field(() => String)
  scope!: string;

  @Field(() => [Role])
  roles!: Role[];
}

/** What a person may do, now and after a change. */
@ObjectType({ description: 'What a person may do after a change, and what of it is new or gone.' })
export class PermissionsPreview {
  @Field(() => [EffectivePermission])
  permissions!: EffectivePermission[];

  @Field(() => [String])
  gained!: string[];

  @Field(() => [String])
  lost!: string[];
}

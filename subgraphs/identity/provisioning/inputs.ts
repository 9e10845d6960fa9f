import { ArrayMaxSize, ArrayUnique, IsEmail, Length, Max, Min } from 'class-validator';
import { ArgsType, Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import { User } from '../model.ts';
import { AttributeGroup, ScimConnection, ScimConnectionState, ScimProfile } from './model.ts';

@InputType()
export class CreateScimConnectionInput {
  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => ScimProfile)
  profile!: ScimProfile;

  @Field(() => [AttributeGroup], { nullable: true, description: 'What it alone writes of its people; by default all.' })
  @ArrayMaxSize(3)
  @ArrayUnique()
  manages?: AttributeGroup[] | null;
}

@InputType()
export class UpdateScimConnectionInput {
  @Field(() => ID)
  connectionId!: string;

  @Field(() => String, { nullable: true })
  @Length(1, 200)
  name?: string | null;

  @Field(() => ScimProfile, { nullable: true })
  profile?: ScimProfile | null;

  @Field(() => ScimConnectionState, { nullable: true })
  state?: ScimConnectionState | null;

  @Field(() => [AttributeGroup], { nullable: true })
  @ArrayMaxSize(3)
  @ArrayUnique()
  manages?: AttributeGroup[] | null;
}

@ObjectType()
export class ScimConnectionPayload {
  @Field(() => ScimConnection)
  connection!: ScimConnection;
}

@InputType()
export class DeleteScimConnectionInput {
  @Field(() => ID)
  connectionId!: string;
}

@ObjectType()
export class DeleteScimConnectionPayload {
  @Field(() => ID)
  deletedConnectionId!: string;
}

@InputType()
export class RotateScimTokenInput {
  @Field(() => ID)
  tokenId!: string;

  @Field(() => Int, { defaultValue: 24, description: 'How long the old token still works; 0 ends it at once.' })
  @Min(0)
  @Max(720)
  graceHours!: number;

  @Field(() => Int, { defaultValue: 365 })
  @Min(1)
  @Max(730)
  expiresInDays!: number;
}

@InputType({ description: 'Which requests are wanted; what is left out is not looked at.' })
export class ScimRequestFilter {
  @Field(() => ID, { nullable: true, description: 'A user or group that it was about.' })
  resourceId?: string | null;

  @Field(() => Boolean, { nullable: true, description: 'Whether it was refused.' })
  refused?: boolean | null;

  @Field(() => Boolean, { nullable: true, description: 'Whether it changed something.' })
  changed?: boolean | null;
}

/** Arguments of the log of a connection. */
@ArgsType()
export class ScimRequestArgs extends ConnectionArgs {
  @Field(() => ScimRequestFilter, { nullable: true })
  filter?: ScimRequestFilter | null;
}

@InputType()
export class UpdateUserInput {
  @Field(() => ID)
  userId!: string;

  @Field(() => String, { nullable: true })
  @Length(1, 320)
  userName?: string | null;

  @Field(() => String, { nullable: true })
  @Length(1, 200)
  displayName?: string | null;

  @Field(() => String, { nullable: true })
  @IsEmail()
  email?: string | null;
}

/** Somebody whose rights a mapping would change. */
@ObjectType({ description: 'Somebody whose rights would change.', simpleResolvers: true })
export class ScopeChange {
  @Field(() => User)
  user!: User;

  @Field(() => [String])
  scopes!: readonly string[];
}

/** What mapping a group to a role would change. */
@ObjectType({
  description: 'What a mapping between a group and a role changes; nothing is changed.',
  simpleResolvers: true,
})
export class GroupRolePreview {
  @Field(() => Boolean, { description: 'Whether the mapping is there now.' })
  isMapped!: boolean;

  @Field(() => Int, { description: 'The people in the group.' })
  memberCount!: number;

  @Field(() => Int, { description: 'Those who would gain a right by mapping, where it is not there.' })
  gainingCount!: number;

  @Field(() => [ScopeChange], { description: 'The first 20 of them, and the rights.' })
  gaining!: readonly ScopeChange[];

  @Field(() => Int, { description: 'Those who would lose a right by unmapping, where it is there.' })
  losingCount!: number;

  @Field(() => [ScopeChange], { description: 'The first 20 of them, and the rights.' })
  losing!: readonly ScopeChange[];
}

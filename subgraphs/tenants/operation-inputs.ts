import { ArrayMaxSize, IsDate, IsOptional, Matches, MaxLength } from 'class-validator';
import { ArgsType, Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import { MANIFEST_MAX_BYTES, MANIFEST_MAX_OPERATIONS } from '#schema/operation-manifest.ts';
import { OperationState, RegisteredOperation } from './operation-model.ts';

const CLIENT = /^[a-z][a-z0-9-]{0,62}$/;
const FINGERPRINT = /^[0-9a-f]{64}$/;

@InputType()
export class RegisterOperationsInput {
  @Field(() => String, { description: 'The client whose keys shall run them.' })
  @Matches(CLIENT, { message: 'client takes 1 to 63 small letters, digits and hyphens, beginning with a letter' })
  client!: string;

  @Field(() => String, {
    description: "Apollo's persisted query manifest (version 1) or Relay's persisted queries, as JSON text.",
  })
  @MaxLength(MANIFEST_MAX_BYTES)
  manifest!: string;

  @Field(() => Date, { nullable: true, description: 'When they stop running by themselves.' })
  @IsOptional()
  @IsDate()
  expiresAt?: Date | null;
}

@ObjectType()
export class RegisterOperationsPayload {
  @Field(() => [RegisteredOperation], { description: 'Every operation of the manifest.' })
  operations!: RegisteredOperation[];

  @Field(() => Int, { description: 'Those that this registered; the others stood already.' })
  registered!: number;

  @Field(() => String, { description: 'Names the manifest to those who approve it.' })
  manifestFingerprint!: string;
}

/** Which operations are meant. */
@InputType({ description: 'Which operations are meant: some by their ids, or all that a manifest registered last.' })
export class OperationChoiceInput {
  @Field(() => [ID], { nullable: true })
  @IsOptional()
  @ArrayMaxSize(MANIFEST_MAX_OPERATIONS)
  ids?: string[] | null;

  @Field(() => String, { nullable: true, description: 'The fingerprint of a manifest.' })
  @IsOptional()
  @Matches(FINGERPRINT, { message: 'manifest takes 64 hex digits' })
  manifest?: string | null;
}

@InputType()
export class ApproveOperationsInput extends OperationChoiceInput {}

@InputType()
export class RevokeOperationsInput extends OperationChoiceInput {}

@InputType()
export class ScheduleRevocationInput extends OperationChoiceInput {
  @Field(() => Date, { description: 'From then on they run no more.' })
  @IsDate()
  at!: Date;
}

@ObjectType()
export class ApproveOperationsPayload {
  @Field(() => [RegisteredOperation])
  operations!: RegisteredOperation[];
}

@ObjectType()
export class RevokeOperationsPayload {
  @Field(() => [RegisteredOperation])
  operations!: RegisteredOperation[];
}

@ObjectType()
export class ScheduleRevocationPayload {
  @Field(() => [RegisteredOperation])
  operations!: RegisteredOperation[];
}

/** Which registered operations a page is of. */
@ArgsType()
export class RegisteredOperationArgs extends ConnectionArgs {
  @Field(() => String, { nullable: true, description: 'Those of one client.' })
  @IsOptional()
  @MaxLength(63)
  client?: string | null;

  @Field(() => OperationState, { nullable: true, description: 'Those in one state.' })
  @IsOptional()
  state?: OperationState | null;
}

import { ArrayMaxSize, IsIn, IsOptional, Length, Matches, Max, Min, ValidateNested } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { OUTCOMES, type AuditOutcome } from '#schema/audit-event.ts';
import { StreamForm, StreamKind, type StreamSettings } from '#schema/audit-stream.ts';
import { AuditOutcomeEnum } from './model.ts';
import { AuditStream } from './stream-model.ts';

/** Where a stream begins. */
export enum StreamStart {
  NOW = 'now',
  BEGINNING = 'beginning',
}
registerEnumType(StreamStart, {
  name: 'AuditStreamStart',
  description: 'Where a stream begins: with what comes from now on, or with the first entry of the log.',
});

const OPTIONAL = { nullable: true } as const;
const ACTION = /^[a-z0-9_.]+(?:\.\*)?$/;
/** Goes into headers and JSON as it is. */
const PRINTABLE = /^[\x20-\x7e]*$/;
const NAME = /^[^\p{C}]+$/u;

@InputType({ description: 'What a receiver needs beside its address; a kind refuses what it does not know.' })
export class AuditStreamSettingsInput implements StreamSettings {
  @Field(() => String, { ...OPTIONAL, description: 'Splunk: the index to write to; by default that of the token.' })
  @IsOptional()
  @Length(1, 200)
  @Matches(PRINTABLE)
  index?: string;

  @Field(() => String, { ...OPTIONAL, description: 'Splunk: the source type; by default `tenon:audit`.' })
  @IsOptional()
  @Length(1, 200)
  @Matches(PRINTABLE)
  sourceType?: string;

  @Field(() => Boolean, { ...OPTIONAL, description: 'Splunk: whether to wait until the indexer has acknowledged.' })
  @IsOptional()
  acknowledge?: boolean;

  @Field(() => String, { ...OPTIONAL, description: 'Datadog: the service; by default `tenon`.' })
  @IsOptional()
  @Length(1, 100)
  @Matches(PRINTABLE)
  service?: string;

  @Field(() => String, { ...OPTIONAL, description: 'Datadog: tags, separated by commas.' })
  @IsOptional()
  @Length(1, 1000)
  @Matches(PRINTABLE)
  tags?: string;

  @Field(() => String, { ...OPTIONAL, description: 'S3: the region of the bucket; needed.' })
  @IsOptional()
  @Matches(/^[a-z0-9-]{1,64}$/)
  region?: string;

  @Field(() => String, { ...OPTIONAL, description: 'S3: the bucket; needed.' })
  @IsOptional()
  @Matches(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/)
  bucket?: string;

  @Field(() => String, { ...OPTIONAL, description: 'S3: what stands before every key, with its closing slash.' })
  @IsOptional()
  @Matches(/^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\/){1,8}$/)
  prefix?: string;

  @Field(() => String, { ...OPTIONAL, description: 'S3: who writes; needed. The secret is the secret access key.' })
  @IsOptional()
  @Matches(/^[A-Za-z0-9_-]{1,128}$/)
  accessKeyId?: string;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'Syslog over TLS: the authority (PEM) of its certificate; by default the public ones.',
  })
  @IsOptional()
  @Length(1, 16_384)
  @Matches(/^-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/)
  certificate?: string;

  @Field(() => Int, {
    ...OPTIONAL,
    description: 'Syslog: the enterprise number (IANA PEN) in the name of the structured data; by default 32473.',
  })
  @IsOptional()
  @Min(1)
  @Max(4_294_967_295)
  enterpriseNumber?: number;
}

@InputType()
export class CreateAuditStreamInput {
  @Field(() => String)
  @Length(1, 100)
  @Matches(NAME)
  name!: string;

  @Field(() => StreamKind)
  kind!: StreamKind;

  @Field(() => StreamForm, { ...OPTIONAL, description: 'By default NATIVE.' })
  form?: StreamForm | null;

  @Field(() => String, {
    description:
      'An https address; of syslog `syslog+tls://host:port` or, within private networks, `syslog+tcp://host:port`.',
  })
  @Length(1, 2048)
  endpoint!: string;

  @Field(() => String, {
    ...OPTIONAL,
    description:
      'Token, API key or secret access key; of a webhook its signing secret (`whsec_...`), which is made where none is given. It can be replaced and never be read again.',
  })
  @IsOptional()
  @Length(1, 4096)
  @Matches(PRINTABLE)
  secret?: string | null;

  @Field(() => AuditStreamSettingsInput, OPTIONAL)
  @IsOptional()
  @ValidateNested()
  settings?: AuditStreamSettingsInput | null;

  @Field(() => [String], { ...OPTIONAL, description: 'Only these actions, such as `user.create` or `user.*`.' })
  @IsOptional()
  @ArrayMaxSize(50)
  @Length(1, 200, { each: true })
  @Matches(ACTION, { each: true })
  actions?: string[] | null;

  @Field(() => [AuditOutcomeEnum], OPTIONAL)
  @IsOptional()
  @ArrayMaxSize(3)
  @IsIn(OUTCOMES, { each: true })
  outcomes?: AuditOutcome[] | null;

  @Field(() => Boolean, {
    defaultValue: true,
    description:
      'Whether an event waits for its seal, so that its proof goes with it; else it is sent at once, without.',
  })
  proofs!: boolean;

  @Field(() => StreamStart, { ...OPTIONAL, description: 'By default NOW.' })
  start?: StreamStart | null;
}

@InputType({ description: 'What is left out stays as it is.' })
export class UpdateAuditStreamInput {
  @Field(() => ID)
  id!: string;

  @Field(() => String, OPTIONAL)
  @IsOptional()
  @Length(1, 100)
  @Matches(NAME)
  name?: string | null;

  @Field(() => StreamForm, OPTIONAL)
  form?: StreamForm | null;

  @Field(() => String, { ...OPTIONAL, description: 'At another host the secret has to be given anew.' })
  @IsOptional()
  @Length(1, 2048)
  endpoint?: string | null;

  @Field(() => String, OPTIONAL)
  @IsOptional()
  @Length(1, 4096)
  @Matches(PRINTABLE)
  secret?: string | null;

  @Field(() => AuditStreamSettingsInput, { ...OPTIONAL, description: 'The new settings as a whole.' })
  @IsOptional()
  @ValidateNested()
  settings?: AuditStreamSettingsInput | null;

  @Field(() => [String], { ...OPTIONAL, description: 'An empty list stands for all.' })
  @IsOptional()
  @ArrayMaxSize(50)
  @Length(1, 200, { each: true })
  @Matches(ACTION, { each: true })
  actions?: string[] | null;

  @Field(() => [AuditOutcomeEnum], { ...OPTIONAL, description: 'An empty list stands for all.' })
  @IsOptional()
  @ArrayMaxSize(3)
  @IsIn(OUTCOMES, { each: true })
  outcomes?: AuditOutcome[] | null;

  @Field(() => Boolean, OPTIONAL)
  proofs?: boolean | null;
}

@InputType()
export class AuditStreamInput {
  @Field(() => ID)
  id!: string;
}

@ObjectType()
export class CreateAuditStreamPayload {
  @Field(() => AuditStream)
  stream!: AuditStream;

  @Field(() => String, {
    nullable: true,
    description: 'The signing secret that was made for a webhook; it is shown here and never again.',
  })
  secret!: string | null;
}

@ObjectType()
export class AuditStreamPayload {
  @Field(() => AuditStream)
  stream!: AuditStream;
}

@ObjectType()
export class DeleteAuditStreamPayload {
  @Field(() => ID)
  deletedId!: string;
}

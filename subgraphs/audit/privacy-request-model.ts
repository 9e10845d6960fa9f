import { IsDate, IsIn, IsInt, IsOptional, Length, Max, Min } from 'class-validator';
import { ArgsType, Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { ConnectionArgs, connectionOf } from '#kit/connection.ts';
import { UserReference } from './model.ts';
import { MOST_EXTENSION_MONTHS } from './privacy-deadline.ts';

/** What somebody asks for. */
export type PrivacyRequestKind = 'access' | 'erasure';
/** How a request stands. */
export type PrivacyRequestState = 'open' | 'overdue' | 'answered';

/** The kinds by the names of the graph. */
export const PrivacyRequestKindEnum = { ACCESS: 'access', ERASURE: 'erasure' } as const satisfies Record<
  Uppercase<PrivacyRequestKind>,
  PrivacyRequestKind
>;
registerEnumType(PrivacyRequestKindEnum, {
  name: 'PrivacyRequestKind',
  description: 'What a person asks for: what is held of her (GDPR Article 15), or to be erased (Article 17).',
});

/** The states by the names of the graph. */
export const PrivacyRequestStateEnum = {
  OPEN: 'open',
  OVERDUE: 'overdue',
  ANSWERED: 'answered',
} as const satisfies Record<Uppercase<PrivacyRequestState>, PrivacyRequestState>;
registerEnumType(PrivacyRequestStateEnum, {
  name: 'PrivacyRequestState',
  description: 'How a request stands; while one is overdue the audit log of the tenant shows an alarm.',
});

/** What a person has asked for, and until when it has to be answered. */
@ObjectType({ description: 'What a person has asked for under the GDPR, and until when it has to be answered.' })
export class PrivacyRequest {
  @Field(() => ID)
  id!: string;

  @Field(() => PrivacyRequestKindEnum)
  kind!: PrivacyRequestKind;

  @Field(() => UserReference, { nullable: true, description: 'Known by her id alone once she was erased.' })
  subject!: UserReference;

  @Field(() => String, { nullable: true, description: 'What it is called in the books of the tenant.' })
  reference!: string | null;

  @Field(() => PrivacyRequestStateEnum)
  state!: PrivacyRequestState;

  @Field(() => Date)
  receivedAt!: Date;

  @Field(() => Date, { description: 'A month after it was received, and up to three where it was extended.' })
  dueAt!: Date;

  @Field(() => Date, { nullable: true })
  extendedAt!: Date | null;

  @Field(() => String, { nullable: true, description: 'Why it takes longer; the person has to be told.' })
  extensionReason!: string | null;

  @Field(() => Date, {
    nullable: true,
    description: 'When the pack was fetched to be handed to her, or nothing of her was left.',
  })
  answeredAt!: Date | null;

  @Field(() => String, { description: 'The id of the user or key that entered it.' })
  requestedBy!: string;

  @Field(() => String, { nullable: true, description: 'The evidence pack that answers it.' })
  packId!: string | null;

  @Field(() => String, { nullable: true, description: 'The erasure that answers it.' })
  erasureId!: string | null;
}

/** Pages of requests. */
export const PrivacyRequestConnection = connectionOf('PrivacyRequest', PrivacyRequest);

/** Which requests are asked for. */
@ArgsType()
export class PrivacyRequestArgs extends ConnectionArgs {
  @Field(() => PrivacyRequestStateEnum, { nullable: true })
  @IsOptional()
  @IsIn(Object.values(PrivacyRequestStateEnum))
  state?: PrivacyRequestState | null;
}

@InputType()
export class RequestSubjectAccessInput {
  @Field(() => ID, { description: 'The user who asks, or one whom the audit log still knows.' })
  userId!: string;

  @Field(() => Date, { nullable: true, description: 'When she asked; by default now.' })
  @IsOptional()
  @IsDate()
  receivedAt?: Date | null;

  @Field(() => String, {
    nullable: true,
    description: 'What the request is called in your books; it stays in the log, so it must name nobody.',
  })
  @IsOptional()
  @Length(1, 200)
  reference?: string | null;
}

@InputType()
export class ExtendPrivacyRequestInput {
  @Field(() => ID)
  id!: string;

  @Field(() => Int, { description: 'By how many months, 1 or 2.' })
  @IsInt()
  @Min(1)
  @Max(MOST_EXTENSION_MONTHS)
  months!: number;

  @Field(() => String, { description: 'Why: how complex it is, or how many requests there are. Name nobody.' })
  @Length(1, 500)
  reason!: string;
}

@ObjectType()
export class PrivacyRequestPayload {
  @Field(() => PrivacyRequest)
  request!: PrivacyRequest;
}

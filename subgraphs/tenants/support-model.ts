import { IsIn, Length, Max, MaxLength, Min } from 'class-validator';
import { ArgsType, Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { ConnectionArgs, connectionOf } from '#kit/connection.ts';
import { SUPPORT_ACCESS, SUPPORT_MINUTES, type SupportAccess } from '#schema/support-access.ts';

/** What an operator may do by the names of the graph. */
export const SupportAccessEnum = { READ: 'read', WORK: 'work' } as const satisfies Record<
  Uppercase<SupportAccess>,
  SupportAccess
>;
registerEnumType(SupportAccessEnum, {
  name: 'SupportAccess',
  description: 'What an operator may do in a tenant that let her in.',
  valuesConfig: {
    READ: { description: 'See what the tenant works with.' },
    WORK: { description: 'Also change it: projects and documents.' },
  },
});

/** How a grant stands. */
export type SupportState = 'pending' | 'lapsed' | 'denied' | 'active' | 'ended';

/** The states of a grant by the names of the graph. */
export const SupportStateEnum = {
  PENDING: 'pending',
  LAPSED: 'lapsed',
  DENIED: 'denied',
  ACTIVE: 'active',
  ENDED: 'ended',
} as const satisfies Record<Uppercase<SupportState>, SupportState>;
registerEnumType(SupportStateEnum, {
  name: 'SupportState',
  description: 'How the access of an operator stands.',
  valuesConfig: {
    PENDING: { description: 'Somebody of the tenant has to decide.' },
    LAPSED: { description: 'Nobody decided for seven days.' },
    ACTIVE: { description: 'The operator is let in, until it expires or is ended.' },
    ENDED: { description: 'Its time is over, or it was ended before.' },
  },
});

/** The access of one operator, asked for or given. */
@ObjectType({ description: 'The access of an operator of the platform to this tenant, asked for or given.' })
export class SupportGrant {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { description: 'Public id of the operator; the actor of all that she does here.' })
  operator!: string;

  @Field(() => String, { description: 'Why she asks.' })
  reason!: string;

  @Field(() => String, { description: 'What it is called where the request was made.' })
  ticket!: string;

  @Field(() => SupportAccessEnum)
  access!: SupportAccess;

  @Field(() => Boolean, { description: 'Whether she sees what is personal; it is masked otherwise.' })
  personalData!: boolean;

  @Field(() => Int, { description: 'How long she is let in, from the approval on.' })
  minutes!: number;

  @Field(() => SupportStateEnum)
  state!: SupportState;

  @Field(() => Date)
  requestedAt!: Date;

  @Field(() => Date, { nullable: true })
  decidedAt!: Date | null;

  @Field(() => ID, { nullable: true, description: 'Public id of whoever decided.' })
  decidedBy!: string | null;

  @Field(() => Date, { nullable: true })
  expiresAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When it was ended before its time.' })
  endedAt!: Date | null;

  @Field(() => ID, { nullable: true, description: 'Public id of whoever ended it.' })
  endedBy!: string | null;

  @Field(() => Date, { nullable: true, description: 'When she last got a token.' })
  lastSessionAt!: Date | null;
}

/** Pages of grants. */
export const SupportGrantConnection = connectionOf('SupportGrant', SupportGrant);

/** Which grants are asked for. */
@ArgsType()
export class SupportGrantArgs extends ConnectionArgs {
  @Field(() => SupportStateEnum, { nullable: true })
  @IsIn(Object.values(SupportStateEnum))
  state?: SupportState | null;
}

/** The same of a tenant, for operators. */
@ArgsType()
export class TenantSupportGrantArgs extends SupportGrantArgs {
  @Field(() => ID)
  @MaxLength(60)
  tenantId!: string;
}

/** What an operator asks for. */
@InputType()
export class RequestSupportInput {
  @Field(() => ID)
  @MaxLength(60)
  tenantId!: string;

  @Field(() => String, { description: 'Why; her administrators read it.' })
  @Length(10, 1_000)
  reason!: string;

  @Field(() => String)
  @Length(1, 100)
  ticket!: string;

  @Field(() => SupportAccessEnum, { defaultValue: SupportAccessEnum.READ })
  @IsIn([...SUPPORT_ACCESS])
  access!: SupportAccess;

  @Field(() => Boolean, { defaultValue: false, description: 'Whether what is personal has to be seen.' })
  personalData!: boolean;

  @Field(() => Int, { description: `${SUPPORT_MINUTES.least} to ${SUPPORT_MINUTES.most}.` })
  @Min(SUPPORT_MINUTES.least)
  @Max(SUPPORT_MINUTES.most)
  minutes!: number;
}

/** Names a grant of a tenant, for operators. */
@InputType()
export class TenantSupportInput {
  @Field(() => ID)
  @MaxLength(60)
  tenantId!: string;

  @Field(() => ID)
  @MaxLength(60)
  id!: string;
}

/** Names a grant of the tenant's own. */
@InputType()
export class SupportInput {
  @Field(() => ID)
  @MaxLength(60)
  id!: string;
}

/** The grant as it is now. */
@ObjectType()
export class SupportPayload {
  @Field(() => SupportGrant)
  grant!: SupportGrant;
}

/** A token that acts in the tenant. */
@ObjectType()
export class OpenSupportSessionPayload {
  @Field(() => SupportGrant)
  grant!: SupportGrant;

  @Field(() => String, { description: 'Bearer token, shown this once; the one of before ends.' })
  token!: string;

  @Field(() => Date)
  expiresAt!: Date;
}

import { IsIn, IsString, Length } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { TIERS, type TenantState, type Tier } from '#schema/tenant-context.ts';
import { Tenant, TenantStateEnum, TierEnum } from './model.ts';

/** Days that hold in a tier or a contract. */
@ObjectType('LifeDays', { description: "How long each part of a tenant's life lasts at least." })
export class LifeDaysView {
  @Field(() => Int, { description: 'Days of a trial.' })
  trial!: number;

  @Field(() => Int, {
    description: 'Hours that a trial goes on after its end, and between the announcement of a conversion and it.',
  })
  trialGraceHours!: number;

  @Field(() => Int, { description: 'Days from a missed payment to read-only.' })
  readOnlyAfter!: number;

  @Field(() => Int, { description: 'Days from a missed payment to the full pause.' })
  suspendAfter!: number;

  @Field(() => Int, { description: 'Days from the full pause to the deletion that can be undone.' })
  deleteSuspendedAfter!: number;

  @Field(() => Int, { description: 'Days from a cancellation to it.' })
  deleteCancelledAfter!: number;

  @Field(() => Int, { description: 'Days in which a deletion can be undone.' })
  eraseAfter!: number;
}

/** Days of a tier that are to change; what is left out stays. */
@InputType()
export class LifeDaysInput {
  @Field(() => Int, { nullable: true })
  trial?: number | null;

  @Field(() => Int, { nullable: true })
  trialGraceHours?: number | null;

  @Field(() => Int, { nullable: true })
  readOnlyAfter?: number | null;

  @Field(() => Int, { nullable: true })
  suspendAfter?: number | null;

  @Field(() => Int, { nullable: true })
  deleteSuspendedAfter?: number | null;

  @Field(() => Int, { nullable: true })
  deleteCancelledAfter?: number | null;

  @Field(() => Int, { nullable: true })
  eraseAfter?: number | null;
}

/** Sets days of a tier. */
@InputType()
export class SetLifeDaysInput {
  @Field(() => TierEnum)
  @IsIn(TIERS)
  tier!: Tier;

  @Field(() => LifeDaysInput)
  days!: LifeDaysInput;
}

/** The days as they are now. */
@ObjectType()
export class SetLifeDaysPayload {
  @Field(() => TierEnum)
  tier!: Tier;

  @Field(() => LifeDaysView)
  days!: LifeDaysView;
}

/** What may become of an invoice. */
export const PaymentOutcome = { MISSED: 'missed', PAID: 'paid' } as const;
/** What became of an invoice. */
export type PaymentOutcome = (typeof PaymentOutcome)[keyof typeof PaymentOutcome];
registerEnumType(PaymentOutcome, { name: 'PaymentOutcome', description: 'What became of an invoice.' });

/** Says what became of an invoice. */
@InputType()
export class ReportPaymentInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => PaymentOutcome)
  outcome!: PaymentOutcome;

  @Field(() => String, { description: 'What the invoice is called where it is collected.' })
  @IsString()
  @Length(1, 200)
  reference!: string;
}

/** A step that comes by itself unless something changes. */
@ObjectType({ description: 'A step that the clock takes, unless something changes before.' })
export class ComingStep {
  @Field(() => String, { description: 'As in the event `tenant.change_state`.' })
  action!: string;

  @Field(() => TenantStateEnum)
  to!: TenantState;

  @Field(() => Date, { description: 'Not before.' })
  from!: Date;
}

/** Where a tenant stands in her life. */
@ObjectType({ description: 'Where the tenant stands in her life, and what comes next.' })
export class TenantLife {
  @Field(() => Date, { description: 'When she came into her state.' })
  since!: Date;

  @Field(() => Date, { nullable: true })
  trialEndsAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When somebody agreed to pay.' })
  confirmedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When the mail that announces the conversion was sent.' })
  announcedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'Since when an invoice is unpaid.' })
  unpaidSince!: Date | null;

  @Field(() => LifeDaysView, { description: 'What holds for her, by her tier and her contract.' })
  days!: LifeDaysView;

  @Field(() => ComingStep, { nullable: true })
  coming!: ComingStep | null;
}

/** The tenant as she is now. */
@ObjectType()
export class TenantLifePayload {
  @Field(() => Tenant)
  tenant!: Tenant;
}

import { IsInt, Length, Max, Min } from 'class-validator';
import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { connectionOf } from '#kit/connection.ts';

/** One decision on how long the archive keeps the log. */
@ObjectType({ description: 'A decision on how far ahead the archive keeps the audit log.' })
export class AuditRetentionChange {
  @Field(() => Int)
  days!: number;

  @Field(() => String, { description: 'The id of the user or key that decided.' })
  setBy!: string;

  @Field(() => Date)
  setAt!: Date;
}

/** How the archive keeps the log of the tenant. */
@ObjectType({
  description:
    'How far ahead the archive keeps the audit log. While the tenant lives its locks are extended before they end; after she has ended they are not, and what is no longer locked is removed.',
})
export class AuditRetention {
  @Field(() => Int, { description: 'So many days ahead, at least a third of it at any time.' })
  days!: number;

  @Field(() => Int, { description: 'What holds where nothing is decided.' })
  defaultDays!: number;

  @Field(() => Int)
  minDays!: number;

  @Field(() => Int)
  maxDays!: number;

  @Field(() => Boolean, { description: 'Whether a legal hold stands.' })
  isHeld!: boolean;

  @Field(() => [AuditRetentionChange], { description: 'The last 100 decisions, newest first.' })
  changes!: AuditRetentionChange[];
}

/** A legal hold. */
@ObjectType({
  description:
    'A legal hold: while one stands, nothing of the audit log is removed from the archive and nobody is erased from it.',
})
export class LegalHold {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  reason!: string;

  @Field(() => String, { description: 'The id of the user or key that placed it.' })
  placedBy!: string;

  @Field(() => Date)
  placedAt!: Date;

  @Field(() => String, { nullable: true, description: 'The id of the user that released it, never who placed it.' })
  releasedBy!: string | null;

  @Field(() => Date, { nullable: true })
  releasedAt!: Date | null;
}

/** Pages of holds. */
export const LegalHoldConnection = connectionOf('LegalHold', LegalHold);

@InputType()
export class SetAuditRetentionInput {
  @Field(() => Int, {
    description: 'More counts for all that is archived; less for what is sealed or extended from now on.',
  })
  @IsInt()
  @Min(1)
  @Max(36_500)
  days!: number;
}

@ObjectType()
export class SetAuditRetentionPayload {
  @Field(() => AuditRetention)
  retention!: AuditRetention;
}

@InputType()
export class PlaceLegalHoldInput {
  @Field(() => String, { description: 'It stays in the audit log, so it must name nobody.' })
  @Length(1, 500)
  reason!: string;
}

@ObjectType()
export class PlaceLegalHoldPayload {
  @Field(() => LegalHold)
  hold!: LegalHold;
}

@InputType()
export class ReleaseLegalHoldInput {
  @Field(() => ID)
  id!: string;
}

@ObjectType()
export class ReleaseLegalHoldPayload {
  @Field(() => LegalHold)
  hold!: LegalHold;
}

import { IsDate, IsIn, IsOptional, Length } from 'class-validator';
import { Field, InputType } from 'type-graphql';
import { OUTCOMES, type AuditOutcome } from '#schema/audit-event.ts';
import { AuditOutcomeEnum } from './model.ts';

/** What of the log is asked for; every field given must fit. */
@InputType({ description: 'Every field given must fit.' })
export class AuditFilter {
  @Field(() => String, { nullable: true, description: 'The id of who did it.' })
  @IsOptional()
  @Length(1, 200)
  actorId?: string | null;

  @Field(() => String, { nullable: true, description: 'Noun, dot, verb.' })
  @IsOptional()
  @Length(1, 200)
  action?: string | null;

  @Field(() => String, { nullable: true })
  @IsOptional()
  @Length(1, 200)
  resourceType?: string | null;

  @Field(() => String, { nullable: true })
  @IsOptional()
  @Length(1, 200)
  resourceId?: string | null;

  @Field(() => AuditOutcomeEnum, { nullable: true })
  @IsOptional()
  @IsIn(OUTCOMES)
  outcome?: AuditOutcome | null;

  @Field(() => Date, { nullable: true, description: 'The earliest time.' })
  @IsOptional()
  @IsDate()
  from?: Date | null;

  @Field(() => Date, { nullable: true, description: 'The time before which it happened.' })
  @IsOptional()
  @IsDate()
  to?: Date | null;

  @Field(() => String, { nullable: true, description: 'Stands anywhere in the entry, in small or capital letters.' })
  @IsOptional()
  @Length(1, 200)
  text?: string | null;
}

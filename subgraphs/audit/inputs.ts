import {
  ArrayMaxSize,
  ArrayNotEmpty,
  IsDate,
  IsIn,
  IsOptional,
  Length,
  Matches,
  ValidateNested,
} from 'class-validator';
import { ArgsType, Field, ID, InputType, Int } from 'type-graphql';
import { OUTCOMES, type AuditOutcome } from '#schema/audit-event.ts';
import { AuditOutcomeEnum } from './model.ts';

/** Values of one field that a filter takes at most. */
export const MAX_FILTER_VALUES = 50;

/** PostgreSQL stores no null character, and no entry has one. */
const WITHOUT_NULL = /^[^\0]*$/;
const ACTION = /^[a-z0-9_.]+(?:\.\*)?$/;

/** What of the log is asked for; every field given must fit. */
@InputType({ description: 'Every field given must fit; of a list, one value must.' })
export class AuditFilter {
  @Field(() => [String], { nullable: true, description: 'Ids of who did it.' })
  @IsOptional()
  @ArrayNotEmpty()
  @ArrayMaxSize(MAX_FILTER_VALUES)
  @Length(1, 200, { each: true })
  @Matches(WITHOUT_NULL, { each: true, message: 'each value in $property must be without null characters' })
  actorId?: string[] | null;

  @Field(() => [String], {
    nullable: true,
    description: 'Noun, dot, verb, such as `user.create`; `user.*` stands for all that begin with `user.`.',
  })
  @IsOptional()
  @ArrayNotEmpty()
  @ArrayMaxSize(MAX_FILTER_VALUES)
  @Length(1, 200, { each: true })
  @Matches(ACTION, { each: true, message: 'each value in $property must be like user.create or user.*' })
  action?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Kinds of what it was done to.' })
  @IsOptional()
  @ArrayNotEmpty()
  @ArrayMaxSize(MAX_FILTER_VALUES)
  @Length(1, 200, { each: true })
  @Matches(WITHOUT_NULL, { each: true, message: 'each value in $property must be without null characters' })
  resourceType?: string[] | null;

  @Field(() => [String], { nullable: true, description: 'Ids of what it was done to.' })
  @IsOptional()
  @ArrayNotEmpty()
  @ArrayMaxSize(MAX_FILTER_VALUES)
  @Length(1, 200, { each: true })
  @Matches(WITHOUT_NULL, { each: true, message: 'each value in $property must be without null characters' })
  resourceId?: string[] | null;

  @Field(() => [AuditOutcomeEnum], { nullable: true })
  @IsOptional()
  @ArrayNotEmpty()
  @ArrayMaxSize(OUTCOMES.length)
  @IsIn(OUTCOMES, { each: true })
  outcome?: AuditOutcome[] | null;

  @Field(() => Date, { nullable: true, description: 'The earliest time.' })
  @IsOptional()
  @IsDate()
  from?: Date | null;

  @Field(() => Date, { nullable: true, description: 'The time before which it happened.' })
  @IsOptional()
  @IsDate()
  to?: Date | null;

  @Field(() => String, {
    nullable: true,
    description:
      'Whole words, in small or capital letters, each of which stands somewhere in the values of the event: `ada` finds `ada@example.com`, `ad` does not. What is written without a space, such as `ada@example` or `document.share`, and what is between double quotes stands there just so. At most 20 words.',
  })
  @IsOptional()
  @Length(1, 200)
  @Matches(WITHOUT_NULL, { message: '$property must be without null characters' })
  text?: string | null;
}

/** Which page of the log, of which events. */
@ArgsType()
export class AuditEventArgs {
  @Field(() => Int, { nullable: true, description: 'The newest so many behind `after`; 20 where neither is given.' })
  first?: number | null;

  @Field(() => String, { nullable: true })
  after?: string | null;

  @Field(() => Int, { nullable: true, description: 'The so many just before `before`; not together with `first`.' })
  last?: number | null;

  @Field(() => String, { nullable: true })
  before?: string | null;

  @Field(() => AuditFilter, { nullable: true })
  @IsOptional()
  @ValidateNested()
  filter?: AuditFilter | null;

  @Field(() => ID, { nullable: true, description: 'A saved view, whose filter has to fit too.' })
  view?: string | null;
}

import { IsOptional, Length, ValidateNested } from 'class-validator';
import { Directive, Field, ID, InputType, ObjectType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { AuditOutcome } from '#schema/audit-event.ts';
import { AuditFilter } from './inputs.ts';
import { AuditOutcomeEnum } from './model.ts';

/** The filter of a view: as `AuditFilter` takes it. */
@ObjectType({ description: 'What a saved view asks for; null where it does not.' })
export class AuditViewFilter implements Required<AuditFilter> {
  @Field(() => [String], { nullable: true })
  actorId!: string[] | null;

  @Field(() => [String], { nullable: true })
  action!: string[] | null;

  @Field(() => [String], { nullable: true })
  resourceType!: string[] | null;

  @Field(() => [String], { nullable: true })
  resourceId!: string[] | null;

  @Field(() => [AuditOutcomeEnum], { nullable: true })
  outcome!: AuditOutcome[] | null;

  @Field(() => Date, { nullable: true })
  from!: Date | null;

  @Field(() => Date, { nullable: true })
  to!: Date | null;

  @Field(() => String, { nullable: true })
  text!: string | null;
}

/** The fields of a filter that ask for something, times as RFC 3339. */
export type StoredFilter = Record<string, string | string[]>;

/** A filter of the log that somebody has given a name. */
@ObjectType('AuditView', { description: 'A filter of the audit log that somebody has given a name.' })
@Entity('audit_views')
export class AuditView {
  @Field(() => ID)
  @PrimaryColumn(primaryId('vew'))
  id!: string;

  @Field(() => String, { description: 'No two views of one owner have the same.' })
  @Column('text')
  name!: string;

  @Field(() => Boolean, { description: 'Seen by everybody who may read the audit log, not by its owner alone.' })
  @Column('boolean')
  shared!: boolean;

  @Field(() => String, { description: 'The id of the user or key that made it.' })
  @Directive(
    '@personalData(category: "activity", purpose: "saved views of the audit log", retention: "as long as the view is kept")',
  )
  @Column('text', { name: 'owner_id' })
  ownerId!: string;

  @Column('jsonb', { name: 'filter' })
  storedFilter!: StoredFilter;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date)
  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

/** Pages of views. */
export const AuditViewConnection = connectionOf('AuditView', AuditView);

@InputType()
export class CreateAuditViewInput {
  @Field(() => String)
  @Length(1, 100)
  name!: string;

  @Field(() => Boolean, { defaultValue: false, description: 'Whether everybody who may read the audit log sees it.' })
  shared!: boolean;

  @Field(() => AuditFilter)
  @ValidateNested()
  filter!: AuditFilter;
}

@ObjectType()
export class CreateAuditViewPayload {
  @Field(() => AuditView)
  view!: AuditView;
}

/** What changes of a view; what is left out or null stays. */
@InputType({ description: 'What is left out stays as it is.' })
export class UpdateAuditViewInput {
  @Field(() => ID)
  id!: string;

  @Field(() => String, { nullable: true })
  @IsOptional()
  @Length(1, 100)
  name?: string | null;

  @Field(() => Boolean, { nullable: true })
  shared?: boolean | null;

  @Field(() => AuditFilter, { nullable: true, description: 'The new filter as a whole.' })
  @IsOptional()
  @ValidateNested()
  filter?: AuditFilter | null;
}

@ObjectType()
export class UpdateAuditViewPayload {
  @Field(() => AuditView)
  view!: AuditView;
}

@InputType()
export class DeleteAuditViewInput {
  @Field(() => ID)
  id!: string;
}

@ObjectType()
export class DeleteAuditViewPayload {
  @Field(() => ID)
  deletedId!: string;
}

import { IsIn, MaxLength } from 'class-validator';
import { GraphQLSafeInt } from 'graphql-scalars';
import { ArgsType, Directive, Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { primaryId } from '#kit/columns.ts';
import { ConnectionArgs, connectionOf } from '#kit/connection.ts';
import { JOB_STATES, type JobState, type Lane } from '#kit/jobs/job-kind.ts';
import type { Id } from '#schema/ids.ts';

/** The states of a job by the names of the graph. */
export const JobStateEnum = {
  QUEUED: 'queued',
  RUNNING: 'running',
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  DEAD: 'dead',
  CANCELLED: 'cancelled',
} as const satisfies Record<Uppercase<JobState>, JobState>;
registerEnumType(JobStateEnum, {
  name: 'JobState',
  description: 'How a job stands.',
  valuesConfig: {
    FAILED: { description: 'Its last attempt failed; another comes by itself.' },
    DEAD: { description: 'It failed at its last attempt, or was refused; it waits for `retryJob`.' },
  },
});

/** How far a job is. */
@ObjectType({ description: 'How far a job is.' })
export class JobProgress {
  @Field(() => GraphQLSafeInt)
  done!: number;

  @Field(() => GraphQLSafeInt, { nullable: true, description: 'Null while nobody knows.' })
  total!: number | null;
}

/** Why an attempt failed. */
@ObjectType({ description: 'Why the last attempt failed.' })
export class JobError {
  @Field(() => String, { description: 'As in the `extensions.code` of errors.' })
  code!: string;

  @Field(() => String)
  message!: string;
}

const COUNT = { type: 'bigint', transformer: { from: numberOrNull, to: String } } as const;

/** Work that goes on beside requests. */
@ObjectType({ description: 'Work that is done beside requests, as often as it takes; kept for 30 days after its end.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "jobs:read")')
@Entity('jobs')
export class Job {
  @Field(() => ID)
  @PrimaryColumn(primaryId('job'))
  id!: Id<'job'>;

  @Field(() => String, { description: 'What is done, such as `tenant.export`.' })
  @Column('text')
  kind!: string;

  @Column('text')
  lane!: Lane;

  /** JSON, as its kind took it. */
  @Column('jsonb')
  input!: unknown;

  @Field(() => JobStateEnum)
  @Column('text')
  state!: JobState;

  @Column({ ...COUNT, name: 'progress_done' })
  progressDone!: number;

  @Column({ ...COUNT, name: 'progress_total', nullable: true })
  progressTotal!: number | null;

  @Field(() => Int, { description: 'Those that it has had since it was asked for or tried again.' })
  @Column('integer')
  attempts!: number;

  @Field(() => Int)
  @Column('integer', { name: 'max_attempts' })
  maxAttempts!: number;

  @Column('text', { name: 'error_code', nullable: true })
  errorCode!: string | null;

  @Column('text', { name: 'error', nullable: true })
  errorText!: string | null;

  @Field(() => ID, {
    description: 'Public id of the user or key that asked for it, or the name of a part of the platform.',
  })
  @Column('text', { name: 'requested_by' })
  requestedBy!: string;

  @Field(() => Boolean, { description: 'Whether it was told to stop and has not stopped yet.' })
  get isCancelling(): boolean {
    return this.cancelRequestedAt !== null && this.state === 'running';
  }

  @Column('timestamptz', { name: 'cancel_requested_at', nullable: true })
  cancelRequestedAt!: Date | null;

  @Field(() => Date)
  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When its last attempt began.' })
  @Column('timestamptz', { name: 'started_at', nullable: true })
  startedAt!: Date | null;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'finished_at', nullable: true })
  finishedAt!: Date | null;
}

/** Pages of jobs. */
export const JobConnection = connectionOf('Job', Job);

/** Which jobs are asked for. */
@ArgsType()
export class JobArgs extends ConnectionArgs {
  @Field(() => JobStateEnum, { nullable: true })
  @IsIn([...JOB_STATES])
  state?: JobState | null;

  @Field(() => String, { nullable: true, description: 'Only those of this kind.' })
  @MaxLength(80)
  kind?: string | null;
}

/** Names one job. */
@InputType()
export class JobInput {
  @Field(() => ID)
  @MaxLength(60)
  id!: string;
}

/** The job as it is now. */
@ObjectType()
export class JobPayload {
  @Field(() => Job)
  job!: Job;
}

function numberOrNull(value: string | null): number | null {
  return value === null ? null : Number(value);
}

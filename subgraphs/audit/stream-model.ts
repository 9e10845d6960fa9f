import { GraphQLSafeInt } from 'graphql-scalars';
import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { AuditOutcome } from '#schema/audit-event.ts';
import { StreamForm, StreamKind, StreamState, type StreamSettings } from '#schema/audit-stream.ts';
import type { Id } from '#schema/ids.ts';
import { AuditOutcomeEnum } from './model.ts';

registerEnumType(StreamKind, {
  name: 'AuditStreamKind',
  description: 'What receives a stream.',
  valuesConfig: {
    WEBHOOK: { description: 'An https address that takes batches signed by Standard Webhooks.' },
    SPLUNK: { description: 'A Splunk HTTP Event Collector.' },
    DATADOG: { description: 'The logs intake of Datadog.' },
    S3: { description: 'A bucket of S3 or alike; objects of compressed NDJSON.' },
    SYSLOG: { description: 'A syslog receiver (RFC 5424) over TLS or TCP.' },
  },
});
registerEnumType(StreamForm, {
  name: 'AuditStreamForm',
  description: 'What an entry looks like when it is sent; its proof goes with it in each.',
  valuesConfig: {
    NATIVE: { description: 'The entry as it was hashed.' },
    OCSF: { description: 'Open Cybersecurity Schema Framework; the entry stands in `unmapped`.' },
    CLOUDEVENTS: { description: 'CloudEvents 1.0; the entry stands in `data`.' },
  },
});
registerEnumType(StreamState, {
  name: 'AuditStreamState',
  description: 'Whether a stream flows.',
  valuesConfig: {
    ACTIVE: { description: 'It is sent what comes.' },
    PAUSED: { description: 'It is sent nothing until it is resumed, and then all that came meanwhile.' },
    FAILING: { description: 'It has taken nothing for a day, and is tried further.' },
  },
});

/** Settings as the graph shows them. */
@ObjectType({ description: 'What a receiver needs beside its address; null where its kind does not know it.' })
export class AuditStreamSettings {
  @Field(() => String, { nullable: true })
  index!: string | null;

  @Field(() => String, { nullable: true })
  sourceType!: string | null;

  @Field(() => Boolean, { nullable: true })
  acknowledge!: boolean | null;

  @Field(() => String, { nullable: true })
  service!: string | null;

  @Field(() => String, { nullable: true })
  tags!: string | null;

  @Field(() => String, { nullable: true })
  region!: string | null;

  @Field(() => String, { nullable: true })
  bucket!: string | null;

  @Field(() => String, { nullable: true })
  prefix!: string | null;

  @Field(() => String, { nullable: true })
  accessKeyId!: string | null;

  @Field(() => String, { nullable: true })
  certificate!: string | null;

  @Field(() => Int, { nullable: true })
  enterpriseNumber!: number | null;
}

/** A receiver to which the tenant's log is sent. */
@ObjectType('AuditStream', { description: 'A receiver to which the audit log is sent, without its secret.' })
@Entity('audit_streams')
export class AuditStream {
  @Field(() => ID)
  @PrimaryColumn(primaryId('str'))
  id!: Id<'str'>;

  @Field(() => String, { description: 'No two streams of a tenant have the same.' })
  @Column('text')
  name!: string;

  @Field(() => StreamKind)
  @Column('text')
  kind!: StreamKind;

  @Field(() => StreamForm)
  @Column('text')
  form!: StreamForm;

  @Field(() => String, { description: 'Where it is sent.' })
  @Column('text')
  endpoint!: string;

  @Column('jsonb', { name: 'settings' })
  storedSettings!: StreamSettings;

  /** Sealed; the worker opens it. */
  @Column('text', { name: 'sealed_secret', nullable: true })
  sealedSecret!: string | null;

  @Field(() => [String], { description: 'Only these actions; all where there is none.' })
  @Column('text', { array: true })
  actions!: string[];

  @Field(() => [AuditOutcomeEnum], { description: 'Only these outcomes; all where there is none.' })
  @Column('text', { array: true })
  outcomes!: AuditOutcome[];

  @Field(() => Boolean, { description: 'Whether an event waits for its seal, so that its proof goes with it.' })
  @Column('boolean')
  proofs!: boolean;

  @Field(() => StreamState)
  @Column('text')
  state!: StreamState;

  @Column('integer')
  epoch!: number;

  @Column('bigint', { name: 'next_seq', transformer: { from: Number, to: String } })
  nextSeq!: number;

  @Field(() => GraphQLSafeInt, { description: 'Events that the receiver has taken.' })
  @Column({ type: 'bigint', insert: false, update: false, transformer: { from: Number, to: String } })
  delivered!: number;

  @Field(() => Date, { nullable: true, description: 'When it took some last.' })
  @Column({ type: 'timestamptz', name: 'delivered_at', insert: false, update: false, nullable: true })
  deliveredAt!: Date | null;

  @Field(() => Int, { description: 'Attempts in a row that failed; the next one comes later after each.' })
  @Column({ type: 'integer', insert: false })
  failures!: number;

  @Field(() => Date, { nullable: true })
  @Column({ type: 'timestamptz', name: 'failing_since', insert: false, nullable: true })
  failingSince!: Date | null;

  @Field(() => String, { nullable: true, description: 'Why the last attempt failed.' })
  @Column({ type: 'text', insert: false, nullable: true })
  failure!: string | null;

  @Field(() => Date, { nullable: true, description: 'Until when it is left in peace after a failure.' })
  @Column({ type: 'timestamptz', name: 'retry_at', insert: false, nullable: true })
  retryAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When a test was asked for last.' })
  @Column({ type: 'timestamptz', name: 'test_requested_at', insert: false, nullable: true })
  testRequestedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When one was sent last; a later request is still to come.' })
  @Column({ type: 'timestamptz', name: 'tested_at', insert: false, update: false, nullable: true })
  testedAt!: Date | null;

  @Field(() => String, { nullable: true, description: 'Why the last test failed; null where it was taken.' })
  @Column({ type: 'text', name: 'test_failure', insert: false, update: false, nullable: true })
  testFailure!: string | null;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date)
  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

/** Pages of streams. */
export const AuditStreamConnection = connectionOf('AuditStream', AuditStream);

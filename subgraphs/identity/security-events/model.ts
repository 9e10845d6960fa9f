import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, idColumn, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { Id } from '#schema/ids.ts';
import { ReceiverKind } from './event-types.ts';

registerEnumType(ReceiverKind, {
  name: 'SecurityEventReceiverKind',
  description: 'What a receiver of security events is for.',
  valuesConfig: {
    BACKCHANNEL_LOGOUT: { description: 'An application that ends its own sessions (OIDC Back-Channel Logout 1.0).' },
    CAEP: { description: 'A receiver of shared signals (CAEP 1.0).' },
    SCIM_EVENTS: { description: 'A receiver of what changes in the directory (RFC 9967).' },
  },
});

/** Whether a receiver is sent anything. */
export enum ReceiverState {
  ACTIVE = 'active',
  DISABLED = 'disabled',
}
registerEnumType(ReceiverState, {
  name: 'SecurityEventReceiverState',
  description: 'Whether a receiver is sent anything; what happens while it is disabled, it is never told.',
});

/** How far a delivery has come. */
export enum DeliveryState {
  PENDING = 'pending',
  DELIVERED = 'delivered',
  DEAD = 'dead',
}
registerEnumType(DeliveryState, {
  name: 'SecurityEventDeliveryState',
  description: 'How far a delivery has come.',
  valuesConfig: {
    PENDING: { description: 'It will be sent, or sent again.' },
    DELIVERED: { description: 'The receiver has it.' },
    DEAD: { description: 'It was given up after 24 hours, or refused three times; it can be replayed.' },
  },
});

/** Whom the tenant has told what happens to people and groups. */
@ObjectType({ description: 'A receiver of signed security events, without the secret that it asks for.' })
@Entity('security_event_receivers')
export class SecurityEventReceiver {
  @Field(() => ID)
  @PrimaryColumn(primaryId('rcv'))
  id!: Id<'rcv'>;

  @Field(() => ReceiverKind)
  @Column('text')
  kind!: ReceiverKind;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => String, { description: 'Where the tokens are sent.' })
  @Column('text')
  endpoint!: string;

  @Field(() => String, { description: 'The `aud` of the tokens.' })
  @Column('text')
  audience!: string;

  @Field(() => [String], { description: 'The types of event it is sent, as the specifications name them.' })
  @Column('text', { array: true })
  events!: string[];

  /** Sealed; the sender opens it. */
  @Column('text', { name: 'sealed_authorization', nullable: true })
  sealedAuthorization!: string | null;

  @Field(() => ReceiverState)
  @Column('text')
  state!: ReceiverState;

  @Field(() => Int, { description: 'Attempts in a row that failed; the next one comes later after each.' })
  @Column('integer')
  failures!: number;

  @Field(() => Date, { nullable: true, description: 'Until when it is left in peace after a failure.' })
  @Column('timestamptz', { name: 'retry_at', nullable: true })
  retryAt!: Date | null;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'last_delivered_at', nullable: true })
  lastDeliveredAt!: Date | null;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'last_failed_at', nullable: true })
  lastFailedAt!: Date | null;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date)
  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

/** One token that a receiver is or was owed. */
@ObjectType({ description: 'One signed token that a receiver is owed, or was sent.' })
@Entity('security_event_deliveries')
export class SecurityEventDelivery {
  @Field(() => ID, { description: 'Also the `jti` of the token.' })
  @PrimaryColumn(primaryId('dlv'))
  id!: Id<'dlv'>;

  @Field(() => ID)
  @Column(idColumn('rcv', { name: 'receiver_id' }))
  receiverId!: Id<'rcv'>;

  @Field(() => [String], { description: 'What it tells, as the specifications name it.' })
  @Column('text', { array: true })
  events!: string[];

  @Column('text', { name: 'subject_type' })
  subjectType!: 'user' | 'group' | 'test';

  @Column('uuid', { name: 'subject_id' })
  subjectUuid!: string;

  @Field(() => DeliveryState)
  @Column('text')
  state!: DeliveryState;

  @Field(() => Int)
  @Column('integer')
  attempts!: number;

  @Field(() => Date)
  @Column('timestamptz', { name: 'occurred_at' })
  occurredAt!: Date;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'delivered_at', nullable: true })
  deliveredAt!: Date | null;

  @Field(() => Int, { nullable: true, description: 'HTTP status of the last answer; null where there was none.' })
  @Column('integer', { name: 'last_status', nullable: true })
  lastStatus!: number | null;

  @Field(() => String, { nullable: true, description: 'Why the last attempt failed: the error code of the receiver.' })
  @Column('text', { name: 'last_error', nullable: true })
  lastError!: string | null;
}

/** A page of deliveries. */
export const SecurityEventDeliveryConnection = connectionOf('SecurityEventDelivery', SecurityEventDelivery);

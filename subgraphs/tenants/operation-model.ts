import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { OperationKind } from '#schema/operation-manifest.ts';

/** What an operation may do, by the names of the graph. */
export const OperationKindEnum = { QUERY: 'query', MUTATION: 'mutation' } as const satisfies Record<
  Uppercase<OperationKind>,
  OperationKind
>;
registerEnumType(OperationKindEnum, { name: 'OperationKind', description: 'What an operation does.' });

/** The states of a registered operation. */
export enum OperationState {
  PENDING = 'PENDING',
  APPROVED = 'APPROVED',
  REVOKED = 'REVOKED',
}
registerEnumType(OperationState, {
  name: 'OperationState',
  description: 'How far a registered operation has come.',
  valuesConfig: {
    PENDING: { description: 'Registered, and waiting for an administrator.' },
    APPROVED: { description: "Runs for the client's keys until it expires." },
    REVOKED: { description: 'Runs no more; registered again, it waits again.' },
  },
});

/** An operation that keys of one client may run by its id. */
@ObjectType({ description: "An operation that the keys of one of the tenant's clients may run by its id." })
@Entity('registered_operations')
export class RegisteredOperation {
  @Field(() => ID)
  @PrimaryColumn(primaryId('opr'))
  id!: string;

  @Field(() => String, { description: 'The client whose keys run it.' })
  @Column('text')
  client!: string;

  @Field(() => String, { description: 'What a request sends as `documentId`; a hash with or without `sha256:`.' })
  @Column('text', { name: 'key' })
  documentId!: string;

  @Field(() => String, { nullable: true, description: 'The name in its document.' })
  @Column('text', { nullable: true })
  name!: string | null;

  @Field(() => OperationKindEnum)
  @Column('text')
  kind!: OperationKind;

  @Field(() => String, { description: 'The document as it was registered.' })
  @Column('text')
  body!: string;

  @Field(() => String, { description: 'SHA-256 of the document, in hex.' })
  @Column('text', { name: 'body_hash' })
  bodyHash!: string;

  @Field(() => Int, { description: 'Points that one run may be estimated at, fixed when it was registered.' })
  @Column('integer', { name: 'cost_ceiling' })
  maxCost!: number;

  @Field(() => String, { description: 'The manifest that registered it last.' })
  @Column('text', { name: 'manifest_fingerprint' })
  manifestFingerprint!: string;

  /** As stored: a revocation whose time has come still says APPROVED here. */
  @Column('text', { name: 'state' })
  storedState!: `${OperationState}`;

  @Field(() => String, { description: 'The id of the user or key that registered it.' })
  @Column('text', { name: 'registered_by' })
  registeredBy!: string;

  @Field(() => Date)
  @Column('timestamptz', { name: 'registered_at' })
  registeredAt!: Date;

  @Field(() => String, { nullable: true, description: 'The id of the user or key that approved it.' })
  @Column('text', { name: 'approved_by', nullable: true })
  approvedBy!: string | null;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'approved_at', nullable: true })
  approvedAt!: Date | null;

  @Field(() => String, { nullable: true, description: 'The id of the user or key that revoked it.' })
  @Column('text', { name: 'revoked_by', nullable: true })
  revokedBy!: string | null;

  @Field(() => Date, { nullable: true, description: 'When it was revoked, or when it will be.' })
  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'From then on it runs no more; null where it never expires.' })
  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When it ran last, to the minute or so; null where it never ran.' })
  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;
}

/** Pages of registered operations. */
export const RegisteredOperationConnection = connectionOf('RegisteredOperation', RegisteredOperation);

/** Returns the state at a time: a revocation counts from the time it was set for. */
export function stateAt({ storedState, revokedAt }: RegisteredOperation, now: Date): OperationState {
  return revokedAt !== null && revokedAt <= now ? OperationState.REVOKED : OperationState[storedState];
}

/** True from the time on at which the registration ends by itself. */
export function isExpiredAt({ expiresAt }: RegisteredOperation, now: Date): boolean {
  return expiresAt !== null && expiresAt <= now;
}

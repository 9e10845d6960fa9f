import { Directive, Field, Float, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { connectionOf } from '#kit/connection.ts';
import { primaryId } from '#kit/columns.ts';
import { idOf, type Id } from '#schema/ids.ts';

/** What lost its access. */
export enum RevokedSubject {
  USER = 'user',
  API_KEY = 'api_key',
  SCIM_TOKEN = 'scim_token',
  TENANT = 'tenant',
}
registerEnumType(RevokedSubject, { name: 'RevokedSubject', description: 'What lost its access.' });

/** Why an access ended. */
export enum RevocationReason {
  DEACTIVATED = 'deactivated',
  DELETED = 'deleted',
  SIGNED_OUT = 'signed_out',
  REVOKED = 'revoked',
  CLOSED = 'closed',
}
registerEnumType(RevocationReason, {
  name: 'RevocationReason',
  description: 'Why an access ended; who is signed out everywhere may come in again.',
});

const PREFIXES = { user: 'usr', api_key: 'key', scim_token: 'scm', tenant: 'tnt' } as const;

/** The end of an access, and when the gateways had put it into force; written by the database, never changed by hand. */
@ObjectType({ description: 'The end of an access, and the proof of when all gateways had put it into force.' })
@Entity('revocations')
export class Revocation {
  @Field(() => ID)
  @PrimaryColumn(primaryId('rvk'))
  id!: Id<'rvk'>;

  @Field(() => RevokedSubject)
  @Column('text', { name: 'subject_type' })
  subjectType!: RevokedSubject;

  @Column('uuid', { name: 'subject_id' })
  subjectUuid!: string;

  @Field(() => ID, { description: 'Who or what lost its access; it may be gone since.' })
  @Directive(
    '@personalData(category: "identifier", purpose: "proof that access has ended", retention: "as long as the tenant exists")',
  )
  get subjectId(): string {
    return idOf(PREFIXES[this.subjectType], this.subjectUuid);
  }

  @Field(() => RevocationReason)
  @Column('text')
  reason!: RevocationReason;

  @Field(() => Date, { description: 'The moment before it was committed, by the clock of the database.' })
  @Column('timestamptz', { name: 'revoked_at' })
  revokedAt!: Date;

  @Field(() => Date, {
    nullable: true,
    description:
      'When the last gateway that spoke of it had put it into force, by the same clock; null while it is open.',
  })
  @Column('timestamptz', { name: 'enforced_at', nullable: true })
  enforcedAt!: Date | null;

  @Field(() => Float, {
    nullable: true,
    description: 'The time between the two in milliseconds; null while it is open.',
  })
  get latencyMs(): number | null {
    return this.enforcedAt === null ? null : this.enforcedAt.getTime() - this.revokedAt.getTime();
  }

  @Field(() => Int, { description: 'Gateways that were there to hear of it.' })
  @Column('integer')
  gateways!: number;

  @Field(() => Int, {
    nullable: true,
    description: 'Gateways that said they refuse it; the others read every credential anew, as they heard of nothing.',
  })
  @Column('integer', { nullable: true })
  confirmed!: number | null;
}

/** A page of revocations. */
export const RevocationConnection = connectionOf('Revocation', Revocation);

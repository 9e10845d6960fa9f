import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, idColumn, primaryId } from '#kit/columns.ts';
import type { Id } from '#schema/ids.ts';

/** The protocol of an identity provider. */
export enum ConnectionKind {
  OIDC = 'oidc',
  SAML = 'saml',
}
registerEnumType(ConnectionKind, { name: 'ConnectionKind', description: 'The protocol of an identity provider.' });

/** Whether people sign in over a connection. */
export enum ConnectionState {
  DRAFT = 'draft',
  ACTIVE = 'active',
  DISABLED = 'disabled',
}
registerEnumType(ConnectionState, {
  name: 'ConnectionState',
  description: 'Whether people sign in over a connection; nobody does over a draft or a disabled one.',
});

/** An identity provider of the tenant. */
@ObjectType({ description: 'An identity provider of the tenant, without its secret.' })
@Entity('identity_connections')
export class IdentityConnection {
  @Field(() => ID)
  @PrimaryColumn(primaryId('con'))
  id!: Id<'con'>;

  @Field(() => ConnectionKind)
  @Column('text')
  kind!: ConnectionKind;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => ConnectionState)
  @Column('text')
  state!: ConnectionState;

  /** Its shape is that of the kind; whoever reads it checks it. */
  @Column('jsonb')
  settings!: Record<string, unknown>;

  /** Sealed; `connectionSecret` opens it. */
  @Column('text', { nullable: true })
  secret!: string | null;

  @Field(() => Boolean, { description: 'Whether somebody unknown becomes a person when she first signs in.' })
  @Column('boolean')
  jit!: boolean;

  @Field(() => ID, { nullable: true, description: 'The role that such a person is given.' })
  @Column(idColumn('rol', { name: 'default_role_id', nullable: true }))
  defaultRoleId!: Id<'rol'> | null;

  @Field(() => String, { nullable: true, description: 'The claim or attribute that names her groups.' })
  @Column('text', { name: 'groups_attribute', nullable: true })
  groupsAttribute!: string | null;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date)
  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Field(() => Int)
  @Column('integer')
  version!: number;
}

/** A domain that the tenant says is hers. */
@ObjectType({ description: 'An e-mail domain that the tenant has proven or is about to prove.' })
@Entity('domain_proofs')
export class EmailDomain {
  @Field(() => ID)
  @PrimaryColumn(primaryId('dom'))
  id!: Id<'dom'>;

  @Field(() => String)
  @Column('text')
  domain!: string;

  @Column('text')
  token!: string;

  @Field(() => Date, { nullable: true, description: 'Since when it is proven; null where it is not.' })
  @Column('timestamptz', { name: 'verified_at', nullable: true })
  verifiedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When the record was last looked for.' })
  @Column('timestamptz', { name: 'checked_at', nullable: true })
  checkedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'Since when the record of a proven domain has not been found.' })
  @Column('timestamptz', { name: 'missing_since', nullable: true })
  missingSince!: Date | null;

  @Field(() => Boolean, {
    description: 'Whether its people sign in over a connection alone; break-glass people keep every other way.',
  })
  @Column('boolean', { name: 'sso_enforced' })
  ssoEnforced!: boolean;

  @Field(() => ID, {
    nullable: true,
    description: 'The connection that its people are sent to; null for the oldest active one.',
  })
  @Column(idColumn('con', { name: 'connection_id', nullable: true }))
  connectionId!: Id<'con'> | null;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;
}

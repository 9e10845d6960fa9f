import { Directive, Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { CREATED_AT, idColumn, primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import type { Scope } from '#schema/scopes.ts';

const RETENTION = 'as long as the person belongs to the tenant';

/** What a credential is for, as the graph names it. */
export enum CredentialPurpose {
  SESSION = 'session',
  API_KEY = 'api_key',
  SCIM_TOKEN = 'scim_token',
  SIGN_IN_LINK = 'sign_in_link',
}
registerEnumType(CredentialPurpose, { name: 'CredentialPurpose', description: 'What a credential is for.' });

/** A person of the tenant. */
@ObjectType({ description: 'A person of the tenant.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "users:read")')
@Entity('users')
export class User {
  @Field(() => ID)
  @PrimaryColumn(primaryId('usr'))
  id!: string;

  @Field(() => String)
  @Directive(`@personalData(category: "identifier", purpose: "signing in", retention: "${RETENTION}")`)
  @Column('text', { name: 'user_name' })
  userName!: string;

  @Column('text', { name: 'external_id', nullable: true })
  externalId!: string | null;

  @Field(() => String, { nullable: true })
  @Directive(`@personalData(category: "name", purpose: "showing who acts", retention: "${RETENTION}")`)
  @Column('text', { name: 'display_name', nullable: true })
  displayName!: string | null;

  @Field(() => String, { nullable: true })
  @Directive(`@personalData(category: "contact", purpose: "reaching the person", retention: "${RETENTION}")`)
  @Column('text', { nullable: true })
  email!: string | null;

  @Field(() => Boolean)
  @Column('boolean')
  active!: boolean;

  @Column('integer')
  epoch!: number;

  @Column('jsonb')
  resource!: Record<string, unknown>;

  @Column('integer')
  version!: number;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

/** A group of the identity provider, or one made by hand. */
@ObjectType({ description: 'A group of people, usually of the identity provider.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "users:read")')
@Entity('groups')
export class Group {
  @Field(() => ID)
  @PrimaryColumn(primaryId('grp'))
  id!: string;

  @Field(() => String)
  @Column('text', { name: 'display_name' })
  displayName!: string;

  @Column('text', { name: 'external_id', nullable: true })
  externalId!: string | null;

  @Column('jsonb')
  resource!: Record<string, unknown>;

  @Column('integer')
  version!: number;

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

/** A named set of rights. */
@ObjectType({ description: 'A named set of rights.' })
@Entity('roles')
export class Role {
  @Field(() => ID)
  @PrimaryColumn(primaryId('rol'))
  id!: string;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => [String])
  @Column('text', { array: true })
  scopes!: Scope[];

  @Field(() => Boolean, { description: 'Made with the tenant; it cannot be changed.' })
  @Column('boolean', { name: 'built_in' })
  builtIn!: boolean;
}

/** Something that proves who asks; its secret is shown once, when it is made. */
@ObjectType({ description: 'A session, an API key, a SCIM token or a sign-in link, without its secret.' })
@Entity('credentials')
export class Credential {
  // One table holds four kinds of id; the kind tells which prefix the id has.
  @PrimaryColumn('uuid', { name: 'id' })
  uuid!: string;

  @Field(() => CredentialPurpose, { name: 'purpose' })
  @Column('text')
  kind!: CredentialPurpose;

  @Column(idColumn('usr', { name: 'user_id', nullable: true }))
  userId!: string | null;

  @Field(() => String)
  @Column('text')
  name!: string;

  @Field(() => String, { nullable: true, description: 'The registered client that an API key belongs to.' })
  @Column('text', { nullable: true })
  client!: string | null;

  @Field(() => [String])
  @Column('text', { array: true })
  scopes!: Scope[];

  @Field(() => Date)
  @Column(CREATED_AT)
  createdAt!: Date;

  @Field(() => Date)
  @Column('timestamptz', { name: 'expires_at' })
  expiresAt!: Date;

  @Field(() => Date, { nullable: true })
  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt!: Date | null;

  @Field(() => Date, { nullable: true, description: 'When it was last used, to the minute.' })
  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;

  @Field(() => [String], { description: 'Networks (CIDR) that it may be used from; empty for everywhere.' })
  @Column('text', { name: 'allowed_networks', array: true })
  allowedNetworks!: string[];
}

/** Who asks, and with which rights. */
@ObjectType({ description: 'Who asks, and with which rights.', simpleResolvers: true })
export class Viewer {
  @Field(() => User, { nullable: true, description: 'The person; null for keys and tokens.' })
  user!: User | null;

  @Field(() => [String])
  scopes!: string[];
}

/** Pages of people. */
export const UserConnection = connectionOf('User', User);
/** Pages of groups. */
export const GroupConnection = connectionOf('Group', Group);

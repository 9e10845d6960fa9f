import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { connectionOf } from '#kit/connection.ts';
import type { Id } from '#schema/ids.ts';

/** How the requests of a provisioning client are understood, as the graph names it. */
export enum ScimProfile {
  STRICT = 'strict',
  OKTA_OIN = 'okta_oin',
  OKTA_AIW = 'okta_aiw',
  ENTRA = 'entra',
  ENTRA_FLAGGED = 'entra_flagged',
  GOOGLE = 'google',
  ONELOGIN = 'onelogin',
  JUMPCLOUD = 'jumpcloud',
  PING = 'ping',
}
registerEnumType(ScimProfile, {
  name: 'ScimProfile',
  description: 'How the requests of a provisioning client are understood where they part from RFC 7644.',
  valuesConfig: {
    STRICT: { description: 'To the letter: what the RFC does not know is refused.' },
    OKTA_OIN: { description: 'Okta, an app of its catalog.' },
    OKTA_AIW: { description: 'Okta, an app of the app integration wizard.' },
    ENTRA: { description: 'Microsoft Entra ID.' },
    ENTRA_FLAGGED: { description: 'Microsoft Entra ID with ?aadOptscim062020 in its tenant URL.' },
  },
});

/** Whether a connection may be used. */
export enum ScimConnectionState {
  ACTIVE = 'active',
  DISABLED = 'disabled',
}
registerEnumType(ScimConnectionState, {
  name: 'ScimConnectionState',
  description: 'Whether the tokens of a connection work; over a disabled one every request is refused.',
});

/** Attributes of a person that have one writer together. */
export enum AttributeGroup {
  PROFILE = 'profile',
  ACTIVE = 'active',
  GROUPS = 'groups',
}
registerEnumType(AttributeGroup, {
  name: 'AttributeGroup',
  description: 'Attributes of people that have one writer together.',
  valuesConfig: {
    PROFILE: { description: 'Names, addresses and all other attributes of the person.' },
    ACTIVE: { description: 'Whether she may sign in.' },
    GROUPS: { description: 'Groups and who is in them.' },
  },
});

/** Who writes attributes of a person. */
export enum AttributeWriter {
  SCIM = 'scim',
  SSO = 'sso',
  PERSON = 'person',
}
registerEnumType(AttributeWriter, {
  name: 'AttributeWriter',
  description: 'Who writes attributes: a provisioning client, the sign-ins of an identity provider, or people.',
});

/** A provisioning client of the tenant. */
@ObjectType({ description: 'A provisioning client of the tenant, such as her Okta or Entra.', simpleResolvers: true })
export class ScimConnection {
  @Field(() => ID)
  id!: Id<'con'>;

  @Field(() => String)
  name!: string;

  @Field(() => ScimProfile)
  profile!: `${ScimProfile}`;

  @Field(() => ScimConnectionState)
  state!: `${ScimConnectionState}`;

  @Field(() => Boolean, { description: 'Whether it is the one of tokens that were made without a connection.' })
  isDefault!: boolean;

  @Field(() => [AttributeGroup], { description: 'What it alone writes of the people that come from it.' })
  manages!: readonly `${AttributeGroup}`[];

  @Field(() => Date)
  createdAt!: Date;

  @Field(() => Date)
  updatedAt!: Date;
}

/** One way in which a request was read as something else than it is. */
@ObjectType({ description: 'A form that the RFC does not know, read as what its sender means.', simpleResolvers: true })
export class ScimRewrite {
  @Field(() => String)
  name!: string;

  @Field(() => String, { description: 'What was sent.' })
  form!: string;
}

/** A request of a provisioning client. */
@ObjectType({ description: 'A request of a provisioning client; no value of it is kept.', simpleResolvers: true })
export class ScimRequest {
  @Field(() => ID)
  id!: Id<'scr'>;

  @Field(() => Date)
  at!: Date;

  @Field(() => String)
  method!: string;

  @Field(() => String, { description: 'The address, with :id in place of ids.' })
  path!: string;

  @Field(() => ID, { nullable: true, description: 'The user or group that it was about.' })
  resourceId!: string | null;

  @Field(() => Int)
  status!: number;

  @Field(() => String, { nullable: true, description: 'scimType of the answer (RFC 7644 section 3.12).' })
  scimType!: string | null;

  @Field(() => String, { nullable: true, description: 'Why it was refused; null where it was not.' })
  reason!: string | null;

  @Field(() => Int)
  durationMs!: number;

  @Field(() => [String], { description: 'What it did, as the audit log names it; empty where it changed nothing.' })
  actions!: readonly string[];

  @Field(() => [String], { description: 'The attributes that it changed.' })
  changedAttributes!: readonly string[];

  @Field(() => [ScimRewrite], { description: 'What of it was read as something else than it is.' })
  rewrites!: readonly ScimRewrite[];

  @Field(() => String, { description: 'The id under which the audit log and all logs have it.' })
  requestId!: string;

  @Field(() => ID, { description: 'The token that it came with.' })
  tokenId!: Id<'scm'>;
}

/** Pages of requests. */
export const ScimRequestConnection = connectionOf('ScimRequest', ScimRequest);

/** Who writes a group of attributes of a person. */
@ObjectType({ description: 'Who writes attributes of a person.', simpleResolvers: true })
export class AttributeOwner {
  @Field(() => AttributeGroup)
  attributes!: `${AttributeGroup}`;

  @Field(() => AttributeWriter)
  writer!: `${AttributeWriter}`;

  @Field(() => ID, { nullable: true, description: 'The SCIM connection that writes them.' })
  connectionId!: Id<'con'> | null;
}

/** A moment at which a person's access began or ended. */
@ObjectType({ description: "A moment at which a person's access ended or came back.", simpleResolvers: true })
export class AccessChange {
  @Field(() => Date)
  at!: Date;

  @Field(() => String, { description: 'What happened, as the audit log names it.' })
  action!: string;

  @Field(() => ID, {
    nullable: true,
    description:
      'The SCIM connection whose request it was; null where it came about in another way, which the audit log tells.',
  })
  connectionId!: Id<'con'> | null;

  @Field(() => ScimRequest, { nullable: true, description: 'The request that brought it about.' })
  request!: ScimRequest | null;

  @Field(() => Date, { nullable: true, description: 'When every gateway had put the end of access into force.' })
  enforcedAt!: Date | null;
}

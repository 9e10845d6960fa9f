import { ArrayMaxSize, IsIn, Length, Matches, ValidateNested } from 'class-validator';
import { Field, ID, InputType, ObjectType } from 'type-graphql';
import { ID_TOKEN_ALGS, OIDC_DEFAULTS, TOKEN_AUTH_METHODS } from '../oidc/settings.ts';
import { EmailDomain, IdentityConnection } from './model.ts';

const OPTIONAL = { nullable: true } as const;

/** A parameter of an authorization request. */
@InputType()
export class AuthorizationParameterInput {
  @Field(() => String)
  @Length(1, 100)
  name!: string;

  @Field(() => String)
  @Length(0, 500)
  value!: string;
}

/** What of an OpenID Connect connection may be said when it is made and when it is changed. */
@InputType()
class OidcConnectionFields {
  @Field(() => [String], { ...OPTIONAL, description: 'By default openid, email and profile.' })
  @ArrayMaxSize(20)
  scopes?: string[] | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: `The one algorithm of ID tokens and logout tokens: ${ID_TOKEN_ALGS.join(', ')}. By default ${OIDC_DEFAULTS.idTokenAlg}.`,
  })
  @IsIn(ID_TOKEN_ALGS)
  idTokenAlg?: string | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: `How the token endpoint knows us: ${TOKEN_AUTH_METHODS.join(', ')}. By default ${OIDC_DEFAULTS.tokenAuth}.`,
  })
  @IsIn(TOKEN_AUTH_METHODS)
  tokenAuth?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'The claim of the e-mail address; by default email.' })
  @Length(1, 200)
  emailClaim?: string | null;

  @Field(() => String, {
    ...OPTIONAL,
    description:
      'The claim that says whether the address is verified; by default email_verified, with Entra ID xms_edov.',
  })
  @Length(1, 200)
  emailVerifiedClaim?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'The claim of her name; by default name.' })
  @Length(1, 200)
  nameClaim?: string | null;

  @Field(() => [AuthorizationParameterInput], {
    ...OPTIONAL,
    description: 'What the authorization request carries beside our own, such as organization.',
  })
  @ArrayMaxSize(10)
  @ValidateNested({ each: true })
  authorizationParameters?: AuthorizationParameterInput[] | null;

  @Field(() => Boolean, {
    ...OPTIONAL,
    description: 'Whether somebody unknown becomes a person when she first signs in; by default not.',
  })
  jit?: boolean | null;

  @Field(() => ID, { ...OPTIONAL, description: 'The role that such a person is given; null for none.' })
  defaultRoleId?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'The claim that names her groups; null for none.' })
  @Length(1, 200)
  groupsAttribute?: string | null;
}

@InputType()
export class CreateOidcConnectionInput extends OidcConnectionFields {
  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => String, { description: 'As the identity provider writes it, to the character.' })
  @Length(1, 1000)
  issuer!: string;

  @Field(() => String)
  @Length(1, 500)
  clientId!: string;

  @Field(() => String, { ...OPTIONAL, description: 'It can be replaced and never be read again.' })
  @Length(1, 4096)
  clientSecret?: string | null;
}

@InputType({ description: 'What is left out stays as it is.' })
export class UpdateOidcConnectionInput extends OidcConnectionFields {
  @Field(() => ID)
  connectionId!: string;

  @Field(() => String, OPTIONAL)
  @Length(1, 200)
  name?: string | null;

  @Field(() => String, OPTIONAL)
  @Length(1, 1000)
  issuer?: string | null;

  @Field(() => String, OPTIONAL)
  @Length(1, 500)
  clientId?: string | null;

  @Field(() => String, OPTIONAL)
  @Length(1, 4096)
  clientSecret?: string | null;
}

@InputType()
export class IdentityConnectionInput {
  @Field(() => ID)
  connectionId!: string;
}

@ObjectType()
export class IdentityConnectionPayload {
  @Field(() => IdentityConnection)
  connection!: IdentityConnection;
}

@ObjectType()
export class DeleteIdentityConnectionPayload {
  @Field(() => ID)
  deletedConnectionId!: string;
}

/** One thing that was looked at. */
@ObjectType({ simpleResolvers: true })
export class ConnectionFinding {
  @Field(() => String, { description: 'What was looked at.' })
  check!: string;

  @Field(() => Boolean)
  ok!: boolean;

  @Field(() => String, { description: 'What was found, in words.' })
  detail!: string;
}

@ObjectType({ simpleResolvers: true })
export class ConnectionTestPayload {
  @Field(() => Boolean, { description: 'Whether it can be activated.' })
  ok!: boolean;

  @Field(() => [ConnectionFinding])
  findings!: ConnectionFinding[];
}

/** A parameter of an authorization request, as it is set. */
@ObjectType({ simpleResolvers: true })
export class AuthorizationParameter {
  @Field(() => String)
  name!: string;

  @Field(() => String)
  value!: string;
}

/** The settings of a connection over OpenID Connect, and what its identity provider must be told. */
@ObjectType({
  description: 'A connection over OpenID Connect: our settings, and what is entered there.',
  simpleResolvers: true,
})
export class OidcConnectionSettings {
  @Field(() => String)
  issuer!: string;

  @Field(() => String)
  clientId!: string;

  @Field(() => Boolean, { description: 'Whether a client secret is stored; nobody can read it.' })
  hasClientSecret!: boolean;

  @Field(() => [String])
  scopes!: readonly string[];

  @Field(() => String)
  idTokenAlg!: string;

  @Field(() => String)
  tokenAuth!: string;

  @Field(() => String)
  emailClaim!: string;

  @Field(() => String)
  emailVerifiedClaim!: string;

  @Field(() => String)
  nameClaim!: string;

  @Field(() => [AuthorizationParameter])
  authorizationParameters!: AuthorizationParameter[];

  @Field(() => String, { description: 'To be entered there as the redirect (callback) address.' })
  redirectUri!: string;

  @Field(() => String, { description: 'To be entered there as the address a sign-in starts from.' })
  initiateLoginUri!: string;

  @Field(() => String, { description: 'To be entered there as the back-channel logout address.' })
  backchannelLogoutUri!: string;
}

@InputType()
export class AddEmailDomainInput {
  @Field(() => String)
  @Matches(/^(?=.{3,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/i, {
    message: 'domain takes a domain name such as example.com',
  })
  domain!: string;
}

@InputType()
export class EmailDomainInput {
  @Field(() => ID)
  emailDomainId!: string;
}

@InputType({ description: 'What is left out stays as it is.' })
export class UpdateEmailDomainInput extends EmailDomainInput {
  @Field(() => Boolean, {
    ...OPTIONAL,
    description:
      'Whether its people sign in over a connection alone; that needs an active one, and somebody for break-glass.',
  })
  ssoEnforced?: boolean | null;

  @Field(() => ID, {
    ...OPTIONAL,
    description: 'The connection that its people are sent to; null for the oldest active one.',
  })
  connectionId?: string | null;
}

@ObjectType()
export class EmailDomainPayload {
  @Field(() => EmailDomain)
  emailDomain!: EmailDomain;
}

@ObjectType()
export class RemoveEmailDomainPayload {
  @Field(() => ID)
  removedEmailDomainId!: string;
}

/** A DNS record to be set. */
@ObjectType({ description: 'A DNS record to be set.', simpleResolvers: true })
export class DnsRecord {
  @Field(() => String)
  type!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  value!: string;
}

@InputType()
export class RemoveIdentityLinkInput {
  @Field(() => ID)
  userId!: string;

  @Field(() => ID)
  connectionId!: string;
}

@ObjectType()
export class RemoveIdentityLinkPayload {
  @Field(() => ID)
  userId!: string;
}

@ObjectType()
export class VerifyEmailDomainPayload {
  @Field(() => EmailDomain)
  emailDomain!: EmailDomain;

  @Field(() => Boolean, { description: 'Whether DNS has the record now.' })
  recordFound!: boolean;
}

/** Somebody who may sign in without the identity provider. */
@ObjectType({ description: 'Somebody who may sign in without the identity provider when all others must not.' })
export class BreakGlassUser {
  @Field(() => ID)
  userId!: string;

  @Field(() => String, { description: 'The public id of whoever named her.' })
  namedBy!: string;

  @Field(() => Date)
  namedAt!: Date;
}

@ObjectType()
export class BreakGlassPayload {
  @Field(() => [BreakGlassUser], { description: 'All who are named now.' })
  breakGlassUsers!: BreakGlassUser[];
}

import { ArrayMaxSize, Length, MaxLength } from 'class-validator';
import { Field, ID, InputType, ObjectType } from 'type-graphql';
import { MAX_CERTIFICATES } from './certificates.ts';

const OPTIONAL = { nullable: true } as const;
const MAX_METADATA_LENGTH = 1024 * 1024;
const MAX_CERTIFICATE_LENGTH = 16_384;

/** What of a SAML connection may be said when it is made and when it is changed. */
@InputType()
class SamlConnectionFields {
  @Field(() => String, {
    ...OPTIONAL,
    description: 'The metadata of the identity provider; entity id, address and certificates are taken from it.',
  })
  @MaxLength(MAX_METADATA_LENGTH)
  metadataXml?: string | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'Where the metadata lie, to be read now and by refreshSamlMetadata.',
  })
  @Length(1, 2048)
  metadataUrl?: string | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'The entity id (issuer) of the identity provider, to the character.',
  })
  @Length(1, 1024)
  entityId?: string | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'The single sign-on address of the identity provider (HTTP-Redirect).',
  })
  @Length(1, 2048)
  ssoUrl?: string | null;

  @Field(() => Boolean, {
    ...OPTIONAL,
    description: 'Whether a response is taken that nobody asked for (IdP-initiated sign-in); by default not.',
  })
  allowIdpInitiated?: boolean | null;

  @Field(() => Boolean, { ...OPTIONAL, description: 'Whether an assertion in clear is refused; by default not.' })
  encryptedAssertionsOnly?: boolean | null;

  @Field(() => Boolean, {
    ...OPTIONAL,
    description:
      'Whether AES-CBC is taken beside AES-GCM, for identity providers that know nothing better; by default not.',
  })
  allowCbc?: boolean | null;

  @Field(() => String, {
    ...OPTIONAL,
    description: 'The attribute of the e-mail address; by default one of the usual names, or the NameID.',
  })
  @Length(1, 500)
  emailAttribute?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'The attribute of her name; by default one of the usual names.' })
  @Length(1, 500)
  displayNameAttribute?: string | null;

  @Field(() => Boolean, {
    ...OPTIONAL,
    description: 'Whether somebody unknown becomes a person when she first signs in; by default not.',
  })
  jit?: boolean | null;

  @Field(() => ID, { ...OPTIONAL, description: 'The role that such a person is given; null for none.' })
  defaultRoleId?: string | null;

  @Field(() => String, { ...OPTIONAL, description: 'The attribute that names her groups; null for none.' })
  @Length(1, 500)
  groupsAttribute?: string | null;
}

@InputType({ description: 'Metadata, as text or by address, or entity id, address and certificates one by one.' })
export class CreateSamlConnectionInput extends SamlConnectionFields {
  @Field(() => String)
  @Length(1, 200)
  name!: string;

  @Field(() => [String], { ...OPTIONAL, description: 'The signing certificates of the identity provider, as PEM.' })
  @ArrayMaxSize(MAX_CERTIFICATES)
  @MaxLength(MAX_CERTIFICATE_LENGTH, { each: true })
  certificates?: string[] | null;
}

@InputType({ description: 'What is left out stays as it is.' })
export class UpdateSamlConnectionInput extends SamlConnectionFields {
  @Field(() => ID)
  connectionId!: string;

  @Field(() => String, OPTIONAL)
  @Length(1, 200)
  name?: string | null;
}

@InputType()
export class SamlConnectionInput {
  @Field(() => ID)
  connectionId!: string;
}

@InputType()
export class AddSamlCertificateInput extends SamlConnectionInput {
  @Field(() => String, { description: 'As PEM, or its base 64 alone.' })
  @Length(1, MAX_CERTIFICATE_LENGTH)
  certificate!: string;
}

@InputType()
export class RemoveSamlCertificateInput extends SamlConnectionInput {
  @Field(() => String, { description: 'SHA-256 of the certificate in hexadecimal.' })
  @Length(64, 64)
  fingerprint!: string;
}

/** A certificate of an identity provider. */
@ObjectType({ description: 'A certificate whose key may sign assertions while it is valid.', simpleResolvers: true })
export class SamlCertificate {
  @Field(() => ID, { description: 'SHA-256 of the certificate in hexadecimal.' })
  fingerprint!: string;

  @Field(() => String)
  subject!: string;

  @Field(() => Date)
  validFrom!: Date;

  @Field(() => Date)
  validUntil!: Date;

  @Field(() => Boolean, { description: 'Whether assertions signed with it are accepted now.' })
  inUse!: boolean;

  @Field(() => Boolean, { description: 'Whether it ends within thirty days.' })
  expiresSoon!: boolean;

  @Field(() => String)
  pem!: string;
}

/** What has to be filled in at the identity provider. */
@ObjectType({ description: 'What the identity provider has to be told of us.', simpleResolvers: true })
export class SamlServiceProvider {
  @Field(() => String, { description: 'Our entity id, also called audience or identifier.' })
  entityId!: string;

  @Field(() => String, {
    description: 'Where responses are posted to: assertion consumer service, reply or single sign-on URL.',
  })
  acsUrl!: string;

  @Field(() => String, { description: 'All of it as metadata, to be uploaded or given by address.' })
  metadataUrl!: string;

  @Field(() => String, { description: 'Where a sign-in starts from.' })
  startUrl!: string;

  @Field(() => [String], {
    description:
      'Our certificates as PEM, the one in use first: requests are signed with it, assertions encrypted for it.',
  })
  certificates!: readonly string[];
}

/** The settings of a connection over SAML, and what its identity provider must be told. */
@ObjectType({
  description: 'A connection over SAML 2.0: our settings, and what is entered there.',
  simpleResolvers: true,
})
export class SamlConnectionSettings {
  @Field(() => String)
  entityId!: string;

  @Field(() => String)
  ssoUrl!: string;

  @Field(() => String, { nullable: true })
  metadataUrl!: string | null;

  @Field(() => Date, { nullable: true, description: 'When the metadata at that address were last taken over.' })
  refreshedAt!: Date | null;

  @Field(() => [SamlCertificate], { description: 'In the order in which they were added.' })
  certificates!: readonly SamlCertificate[];

  @Field(() => Boolean, {
    description: 'Whether within thirty days no certificate will be left that assertions are accepted with.',
  })
  expiresSoon!: boolean;

  @Field(() => Boolean)
  allowIdpInitiated!: boolean;

  @Field(() => Boolean)
  encryptedAssertionsOnly!: boolean;

  @Field(() => Boolean)
  allowCbc!: boolean;

  @Field(() => String, { nullable: true })
  emailAttribute!: string | null;

  @Field(() => String, { nullable: true })
  displayNameAttribute!: string | null;

  @Field(() => SamlServiceProvider)
  serviceProvider!: SamlServiceProvider;
}

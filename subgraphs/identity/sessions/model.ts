import { Directive, Field, ID, InputType, ObjectType } from 'type-graphql';

const RETENTION = 'as long as the person belongs to the tenant';

/** A session of a person, without its secret. */
@ObjectType({ description: 'A session of a person, without its secret.' })
export class Session {
  @Field(() => ID)
  id!: string;

  @Field(() => String, { description: 'How she signed in, such as sign_in_link, oidc, saml or passkey.' })
  method!: string;

  @Field(() => [String], { description: 'Authentication methods (RFC 8176), as far as they are known.' })
  amr!: string[];

  @Field(() => ID, { nullable: true, description: 'The connection to the identity provider that vouched for her.' })
  connectionId!: string | null;

  @Field(() => String, { nullable: true, description: 'The address that she signed in from.' })
  @Directive(`@personalData(category: "network", purpose: "recognising a session", retention: "${RETENTION}")`)
  ip!: string | null;

  @Field(() => String, { nullable: true, description: 'The program that she signed in with.' })
  @Directive(`@personalData(category: "network", purpose: "recognising a session", retention: "${RETENTION}")`)
  userAgent!: string | null;

  @Field(() => Date)
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When it was last used, to the minute.' })
  lastUsedAt!: Date | null;

  @Field(() => Date)
  expiresAt!: Date;

  @Field(() => Boolean, { description: 'Whether it is the one that asks.' })
  current!: boolean;
}

@InputType()
export class RevokeSessionInput {
  @Field(() => ID)
  sessionId!: string;
}

@ObjectType()
export class RevokeSessionPayload {
  @Field(() => Boolean, { description: 'False where it had ended before.' })
  revoked!: boolean;
}

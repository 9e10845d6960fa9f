import { Directive, Field, ID, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { idColumn, primaryId } from '#kit/columns.ts';

const RETENTION = 'until it is removed or the person leaves the tenant';

/** What somebody holds to sign in with, as the graph names it. */
export enum FactorKind {
  PASSKEY = 'passkey',
  TOTP = 'totp',
}
registerEnumType(FactorKind, {
  name: 'FactorKind',
  description: 'What somebody holds to sign in with.',
  valuesConfig: {
    PASSKEY: { description: 'A passkey (WebAuthn), which stands for both factors.' },
    TOTP: { description: 'An authenticator application (RFC 6238), which is a second factor.' },
  },
});

/** How somebody signs in without an identity provider, as the graph names it. */
export enum LocalMethod {
  SIGN_IN_LINK = 'sign_in_link',
  PASSKEY = 'passkey',
}
registerEnumType(LocalMethod, {
  name: 'LocalSignInMethod',
  description: 'How somebody signs in without an identity provider.',
  valuesConfig: {
    SIGN_IN_LINK: { description: 'A one-time link, mailed to her.' },
    PASSKEY: { description: 'A passkey.' },
  },
});

/** Something that a person holds to sign in with; its secret or key is never shown. */
@ObjectType({ description: 'Something that a person holds to sign in with.' })
@Entity('sign_in_factors')
export class SignInFactor {
  @Field(() => ID)
  @PrimaryColumn(primaryId('fct'))
  id!: string;

  @Column(idColumn('usr', { name: 'user_id' }))
  userId!: string;

  @Field(() => FactorKind)
  @Column('text')
  kind!: FactorKind;

  @Field(() => String, { description: 'What she calls it.' })
  @Directive(`@personalData(category: "identifier", purpose: "telling her factors apart", retention: "${RETENTION}")`)
  @Column('text')
  name!: string;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether a passkey is copied between her devices; null for other factors.',
  })
  @Column('boolean', { name: 'backed_up', nullable: true })
  backedUp!: boolean | null;

  @Column('timestamptz', { name: 'confirmed_at', nullable: true })
  confirmedAt!: Date | null;

  @Field(() => Date)
  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Field(() => Date, { nullable: true })
  @Directive(`@personalData(category: "activity", purpose: "noticing what is unused", retention: "${RETENTION}")`)
  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;
}

/** What the tenant asks of those who sign in without an identity provider. */
@ObjectType({
  description: 'What the tenant asks of those who sign in without an identity provider.',
  simpleResolvers: true,
})
export class SignInPolicy {
  @Field(() => [LocalMethod], { description: 'The ways that are open.' })
  localMethods!: LocalMethod[];

  @Field(() => Boolean, {
    description: 'Whether a sign-in link alone is not enough: a code has to follow it. A passkey is both.',
  })
  requireSecondFactor!: boolean;
}

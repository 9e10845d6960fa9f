import { IsIn, IsOptional, Length } from 'class-validator';
import { Field, ID, InputType, ObjectType, registerEnumType } from 'type-graphql';
import { connectionOf } from '#kit/connection.ts';
import { ERASURE_BASES } from '#schema/audit-actions/audit.ts';
import { UserReference } from './model.ts';

/** Why erasure is asked for. */
export type ErasureBasis = (typeof ERASURE_BASES)[number];

/** The grounds of Article 17(1) GDPR by the names of the graph. */
export const ErasureBasisEnum = {
  NO_LONGER_NECESSARY: 'no_longer_necessary',
  CONSENT_WITHDRAWN: 'consent_withdrawn',
  OBJECTION: 'objection',
  UNLAWFUL_PROCESSING: 'unlawful_processing',
  LEGAL_OBLIGATION: 'legal_obligation',
  CHILD_SERVICES: 'child_services',
} as const satisfies Record<Uppercase<ErasureBasis>, ErasureBasis>;
registerEnumType(ErasureBasisEnum, {
  name: 'ErasureBasis',
  description: 'Why erasure is asked for (GDPR Article 17(1)).',
});

/** How far an erasure is. */
export type ErasureState = 'requested' | 'erased';

/** The states by the names of the graph. */
export const ErasureStateEnum = { REQUESTED: 'requested', ERASED: 'erased' } as const satisfies Record<
  Uppercase<ErasureState>,
  ErasureState
>;
registerEnumType(ErasureStateEnum, {
  name: 'ErasureState',
  description: 'How far an erasure is. The key is destroyed at once; ERASED is when all else is gone, too.',
});

/** The erasure of a person. */
@ObjectType({ description: 'The erasure of a person (GDPR Article 17), proven by the log that it erased her from.' })
export class Erasure {
  @Field(() => ID, { description: 'The id of the event in the audit log that tells of it.' })
  id!: string;

  @Field(() => UserReference, {
    nullable: true,
    description: 'Known by her id alone; null where a whole tenant ended.',
  })
  subject!: UserReference | null;

  @Field(() => String, { nullable: true, description: 'The name of the destroyed key.' })
  keyId!: string | null;

  @Field(() => String, { description: 'Why it was asked for.' })
  basis!: string;

  @Field(() => String, { nullable: true, description: 'What the request is called in the books of the tenant.' })
  request!: string | null;

  @Field(() => ErasureStateEnum)
  state!: ErasureState;

  @Field(() => Date)
  requestedAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When nothing was left.' })
  erasedAt!: Date | null;

  @Field(() => String, { nullable: true, description: 'Where the signed certificate is; null until it is made.' })
  certificateUrl!: string | null;
}

@InputType()
export class EraseSubjectInput {
  @Field(() => ID, { description: 'The user to erase.' })
  userId!: string;

  @Field(() => ErasureBasisEnum)
  @IsIn(ERASURE_BASES)
  basis!: ErasureBasis;

  @Field(() => String, {
    nullable: true,
    description: 'What the request is called in your books; it stays in the log, so it must name nobody.',
  })
  @IsOptional()
  @Length(1, 200)
  request?: string | null;
}

@ObjectType()
export class EraseSubjectPayload {
  @Field(() => Erasure)
  erasure!: Erasure;
}

/** Pages of erasures. */
export const ErasureConnection = connectionOf('Erasure', Erasure);

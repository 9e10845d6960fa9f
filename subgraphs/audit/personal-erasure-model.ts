import { IsDate, IsIn, IsOptional, Length } from 'class-validator';
import { Field, ID, InputType, ObjectType, registerEnumType } from 'type-graphql';
import { GraphQLSafeInt } from 'graphql-scalars';
import { connectionOf } from '#kit/connection.ts';
import type { ErasedStore } from '#kit/personal-data.ts';
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
export type ErasureState = 'requested' | 'held' | 'erased';

/** The states by the names of the graph. */
export const ErasureStateEnum = { REQUESTED: 'requested', HELD: 'held', ERASED: 'erased' } as const satisfies Record<
  Uppercase<ErasureState>,
  ErasureState
>;
registerEnumType(ErasureStateEnum, {
  name: 'ErasureState',
  description:
    'How far an erasure is. The key is destroyed at once; ERASED is when all else is gone, too, and HELD while a legal hold stops that.',
});

/** How a store lets go of what was personal. */
export const ErasureMethodEnum = {
  DELETED: 'deleted',
  CLEARED: 'cleared',
  WITHDRAWN: 'withdrawn',
  KEY_DESTROYED: 'key_destroyed',
} as const satisfies Record<Uppercase<ErasedStore['method']>, ErasedStore['method']>;
registerEnumType(ErasureMethodEnum, {
  name: 'ErasureMethod',
  description: 'How a store lets go of what was personal.',
  valuesConfig: {
    CLEARED: { description: 'The rows stay, without what was personal in them.' },
    WITHDRAWN: { description: 'What was made for download is there no more, and can be asked for anew.' },
    KEY_DESTROYED: { description: 'Ciphertext stays, under a key that is destroyed.' },
  },
});

/** What became of one store. */
@ObjectType({ description: 'What became of one store.' })
export class ErasureStore {
  @Field(() => String)
  store!: string;

  @Field(() => ErasureMethodEnum)
  method!: ErasedStore['method'];

  @Field(() => GraphQLSafeInt, { description: 'How many rows went or, under a destroyed key, how many there are.' })
  rows!: number;

  @Field(() => GraphQLSafeInt, { description: 'How many a search has found afterwards.' })
  left!: number;

  @Field(() => Date, {
    nullable: true,
    description: 'When what stays under a destroyed key is gone, where it is known.',
  })
  keptUntil!: Date | null;
}

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

  @Field(() => [ErasureStore], { description: 'What became of each store; empty until nothing is left.' })
  stores!: ErasureStore[];
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

  @Field(() => Date, { nullable: true, description: 'When she asked; by default now.' })
  @IsOptional()
  @IsDate()
  receivedAt?: Date | null;
}

@ObjectType()
export class EraseSubjectPayload {
  @Field(() => Erasure)
  erasure!: Erasure;
}

/** Pages of erasures. */
export const ErasureConnection = connectionOf('Erasure', Erasure);

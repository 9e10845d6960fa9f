import { GraphQLSafeInt } from 'graphql-scalars';
import { IsDate, IsIn } from 'class-validator';
import { Directive, Field, ID, InputType, ObjectType, registerEnumType } from 'type-graphql';
import { connectionOf } from '#kit/connection.ts';
import { UserReference } from './model.ts';

/** The kinds of pack. */
export type EvidenceKind = 'soc2' | 'gdpr_access' | 'tenant_export';
/** How far a pack is. */
export type EvidenceState = 'requested' | 'building' | 'ready' | 'failed' | 'expired';

/** The kinds by the names of the graph. */
export const EvidenceKindEnum = {
  SOC2: 'soc2',
  GDPR_ACCESS: 'gdpr_access',
  TENANT_EXPORT: 'tenant_export',
} as const satisfies Record<Uppercase<EvidenceKind>, EvidenceKind>;
registerEnumType(EvidenceKindEnum, {
  name: 'EvidenceKind',
  description:
    'Controls and populations of a SOC 2 window, all that is held of one person (GDPR Article 15), or all that the tenant has.',
});

/** The states by the names of the graph. */
export const EvidenceStateEnum = {
  REQUESTED: 'requested',
  BUILDING: 'building',
  READY: 'ready',
  FAILED: 'failed',
  EXPIRED: 'expired',
} as const satisfies Record<Uppercase<EvidenceState>, EvidenceState>;
registerEnumType(EvidenceStateEnum, {
  name: 'EvidenceState',
  description: 'How far an evidence pack is; 30 days after it was ready it has expired, and can be asked for anew.',
});

/** A signed zip that somebody can verify offline. */
@ObjectType({ description: 'A signed zip over a window of time, verified offline with `tenon verify`.' })
@Directive('@control(ids: ["CC4.1", "CC7.3"])')
export class EvidencePack {
  @Field(() => ID)
  id!: string;

  @Field(() => EvidenceKindEnum)
  kind!: EvidenceKind;

  @Field(() => UserReference, { nullable: true, description: 'The person that an access export is about.' })
  subject!: UserReference | null;

  @Field(() => Date, { description: 'The beginning of the window.' })
  from!: Date;

  @Field(() => Date, { description: 'The end of the window, which is outside.' })
  to!: Date;

  @Field(() => EvidenceStateEnum)
  state!: EvidenceState;

  @Field(() => String, { description: 'The id of the user or key that asked for it.' })
  requestedBy!: string;

  @Field(() => Date)
  requestedAt!: Date;

  @Field(() => Date, { nullable: true })
  finishedAt!: Date | null;

  @Field(() => GraphQLSafeInt, { nullable: true })
  sizeBytes!: number | null;

  @Field(() => String, { nullable: true, description: 'Of the zip, in lower-case hex.' })
  sha256!: string | null;

  @Field(() => String, { nullable: true, description: 'Why it could not be built.' })
  failure!: string | null;

  @Field(() => String, { nullable: true, description: 'Where the zip is; null until it is ready.' })
  downloadUrl!: string | null;
}

@InputType()
export class RequestEvidenceInput {
  @Field(() => EvidenceKindEnum)
  @IsIn(Object.values(EvidenceKindEnum))
  kind!: EvidenceKind;

  @Field(() => Date)
  @IsDate()
  from!: Date;

  @Field(() => Date, { description: 'The end of the window, which is outside.' })
  @IsDate()
  to!: Date;

  @Field(() => ID, {
    nullable: true,
    description: 'The user that an access export is about; only there, and there needed.',
  })
  subject?: string | null;
}

@ObjectType()
export class RequestEvidencePayload {
  @Field(() => EvidencePack)
  pack!: EvidencePack;
}

/** Pages of packs. */
export const EvidencePackConnection = connectionOf('EvidencePack', EvidencePack);

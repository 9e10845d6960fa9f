import { Directive, Field, ObjectType, registerEnumType } from 'type-graphql';
import type { Residency } from '#schema/residency.ts';

/** Where something lies, by the names of the graph. */
export const ResidencyEnum = {
  STAYS: 'stays',
  LEAVES: 'leaves',
  PASSES: 'passes',
  NAMED: 'named',
} as const satisfies Record<Uppercase<Residency>, Residency>;
registerEnumType(ResidencyEnum, {
  name: 'Residency',
  description: 'Where something of the tenant lies, by her region.',
  valuesConfig: {
    STAYS: { description: 'In her region.' },
    LEAVES: { description: 'Taken for outside of it, wherever it stands: cells of several regions share it.' },
    PASSES: { description: 'Seen outside of it, and kept nowhere.' },
    NAMED: { description: 'At addresses that she has named.' },
  },
});

/** A kind of what is stored. */
@ObjectType({ description: 'A kind of what is stored.' })
export class DataClassView {
  @Field(() => String)
  name!: string;

  @Field(() => String)
  about!: string;
}

/** One place that holds or sees something of the tenant. */
@ObjectType({ description: 'A place that holds or sees something of the tenant.' })
export class ResidencyPlace {
  @Field(() => String, { description: 'Such as `tenant_database`, `archive`, `mail`.' })
  place!: string;

  @Field(() => ResidencyEnum)
  residency!: Residency;

  @Field(() => [DataClassView])
  @Directive('@listSize(assumedSize: 5)')
  holds!: DataClassView[];

  @Field(() => String, { description: 'What of it, and why it is where it is.' })
  why!: string;
}

/** Where everything of a tenant lies. */
@ObjectType({ description: 'Where everything of the tenant lies, by the schema and the settings of the platform.' })
export class TenantResidency {
  @Field(() => String)
  region!: string;

  @Field(() => String)
  cell!: string;

  @Field(() => [ResidencyPlace])
  @Directive('@listSize(assumedSize: 20)')
  places!: ResidencyPlace[];
}

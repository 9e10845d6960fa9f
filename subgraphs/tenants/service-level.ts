import { Field, Float, Int, ObjectType } from 'type-graphql';

/** What a tier was promised. */
@ObjectType({ description: 'What a tier is promised.' })
export class ServiceLevelObjective {
  @Field(() => Int, { description: '99 of 100 requests are answered within so many milliseconds.' })
  p99Ms!: number;

  @Field(() => Float, { description: 'Share of requests that do not fail inside.' })
  availability!: number;
}

/** What a tenant got in one hour. */
@ObjectType({ description: 'What the platform delivered in one hour, beside what it had promised.' })
export class ServiceLevel {
  @Field(() => Date, { description: 'When the hour began.' })
  hour!: Date;

  @Field(() => Int, { description: 'Requests that were carried out; refused ones count neither way.' })
  requests!: number;

  @Field(() => Float, { description: 'Share of them that did not fail inside.' })
  availability!: number;

  @Field(() => Float, { description: 'Half of them took no longer, within 5 %.' })
  p50Ms!: number;

  @Field(() => Float, { description: '95 of 100 took no longer, within 5 %.' })
  p95Ms!: number;

  @Field(() => Float, { description: '99 of 100 took no longer, within 5 %.' })
  p99Ms!: number;

  @Field(() => ServiceLevelObjective, { description: 'The objective of the tier in that hour.' })
  objective!: ServiceLevelObjective;

  @Field(() => Boolean, { description: 'Whether both objectives were kept; slow requests are counted one by one.' })
  met!: boolean;
}

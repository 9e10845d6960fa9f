import { GraphQLJSONObject } from 'graphql-scalars';
import { Field, ID, InputType, Int, ObjectType } from 'type-graphql';
import { Decimal } from './decimal.ts';
import { Invoice } from './model.ts';

/** The event of the REST door, in the names of the graph. */
@InputType({ description: 'Something that a user consumed.' })
export class UsageEventInput {
  @Field(() => ID, {
    nullable: true,
    description: 'evt_ and 26 characters of base 32, such as a ULID; made where it is missing.',
  })
  eventId?: string | null;

  @Field(() => ID, { nullable: true })
  userId?: string | null;

  @Field(() => String)
  metric!: string;

  @Field(() => Decimal)
  value!: string;

  @Field(() => Date, { description: 'When it happened: at most 35 days ago and 5 minutes ahead.' })
  timestamp!: Date;

  @Field(() => String, { description: 'Your own key: the same event under the same key counts once.' })
  idempotency!: string;

  @Field(() => GraphQLJSONObject, { nullable: true, description: 'At most 20 keys with short strings.' })
  metadata?: Readonly<Record<string, unknown>> | null;
}

/** What `recordUsage` takes. */
@InputType()
export class RecordUsageInput {
  @Field(() => [UsageEventInput], { description: '1 to 1,000 events; all are stored, or none.' })
  events!: UsageEventInput[];
}

/** What became of the events. */
@ObjectType()
export class RecordUsagePayload {
  @Field(() => Int, { description: 'Events that were stored.' })
  accepted!: number;

  @Field(() => Int, { description: 'Events that were stored before; they count once.' })
  duplicates!: number;

  @Field(() => ID, { description: 'The audit event that this wrote.' })
  auditEventId!: string;
}

/** What `draftInvoice` takes: a period. */
@InputType()
export class DraftInvoiceInput {
  @Field(() => Date, { description: 'The first moment of the period.' })
  periodStart!: Date;

  @Field(() => Date, { description: 'The first moment after the period.' })
  periodEnd!: Date;
}

/** The draft of the period. */
@ObjectType()
export class DraftInvoicePayload {
  @Field(() => Invoice)
  invoice!: Invoice;
}

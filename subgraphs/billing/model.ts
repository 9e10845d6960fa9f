import { Directive, Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { primaryId } from '#kit/columns.ts';
import { connectionOf } from '#kit/connection.ts';
import { Decimal } from './decimal.ts';

/** How far an invoice has come. */
export enum InvoiceStatus {
  DRAFT = 'draft',
}
registerEnumType(InvoiceStatus, { name: 'InvoiceStatus', description: 'How far an invoice has come.' });

/** How amounts are rounded to the minor unit of a currency. */
export enum RoundingMode {
  HALF_UP = 'half_up',
}
registerEnumType(RoundingMode, {
  name: 'RoundingMode',
  description: 'How an amount is rounded to the minor unit of its currency.',
  valuesConfig: { HALF_UP: { description: 'To the nearest; a half away from zero.' } },
});

/** How the events of a period become one quantity. */
export enum Aggregation {
  SUM = 'sum',
  MAX = 'max',
}
registerEnumType(Aggregation, {
  name: 'UsageAggregation',
  description: 'How the usage events of a period become one quantity.',
  valuesConfig: { SUM: { description: 'Added up.' }, MAX: { description: 'The highest value that was reported.' } },
});

/** A tenant of the tenants subgraph, known here by her id alone. */
@ObjectType('Tenant')
@Directive('@key(fields: "id", resolvable: false)')
export class TenantReference {
  @Field(() => ID)
  id!: string;
}

/** The part of a line's quantity that fell into one step of its price. */
@ObjectType({
  simpleResolvers: true,
  description: "The part of a quantity that fell into one step of a metric's price.",
})
export class InvoiceTier {
  @Field(() => Decimal, { nullable: true, description: 'The upper end of the step; null for the last one.' })
  upTo!: string | null;

  @Field(() => Decimal)
  unitPrice!: string;

  @Field(() => Decimal)
  quantity!: string;

  @Field(() => Decimal)
  amount!: string;
}

/** What one metric costs in the period of an invoice. */
@ObjectType({ simpleResolvers: true, description: 'What one metric costs in the period of an invoice.' })
@Entity('invoice_lines')
export class InvoiceLine {
  @PrimaryColumn({ ...primaryId('inv'), name: 'invoice_id' })
  invoiceId!: string;

  @Field(() => Int)
  @PrimaryColumn('integer')
  position!: number;

  @Field(() => String)
  @Column('text')
  metric!: string;

  @Field(() => Decimal)
  @Column('numeric')
  quantity!: string;

  @Field(() => Decimal, { description: 'Exact, in major units of the currency.' })
  @Column('numeric')
  amount!: string;

  @Field(() => Decimal, { description: 'Rounded, in minor units of the currency (cents).' })
  @Column('numeric', { name: 'amount_minor' })
  amountMinor!: string;

  @Field(() => [InvoiceTier])
  @Directive('@listSize(assumedSize: 5)')
  @Column('jsonb')
  tiers!: InvoiceTier[];
}

/** An invoice over a period, rated by one price plan. */
@ObjectType({ description: 'An invoice over a period, rated by one price plan.' })
@Directive('@key(fields: "id")')
@Directive('@permission(scope: "billing:read")')
@Entity('invoices')
export class Invoice {
  @Field(() => ID)
  @PrimaryColumn(primaryId('inv'))
  id!: string;

  @Field(() => String, { description: 'INV-, the year and a number; without a gap in a year of the tenant.' })
  @Column('text')
  number!: string;

  @Field(() => InvoiceStatus)
  @Column('text')
  status!: InvoiceStatus;

  @Field(() => String)
  @Column('text')
  plan!: string;

  @Field(() => Int)
  @Column('integer', { name: 'plan_version' })
  planVersion!: number;

  @Field(() => String, { description: 'ISO 4217 code.' })
  @Column('text')
  currency!: string;

  @Field(() => Int, { description: "Decimals of the currency's minor unit." })
  @Column('smallint')
  exponent!: number;

  @Field(() => RoundingMode)
  @Column('text')
  rounding!: RoundingMode;

  @Field(() => Date, { description: 'The first moment of the period.' })
  @Column('timestamptz', { name: 'period_start' })
  periodStart!: Date;

  @Field(() => Date, { description: 'The first moment after the period.' })
  @Column('timestamptz', { name: 'period_end' })
  periodEnd!: Date;

  @Field(() => Decimal, { description: 'The sum of the rounded lines, in minor units of the currency (cents).' })
  @Column('numeric', { name: 'total_minor' })
  totalMinor!: string;

  @Field(() => Date, { description: 'When it was last drafted.' })
  @Column('timestamptz', { name: 'drafted_at' })
  draftedAt!: Date;
}

/** What a metric of a period comes to so far. */
@ObjectType({ simpleResolvers: true, description: 'What a metric comes to in a period, by the plan of that period.' })
export class UsageSummary {
  @Field(() => String)
  metric!: string;

  @Field(() => Aggregation)
  aggregation!: Aggregation;

  @Field(() => Decimal)
  quantity!: string;

  @Field(() => Decimal, { description: 'Exact, in major units of the currency.' })
  amount!: string;

  @Field(() => String, { description: 'ISO 4217 code.' })
  currency!: string;
}

/** A step of a price. */
@ObjectType('PriceTier', {
  simpleResolvers: true,
  description: 'A step of a price: what lies in it costs the unit price each.',
})
export class PriceTierView {
  @Field(() => Decimal, { nullable: true, description: 'The upper end of the step; null for the last one.' })
  upTo!: string | null;

  @Field(() => Decimal)
  unitPrice!: string;
}

/** The price of a metric. */
@ObjectType('PriceRule', {
  simpleResolvers: true,
  description: 'The price of a metric: one step where it is flat, several where it is graduated.',
})
export class PriceRuleView {
  @Field(() => String)
  metric!: string;

  @Field(() => Aggregation)
  aggregation!: Aggregation;

  @Field(() => [PriceTierView])
  @Directive('@listSize(assumedSize: 5)')
  tiers!: PriceTierView[];
}

/** A price plan as the graph shows it. */
@ObjectType('PricePlan', {
  simpleResolvers: true,
  description: 'What each metric costs; a version never changes once it is published.',
})
export class PricePlanView {
  @Field(() => String)
  name!: string;

  @Field(() => Int)
  version!: number;

  @Field(() => String, { description: 'ISO 4217 code.' })
  currency!: string;

  @Field(() => RoundingMode, { description: 'How a line of an invoice is rounded.' })
  rounding!: RoundingMode;

  @Field(() => [PriceRuleView])
  @Directive('@listSize(assumedSize: 5)')
  rules!: PriceRuleView[];
}

/** Pages of invoices. */
export const InvoiceConnection = connectionOf('Invoice', Invoice);

import { Arg, Args, Ctx, Directive, FieldResolver, ID, Mutation, Query, Resolver, Root } from 'type-graphql';
import { ConnectionArgs } from '#kit/connection.ts';
import { loaderOf } from '#kit/define-subgraph.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { Decimal } from './decimal.ts';
import {
  DraftInvoiceInput,
  DraftInvoicePayload,
  RecordUsageInput,
  RecordUsagePayload,
  type UsageEventInput,
} from './inputs.ts';
import { Invoice, InvoiceConnection, InvoiceLine, PricePlanView, TenantReference, UsageSummary } from './model.ts';
import { majorUnits } from './pricing.ts';
import { currentPlan, draftInvoice, findInvoice, findInvoiceLines, listInvoices, summarizeUsage } from './service.ts';
import { recordUsage } from './usage.ts';

/** Usage, plans and invoices of the tenant. */
@Resolver(() => Invoice)
export class InvoiceResolver {
  @Query(() => InvoiceConnection, { description: 'The invoices of the tenant, newest first.' })
  @Directive('@listSize(slicingArguments: ["first"], sizedFields: ["edges"], requireOneSlicingArgument: false)')
  @Directive('@permission(scope: "billing:read")')
  async invoices(@Ctx() ctx: RequestContext, @Args(() => ConnectionArgs) args: ConnectionArgs) {
    return listInvoices(ctx, args);
  }

  @Query(() => Invoice, { nullable: true, description: 'One invoice, or null where the tenant has none of that id.' })
  @Directive('@permission(scope: "billing:read")')
  async invoice(@Ctx() ctx: RequestContext, @Arg('id', () => ID) id: string) {
    return findInvoice(ctx, id);
  }

  @Mutation(() => DraftInvoicePayload, {
    description: "Rates a period's usage into its draft invoice; drafting again replaces the lines.",
  })
  @Directive('@audit(action: "invoice.draft")')
  @Directive('@control(ids: ["PI1.3"])')
  @Directive('@cost(weight: 50)')
  @Directive('@permission(scope: "billing:write")')
  async draftInvoice(@Ctx() ctx: RequestContext, @Arg('input', () => DraftInvoiceInput) input: DraftInvoiceInput) {
    const invoice = await draftInvoice(ctx, { start: input.periodStart, end: input.periodEnd });
    // An earlier draft of the same request may have loaded the lines that this one replaced.
    loaderOf(ctx, 'InvoiceLines', findInvoiceLines).clear(invoice.id);
    return { invoice };
  }

  @FieldResolver(() => TenantReference, { description: 'Whom it is for.' })
  tenant(@Ctx() ctx: RequestContext): TenantReference {
    return { id: ctx.tenant.tenant };
  }

  @FieldResolver(() => [InvoiceLine], { description: 'One line for each metric of the plan.' })
  @Directive('@listSize(assumedSize: 5)')
  async lines(@Root() invoice: Invoice, @Ctx() ctx: RequestContext) {
    const found = await loaderOf(ctx, 'InvoiceLines', findInvoiceLines).load(invoice.id);
    return (found as { lines: InvoiceLine[] } | null)?.lines ?? [];
  }

  @FieldResolver(() => Decimal, { description: 'The sum of the rounded lines, in major units of the currency.' })
  total(@Root() invoice: Invoice): string {
    return majorUnits(invoice.totalMinor, invoice.exponent);
  }
}

/** What was consumed, and at which prices. */
@Resolver()
export class UsageResolver {
  @Query(() => PricePlanView, { description: 'The price plan that the tenant is on.' })
  @Directive('@permission(scope: "billing:read")')
  async pricePlan(@Ctx() ctx: RequestContext) {
    return currentPlan(ctx);
  }

  @Query(() => [UsageSummary], {
    description: 'What each metric comes to in a period, from its first moment up to the end that is not part of it.',
  })
  @Directive('@listSize(assumedSize: 5)')
  @Directive('@cost(weight: 20)')
  @Directive('@permission(scope: "billing:read")')
  async usageSummary(
    @Ctx() ctx: RequestContext,
    @Arg('periodStart', () => Date) start: Date,
    @Arg('periodEnd', () => Date) end: Date,
  ) {
    return summarizeUsage(ctx, { start, end });
  }

  @Mutation(() => RecordUsagePayload, {
    description: 'Stores usage events, all or none; the same event under the same key counts once.',
  })
  @Directive('@audit(action: "usage.record")')
  @Directive('@control(ids: ["PI1.2"])')
  @Directive('@permission(scope: "usage:write")')
  async recordUsage(@Ctx() ctx: RequestContext, @Arg('input', () => RecordUsageInput) input: RecordUsageInput) {
    return recordUsage(ctx, { items: input.events.map(wireEvent), nameOf: nameInGraph });
  }
}

/** The graph's event in the shape of the REST door, so that one reader checks both. */
function wireEvent(event: UsageEventInput): Record<string, unknown> {
  return {
    event_id: event.eventId,
    user_id: event.userId,
    metric: event.metric,
    value: event.value,
    timestamp: event.timestamp.toISOString(),
    idempotency: event.idempotency,
    metadata: event.metadata,
  };
}

function nameInGraph(index: number, field?: string): string {
  const name = field?.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return `input.events[${index}]${name === undefined ? '' : `.${name}`}`;
}

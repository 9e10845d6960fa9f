import { In } from 'typeorm';
import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOrNull } from '#schema/ids.ts';
import {
  Aggregation,
  Invoice,
  InvoiceLine,
  InvoiceStatus,
  RoundingMode,
  type PricePlanView,
  type UsageSummary,
} from './model.ts';
import { METRICS, type PricePlan } from './pricing-plans.ts';
import { rate, sumMinor, tiersOf, type RatedLine } from './pricing.ts';
import { planAt, planNow, settleSubscription } from './subscription.ts';
import { readUsage, type Period } from './usage.ts';

/** A year and a day of leap: no invoice is about more, and it bounds what a query has to add up. */
const PERIOD_MAX_MS = 366 * 24 * 3_600_000;

/** Returns a page of the tenant's invoices, newest first. */
export async function listInvoices(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<Invoice>> {
  const request = pageRequest(args);
  const rows = await inTenant(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(Invoice, 'row'), request, 'inv').getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the invoice, or null where the tenant has none of that id. */
export async function findInvoice(ctx: RequestContext, id: string): Promise<Invoice | null> {
  const [invoice] = await findInvoices(ctx, [id]);
  return invoice ?? null;
}

/** Returns the tenant's invoices among the ids. */
export async function findInvoices(ctx: RequestContext, ids: readonly string[]): Promise<Invoice[]> {
  const known = ids.filter((id) => uuidOrNull('inv', id) !== null);
  return inTenant(ctx, ({ manager }) => manager.findBy(Invoice, { id: In(known) }));
}

/** Returns the lines of each of the tenant's invoices among the ids, in their order on the invoice. */
export async function findInvoiceLines(
  ctx: RequestContext,
  ids: readonly string[],
): Promise<{ id: string; lines: InvoiceLine[] }[]> {
  const lines = await inTenant(ctx, ({ manager }) =>
    manager.find(InvoiceLine, { where: { invoiceId: In([...ids]) }, order: { position: 'asc' } }),
  );
  return ids.map((id) => ({ id, lines: lines.filter((line) => line.invoiceId === id) }));
}

/** Returns the plan that the tenant's usage of this moment is rated by. */
export async function currentPlan(ctx: RequestContext): Promise<PricePlanView> {
  const plan = await inTenant(ctx, (tx) => planNow(tx, ctx));
  return {
    name: plan.name,
    version: plan.version,
    currency: plan.currency.code,
    rounding: RoundingMode.HALF_UP,
    rules: plan.rules.map((rule) => ({
      metric: rule.metric,
      aggregation: aggregationOf(rule.metric),
      tiers: tiersOf(rule).map(({ upTo, unit }) => ({ upTo, unitPrice: unit })),
    })),
  };
}

/** Returns what each metric of the period's plan comes to; a period that is empty or longer than 366 days is BAD_USER_INPUT. */
export async function summarizeUsage(ctx: RequestContext, period: Period): Promise<UsageSummary[]> {
  requirePeriod(period);
  const { plan, lines } = await inTenant(ctx, (tx) => rateUsage(tx, ctx, period));
  return lines.map(({ metric, quantity, amount }) => {
    return { metric, aggregation: aggregationOf(metric), quantity, amount, currency: plan.currency.code };
  });
}

/**
 * Rates a period's usage into the tenant's one draft of that period, with its audit event, in one transaction. Drafting
 * again keeps number and id and replaces the lines. A period that overlaps the one of another invoice is CONFLICT, since
 * the same usage would be charged twice; one that is empty or longer than 366 days is BAD_USER_INPUT.
 */
export async function draftInvoice(ctx: RequestContext, period: Period): Promise<Invoice> {
  requirePeriod(period);
  return inTenant(ctx, async (tx) => {
    const counter = await lockCounter(tx);
    await settleSubscription(tx, ctx);
    const { plan, lines } = await rateUsage(tx, ctx, period);
    const before = await findDraft(tx, period);
    const id = before?.id ?? mintId('inv');
    const rated = {
      ...termsOf(plan),
      totalMinor: sumMinor(lines.map((line) => line.amountMinor)),
      draftedAt: ctx.clock(),
    };
    if (before === null) {
      const number = await nextNumber(tx, counter, ctx.clock().getUTCFullYear());
      await tx.manager.insert(Invoice, {
        id,
        number,
        status: InvoiceStatus.DRAFT,
        periodStart: period.start,
        periodEnd: period.end,
        ...rated,
      });
    } else {
      await tx.manager.update(Invoice, { id }, rated);
      await tx.manager.delete(InvoiceLine, { invoiceId: id });
    }
    await tx.manager.insert(
      InvoiceLine,
      lines.map((line, index) => lineOf(id, index + 1, line)),
    );
    const invoice = await tx.manager.findOneByOrFail(Invoice, { id });
    await appendDraftAudit(tx, ctx, { invoice, again: before !== null });
    return invoice;
  });
}

async function rateUsage(
  tx: TenantTransaction,
  ctx: RequestContext,
  period: Period,
): Promise<{ plan: PricePlan; lines: RatedLine[] }> {
  const plan = await planAt(tx, ctx, period.end);
  const usage = await readUsage(
    tx,
    plan.rules.map((rule) => rule.metric),
    period,
  );
  return { plan, lines: plan.rules.map((rule) => rate(plan, rule, usage.get(rule.metric) ?? '0')) };
}

interface Counter {
  readonly year: number;
  readonly last_number: number;
}

/** Makes the drafts of a tenant follow one another: the row stays locked until the transaction ends. */
async function lockCounter(tx: TenantTransaction): Promise<Counter> {
  await tx.query('insert into invoice_counters default values on conflict do nothing');
  const [counter] = await tx.query<Counter>('select year, last_number from invoice_counters for update');
  return counter ?? fail('INTERNAL_SERVER_ERROR', 'the tenant has no invoice counter');
}

/** Numbers start again every year; a clock that jumps back goes on in the later year, so that none is given twice. */
async function nextNumber(tx: TenantTransaction, counter: Counter, thisYear: number): Promise<string> {
  const year = Math.max(thisYear, counter.year);
  const number = year === counter.year ? counter.last_number + 1 : 1;
  await tx.query('update invoice_counters set year = $1, last_number = $2', [year, number]);
  return `INV-${year}-${String(number).padStart(6, '0')}`;
}

async function findDraft(tx: TenantTransaction, period: Period): Promise<Invoice | null> {
  const overlapping = await tx.manager
    .createQueryBuilder(Invoice, 'row')
    .where('row.periodStart < :end and row.periodEnd > :start', period)
    .getMany();
  const same = overlapping.find(
    (invoice) =>
      invoice.periodStart.getTime() === period.start.getTime() && invoice.periodEnd.getTime() === period.end.getTime(),
  );
  const other = overlapping.find((invoice) => invoice !== same);
  if (other !== undefined)
    fail('CONFLICT', 'the period overlaps another invoice', {
      hint: `Its period overlaps the one of ${other.number}.`,
    });
  return same ?? null;
}

function termsOf(plan: PricePlan): Pick<Invoice, 'plan' | 'planVersion' | 'currency' | 'exponent' | 'rounding'> {
  const { code, exponent } = plan.currency;
  return { plan: plan.name, planVersion: plan.version, currency: code, exponent, rounding: RoundingMode.HALF_UP };
}

function lineOf(
  invoiceId: string,
  position: number,
  { metric, quantity, amount, amountMinor, tiers }: RatedLine,
): InvoiceLine {
  return { invoiceId, position, metric, quantity, amount, amountMinor, tiers: [...tiers] };
}

async function appendDraftAudit(
  tx: TenantTransaction,
  ctx: RequestContext,
  { invoice, again }: { invoice: Invoice; again: boolean },
): Promise<void> {
  await appendAudit(tx, ctx, {
    action: 'invoice.draft',
    resource: { type: 'invoice', id: invoice.id, name: invoice.number },
    context: {
      period_start: invoice.periodStart.toISOString(),
      period_end: invoice.periodEnd.toISOString(),
      plan: `${invoice.plan}/${invoice.planVersion}`,
      total_minor: invoice.totalMinor,
      currency: invoice.currency,
      again,
    },
  });
}

function aggregationOf(metric: keyof typeof METRICS): Aggregation {
  return METRICS[metric].aggregation === 'max' ? Aggregation.MAX : Aggregation.SUM;
}

function requirePeriod({ start, end }: Period): void {
  const lengthMs = end.getTime() - start.getTime();
  if (!(lengthMs > 0 && lengthMs <= PERIOD_MAX_MS)) {
    fail('BAD_USER_INPUT', 'no period to bill', { hint: 'periodEnd must be after periodStart, by 366 days at most.' });
  }
}

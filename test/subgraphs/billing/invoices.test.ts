import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RequestContext } from '#kit/request-context.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import { ask, nextRequest, openBilling, record, usage, type BillingPlatform } from './billing-platform.ts';

const MAY = { periodStart: '2026-05-01T00:00:00.000Z', periodEnd: '2026-06-01T00:00:00.000Z' };
const APRIL = { periodStart: '2026-04-01T00:00:00.000Z', periodEnd: '2026-05-01T00:00:00.000Z' };
const JUNE = { periodStart: '2026-06-01T00:00:00.000Z', periodEnd: '2026-07-01T00:00:00.000Z' };

const DRAFT = `mutation ($input: DraftInvoiceInput!) { draftInvoice(input: $input) { invoice {
  id number status plan planVersion currency rounding periodStart periodEnd draftedAt totalMinor total tenant { id }
  lines { position metric quantity amount amountMinor tiers { upTo unitPrice quantity amount } }
} } }`;

let house: BillingPlatform;
let tenants = 0;
let acme: RequestContext;

beforeAll(async () => {
  house = await openBilling();
});

beforeEach(async () => {
  house.setNow('2026-05-20T12:00:00Z');
  tenants += 1;
  acme = await house.addTenant(`tenant-${tenants}`, 'ENTERPRISE');
});

describe('draftInvoice', () => {
  test('rates the usage of the period by the plan of the deck', async () => {
    await report(acme, [
      { value: '12345678', timestamp: '2026-05-04T10:00:00Z' },
      { metric: 'seats', value: 5, timestamp: '2026-05-02T00:00:00Z' },
      { metric: 'seats', value: 17, timestamp: '2026-05-10T00:00:00Z' },
      { metric: 'seats', value: 16, timestamp: '2026-05-11T00:00:00Z' },
    ]);
    const invoice = await draft(acme, MAY);
    expect(invoice).toMatchObject({
      number: 'INV-2026-000001',
      status: 'DRAFT',
      plan: 'growth',
      planVersion: 1,
      currency: 'USD',
      rounding: 'HALF_UP',
      ...MAY,
      draftedAt: '2026-05-20T12:00:00.000Z',
      totalMinor: '24821',
      total: '248.21',
      tenant: { id: acme.tenant.tenant },
      lines: [
        {
          position: 1,
          metric: 'seats',
          quantity: '17',
          amount: '204',
          amountMinor: '20400',
          tiers: [{ upTo: null, unitPrice: '12', quantity: '17', amount: '204' }],
        },
        {
          position: 2,
          metric: 'tokens_used',
          quantity: '12345678',
          amount: '44.209873',
          amountMinor: '4421',
          tiers: [
            { upTo: '1000000', unitPrice: '0', quantity: '1000000', amount: '0' },
            { upTo: '10000000', unitPrice: '0.000004', quantity: '9000000', amount: '36' },
            { upTo: null, unitPrice: '0.0000035', quantity: '2345678', amount: '8.209873' },
          ],
        },
      ],
    });
  });

  test('takes usage from the first moment of the period up to its end', async () => {
    house.setNow('2026-06-01T12:00:00Z');
    await report(acme, [
      { value: 1, timestamp: '2026-04-30T23:59:59.999Z' },
      { value: 20, timestamp: '2026-05-01T00:00:00Z' },
      { value: 300, timestamp: '2026-05-31T23:59:59.999Z' },
      { value: 4000, timestamp: '2026-06-01T00:00:00Z' },
    ]);
    expect(quantityOf(await draft(acme, MAY))).toBe('320');
  });

  test('adds small values without drift', async () => {
    await report(
      acme,
      Array.from({ length: 1000 }, () => ({ value: '0.1' })),
    );
    expect(quantityOf(await draft(acme, MAY))).toBe('100');
  });

  test('again keeps number and id, and replaces the lines', async () => {
    const first = await draft(acme, MAY);
    await report(acme, [{ metric: 'seats', value: 2 }]);
    house.setNow('2026-05-21T12:00:00Z');
    const second = await draft(acme, MAY);
    expect(second).toMatchObject({
      id: first['id'],
      number: 'INV-2026-000001',
      totalMinor: '2400',
      draftedAt: '2026-05-21T12:00:00.000Z',
    });
    expect(second['lines']).toHaveLength(2);
    const contexts = (await drafts(acme)).map(({ resource, context }) => ({
      name: resource.name,
      total: context['total_minor'],
      again: context['again'],
    }));
    expect(contexts).toEqual([
      { name: 'INV-2026-000001', total: '0', again: false },
      { name: 'INV-2026-000001', total: '2400', again: true },
    ]);
  });

  test('shows the new lines when one request drafts twice', async () => {
    const operation = `mutation ($draft: DraftInvoiceInput!, $usage: RecordUsageInput!) {
      before: draftInvoice(input: $draft) { invoice { total lines { quantity } } }
      recordUsage(input: $usage) { accepted }
      after: draftInvoice(input: $draft) { invoice { total lines { quantity } } }
    }`;
    const event = { metric: 'seats', value: '2', timestamp: '2026-05-04T10:00:00Z', idempotency: 'between' };
    expect((await ask(acme, operation, { draft: MAY, usage: { events: [event] } })).data).toEqual({
      before: { invoice: { total: '0', lines: [{ quantity: '0' }, { quantity: '0' }] } },
      recordUsage: { accepted: 1 },
      after: { invoice: { total: '24', lines: [{ quantity: '2' }, { quantity: '0' }] } },
    });
  });

  test('numbers the invoices of a tenant without a gap, also when some fail', async () => {
    const other = await house.addTenant(`other-${tenants}`, 'GROWTH');
    await draft(acme, MAY);
    const overlap = await ask(acme, DRAFT, {
      input: { periodStart: MAY.periodStart, periodEnd: '2026-06-15T00:00:00Z' },
    });
    expect(overlap.errors?.[0]).toMatchObject({
      message: expect.stringContaining('overlaps the one of INV-2026-000001') as string,
      extensions: { code: 'CONFLICT' },
    });
    expect((await draft(acme, JUNE))['number']).toBe('INV-2026-000002');
    expect((await draft(other, MAY))['number']).toBe('INV-2026-000001');
  });

  test('starts the numbers again in a new year, and not when the clock jumps back', async () => {
    await draft(acme, MAY);
    house.setNow('2027-01-01T00:00:00Z');
    expect(
      (await draft(acme, { periodStart: '2026-12-01T00:00:00Z', periodEnd: '2027-01-01T00:00:00Z' }))['number'],
    ).toBe('INV-2027-000001');
    house.setNow('2026-12-31T23:00:00Z');
    expect(
      (await draft(acme, { periodStart: '2026-11-01T00:00:00Z', periodEnd: '2026-12-01T00:00:00Z' }))['number'],
    ).toBe('INV-2027-000002');
  });

  test('gives one draft and one number when several ask at once', async () => {
    const same = await Promise.all(Array.from({ length: 4 }, () => draft(acme, MAY)));
    expect(new Set(same.map((invoice) => invoice['id'])).size).toBe(1);
    const months = [1, 2, 3, 4].map((month) => ({
      periodStart: `2026-0${month}-01T00:00:00Z`,
      periodEnd: `2026-0${month + 1}-01T00:00:00Z`,
    }));
    const numbers = (await Promise.all(months.map((month) => draft(acme, month)))).map((invoice) => invoice['number']);
    expect(numbers.map(String).toSorted()).toEqual([
      'INV-2026-000002',
      'INV-2026-000003',
      'INV-2026-000004',
      'INV-2026-000005',
    ]);
  });

  test('costs nothing on the free plan', async () => {
    const free = await house.addTenant(`free-${tenants}`, 'FREE');
    await report(free, [{ value: '99999999' }, { metric: 'seats', value: 9 }]);
    expect(await draft(free, MAY)).toMatchObject({ plan: 'free', totalMinor: '0', total: '0' });
  });

  test('rates a period by the last plan that was in force in it', async () => {
    const free = await house.addTenant(`riser-${tenants}`, 'FREE');
    await report(free, [{ metric: 'seats', value: 1 }]);
    house.setNow('2026-06-10T00:00:00Z');
    const risen = nextRequest(free, { tier: 'GROWTH' });
    await report(risen, [{ metric: 'seats', value: 1, timestamp: '2026-06-09T00:00:00Z' }]);
    expect(await draft(risen, MAY)).toMatchObject({ plan: 'free', totalMinor: '0' });
    expect(await draft(risen, JUNE)).toMatchObject({ plan: 'growth', totalMinor: '1200' });
    // Before her first subscription she was on none; the first one counts.
    expect(await draft(risen, APRIL)).toMatchObject({ plan: 'free' });
  });

  test.each([
    ['ends before it starts', { periodStart: MAY.periodEnd, periodEnd: MAY.periodStart }],
    ['is empty', { periodStart: MAY.periodStart, periodEnd: MAY.periodStart }],
    ['is longer than 366 days', { periodStart: '2025-05-01T00:00:00Z', periodEnd: '2026-05-03T00:00:00Z' }],
  ])('refuses a period that %s', async (_, input) => {
    const { errors } = await ask(acme, DRAFT, { input });
    expect(errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
    expect(
      await house.peek('select from invoice_counters where tenant_id = $1', [uuidOf('tnt', acme.tenant.tenant)]),
    ).toHaveLength(0);
  });

  test('needs the right to draft, also where the tenant is read-only', async () => {
    const refused = await ask(nextRequest(acme, { scopes: ['billing:read'] }), DRAFT, { input: MAY });
    expect(refused.errors?.[0]?.extensions?.['code']).toBe('FORBIDDEN');
    expect(await draft(nextRequest(acme, { state: 'read_only' }), MAY)).toMatchObject({ status: 'DRAFT' });
  });
});

describe('invoices', () => {
  test('come newest first, in pages, with their lines in one batch', async () => {
    for (const month of [1, 2, 3])
      await draft(acme, { periodStart: `2026-0${month}-01T00:00:00Z`, periodEnd: `2026-0${month + 1}-01T00:00:00Z` });
    const first = await pageOf(acme, null);
    const second = await pageOf(acme, first.pageInfo.endCursor);
    expect(first.edges.map(({ node }) => node)).toEqual(
      ['INV-2026-000003', 'INV-2026-000002'].map((number) => ({
        number,
        lines: [{ metric: 'seats' }, { metric: 'tokens_used' }],
      })),
    );
    expect(second).toMatchObject({
      edges: [{ node: { number: 'INV-2026-000001' } }],
      pageInfo: { hasNextPage: false },
    });
  });

  test('of another tenant are not there, by id, as entity or as PDF', async () => {
    const { id } = await draft(acme, MAY);
    const other = await house.addTenant(`nosy-${tenants}`, 'GROWTH');
    const query =
      'query ($id: ID!, $keys: [_Any!]!) { invoice(id: $id) { number } invoices { edges { node { id } } } _entities(representations: $keys) { __typename } }';
    const variables = { id, keys: [{ __typename: 'Invoice', id }] };
    expect((await ask(other, query, variables)).data).toEqual({
      invoice: null,
      invoices: { edges: [] },
      _entities: [null],
    });
    expect((await ask(acme, query, variables)).data).toMatchObject({
      invoice: { number: 'INV-2026-000001' },
      _entities: [{ __typename: 'Invoice' }],
    });
    expect((await fetch(`${await house.serve(other)}/v1/invoices/${String(id)}/pdf`)).status).toBe(404);
  });

  test.each([['inv_x'], [mintId('prj')], [''], [mintId('inv')]])('are null for the id %j', async (id) => {
    expect((await ask(acme, 'query ($id: ID!) { invoice(id: $id) { id } }', { id })).data).toEqual({ invoice: null });
  });

  test.each([
    ['{ invoices { edges { cursor } } }'],
    ['{ invoice(id: "inv_x") { id } }'],
    ['{ _entities(representations: [{ __typename: "Invoice", id: "inv_x" }]) { __typename } }'],
    ['{ pricePlan { name } }'],
    ['{ usageSummary(periodStart: "2026-05-01T00:00:00Z", periodEnd: "2026-06-01T00:00:00Z") { metric } }'],
  ])('need the right to read billing: %s', async (query) => {
    const { errors } = await ask(nextRequest(acme, { scopes: ['billing:write'] }), query);
    expect(errors?.[0]?.extensions?.['code']).toBe('FORBIDDEN');
  });
});

describe('GET /v1/invoices/:id/pdf', () => {
  test('answers the same PDF each time', async () => {
    const { id } = await draft(acme, MAY);
    const url = `${await house.serve(acme)}/v1/invoices/${String(id)}/pdf`;
    const [first, second] = await Promise.all([fetch(url), fetch(url)]);
    expect(first.status).toBe(200);
    expect(first.headers.get('content-type')).toBe('application/pdf');
    expect(first.headers.get('content-disposition')).toBe('inline; filename="INV-2026-000001.pdf"');
    const bytes = Buffer.from(await first.arrayBuffer());
    expect(bytes.subarray(0, 5).toString()).toBe('%PDF-');
    expect(bytes.equals(Buffer.from(await second.arrayBuffer()))).toBe(true);
  });

  test('is not there for an id that names nothing', async () => {
    const address = await house.serve(acme);
    for (const id of [mintId('inv'), 'inv_x', '%00', '..%2f..%2fetc']) {
      expect((await fetch(`${address}/v1/invoices/${id}/pdf`)).status).toBe(404);
    }
  });
});

describe('usageSummary', () => {
  const SUMMARY =
    'query ($start: DateTimeISO!, $end: DateTimeISO!) { usageSummary(periodStart: $start, periodEnd: $end) { metric aggregation quantity amount currency } }';

  test('says exactly what each metric comes to', async () => {
    await report(acme, [{ value: '12345678' }, { metric: 'seats', value: 3 }]);
    expect((await ask(acme, SUMMARY, { start: MAY.periodStart, end: MAY.periodEnd })).data).toEqual({
      usageSummary: [
        { metric: 'seats', aggregation: 'MAX', quantity: '3', amount: '36', currency: 'USD' },
        { metric: 'tokens_used', aggregation: 'SUM', quantity: '12345678', amount: '44.209873', currency: 'USD' },
      ],
    });
  });

  test('counts nothing of another tenant', async () => {
    const other = await house.addTenant(`quiet-${tenants}`, 'GROWTH');
    await report(acme, [{ value: 5 }]);
    const { data } = await ask(other, SUMMARY, { start: MAY.periodStart, end: MAY.periodEnd });
    expect(data?.['usageSummary']).toMatchObject([{ quantity: '0' }, { quantity: '0', amount: '0' }]);
  });

  test('refuses a period without end', async () => {
    const { errors } = await ask(acme, SUMMARY, { start: '0001-01-01T00:00:00Z', end: '9999-01-01T00:00:00Z' });
    expect(errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
  });
});

test('pricePlan follows the tier at once', async () => {
  await record(acme, [usage('subscribed')]);
  const { data } = await ask(nextRequest(acme, { tier: 'FREE' }), '{ pricePlan { name } }');
  expect(data).toEqual({ pricePlan: { name: 'free' } });
});

test('pricePlan shows the plan of the deck', async () => {
  const { data } = await ask(
    acme,
    '{ pricePlan { name version currency rounding rules { metric aggregation tiers { upTo unitPrice } } } }',
  );
  expect(data?.['pricePlan']).toEqual({
    name: 'growth',
    version: 1,
    currency: 'USD',
    rounding: 'HALF_UP',
    rules: [
      { metric: 'seats', aggregation: 'MAX', tiers: [{ upTo: null, unitPrice: '12' }] },
      {
        metric: 'tokens_used',
        aggregation: 'SUM',
        tiers: [
          { upTo: '1000000', unitPrice: '0' },
          { upTo: '10000000', unitPrice: '0.000004' },
          { upTo: null, unitPrice: '0.0000035' },
        ],
      },
    ],
  });
});

interface Page {
  readonly edges: readonly { readonly node: Record<string, unknown> }[];
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
}

interface DraftEvent {
  readonly action: string;
  readonly resource: { readonly name: string };
  readonly context: Record<string, unknown>;
}

async function draft(
  ctx: RequestContext,
  input: { periodStart: string; periodEnd: string },
): Promise<Record<string, unknown>> {
  const { data, errors } = await ask(ctx, DRAFT, { input });
  expect(errors).toBeUndefined();
  const payload = data?.['draftInvoice'] as { invoice: Record<string, unknown> };
  return payload.invoice;
}

async function pageOf(ctx: RequestContext, after: string | null): Promise<Page> {
  const query = `query ($after: String) { invoices(first: 2, after: $after) {
    edges { node { number lines { metric } } } pageInfo { hasNextPage endCursor } } }`;
  const { data } = await ask(ctx, query, { after });
  return data?.['invoices'] as Page;
}

async function drafts(ctx: RequestContext): Promise<DraftEvent[]> {
  const rows = await house.peek<{ event: string }>('select event from outbox where tenant_id = $1 order by position', [
    uuidOf('tnt', ctx.tenant.tenant),
  ]);
  return rows.map((row) => JSON.parse(row.event) as DraftEvent).filter((event) => event.action === 'invoice.draft');
}

function quantityOf(invoice: Record<string, unknown>): string | undefined {
  return (invoice['lines'] as { metric: string; quantity: string }[]).find((line) => line.metric === 'tokens_used')
    ?.quantity;
}

async function report(ctx: RequestContext, events: readonly Record<string, unknown>[]): Promise<void> {
  await record(
    ctx,
    events.map((event) => usage(mintId('req'), event)),
  );
}

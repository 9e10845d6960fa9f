import { inflateSync } from 'node:zlib';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { renderInvoice, type InvoiceDocument } from '../../../subgraphs/billing/invoice-pdf.ts';
import { InvoiceStatus, RoundingMode, type InvoiceLine } from '../../../subgraphs/billing/model.ts';
import { findPlan } from '../../../subgraphs/billing/pricing-plans.ts';
import { rate, sumMinor } from '../../../subgraphs/billing/pricing.ts';

const QUANTITIES = { seats: '17', tokens_used: '12345678' };

afterEach(() => {
  vi.useRealTimers();
});

describe('renderInvoice', () => {
  test('gives the same bytes for the same invoice, whenever it is rendered', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime('2026-06-01T00:00:00Z');
    const first = await renderInvoice(documentOf(QUANTITIES));
    vi.setSystemTime('2031-01-01T00:00:00Z');
    expect((await renderInvoice(documentOf(QUANTITIES))).equals(first)).toBe(true);
  });

  test('gives other bytes for another invoice', async () => {
    const first = await renderInvoice(documentOf(QUANTITIES));
    expect((await renderInvoice(documentOf({ ...QUANTITIES, seats: '18' }))).equals(first)).toBe(false);
  });

  test('names the invoice, its time and the issuer in its properties, and no other time', async () => {
    const text = (await renderInvoice(documentOf(QUANTITIES))).toString('latin1');
    expect(text).toContain('(Invoice INV-2026-000042)');
    expect(text).toContain('(tenon.local)');
    expect(new Set(text.match(/D:\d{14}Z/g))).toEqual(new Set(['D:20260601081500Z']));
  });

  test('shows each line with its steps, the exact and the rounded amount, and the total', async () => {
    const [page] = textsOf(await renderInvoice(documentOf(QUANTITIES)));
    expect(page).toEqual(
      [
        ['Invoice', 'INV-2026-000042', 'tenon.local', 'DRAFT'],
        ['BILLED TO', 'acme', 'tnt_01hrx2abcdefghjkmnpqrstvwx'],
        ['PERIOD (UTC)', '2026-05-01 to 2026-05-31'],
        ['DRAFTED (UTC)', '2026-06-01 08:15:00'],
        ['PRICE PLAN', 'growth, version 1'],
        ['Description', 'Quantity', 'Unit price', 'Amount'],
        ['Seats', '17', 'USD 204.00'],
        ['each seat', '17', '12.00', '204.00'],
        ['Tokens', '12,345,678', 'USD 44.21'],
        ['first 1,000,000', '1,000,000', '0.00', '0.00'],
        ['above 1,000,000 to 10,000,000', '9,000,000', '0.000004', '36.00'],
        ['above 10,000,000', '2,345,678', '0.0000035', '8.209873'],
        ['Exact sum before rounding', '44.209873'],
        ['Total', 'USD 248.21'],
        [expect.stringContaining('half away from zero')],
        ['tenon.local  ·  INV-2026-000042', 'Page 1 of 1'],
      ].flat(),
    );
  });

  test('goes on on further pages, each with the head of the table and its number', async () => {
    const document = documentOf(QUANTITIES);
    const lines = Array.from({ length: 10 }, () => document.lines).flat();
    const pages = textsOf(await renderInvoice({ ...document, lines }));
    expect(pages.length).toBeGreaterThan(1);
    for (const [index, page] of pages.entries()) {
      expect(page).toContain('Unit price');
      expect(page.at(-1)).toBe(`Page ${index + 1} of ${pages.length}`);
    }
    expect(pages.flat().filter((text) => text === 'Tokens')).toHaveLength(10);
    expect(pages.flat().filter((text) => text === 'Total')).toHaveLength(1);
  });

  test('shows the moments of a period that is not of whole days', async () => {
    const document = documentOf(QUANTITIES, { periodStart: new Date('2026-05-01T06:00:00Z') });
    const [page] = textsOf(await renderInvoice(document));
    expect(page).toContain('2026-05-01 06:00:00');
    expect(page).toContain('until 2026-06-01 00:00:00');
  });

  test('sets long numbers smaller instead of dropping digits', async () => {
    const [page] = textsOf(
      await renderInvoice(documentOf({ seats: '0', tokens_used: '1000000000000000000.123456789012' })),
    );
    expect(page).toContain('1,000,000,000,000,000,000.123456789012');
    expect(page).toContain('USD 3,500,000,000,001.00');
  });
});

function documentOf(quantities: typeof QUANTITIES, change: { periodStart?: Date } = {}): InvoiceDocument {
  const plan = findPlan('growth');
  const rated = plan.rules.map((rule) => rate(plan, rule, quantities[rule.metric]));
  const lines: InvoiceLine[] = rated.map((line, index) => ({
    ...line,
    invoiceId: 'inv_1',
    position: index + 1,
    tiers: [...line.tiers],
  }));
  const invoice = {
    id: 'inv_1',
    number: 'INV-2026-000042',
    status: InvoiceStatus.DRAFT,
    plan: plan.name,
    planVersion: plan.version,
    currency: plan.currency.code,
    exponent: plan.currency.exponent,
    rounding: RoundingMode.HALF_UP,
    periodStart: new Date('2026-05-01T00:00:00Z'),
    periodEnd: new Date('2026-06-01T00:00:00Z'),
    totalMinor: sumMinor(rated.map((line) => line.amountMinor)),
    draftedAt: new Date('2026-06-01T08:15:00Z'),
    ...change,
  };
  return { invoice, lines, customer: { id: 'tnt_01hrx2abcdefghjkmnpqrstvwx', name: 'acme' }, issuer: 'tenon.local' };
}

/** Returns the texts of each page in the order they were written: the shown strings of its content stream. */
function textsOf(pdf: Buffer): string[][] {
  const streams = pdf.toString('latin1').matchAll(/\/Filter \/FlateDecode\n>>\nstream\n([\s\S]*?)\nendstream/g);
  const contents = [...streams].map(([, stream = '']) => inflateSync(Buffer.from(stream, 'latin1')).toString('latin1'));
  return contents.map((content) => [...content.matchAll(/\[(.*)\] TJ/g)].map(([, shown = '']) => shownText(shown)));
}

function shownText(shown: string): string {
  return [...shown.matchAll(/<([0-9a-f]*)>/g)]
    .map(([, hex = '']) => Buffer.from(hex, 'hex').toString('latin1'))
    .join('');
}

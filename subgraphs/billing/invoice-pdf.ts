import { InvoiceStatus, type Invoice, type InvoiceLine, type InvoiceTier } from './model.ts';
import { isMetric, METRICS } from './pricing-plans.ts';
import { majorUnits } from './pricing.ts';

/** What an invoice document shows. Texts must be of the Latin alphabet: the standard fonts of PDF have no other. */
export interface InvoiceDocument {
  readonly invoice: Invoice;
  readonly lines: readonly InvoiceLine[];
  readonly customer: { readonly id: string; readonly name: string };
  /** Name of the deployment that bills. */
  readonly issuer: string;
}

type Pdf = PDFKit.PDFDocument;

const INK = '#1b2733';
const MUTED = '#66737f';
const RULE = '#d5dbe1';
const ACCENT = '#0f5c6e';
const ACCENT_LIGHT = '#e8f1f3';

/** Points, from the upper left corner of an A4 page. */
const LEFT = 56;
const RIGHT = 539;
const TOP = 56;
/** Below it stands the footer alone. */
const BOTTOM = 762;
const FOOTER = 786;
const COLUMNS = {
  description: { x: LEFT, width: 176 },
  quantity: { x: 236, width: 100 },
  unitPrice: { x: 346, width: 78 },
  amount: { x: 434, width: RIGHT - 434 },
} as const;
type ColumnName = keyof typeof COLUMNS;
const LINE_HEIGHT = 22;
const TIER_HEIGHT = 16;

/**
 * Returns the invoice as a PDF. The same invoice gives the same bytes, wherever and whenever it is rendered: the only
 * time in it is that of the draft, and the file's id is a hash of what it says of itself.
 */
export async function renderInvoice(document: InvoiceDocument): Promise<Buffer> {
  const { invoice, issuer } = document;
  // It brings its fonts along: 12 MB that a process needs once somebody asks for an invoice.
  const { default: PdfDocument } = await import('pdfkit');
  const pdf = new PdfDocument({
    size: 'A4',
    // Text never breaks a page by itself: `startPage` does, so that the table's head is repeated.
    margin: 0,
    bufferPages: true,
    lang: 'en',
    info: {
      Title: `Invoice ${invoice.number}`,
      Author: issuer,
      Creator: 'Tenon',
      Producer: 'Tenon',
      CreationDate: invoice.draftedAt,
      ModDate: invoice.draftedAt,
    },
  });
  const bytes = bytesOf(pdf);
  drawHead(pdf, document);
  drawParties(pdf, document);
  drawTable(pdf, document);
  drawTotal(pdf, invoice);
  drawFooters(pdf, document);
  pdf.end();
  return bytes;
}

async function bytesOf(pdf: Pdf): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of pdf) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

function drawHead(pdf: Pdf, { invoice, issuer }: InvoiceDocument): void {
  pdf.rect(0, 0, pdf.page.width, 6).fill(ACCENT);
  put(pdf, 'Invoice', { x: LEFT, y: TOP, size: 26, bold: true, color: ACCENT });
  put(pdf, invoice.number, { x: LEFT, y: TOP + 34, size: 12, color: INK });
  put(pdf, issuer, { x: RIGHT - 250, y: TOP + 5, width: 250, size: 12, bold: true, align: 'right' });
  if (invoice.status === InvoiceStatus.DRAFT) drawBadge(pdf, 'DRAFT', { right: RIGHT, y: TOP + 28 });
}

function drawBadge(pdf: Pdf, text: string, { right, y }: { right: number; y: number }): void {
  const width = pdf.font('Helvetica-Bold').fontSize(9).widthOfString(text) + 18;
  pdf.roundedRect(right - width, y, width, 18, 9).fill(ACCENT_LIGHT);
  put(pdf, text, { x: right - width, y: y + 5.5, width, size: 9, bold: true, color: ACCENT, align: 'center' });
}

function drawParties(pdf: Pdf, { invoice, customer }: InvoiceDocument): void {
  const y = TOP + 84;
  drawFact(pdf, { label: 'Billed to', lines: [customer.name, customer.id], x: LEFT, y });
  drawFact(pdf, { label: 'Period (UTC)', lines: periodLines(invoice), x: 300, y });
  drawFact(pdf, { label: 'Drafted (UTC)', lines: [timeText(invoice.draftedAt)], x: 300, y: y + 56 });
  drawFact(pdf, {
    label: 'Price plan',
    lines: [`${invoice.plan}, version ${invoice.planVersion}`],
    x: LEFT,
    y: y + 56,
  });
  pdf.y = y + 112;
}

function drawFact(pdf: Pdf, fact: { label: string; lines: readonly string[]; x: number; y: number }): void {
  put(pdf, fact.label.toUpperCase(), { x: fact.x, y: fact.y, size: 7.5, bold: true, color: MUTED, spacing: 0.6 });
  for (const [index, line] of fact.lines.entries()) {
    put(pdf, line, {
      x: fact.x,
      y: fact.y + 13 + index * 15,
      size: 10.5,
      bold: index === 0,
      color: index === 0 ? INK : MUTED,
    });
  }
}

function drawTable(pdf: Pdf, { invoice, lines }: InvoiceDocument): void {
  drawTableHead(pdf);
  for (const line of lines) drawLine(pdf, invoice, line);
}

function drawTableHead(pdf: Pdf): void {
  const { y } = pdf;
  pdf.rect(LEFT - 8, y, RIGHT - LEFT + 16, LINE_HEIGHT).fill(ACCENT_LIGHT);
  const style = { size: 8.5, bold: true, color: ACCENT, y: y + 7 };
  putCell(pdf, 'description', { text: 'Description', ...style });
  putCell(pdf, 'quantity', { text: 'Quantity', ...style });
  putCell(pdf, 'unitPrice', { text: 'Unit price', ...style });
  putCell(pdf, 'amount', { text: 'Amount', ...style });
  pdf.y = y + LINE_HEIGHT + 6;
}

function drawLine(pdf: Pdf, invoice: Invoice, line: InvoiceLine): void {
  // A line and its first step stay together.
  requireRoom(pdf, LINE_HEIGHT + TIER_HEIGHT);
  const style = { size: 10.5, bold: true, color: INK, y: pdf.y + 4 };
  putCell(pdf, 'description', { text: labelOf(line.metric), ...style });
  putCell(pdf, 'quantity', { text: groupedText(line.quantity), ...style });
  putCell(pdf, 'amount', { text: moneyText(invoice, line.amountMinor), ...style });
  pdf.y += LINE_HEIGHT;
  let from = '0';
  for (const tier of line.tiers) {
    drawTier(pdf, invoice, { label: tierLabel(line.metric, from, tier), tier });
    from = tier.upTo ?? from;
  }
  drawExactAmount(pdf, invoice, line);
  pdf
    .moveTo(LEFT, pdf.y + 4)
    .lineTo(RIGHT, pdf.y + 4)
    .lineWidth(0.5)
    .stroke(RULE);
  pdf.y += 10;
}

function drawTier(pdf: Pdf, { exponent }: Invoice, { label, tier }: { label: string; tier: InvoiceTier }): void {
  requireRoom(pdf, TIER_HEIGHT);
  const style = { size: 9, color: MUTED, y: pdf.y + 2 };
  putCell(pdf, 'description', { text: label, ...style, indent: 10 });
  putCell(pdf, 'quantity', { text: groupedText(tier.quantity), ...style });
  putCell(pdf, 'unitPrice', { text: exactText(tier.unitPrice, exponent), ...style });
  putCell(pdf, 'amount', { text: exactText(tier.amount, exponent), ...style });
  pdf.y += TIER_HEIGHT;
}

/** The steps add up to this; the line above shows it rounded. */
function drawExactAmount(pdf: Pdf, { exponent }: Invoice, line: InvoiceLine): void {
  if (line.tiers.length < 2) return;
  requireRoom(pdf, TIER_HEIGHT);
  const style = { size: 9, color: MUTED, y: pdf.y + 2 };
  putCell(pdf, 'description', { text: 'Exact sum before rounding', ...style, indent: 10 });
  putCell(pdf, 'amount', { text: exactText(line.amount, exponent), ...style });
  pdf.y += TIER_HEIGHT;
}

function drawTotal(pdf: Pdf, invoice: Invoice): void {
  requireRoom(pdf, 84);
  const y = pdf.y + 12;
  pdf.rect(300, y, RIGHT - 300 + 8, 34).fill(ACCENT);
  put(pdf, 'Total', { x: 312, y: y + 11.5, size: 12, bold: true, color: '#ffffff' });
  put(pdf, moneyText(invoice, invoice.totalMinor), {
    x: 360,
    y: y + 10.5,
    width: RIGHT - 360,
    size: 14,
    bold: true,
    color: '#ffffff',
    align: 'right',
  });
  put(
    pdf,
    `Each line is rounded once to the minor unit of ${invoice.currency}, half away from zero. Unit prices and steps are exact.`,
    {
      x: LEFT,
      y: y + 48,
      width: RIGHT - LEFT,
      size: 8.5,
      color: MUTED,
      wraps: true,
    },
  );
  pdf.y = y + 72;
}

function drawFooters(pdf: Pdf, { invoice, issuer }: InvoiceDocument): void {
  const { start, count } = pdf.bufferedPageRange();
  for (let page = start; page < start + count; page++) {
    pdf.switchToPage(page);
    pdf
      .moveTo(LEFT, FOOTER - 10)
      .lineTo(RIGHT, FOOTER - 10)
      .lineWidth(0.5)
      .stroke(RULE);
    put(pdf, `${issuer}  ·  ${invoice.number}`, { x: LEFT, y: FOOTER, size: 8, color: MUTED });
    put(pdf, `Page ${page - start + 1} of ${count}`, {
      x: RIGHT - 100,
      y: FOOTER,
      width: 100,
      size: 8,
      color: MUTED,
      align: 'right',
    });
  }
}

/** Goes to a new page, under a new table head, where the rest of this one is too short. */
function requireRoom(pdf: Pdf, height: number): void {
  if (pdf.y + height <= BOTTOM) return;
  pdf.addPage();
  pdf.y = TOP;
  drawTableHead(pdf);
}

interface TextStyle {
  readonly size: number;
  readonly y: number;
  readonly bold?: boolean;
  readonly color?: string;
  readonly align?: 'right' | 'center';
  readonly spacing?: number;
  /** Takes as many lines as it needs; other texts take one. */
  readonly wraps?: boolean;
}

function putCell(
  pdf: Pdf,
  name: ColumnName,
  cell: TextStyle & { readonly text: string; readonly indent?: number },
): void {
  const { x, width } = COLUMNS[name];
  const { indent = 0 } = cell;
  put(pdf, cell.text, {
    ...cell,
    x: x + indent,
    width: width - indent,
    ...(name === 'description' ? {} : { align: 'right' }),
  });
}

/** Writes one text and leaves the cursor where it was: every place on the page is computed. */
function put(pdf: Pdf, text: string, style: TextStyle & { readonly x: number; readonly width?: number }): void {
  const { y } = pdf;
  pdf
    .font(style.bold === true ? 'Helvetica-Bold' : 'Helvetica')
    .fontSize(fittingSize(pdf, text, style))
    .fillColor(style.color ?? INK)
    .text(text, style.x, style.y, {
      width: style.width ?? RIGHT - style.x,
      align: style.align ?? 'left',
      characterSpacing: style.spacing ?? 0,
      lineBreak: style.wraps === true,
    });
  pdf.y = y;
}

/** A long number is set smaller rather than cut off or run into its neighbour. */
function fittingSize(
  pdf: Pdf,
  text: string,
  { size, width, bold, wraps }: TextStyle & { readonly width?: number },
): number {
  if (width === undefined || wraps === true) return size;
  const taken = pdf
    .font(bold === true ? 'Helvetica-Bold' : 'Helvetica')
    .fontSize(size)
    .widthOfString(text);
  return taken <= width ? size : (size * width) / taken;
}

function labelOf(metric: string): string {
  return isMetric(metric) ? METRICS[metric].label : metric;
}

function tierLabel(metric: string, from: string, { upTo }: InvoiceTier): string {
  if (upTo === null && from === '0') return `each ${isMetric(metric) ? METRICS[metric].unit : metric}`;
  if (upTo === null) return `above ${groupedText(from)}`;
  return from === '0' ? `first ${groupedText(upTo)}` : `above ${groupedText(from)} to ${groupedText(upTo)}`;
}

function moneyText({ currency, exponent }: Invoice, minor: string): string {
  return `${currency} ${groupedText(majorUnits(minor, exponent))}`;
}

/** An exact amount shows all its decimals, and at least those of the currency. */
function exactText(amount: string, exponent: number): string {
  const [whole = '', fraction = ''] = amount.split('.');
  return groupedText(exponent === 0 && fraction === '' ? whole : `${whole}.${fraction.padEnd(exponent, '0')}`);
}

/** Sets commas between thousands of the whole part. */
function groupedText(decimal: string): string {
  const [whole = '', fraction] = decimal.split('.');
  const grouped = whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A period of whole days is shown by its last day, any other by its moments. */
function periodLines({ periodStart, periodEnd }: Invoice): string[] {
  const isWholeDays = [periodStart, periodEnd].every((time) => time.getTime() % 86_400_000 === 0);
  if (!isWholeDays) return [timeText(periodStart), `until ${timeText(periodEnd)}`];
  return [`${dayText(periodStart)} to ${dayText(new Date(periodEnd.getTime() - 1))}`];
}

function dayText(time: Date): string {
  return time.toISOString().slice(0, 10);
}

function timeText(time: Date): string {
  return time.toISOString().slice(0, 19).replace('T', ' ');
}

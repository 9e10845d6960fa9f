import { mediaTypeOf } from '#kit/route-body.ts';
import type { RouteRequest, TenantRoute } from '#kit/route.ts';
import { findTenant } from '#kit/directory.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { parseExactJson } from './exact-json.ts';
import { renderInvoice } from './invoice-pdf.ts';
import { findInvoice, findInvoiceLines } from './service.ts';
import { MAX_EVENTS, type UsageBatch } from './usage-event.ts';
import { recordUsage } from './usage.ts';

/** Takes usage events as a JSON object, a JSON array or NDJSON, and answers how many were new. */
export const usageRoute: TenantRoute = {
  method: 'POST',
  path: '/v1/usage',
  scope: 'usage:write',
  handle: async (ctx, req) => {
    const { accepted, duplicates } = await recordUsage(ctx, readBatch(req));
    return {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ accepted, duplicates }),
    };
  },
};

/** Hands out an invoice as a PDF: the same invoice in the same bytes. */
export const invoicePdfRoute: TenantRoute = {
  method: 'GET',
  path: '/v1/invoices/:id/pdf',
  scope: 'billing:read',
  handle: async (ctx, req) => {
    const invoice =
      (await findInvoice(ctx, req.params['id'] ?? '')) ?? fail('NOT_FOUND', 'no such invoice in this tenant');
    const [found] = await findInvoiceLines(ctx, [invoice.id]);
    const body = await renderInvoice({
      invoice,
      lines: found?.lines ?? [],
      customer: await customerOf(ctx),
      issuer: ctx.platform.config.deployment,
    });
    return {
      status: 200,
      headers: {
        'content-type': 'application/pdf',
        'content-disposition': `inline; filename="${invoice.number}.pdf"`,
        'cache-control': 'private, no-cache',
      },
      body,
    };
  },
};

/** The directory's slug is what billing may know of a tenant's name. */
async function customerOf(ctx: RequestContext): Promise<{ id: string; name: string }> {
  const place = await findTenant(ctx.databases, ctx.tenant.tenant);
  return { id: ctx.tenant.tenant, name: place?.slug ?? ctx.tenant.tenant };
}

/** Hostile input enters here; the server has bounded its size. */
function readBatch(req: RouteRequest): UsageBatch {
  switch (mediaTypeOf(req)) {
    case 'application/json':
      return jsonBatch(textOf(req.body));
    case 'application/x-ndjson':
      return ndjsonBatch(textOf(req.body));
    default:
      return fail('UNSUPPORTED_MEDIA_TYPE', 'usage is neither JSON nor NDJSON', {
        hint: 'It takes application/json and application/x-ndjson.',
      });
  }
}

function textOf(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch (cause) {
    return fail('BAD_REQUEST', 'the body is not UTF-8', { hint: 'It is not UTF-8.', cause });
  }
}

function jsonBatch(text: string): UsageBatch {
  const value = parseExactJson(text, 'The body');
  if (Array.isArray(value))
    return { items: value, nameOf: (index, field) => `events[${index}]${field === undefined ? '' : `.${field}`}` };
  return { items: [value], nameOf: (_, field) => (field === undefined ? 'event' : `event.${field}`) };
}

function ndjsonBatch(text: string): UsageBatch {
  const lines = text.split('\n').map((line, index) => ({ line, number: index + 1 }));
  const filled = lines.filter(({ line }) => line.trim() !== '');
  // Counted before they are parsed: a body of a million short lines is not worth the work.
  if (filled.length > MAX_EVENTS)
    fail('PAYLOAD_TOO_LARGE', 'too many usage events', { hint: `A request takes ${MAX_EVENTS} events at most.` });
  return {
    items: filled.map(({ line, number }) => parseExactJson(line, `Line ${number}`)),
    nameOf: (index, field) => `line ${filled[index]?.number ?? 0}${field === undefined ? '' : `: ${field}`}`,
  };
}

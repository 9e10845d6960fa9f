import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { exportCsv, exportNdjson, type ExportOptions } from './export.ts';
import type { AuditFilter } from './inputs.ts';
import { findCheckpoint, findProofs } from './proof.ts';
import { filterOf } from './route-input.ts';
import { recordReading } from './service.ts';

/** Exports of the log, and what an auditor needs to check them. */
export const auditRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/audit/events.ndjson', scope: 'audit:read', handle: getNdjson },
  { method: 'GET', path: '/v1/audit/events.csv', scope: 'audit:read', handle: getCsv },
  { method: 'GET', path: '/v1/audit/events/:id/proof', scope: 'audit:read', handle: getProof },
  { method: 'GET', path: '/v1/audit/checkpoint', scope: 'audit:read', handle: getCheckpoint },
];

async function getNdjson(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const { filter, options } = exportOf(req);
  return {
    status: 200,
    headers: download('application/x-ndjson', 'audit-events.ndjson'),
    body: await exportNdjson(ctx, filter, options),
  };
}

async function getCsv(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const headers = download('text/csv; charset=utf-8; header=present', 'audit-events.csv');
  const { filter, options } = exportOf(req);
  return { status: 200, headers, body: await exportCsv(ctx, filter, options) };
}

/** The filter of an export, and whether `personal=include` asks for what is sealed to be readable. */
function exportOf(req: RouteRequest): { filter: AuditFilter; options: ExportOptions } {
  const { personal, ...query } = req.query;
  if (personal !== undefined && personal !== 'include') {
    fail('BAD_USER_INPUT', 'a parameter is refused', { hint: '"personal" takes include.' });
  }
  return { filter: filterOf({ ...req, query }), options: { personal: personal === 'include' } };
}

/** The file carries the entry, so getting it is a reading of the log; in the graph the event's own query is. */
async function getProof(ctx: RequestContext, { params: { id = '' } }: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  await recordReading(ctx, 'proof');
  const [proof] = await findProofs(ctx, [id]);
  if (proof === undefined) fail('NOT_FOUND', 'no such event in this tenant');
  if (proof.tlogProof === null) {
    fail('NOT_FOUND', 'the entry is not sealed yet', {
      hint: 'The entry is not sealed yet; its proof comes with the next checkpoint.',
    });
  }
  return { status: 200, headers: download('text/plain; charset=utf-8', `${id}.tlog-proof`), body: proof.tlogProof };
}

async function getCheckpoint(ctx: RequestContext): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  const head = await findCheckpoint(ctx);
  if (head === null) fail('NOT_FOUND', 'nothing is sealed yet', { hint: 'Nothing is sealed yet.' });
  return {
    status: 200,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
    body: head.note,
  };
}

function download(type: string, name: string): Record<string, string> {
  return { 'content-type': type, 'content-disposition': `attachment; filename="${name}"`, 'cache-control': 'no-store' };
}

import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { erasureCertificate } from './personal-erasure.ts';
import { recordReading } from './service.ts';

/** Fetching certificates of erasures. */
export const erasureRoutes: readonly Route[] = [
  { method: 'GET', path: '/v1/audit/erasures/:id/certificate', scope: 'audit:read', handle: getCertificate },
];

/** The certificate carries the entry, so getting it is a reading of the log. */
async function getCertificate(ctx: RequestContext, { params: { id = '' } }: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'audit:read');
  await recordReading(ctx, 'proof');
  const body = await erasureCertificate(ctx, id);
  const headers = {
    'content-type': 'application/json',
    'content-disposition': `attachment; filename="erasure-${id}.json"`,
    'cache-control': 'no-store',
  };
  return { status: 200, headers, body };
}

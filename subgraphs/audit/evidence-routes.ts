import { authorize } from '#kit/authorize.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse } from '#kit/route.ts';
import { downloadEvidence, findEvidence, listEvidence, requestEvidence } from './evidence.ts';
import type { EvidencePack } from './evidence-pack.ts';
import { evidenceInputOf, pageArgsOf } from './route-input.ts';

/** Asking for evidence packs and fetching them. */
export const evidenceRoutes: readonly Route[] = [
  { method: 'POST', path: '/v1/evidence', scope: 'evidence:write', handle: postEvidence },
  { method: 'GET', path: '/v1/evidence', scope: 'evidence:read', handle: getEvidenceList },
  { method: 'GET', path: '/v1/evidence/:id', scope: 'evidence:read', handle: getEvidence },
  { method: 'GET', path: '/v1/evidence/:id/pack.zip', scope: 'evidence:read', handle: getPack },
];

async function postEvidence(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'evidence:write');
  const pack = await requestEvidence(ctx, evidenceInputOf(req));
  return json(202, shown(pack), { location: `${ctx.platform.publicUrl}/v1/evidence/${pack.id}` });
}

async function getEvidenceList(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'evidence:read');
  const { edges, pageInfo } = await listEvidence(ctx, pageArgsOf(req));
  const next = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  return json(200, { packs: edges.map(({ node }) => shown(node)), next });
}

async function getEvidence(ctx: RequestContext, { params: { id = '' } }: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'evidence:read');
  return json(200, shown(await findEvidence(ctx, id)));
}

async function getPack(ctx: RequestContext, { params: { id = '' } }: RouteRequest): Promise<RouteResponse> {
  authorize(ctx, 'evidence:read');
  const { pack, bytes } = await downloadEvidence(ctx, id);
  const headers = {
    'content-type': 'application/zip',
    'content-length': String(pack.sizeBytes),
    'content-disposition': `attachment; filename="${pack.kind}-${pack.id}.zip"`,
    'cache-control': 'no-store',
    // RFC 9530: whoever fetches it can check it on the way.
    ...(pack.sha256 === null
      ? {}
      : { 'repr-digest': `sha-256=:${Buffer.from(pack.sha256, 'hex').toString('base64')}:` }),
  };
  return { status: 200, headers, body: bytes };
}

/** As the graph shows it, with the person by her id alone. */
function shown({ subject, ...pack }: EvidencePack) {
  return { ...pack, subject: subject?.id ?? null };
}

function json(status: number, body: object, headers: Readonly<Record<string, string>> = {}): RouteResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    body: JSON.stringify(body),
  };
}

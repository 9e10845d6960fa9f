import type { Platform, RequestContext } from '#kit/request-context.ts';
import type { PublicRoute, Route, RouteRequest, RouteResponse, TenantRoute } from '#kit/route.ts';
import { fail, TenonError } from '#schema/errors.ts';
import { runBulk } from './bulk.ts';
import { BULK_LIMITS, readBulkRequest } from './bulk-request.ts';
import { discoveryDoors } from './discovery.ts';
import { ENDPOINTS, USERS, type Endpoint } from './endpoints.ts';
import { preconditionsOf } from './etag.ts';
import { listResources, type ListedKind } from './list.ts';
import { loggedRoute } from './request-log.ts';
import { jsonBodyOf, listQueryOf, scimAddress, searchParameters, viewOf } from './request.ts';
import type { ResourceAnswer, ResourceChange } from './resource-answer.ts';
import { errorBody } from './resource.ts';
import type { ScimObject } from './schema.ts';

const ALL_KINDS = ENDPOINTS.map(({ listed }) => listed);
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
type Method = (typeof METHODS)[number];
type Handle = TenantRoute['handle'];

const DOORS: readonly TenantRoute[] = [
  ...ENDPOINTS.flatMap(doorsOf),
  ...meDoors(),
  door('GET', '', listing(ALL_KINDS)),
  door('GET', '/', listing(ALL_KINDS)),
  door('POST', '/.search', searching(ALL_KINDS)),
  door('POST', '/Bulk', bulk),
  ...discoveryDoors.map(({ path, describe }) =>
    door('GET', path, async (ctx, req) => answer(200, await describe(ctx, withoutFilter(req)))),
  ),
];

/** The SCIM 2.0 service (RFC 7643, 7644, 9865): users, groups, queries over both, bulk, and what it says of itself. */
export const scimRoutes: readonly Route[] = [...DOORS, ...closedDoors(), ...METHODS.map(otherVersions)];

function door(method: Method, path: string, handle: Handle): TenantRoute {
  return at(method, `/scim/v2${path}`, handle);
}

function at(method: Method, path: string, handle: Handle): TenantRoute {
  return loggedRoute({ method, path, scope: 'scim', errors: 'scim', handle });
}

function doorsOf({ path, listed, create, read, replace, patch, remove }: Endpoint): TenantRoute[] {
  return [
    door('GET', path, listing([listed])),
    door('POST', path, async (ctx, req) => created(ctx, path, await create(ctx, changeOf(ctx, req)))),
    door('POST', `${path}/.search`, searching([listed])),
    door('GET', `${path}/:id`, async (ctx, req) => shown(await read(ctx, idIn(req), changeOfNothing(ctx, req)), 304)),
    door('PUT', `${path}/:id`, async (ctx, req) => shown(await replace(ctx, idIn(req), changeOf(ctx, req)), 204)),
    door('PATCH', `${path}/:id`, async (ctx, req) => shown(await patch(ctx, idIn(req), changeOf(ctx, req)), 204)),
    door('DELETE', `${path}/:id`, async (ctx, req) => deleted(remove(ctx, idIn(req), preconditionsOf(req)))),
  ];
}

/** RFC 7644 section 3.11: another name for the person who asks; the token of an identity provider is nobody. */
function meDoors(): TenantRoute[] {
  const { read, replace, patch, remove } = USERS;
  return [
    door(
      'GET',
      '/Me',
      mine(async (ctx, id, req) => shown(await read(ctx, id, changeOfNothing(ctx, req)), 304)),
    ),
    door(
      'PUT',
      '/Me',
      mine(async (ctx, id, req) => shown(await replace(ctx, id, changeOf(ctx, req)), 204)),
    ),
    door(
      'PATCH',
      '/Me',
      mine(async (ctx, id, req) => shown(await patch(ctx, id, changeOf(ctx, req)), 204)),
    ),
    door(
      'DELETE',
      '/Me',
      mine(async (ctx, id, req) => deleted(remove(ctx, id, preconditionsOf(req)))),
    ),
    door('POST', '/Me', async () => refusal('NOT_IMPLEMENTED')),
  ];
}

function mine(act: (ctx: RequestContext, id: string, req: RouteRequest) => Promise<RouteResponse>): Handle {
  return async (ctx, req) => {
    const { actor } = ctx.tenant;
    if (actor.type !== 'user') return refusal('NOT_IMPLEMENTED');
    const response = await act(ctx, actor.id, req);
    return { ...response, headers: { ...response.headers, location: `${scimAddress(ctx)}${USERS.path}/${actor.id}` } };
  };
}

function listing(kinds: readonly ListedKind[]): Handle {
  return async (ctx, req) =>
    answer(200, await listResources(ctx, kinds, { query: listQueryOf(req), view: viewOf(ctx, req) }));
}

/** RFC 7644 section 3.4.3: a query that is too long or too private for an address. */
function searching(kinds: readonly ListedKind[]): Handle {
  return async (ctx, req) => {
    const query = { query: searchParameters(req) };
    return answer(200, await listResources(ctx, kinds, { query: listQueryOf(query), view: viewOf(ctx, query) }));
  };
}

async function bulk(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  if (req.body.length > BULK_LIMITS.bytes) {
    fail('PAYLOAD_TOO_LARGE', 'bulk body too large', {
      hint: `At most ${BULK_LIMITS.bytes} bytes are taken (maxPayloadSize).`,
    });
  }
  return answer(200, await runBulk(ctx, readBulkRequest(jsonBodyOf(req))));
}

/** An address that exists, under another method: 405 with those it takes (RFC 9110 section 15.5.6). */
function closedDoors(): TenantRoute[] {
  const paths = [...new Set(DOORS.map(({ path }) => path))];
  return paths.flatMap((path) => {
    const methods = DOORS.filter((open) => open.path === path).map(({ method }) => method);
    const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].join(', ');
    const handle: Handle = async () => refusal('METHOD_NOT_ALLOWED', { allow });
    return METHODS.filter((method) => !methods.includes(method)).map((method) => at(method, path, handle));
  });
}

/** RFC 7644 section 3.13: a version of the protocol that is not served, before anything else is looked at. */
function otherVersions(method: Method): PublicRoute {
  return { method, path: '/scim/:version/*', scope: null, errors: 'scim', handle: refuseVersion };
}

async function refuseVersion(_platform: Platform, { params }: RouteRequest): Promise<RouteResponse> {
  if (params['version'] === 'v2') fail('NOT_FOUND', 'no such SCIM address');
  return fail('INVALID_VERSION', 'no such version of SCIM');
}

function idIn({ params }: RouteRequest): string {
  return params['id'] ?? '';
}

function changeOf(ctx: RequestContext, req: RouteRequest): ResourceChange {
  return { body: jsonBodyOf(req), ...changeOfNothing(ctx, req) };
}

function changeOfNothing(ctx: RequestContext, req: RouteRequest): Omit<ResourceChange, 'body'> {
  return { view: viewOf(ctx, req), conditions: preconditionsOf(req) };
}

/** RFC 7644 section 4: what the service says of itself is not searched. */
function withoutFilter(req: RouteRequest): RouteRequest {
  if (req.query['filter'] !== undefined) fail('FORBIDDEN', 'discovery with a filter', { hint: 'It takes no filter.' });
  return req;
}

/** Sent as bytes: the server would put a charset behind the type of a text, which RFC 8259 does not know. */
function answer(status: number, resource: ScimObject, headers: Readonly<Record<string, string>> = {}): RouteResponse {
  const own = { 'content-type': 'application/scim+json', 'cache-control': 'no-store' };
  return { status, headers: { ...own, ...headers }, body: Buffer.from(JSON.stringify(resource)) };
}

/** An error that is no fault of ours or hers, so that nothing is logged of it. */
function refusal(
  code: 'METHOD_NOT_ALLOWED' | 'NOT_IMPLEMENTED',
  headers: Readonly<Record<string, string>> = {},
): RouteResponse {
  const error = new TenonError(code, 'not served at this address');
  return answer(error.status, errorBody(error), headers);
}

function shown({ resource, etag }: ResourceAnswer, hidden: 204 | 304): RouteResponse {
  return resource === null ? { status: hidden, headers: { etag } } : answer(200, resource, { etag });
}

function created(ctx: RequestContext, endpoint: string, { id, resource, etag }: ResourceAnswer): RouteResponse {
  if (resource === null) throw new Error('what was created is shown');
  return answer(201, resource, { etag, location: `${scimAddress(ctx)}${endpoint}/${id}` });
}

async function deleted(deletion: Promise<void>): Promise<RouteResponse> {
  await deletion;
  return { status: 204 };
}

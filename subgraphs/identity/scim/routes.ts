import type { RequestContext } from '#kit/request-context.ts';
import type { Route, RouteRequest, RouteResponse, TenantRoute } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { resourceTypeDocuments, schemaDocuments, serviceProviderConfigDocument } from './discovery.ts';
import {
  createScimGroup,
  deleteScimGroup,
  listScimGroups,
  patchScimGroup,
  readScimGroup,
  replaceScimGroup,
} from './groups.ts';
import { jsonBodyOf, listQueryOf, scimAddress, viewOf } from './request.ts';
import { listResponse } from './resource.ts';
import { GROUP, USER, type ScimObject } from './schema.ts';
import {
  createScimUser,
  deleteScimUser,
  listScimUsers,
  patchScimUser,
  readScimUser,
  replaceScimUser,
  type ResourceChange,
} from './users.ts';

/** The SCIM 2.0 service (RFC 7644): users, groups and what it says of itself. */
export const scimRoutes: readonly Route[] = [
  door('GET', '/Users', async (ctx, req) => answer(200, await listScimUsers(ctx, listQueryOf(req), viewOf(ctx, req)))),
  door('POST', '/Users', async (ctx, req) =>
    created(ctx, USER.endpoint, await createScimUser(ctx, changeOf(ctx, req))),
  ),
  door('GET', '/Users/:id', async (ctx, req) => answer(200, await readScimUser(ctx, idIn(req), viewOf(ctx, req)))),
  door('PUT', '/Users/:id', async (ctx, req) => answer(200, await replaceScimUser(ctx, idIn(req), changeOf(ctx, req)))),
  door('PATCH', '/Users/:id', async (ctx, req) => answer(200, await patchScimUser(ctx, idIn(req), changeOf(ctx, req)))),
  door('DELETE', '/Users/:id', async (ctx, req) => deleted(deleteScimUser(ctx, idIn(req)))),
  door('GET', '/Groups', async (ctx, req) =>
    answer(200, await listScimGroups(ctx, listQueryOf(req), viewOf(ctx, req))),
  ),
  door('POST', '/Groups', async (ctx, req) =>
    created(ctx, GROUP.endpoint, await createScimGroup(ctx, changeOf(ctx, req))),
  ),
  door('GET', '/Groups/:id', async (ctx, req) => answer(200, await readScimGroup(ctx, idIn(req), viewOf(ctx, req)))),
  door('PUT', '/Groups/:id', async (ctx, req) =>
    answer(200, await replaceScimGroup(ctx, idIn(req), changeOf(ctx, req))),
  ),
  door('PATCH', '/Groups/:id', patchGroup),
  door('DELETE', '/Groups/:id', async (ctx, req) => deleted(deleteScimGroup(ctx, idIn(req)))),
  door('GET', '/ServiceProviderConfig', async (ctx) => answer(200, serviceProviderConfigDocument(scimAddress(ctx)))),
  door('GET', '/Schemas', async (ctx) => answer(200, listed(schemaDocuments(scimAddress(ctx))))),
  door('GET', '/Schemas/:id', async (ctx, req) => answer(200, named(schemaDocuments(scimAddress(ctx)), req))),
  door('GET', '/ResourceTypes', async (ctx) => answer(200, listed(resourceTypeDocuments(scimAddress(ctx))))),
  door('GET', '/ResourceTypes/:id', async (ctx, req) =>
    answer(200, named(resourceTypeDocuments(scimAddress(ctx)), req)),
  ),
];

function door(method: TenantRoute['method'], path: string, handle: TenantRoute['handle']): TenantRoute {
  return { method, path: `/scim/v2${path}`, scope: 'scim', errors: 'scim', handle };
}

async function patchGroup(ctx: RequestContext, req: RouteRequest): Promise<RouteResponse> {
  const group = await patchScimGroup(ctx, idIn(req), changeOf(ctx, req));
  return group === null ? { status: 204 } : answer(200, group);
}

function idIn({ params }: RouteRequest): string {
  return params['id'] ?? '';
}

function changeOf(ctx: RequestContext, req: RouteRequest): ResourceChange {
  return { body: jsonBodyOf(req), view: viewOf(ctx, req) };
}

function listed(resources: readonly ScimObject[]): ScimObject {
  return listResponse({ resources, totalResults: resources.length, startIndex: 1 });
}

function named(documents: readonly ScimObject[], req: RouteRequest): ScimObject {
  const wanted = idIn(req);
  return documents.find(({ id }) => id === wanted) ?? fail('NOT_FOUND', 'no such discovery document');
}

/** Sent as bytes: the server would put a charset behind the type of a text, which RFC 8259 does not know. */
function answer(status: number, resource: ScimObject, headers: Readonly<Record<string, string>> = {}): RouteResponse {
  const own = { 'content-type': 'application/scim+json', 'cache-control': 'no-store' };
  return { status, headers: { ...own, ...headers }, body: Buffer.from(JSON.stringify(resource)) };
}

function created(ctx: RequestContext, endpoint: string, resource: ScimObject): RouteResponse {
  const id = typeof resource['id'] === 'string' ? resource['id'] : '';
  return answer(201, resource, { location: `${scimAddress(ctx)}${endpoint}/${id}` });
}

async function deleted(deletion: Promise<void>): Promise<RouteResponse> {
  await deletion;
  return { status: 204 };
}

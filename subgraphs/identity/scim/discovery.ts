import { inTenant } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { RouteRequest } from '#kit/route.ts';
import { fail } from '#schema/errors.ts';
import { BULK_LIMITS } from './bulk-request.ts';
import { CURSOR_TIMEOUT_SECONDS } from './page-cursor.ts';
import { PROTOCOL_SCHEMAS } from './protocol-schemas.ts';
import { DEFAULT_PAGE_SIZE, scimAddress } from './request.ts';
import { listResponse } from './resource.ts';
import { resourceTypesOf, STANDARD_TYPES, type ResourceTypes } from './resource-types.ts';
import { MAX_PAGE_SIZE } from './schema.ts';
import type { Attribute, ScimObject } from './schema.ts';

/** An address where the service tells what it is. */
export interface DiscoveryDoor {
  readonly path: string;
  readonly describe: (ctx: RequestContext, req: RouteRequest) => Promise<ScimObject>;
}

/** What the service says of itself to a tenant (RFC 7644 section 4), her own extensions included. */
export const discoveryDoors: readonly DiscoveryDoor[] = [
  { path: '/ServiceProviderConfig', describe: async (ctx) => serviceProviderConfigDocument(scimAddress(ctx)) },
  { path: '/Schemas', describe: async (ctx) => listed(schemaDocuments(scimAddress(ctx), await typesOf(ctx))) },
  {
    path: '/Schemas/:id',
    describe: async (ctx, req) => named(schemaDocuments(scimAddress(ctx), await typesOf(ctx)), req),
  },
  {
    path: '/ResourceTypes',
    describe: async (ctx) => listed(resourceTypeDocuments(scimAddress(ctx), await typesOf(ctx))),
  },
  {
    path: '/ResourceTypes/:id',
    describe: async (ctx, req) => named(resourceTypeDocuments(scimAddress(ctx), await typesOf(ctx)), req),
  },
];

/** Returns the resources of /Schemas (RFC 7643 section 7). */
export function schemaDocuments(
  baseUrl: string,
  { User: user, Group: group }: ResourceTypes = STANDARD_TYPES,
): ScimObject[] {
  const schemas = [user.schema, ...user.extensions, group.schema, ...group.extensions, ...PROTOCOL_SCHEMAS];
  return schemas.map((schema) => ({
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:Schema'],
    id: schema.id,
    name: schema.name,
    description: schema.description,
    attributes: schema.attributes.map(attributeDocument),
    meta: { resourceType: 'Schema', location: `${baseUrl}/Schemas/${schema.id}` },
  }));
}

/** Returns the resources of /ResourceTypes (RFC 7643 section 6). */
export function resourceTypeDocuments(
  baseUrl: string,
  { User: user, Group: group }: ResourceTypes = STANDARD_TYPES,
): ScimObject[] {
  return [user, group].map((type) => ({
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:ResourceType'],
    id: type.name,
    name: type.name,
    description: type.description,
    endpoint: type.endpoint,
    schema: type.schema.id,
    schemaExtensions: type.extensions.map((extension) => ({ schema: extension.id, required: false })),
    meta: { resourceType: 'ResourceType', location: `${baseUrl}/ResourceTypes/${type.name}` },
  }));
}

/** Returns the resource of /ServiceProviderConfig (RFC 7643 section 5): what this service can do. */
export function serviceProviderConfigDocument(baseUrl: string): ScimObject {
  return {
    schemas: ['urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig'],
    patch: { supported: true },
    bulk: { supported: true, maxOperations: BULK_LIMITS.operations, maxPayloadSize: BULK_LIMITS.bytes },
    filter: { supported: true, maxResults: MAX_PAGE_SIZE },
    changePassword: { supported: false },
    sort: { supported: true },
    etag: { supported: true },
    pagination: {
      cursor: true,
      index: true,
      defaultPaginationMethod: 'index',
      defaultPageSize: DEFAULT_PAGE_SIZE,
      maxPageSize: MAX_PAGE_SIZE,
      cursorTimeout: CURSOR_TIMEOUT_SECONDS,
    },
    authenticationSchemes: [
      {
        type: 'oauthbearertoken',
        name: 'Bearer token',
        description: 'A SCIM token of the tenant in the Authorization header.',
        specUri: 'https://www.rfc-editor.org/info/rfc6750',
        primary: true,
      },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${baseUrl}/ServiceProviderConfig` },
  };
}

async function typesOf(ctx: RequestContext): Promise<ResourceTypes> {
  return inTenant(ctx, resourceTypesOf);
}

function listed(resources: readonly ScimObject[]): ScimObject {
  return listResponse({ resources, totalResults: resources.length, startIndex: 1 });
}

/** URNs are compared without case (RFC 8141). */
function named(documents: readonly ScimObject[], { params }: RouteRequest): ScimObject {
  const wanted = params['id']?.toLowerCase();
  const found = documents.find(({ id }) => typeof id === 'string' && id.toLowerCase() === wanted);
  return found ?? fail('NOT_FOUND', 'no such discovery document');
}

function attributeDocument({
  subAttributes,
  canonicalValues,
  referenceTypes,
  ...characteristics
}: Attribute): ScimObject {
  return {
    ...characteristics,
    ...(canonicalValues && { canonicalValues: [...canonicalValues] }),
    ...(referenceTypes && { referenceTypes: [...referenceTypes] }),
    ...(subAttributes && { subAttributes: subAttributes.map(attributeDocument) }),
  };
}

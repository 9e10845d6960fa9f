import type { RequestContext } from '#kit/request-context.ts';
import type { Preconditions } from './etag.ts';
import {
  createScimGroup,
  deleteScimGroup,
  LISTED_GROUPS,
  patchScimGroup,
  readScimGroup,
  replaceScimGroup,
} from './groups.ts';
import type { ListedKind } from './list.ts';
import type { ResourceAnswer, ResourceChange, ResourceReading } from './resource-answer.ts';
import type { ResourceType } from './schema.ts';
import { createScimUser, deleteScimUser, LISTED_USERS, patchScimUser, readScimUser, replaceScimUser } from './users.ts';

/** What can be done with the resources of one kind; ids are as the client wrote them. */
export interface Endpoint {
  readonly path: ResourceType['endpoint'];
  readonly listed: ListedKind;
  readonly create: (ctx: RequestContext, change: ResourceChange) => Promise<ResourceAnswer>;
  readonly read: (ctx: RequestContext, id: string, reading: ResourceReading) => Promise<ResourceAnswer>;
  readonly replace: (ctx: RequestContext, id: string, change: ResourceChange) => Promise<ResourceAnswer>;
  readonly patch: (ctx: RequestContext, id: string, change: ResourceChange) => Promise<ResourceAnswer>;
  readonly remove: (ctx: RequestContext, id: string, conditions: Preconditions) => Promise<void>;
}

/** People of the tenant. */
export const USERS: Endpoint = {
  path: '/Users',
  listed: LISTED_USERS,
  create: createScimUser,
  read: readScimUser,
  replace: replaceScimUser,
  patch: patchScimUser,
  remove: deleteScimUser,
};

/** Groups of the tenant. */
export const GROUPS: Endpoint = {
  path: '/Groups',
  listed: LISTED_GROUPS,
  create: createScimGroup,
  read: readScimGroup,
  replace: replaceScimGroup,
  patch: patchScimGroup,
  remove: deleteScimGroup,
};

/** Every endpoint of resources, in the order in which a query over all of them lists them. */
export const ENDPOINTS: readonly Endpoint[] = [USERS, GROUPS];

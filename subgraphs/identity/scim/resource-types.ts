import { LRUCache } from 'lru-cache';
import type { TenantTransaction } from '#kit/database.ts';
import { GROUP, USER, type Attribute, type ResourceType, type Schema } from './schema.ts';

/** The kinds of resource of one tenant: the standard ones with the extensions that she registered. */
export interface ResourceTypes {
  readonly User: ResourceType;
  readonly Group: ResourceType;
}

/** An extension as it is stored; its attributes were checked when it was registered. */
export interface ExtensionRow {
  readonly urn: string;
  readonly resource_type: 'User' | 'Group';
  readonly name: string;
  readonly description: string;
  readonly attributes: readonly Attribute[];
  /** Another one after each change. */
  readonly revision: string;
}

/** The kinds of resource of a tenant who registered no extension. */
export const STANDARD_TYPES: ResourceTypes = { User: USER, Group: GROUP };

/** Types are compared and indexed by identity, so that the same extensions should give the same object. */
const known = new LRUCache<string, ResourceTypes>({ max: 500 });

/** Returns the kinds of resource of the tenant. */
export async function resourceTypesOf(tx: Pick<TenantTransaction, 'query'>): Promise<ResourceTypes> {
  const rows = await extensionsOf(tx);
  if (rows.length === 0) return STANDARD_TYPES;
  const key = rows.map(({ revision }) => revision).join();
  const types = known.get(key) ?? { User: extended(USER, rows), Group: extended(GROUP, rows) };
  known.set(key, types);
  return types;
}

/** Returns the extensions that the tenant registered, by their URN. */
export async function extensionsOf(tx: Pick<TenantTransaction, 'query'>): Promise<ExtensionRow[]> {
  return tx.query<ExtensionRow>(
    'select urn, resource_type, name, description, attributes, revision from scim_extensions order by urn',
  );
}

/**
 * Returns what a query over all kinds at once can name (RFC 7644 section 3.4.2.1): the attributes of both. One that a
 * resource does not have counts as absent.
 */
export function anyType({ User: user, Group: group }: ResourceTypes): ResourceType {
  const combined = combinations.get(user) ?? {
    ...user,
    schema: { ...user.schema, attributes: [...user.schema.attributes, ...group.schema.attributes] },
    extensions: [...user.extensions, ...group.extensions],
    aliases: [group.schema.id],
  };
  combinations.set(user, combined);
  return combined;
}

const combinations = new WeakMap<ResourceType, ResourceType>();

function extended(type: ResourceType, rows: readonly ExtensionRow[]): ResourceType {
  const own = rows.filter((row) => row.resource_type === type.name).map(schemaOf);
  return { ...type, extensions: [...type.extensions, ...own] };
}

function schemaOf({ urn, name, description, attributes }: ExtensionRow): Schema {
  return { id: urn, name, description, attributes };
}

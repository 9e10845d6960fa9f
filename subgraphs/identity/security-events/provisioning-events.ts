import { inTenant, type TenantTransaction } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { LISTED_GROUPS } from '../scim/groups.ts';
import { resourceTypesOf } from '../scim/resource-types.ts';
import type { ScimObject } from '../scim/schema.ts';
import { LISTED_USERS } from '../scim/users.ts';
import type { DueDelivery } from './delivery-queue.ts';
import { scimEventOf } from './event-types.ts';

/** Members that a token shows; a larger group's receiver asks for those it wants. */
const MOST_MEMBERS = 500;
const PATCH_OP = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

/**
 * Returns the events of RFC 9967 that a delivery tells, with their payloads: the names of the attributes that changed for a
 * `notice`, the resource as it is now for a `full` one. Of what is gone by now, or of a group with more members than a token
 * holds, a `full` event is told as a notice.
 */
export async function provisioningEvents(
  ctx: RequestContext,
  delivery: DueDelivery,
): Promise<Readonly<Record<string, object>>> {
  const isFull = delivery.events.some((event) => scimEventOf(event)?.detail === 'full');
  const resource = isFull ? await inTenant(ctx, (tx) => resourceOf(tx, ctx, delivery)) : null;
  return Object.fromEntries(delivery.events.map((event) => eventOf(event, delivery, resource)));
}

function eventOf(event: string, { attributes }: DueDelivery, resource: ScimObject | null): [string, object] {
  const { change, detail } = scimEventOf(event) ?? {};
  if (detail === null || detail === undefined) return [event, {}];
  if (detail === 'notice' || resource === null)
    return [event.replace(/:full$/, ':notice'), { attributes: [...attributes] }];
  const version = versionOf(resource);
  return [event, { ...version, data: change === 'patch' ? patchOf(resource, attributes) : resource }];
}

/** The change as one that leads to what is now (RFC 7644 section 3.5.2). */
function patchOf(resource: ScimObject, attributes: readonly string[]): object {
  const Operations = attributes.map((path) => {
    const value = resource[path];
    return value === undefined ? { op: 'remove', path } : { op: 'replace', path, value };
  });
  return { schemas: [PATCH_OP], Operations };
}

function versionOf({ meta }: ScimObject): { readonly version?: JsonValue } {
  const version = typeof meta === 'object' && !Array.isArray(meta) ? meta['version'] : undefined;
  return typeof version === 'string' ? { version } : {};
}

async function resourceOf(
  tx: TenantTransaction,
  ctx: RequestContext,
  { subjectType, subject }: DueDelivery,
): Promise<ScimObject | null> {
  const types = await resourceTypesOf(tx);
  if (subjectType === 'group' && !(await isSmall(tx, subject))) return null;
  const listed = subjectType === 'user' ? LISTED_USERS : LISTED_GROUPS;
  const view = { baseUrl: `${ctx.platform.publicUrl}/scim/v2` };
  return (await listed.render(tx, [subject], { types, view })).get(subject) ?? null;
}

async function isSmall(tx: TenantTransaction, group: string): Promise<boolean> {
  const rows = await tx.query(`select from group_members where group_id = $1 limit ${MOST_MEMBERS + 1}`, [group]);
  return rows.length <= MOST_MEMBERS;
}

import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { noteReplacement } from '../security-events/replacement.ts';
import { applyGroupPatch } from './group-patch.ts';
import { requireGroupWriter } from './attribute-writer.ts';
import { noteChange } from './exchange.ts';
import { changeMembers, membersOf, type MemberChange } from './members.ts';
import { receivedPatch, receivedResource } from './normaliser.ts';
import { etagOf, isUnchanged, requirePreconditions, type Preconditions } from './etag.ts';
import type { ListedKind, Showing } from './list.ts';
import type { ResourceSource } from './page.ts';
import { requireUnchangedImmutables, resultOf } from './patch.ts';
import { readOperations } from './patch-steps.ts';
import { profileOf } from './profile.ts';
import type { ResourceAnswer, ResourceChange, ResourceReading } from './resource-answer.ts';
import { isWanted, readGroup, renderGroup, type ResourceLink } from './resource.ts';
import { resourceTypesOf } from './resource-types.ts';
import type { ResourceType, ScimObject } from './schema.ts';
import { refuse } from './value.ts';

/** Of a displayName; the table's own bound. */
const MAX_NAME_LENGTH = 320;

const SOURCE: ResourceSource = {
  select: 'g.id, g.display_name, g.external_id, g.resource, g.version, g.created_at, g.updated_at, g.managed_by',
  from: 'groups g',
  key: 'g.id',
  columns: {
    resource: 'g.resource',
    columns: {
      id: { kind: 'id', expression: 'g.id', prefix: 'grp' },
      displayName: { kind: 'text', expression: 'g.display_name', folded: 'g.display_name_folded' },
      externalId: { kind: 'text', expression: 'g.external_id' },
      'meta.resourceType': { kind: 'text', expression: `'Group'::text` },
      'meta.version': { kind: 'text', expression: `('W/"' || g.version || '"')` },
      // Clients see milliseconds and compare with what they saw.
      'meta.created': { kind: 'timestamp', expression: `date_trunc('milliseconds', g.created_at)` },
      'meta.lastModified': { kind: 'timestamp', expression: `date_trunc('milliseconds', g.updated_at)` },
      members: {
        kind: 'rows',
        from: 'group_members m',
        where: 'm.group_id = g.id',
        columns: { value: { kind: 'id', expression: 'm.user_id', prefix: 'usr' } },
      },
    },
  },
};

/** Groups as they are listed. */
export const LISTED_GROUPS: ListedKind = {
  name: 'Group',
  source: SOURCE,
  render: async (tx, ids, show) => {
    const rows = await tx.query<GroupRow>(`select ${SOURCE.select} from ${SOURCE.from} where g.id = any($1::uuid[])`, [
      ids,
    ]);
    const resources = await renderRows(tx, rows, show);
    return new Map(rows.flatMap(({ id }, index) => (resources[index] ? [[id, resources[index]]] : [])));
  },
};

/** Returns a group, or null where the client has this version already; none of that id in this tenant is NOT_FOUND. */
export async function readScimGroup(
  ctx: RequestContext,
  id: string,
  { view, conditions }: ResourceReading,
): Promise<ResourceAnswer> {
  return inTenant(ctx, async (tx) => {
    const [types, row] = await Promise.all([resourceTypesOf(tx), findRow(tx, id)]);
    requirePreconditions(row.version, { ifMatch: conditions.ifMatch });
    if (isUnchanged(row.version, conditions)) return { id, resource: null, etag: etagOf(row.version) };
    return answerOf(tx, row, { types, view });
  });
}

/** Creates a group with its members and its audit event; a displayName that is taken, in whatever case, is UNIQUENESS. */
export async function createScimGroup(ctx: RequestContext, { body, view }: ResourceChange): Promise<ResourceAnswer> {
  const id = uuidOf('grp', mintId('grp'));
  return inTenant(ctx, async (tx) => {
    const types = await resourceTypesOf(tx);
    requireGroupWriter(ctx, 'scim');
    const { resource, memberIds = [] } = readGroup(receivedResource(ctx, body, { type: types.Group }), types.Group);
    await tx.query(
      'insert into groups (id, display_name, external_id, resource, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)',
      [id, ...columnsOf(resource), ctx.clock()],
    );
    const { added } = await changeMembers(tx, id, { add: new Set(memberIds), remove: new Set() });
    const row = await findRow(tx, idOf('grp', id));
    await auditGroup(tx, ctx, { action: 'group.provision', row, context: { members_added: added } });
    return answerOf(tx, row, { types, view });
  });
}

/** Replaces a group by what the client sends; where it says nothing of members, those stay. */
export async function replaceScimGroup(
  ctx: RequestContext,
  id: string,
  { body, view, conditions }: ResourceChange,
): Promise<ResourceAnswer> {
  return inTenant(ctx, async (tx) => {
    const types = await resourceTypesOf(tx);
    const next = (before: ScimObject) => {
      const received = receivedResource(ctx, body, { type: types.Group, current: before });
      const { resource, memberIds } = readGroup(received, types.Group);
      const members = { ...UNCHANGED, replace: memberIds && new Set(memberIds) };
      return { document: { ...resource, id }, members };
    };
    await noteReplacement(tx);
    await changeGroup(tx, ctx, { id, conditions, type: types.Group, next });
    return answerOf(tx, await findRow(tx, id), { types, view });
  });
}

/**
 * Applies a PATCH to a group, all of its operations or none (RFC 7644 section 3.5.2); members that the request does not
 * name are neither loaded nor touched. The answer holds the group where the caller wants to see it, else null.
 */
export async function patchScimGroup(
  ctx: RequestContext,
  id: string,
  { body, view, conditions }: ResourceChange,
): Promise<ResourceAnswer> {
  const profile = profileOf(ctx);
  return inTenant(ctx, async (tx) => {
    const types = await resourceTypesOf(tx);
    const next = (before: ScimObject) => {
      const operations = readOperations(receivedPatch(ctx, body, { type: types.Group, id }));
      const patched = applyGroupPatch(before, operations, { type: types.Group, profile });
      const { resource, membersAdd: add, membersRemove: remove, membersReplace: replace } = patched;
      return { document: resource, members: { add, remove, replace } };
    };
    const version = await changeGroup(tx, ctx, { id, conditions, type: types.Group, next });
    // Section 3.5.2 asks for the resource only where the request names attributes; loading its members would cost more than the change.
    if (view.attributes === undefined) return { id, resource: null, etag: etagOf(version) };
    return answerOf(tx, await findRow(tx, id), { types, view });
  });
}

/** Deletes a group; her members lose what they had through it. Again is NOT_FOUND. */
export async function deleteScimGroup(ctx: RequestContext, id: string, conditions: Preconditions): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const row = await findRow(tx, id, 'for update');
    requirePreconditions(row.version, conditions);
    requireGroupWriter(ctx, row.managed_by);
    await tx.query('delete from groups where id = $1', [row.id]);
    await auditGroup(tx, ctx, { action: 'group.delete', row });
  });
}

const UNCHANGED: MemberChange = { add: new Set(), remove: new Set() };

interface GroupRow {
  readonly id: string;
  readonly display_name: string;
  readonly external_id: string | null;
  readonly resource: ScimObject;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly managed_by: string;
}

type Query = Pick<TenantTransaction, 'query'>;

async function findRow(tx: Query, id: string, lock: 'for update' | '' = ''): Promise<GroupRow> {
  const [row] = await tx.query<GroupRow>(`select ${SOURCE.select} from ${SOURCE.from} where g.id = $1 ${lock}`, [
    uuidOf('grp', id),
  ]);
  return row ?? fail('NOT_FOUND', 'no such group in this tenant');
}

interface GroupChange {
  readonly id: string;
  readonly conditions: Preconditions;
  readonly type: ResourceType;
  /** Returns what the group becomes; its row is locked meanwhile, so that changes at the same moment queue up. */
  readonly next: (before: ScimObject) => { readonly document: ScimObject; readonly members: MemberChange };
}

/** Returns the version that the group has then. */
async function changeGroup(tx: Query, ctx: RequestContext, change: GroupChange): Promise<number> {
  const row = await findRow(tx, change.id, 'for update');
  requirePreconditions(row.version, change.conditions);
  requireGroupWriter(ctx, row.managed_by);
  const before = documentOf(row);
  const { document, members } = change.next(before);
  requireUnchangedImmutables(change.type, before, document);
  const { changedAttributes } = resultOf(before, { resource: document, ignored: [] });
  const { added, removed } = await changeMembers(tx, row.id, members);
  if (changedAttributes.length === 0 && added === 0 && removed === 0) return row.version;
  const version = row.version + 1;
  await tx.query(
    'update groups set display_name = $2, external_id = $3, resource = $4, version = $5, updated_at = $6 where id = $1',
    [row.id, ...columnsOf(document), version, ctx.clock()],
  );
  const context = { attributes: [...changedAttributes], members_added: added, members_removed: removed };
  await auditGroup(tx, ctx, { action: 'group.update', row, context });
  return version;
}

function documentOf(row: GroupRow): ScimObject {
  return {
    ...row.resource,
    id: idOf('grp', row.id),
    displayName: row.display_name,
    ...(row.external_id !== null && { externalId: row.external_id }),
  };
}

/** Values for display_name, external_id and resource, in this order. */
function columnsOf(document: ScimObject): unknown[] {
  const { id: _, displayName, externalId, ...rest } = document;
  if (typeof displayName !== 'string' || displayName.length > MAX_NAME_LENGTH)
    refuse(`"displayName" takes 1 to ${MAX_NAME_LENGTH} characters.`);
  return [displayName, typeof externalId === 'string' ? externalId : null, JSON.stringify(rest)];
}

async function answerOf(tx: Query, row: GroupRow, show: Showing): Promise<ResourceAnswer> {
  const [resource] = await renderRows(tx, [row], show);
  if (resource === undefined) throw new Error('a row renders to one resource');
  return { id: idOf('grp', row.id), resource, etag: etagOf(row.version) };
}

async function renderRows(tx: Query, rows: readonly GroupRow[], { types, view }: Showing): Promise<ScimObject[]> {
  const ids = rows.map(({ id }) => id);
  const members = isWanted(types.Group, 'members', view) ? await membersOf(tx, ids) : new Map<string, ResourceLink[]>();
  return rows.map((row) => {
    const shown = members.get(row.id);
    const resource = {
      id: idOf('grp', row.id),
      resource: documentOf(row),
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      version: row.version,
    };
    return renderGroup(shown === undefined ? resource : { ...resource, members: shown }, view, types.Group);
  });
}

interface GroupNote {
  readonly action: string;
  readonly row: GroupRow;
  readonly context?: Record<string, JsonValue>;
}

async function auditGroup(tx: Query, ctx: RequestContext, { action, row, context = {} }: GroupNote): Promise<void> {
  const id = idOf('grp', row.id);
  const read = noteChange(ctx, { action, resourceId: id, attributes: attributesIn(context) });
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'group', id, name: row.display_name },
    context: { ...context, ...read },
  });
}

function attributesIn({
  attributes,
  members_added: added,
  members_removed: removed,
}: Record<string, JsonValue>): string[] {
  const own = Array.isArray(attributes) ? attributes.filter((name) => typeof name === 'string') : [];
  return Number(added ?? 0) + Number(removed ?? 0) > 0 ? [...own, 'members'] : own;
}

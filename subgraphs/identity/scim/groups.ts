import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { applyGroupPatch } from './group-patch.ts';
import { changeMembers, membersOf, type MemberChange } from './members.ts';
import { readPage, type ResourceSource } from './page.ts';
import { resultOf } from './patch.ts';
import { readOperations } from './patch-steps.ts';
import { SCIM_PROFILE } from './profile.ts';
import type { ListQuery } from './request.ts';
import { isWanted, listResponse, readGroup, renderGroup, type ResourceLink, type ResourceView } from './resource.ts';
import { GROUP, type ScimObject } from './schema.ts';
import type { ResourceChange } from './users.ts';
import { refuse } from './value.ts';

/** Of a displayName; the table's own bound. */
const MAX_NAME_LENGTH = 320;

const SOURCE: ResourceSource = {
  type: GROUP,
  select: 'g.id, g.display_name, g.external_id, g.resource, g.created_at, g.updated_at',
  from: 'groups g',
  key: 'g.id',
  columns: {
    resource: 'g.resource',
    columns: {
      id: { kind: 'id', expression: 'g.id', prefix: 'grp' },
      displayName: { kind: 'text', expression: 'g.display_name', folded: 'g.display_name_folded' },
      externalId: { kind: 'text', expression: 'g.external_id' },
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

/** Returns a page of the tenant's groups as a list response, in the order they were made. */
export async function listScimGroups(ctx: RequestContext, query: ListQuery, view: ResourceView): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => {
    const { rows, totalResults } = await readPage<GroupRow>(tx, SOURCE, query);
    return listResponse({ resources: await renderRows(tx, rows, view), totalResults, startIndex: query.startIndex });
  });
}

/** Returns a group; none of that id, or one of another tenant, is NOT_FOUND. */
export async function readScimGroup(ctx: RequestContext, id: string, view: ResourceView): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => renderRow(tx, await findRow(tx, id), view));
}

/** Creates a group with its members and its audit event; a displayName that is taken, in whatever case, is UNIQUENESS. */
export async function createScimGroup(ctx: RequestContext, { body, view }: ResourceChange): Promise<ScimObject> {
  const { resource, memberIds = [] } = readGroup(body);
  const id = uuidOf('grp', mintId('grp'));
  return inTenant(ctx, async (tx) => {
    await tx.query(
      'insert into groups (id, display_name, external_id, resource, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)',
      [id, ...columnsOf(resource), ctx.clock()],
    );
    const { added } = await changeMembers(tx, id, { add: new Set(memberIds), remove: new Set() });
    const row = await findRow(tx, idOf('grp', id));
    await auditGroup(tx, ctx, { action: 'group.provision', row, context: { members_added: added } });
    return renderRow(tx, row, view);
  });
}

/** Replaces a group by what the client sends; where it says nothing of members, those stay. */
export async function replaceScimGroup(
  ctx: RequestContext,
  id: string,
  { body, view }: ResourceChange,
): Promise<ScimObject> {
  const { resource, memberIds } = readGroup(body);
  return inTenant(ctx, async (tx) => {
    await changeGroup(tx, ctx, {
      id,
      next: () => ({
        document: { ...resource, id },
        members: { ...UNCHANGED, replace: memberIds && new Set(memberIds) },
      }),
    });
    return renderRow(tx, await findRow(tx, id), view);
  });
}

/**
 * Applies a PATCH to a group, all of its operations or none (RFC 7644 section 3.5.2); members that the request does not
 * name are neither loaded nor touched. Returns the group where the caller wants to see it, else null.
 */
export async function patchScimGroup(
  ctx: RequestContext,
  id: string,
  { body, view }: ResourceChange,
): Promise<ScimObject | null> {
  const operations = readOperations(body);
  return inTenant(ctx, async (tx) => {
    await changeGroup(tx, ctx, {
      id,
      next: (before) => {
        const {
          resource,
          membersAdd: add,
          membersRemove: remove,
          membersReplace: replace,
        } = applyGroupPatch(before, operations, SCIM_PROFILE);
        return { document: resource, members: { add, remove, replace } };
      },
    });
    // Section 3.5.2 asks for the resource only where the request names attributes; loading its members would cost more than the change.
    return view.attributes === undefined ? null : renderRow(tx, await findRow(tx, id), view);
  });
}

/** Deletes a group; her members lose what they had through it. Again is NOT_FOUND. */
export async function deleteScimGroup(ctx: RequestContext, id: string): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const row = await findRow(tx, id, 'for update');
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
  readonly created_at: Date;
  readonly updated_at: Date;
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
  /** Returns what the group becomes; its row is locked meanwhile, so that changes at the same moment queue up. */
  readonly next: (before: ScimObject) => { readonly document: ScimObject; readonly members: MemberChange };
}

async function changeGroup(tx: Query, ctx: RequestContext, { id, next }: GroupChange): Promise<void> {
  const row = await findRow(tx, id, 'for update');
  const before = documentOf(row);
  const { document, members } = next(before);
  const { changedAttributes } = resultOf(before, { resource: document, ignored: [] });
  const { added, removed } = await changeMembers(tx, row.id, members);
  if (changedAttributes.length === 0 && added === 0 && removed === 0) return;
  await tx.query(
    'update groups set display_name = $2, external_id = $3, resource = $4, version = version + 1, updated_at = $5 where id = $1',
    [row.id, ...columnsOf(document), ctx.clock()],
  );
  const context = { attributes: [...changedAttributes], members_added: added, members_removed: removed };
  await auditGroup(tx, ctx, { action: 'group.update', row, context });
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

async function renderRow(tx: Query, row: GroupRow, view: ResourceView): Promise<ScimObject> {
  const [rendered] = await renderRows(tx, [row], view);
  return rendered ?? fail('INTERNAL_SERVER_ERROR', 'a row renders to one resource');
}

async function renderRows(tx: Query, rows: readonly GroupRow[], view: ResourceView): Promise<ScimObject[]> {
  const ids = rows.map(({ id }) => id);
  const members = isWanted(GROUP, 'members', view) ? await membersOf(tx, ids) : new Map<string, ResourceLink[]>();
  return rows.map((row) => {
    const shown = members.get(row.id);
    const resource = {
      id: idOf('grp', row.id),
      resource: documentOf(row),
      createdAt: row.created_at,
      updatedAt: row.updated_at,
    };
    return renderGroup(shown === undefined ? resource : { ...resource, members: shown }, view);
  });
}

interface GroupNote {
  readonly action: string;
  readonly row: GroupRow;
  readonly context?: Record<string, JsonValue>;
}

async function auditGroup(tx: Query, ctx: RequestContext, { action, row, context = {} }: GroupNote): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'group', id: idOf('grp', row.id), name: row.display_name },
    context,
  });
}

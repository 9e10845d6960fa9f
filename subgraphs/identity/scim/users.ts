import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { deactivateUser, reactivateUser, revokeAll } from '../revocation/deactivation.ts';
import { readPage, type ResourceSource } from './page.ts';
import { applyPatch, resultOf } from './patch.ts';
import { readOperations } from './patch-steps.ts';
import { SCIM_PROFILE } from './profile.ts';
import type { ListQuery } from './request.ts';
import { isWanted, listResponse, readUser, renderUser, type ResourceLink, type ResourceView } from './resource.ts';
import { USER, type ScimObject, type ScimValue } from './schema.ts';
import { isPrimary, refuse } from './value.ts';

/** What a client sends about a resource, and how it wants to see the outcome. */
export interface ResourceChange {
  /** As parsed from JSON; hostile until read. */
  readonly body: unknown;
  readonly view: ResourceView;
}

/** Groups shown of one user, as many as the graph shows; a list with all of them could outgrow any memory. */
const MAX_GROUPS_SHOWN = 100;
/** Of a userName; the table's own bound. */
const MAX_NAME_LENGTH = 320;

/** The document without what has a column; a person made by hand has one address and no document to hold it. */
const DOCUMENT = `(case when u.email is null or u.resource ? 'emails' then u.resource else u.resource || jsonb_build_object(
  'emails', jsonb_build_array(jsonb_build_object('value', u.email, 'type', 'work', 'primary', true))) end)`;

const SOURCE: ResourceSource = {
  type: USER,
  select: `u.id, u.user_name, u.external_id, u.display_name, u.active, u.created_at, u.updated_at, ${DOCUMENT} as resource`,
  from: 'users u',
  key: 'u.id',
  columns: {
    resource: DOCUMENT,
    columns: {
      id: { kind: 'id', expression: 'u.id', prefix: 'usr' },
      userName: { kind: 'text', expression: 'u.user_name', folded: 'u.user_name_folded' },
      externalId: { kind: 'text', expression: 'u.external_id' },
      displayName: { kind: 'text', expression: 'u.display_name' },
      active: { kind: 'boolean', expression: 'u.active' },
      // Clients see milliseconds and compare with what they saw.
      'meta.created': { kind: 'timestamp', expression: `date_trunc('milliseconds', u.created_at)` },
      'meta.lastModified': { kind: 'timestamp', expression: `date_trunc('milliseconds', u.updated_at)` },
      groups: {
        kind: 'rows',
        from: 'group_members m join groups g on g.id = m.group_id',
        where: 'm.user_id = u.id',
        columns: {
          value: { kind: 'id', expression: 'g.id', prefix: 'grp' },
          display: { kind: 'text', expression: 'g.display_name' },
        },
      },
    },
  },
};

/** Returns a page of the tenant's users as a list response, inactive ones too, in the order they were made. */
export async function listScimUsers(ctx: RequestContext, query: ListQuery, view: ResourceView): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => {
    const { rows, totalResults } = await readPage<UserRow>(tx, SOURCE, query);
    return listResponse({ resources: await renderRows(tx, rows, view), totalResults, startIndex: query.startIndex });
  });
}

/** Returns a user; nobody of that id, or somebody of another tenant, is NOT_FOUND. */
export async function readScimUser(ctx: RequestContext, id: string, view: ResourceView): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => renderRow(tx, await findRow(tx, id), view));
}

/** Creates a user and its audit event; a userName that is taken, in whatever case, is UNIQUENESS. */
export async function createScimUser(ctx: RequestContext, { body, view }: ResourceChange): Promise<ScimObject> {
  const document = readUser(body);
  const active = document['active'] !== false;
  const id = uuidOf('usr', mintId('usr'));
  return inTenant(ctx, async (tx) => {
    await tx.query(
      `insert into users (id, user_name, external_id, display_name, email, resource, active, created_at, updated_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $8)`,
      [id, ...columnsOf(document), active, ctx.clock()],
    );
    const row = await findRow(tx, idOf('usr', id));
    await auditUser(tx, ctx, { action: 'user.provision', row, context: { active } });
    return renderRow(tx, row, view);
  });
}

/**
 * Replaces a user by what the client sends (RFC 7644 section 3.5.1). Where it says nothing of `active`, that stays as it
 * is: nobody loses or regains access by an omission. A change of `active` ends or restores access in the same transaction.
 */
export async function replaceScimUser(
  ctx: RequestContext,
  id: string,
  { body, view }: ResourceChange,
): Promise<ScimObject> {
  const document = readUser(body);
  return changeUser(ctx, id, { view, next: (before) => ({ active: before['active'] ?? true, ...document, id }) });
}

/** Applies a PATCH to a user, all of its operations or none (RFC 7644 section 3.5.2); `active` as in a replacement. */
export async function patchScimUser(
  ctx: RequestContext,
  id: string,
  { body, view }: ResourceChange,
): Promise<ScimObject> {
  const operations = readOperations(body);
  const next = (before: ScimObject) => applyPatch(before, operations, { type: USER, profile: SCIM_PROFILE }).resource;
  return changeUser(ctx, id, { view, next });
}

/** Deletes a user for good: her credentials, memberships and roles go with her. Again is NOT_FOUND. */
export async function deleteScimUser(ctx: RequestContext, id: string): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const row = await findRow(tx, id, 'for update');
    const ended = await revokeAll(tx, row.id, ctx.clock());
    await tx.query('delete from users where id = $1', [row.id]);
    await auditUser(tx, ctx, {
      action: 'user.delete',
      row,
      context: { sessions: ended.sessions, api_keys: ended.apiKeys },
    });
  });
}

interface UserRow {
  readonly id: string;
  readonly user_name: string;
  readonly external_id: string | null;
  readonly display_name: string | null;
  readonly active: boolean;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly resource: ScimObject;
}

type Query = Pick<TenantTransaction, 'query'>;

async function findRow(tx: Query, id: string, lock: 'for update' | '' = ''): Promise<UserRow> {
  const [row] = await tx.query<UserRow>(`select ${SOURCE.select} from ${SOURCE.from} where u.id = $1 ${lock}`, [
    uuidOf('usr', id),
  ]);
  return row ?? fail('NOT_FOUND', 'no such user in this tenant');
}

interface UserChange {
  readonly view: ResourceView;
  /** Returns the new document; the row is locked meanwhile, so that changes at the same moment queue up. */
  readonly next: (before: ScimObject) => ScimObject;
}

async function changeUser(ctx: RequestContext, id: string, { view, next }: UserChange): Promise<ScimObject> {
  return inTenant(ctx, async (tx) => {
    const row = await findRow(tx, id, 'for update');
    const before = documentOf(row);
    const document = next(before);
    const { changed, changedAttributes } = resultOf(before, { resource: document, ignored: [] });
    if (!changed) return renderRow(tx, row, view);
    const attributes = changedAttributes.filter((name) => name !== 'active');
    if (attributes.length > 0) await updateRow(tx, ctx, { row, document, attributes });
    if (changedAttributes.includes('active')) await setActive(tx, ctx, { row, active: document['active'] === true });
    return renderRow(tx, await findRow(tx, id), view);
  });
}

async function updateRow(
  tx: TenantTransaction,
  ctx: RequestContext,
  { row, document, attributes }: { row: UserRow; document: ScimObject; attributes: readonly string[] },
): Promise<void> {
  await tx.query(
    `update users set user_name = $2, external_id = $3, display_name = $4, email = $5, resource = $6,
            version = version + 1, updated_at = $7
      where id = $1`,
    [row.id, ...columnsOf(document), ctx.clock()],
  );
  await auditUser(tx, ctx, { action: 'user.update', row, context: { attributes: [...attributes] } });
}

async function setActive(
  tx: TenantTransaction,
  ctx: RequestContext,
  { row, active }: { row: UserRow; active: boolean },
): Promise<void> {
  if (active) {
    await reactivateUser(tx, row.id, ctx.clock());
    await auditUser(tx, ctx, { action: 'user.reactivate', row });
    return;
  }
  const ended = await deactivateUser(tx, row.id, ctx.clock());
  await auditUser(tx, ctx, {
    action: 'user.deactivate',
    row,
    context: { sessions: ended?.sessions ?? 0, api_keys: ended?.apiKeys ?? 0 },
  });
}

function documentOf(row: UserRow): ScimObject {
  return {
    ...row.resource,
    id: idOf('usr', row.id),
    userName: row.user_name,
    ...(row.external_id !== null && { externalId: row.external_id }),
    ...(row.display_name !== null && { displayName: row.display_name }),
    active: row.active,
  };
}

/** Values for user_name, external_id, display_name, email and resource, in this order. */
function columnsOf(document: ScimObject): unknown[] {
  const { id: _, active: __, userName, externalId, displayName, ...rest } = document;
  if (typeof userName !== 'string' || userName.length > MAX_NAME_LENGTH)
    refuse(`"userName" takes 1 to ${MAX_NAME_LENGTH} characters.`);
  return [userName, textOf(externalId), textOf(displayName), mainAddress(rest['emails']), JSON.stringify(rest)];
}

function textOf(value: ScimValue | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

/** The primary address, or the first where none is. */
function mainAddress(emails: ScimValue | undefined): string | null {
  const elements = Array.isArray(emails) ? emails.filter((element) => isElement(element)) : [];
  const filled = elements.filter((element) => textOf(element['value']) !== null);
  return textOf((filled.find(isPrimary) ?? filled[0])?.['value']);
}

function isElement(value: ScimValue): value is ScimObject {
  return typeof value === 'object' && !Array.isArray(value);
}

async function renderRow(tx: Query, row: UserRow, view: ResourceView): Promise<ScimObject> {
  const [rendered] = await renderRows(tx, [row], view);
  return rendered ?? fail('INTERNAL_SERVER_ERROR', 'a row renders to one resource');
}

async function renderRows(tx: Query, rows: readonly UserRow[], view: ResourceView): Promise<ScimObject[]> {
  const groups = isWanted(USER, 'groups', view) ? await groupsOf(tx, rows) : new Map<string, ResourceLink[]>();
  return rows.map((row) => {
    const resource = documentOf(row);
    return renderUser(
      {
        id: idOf('usr', row.id),
        resource,
        createdAt: row.created_at,
        updatedAt: row.updated_at,
        groups: groups.get(row.id) ?? [],
      },
      view,
    );
  });
}

async function groupsOf(tx: Query, rows: readonly UserRow[]): Promise<Map<string, ResourceLink[]>> {
  const found = await tx.query<{ user_id: string; id: string; display_name: string }>(
    `select member.* from unnest($1::uuid[]) as shown(id) cross join lateral (
       select m.user_id, g.id, g.display_name from group_members m join groups g on g.id = m.group_id
        where m.user_id = shown.id order by lower(g.display_name) limit ${MAX_GROUPS_SHOWN}) as member`,
    [rows.map(({ id }) => id)],
  );
  const groups = new Map<string, ResourceLink[]>();
  for (const { user_id: user, id, display_name: display } of found) {
    groups.set(user, [...(groups.get(user) ?? []), { id: idOf('grp', id), display }]);
  }
  return groups;
}

interface UserNote {
  readonly action: string;
  readonly row: UserRow;
  readonly context?: Record<string, JsonValue>;
}

/** The event names whom it is about; what her attributes hold stays out of it. */
async function auditUser(tx: Query, ctx: RequestContext, { action, row, context = {} }: UserNote): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'user', id: idOf('usr', row.id), name: row.display_name },
    context,
  });
}

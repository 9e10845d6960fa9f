import { inTenant, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import type { JsonValue } from '#schema/canonical-json.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf } from '#schema/ids.ts';
import { deactivateUser, reactivateUser, revokeAll } from '../revocation/deactivation.ts';
import { noteReplacement } from '../security-events/replacement.ts';
import { clientUuid, noteAccess, noteEnd, requireWriter, takeOver } from './attribute-writer.ts';
import { etagOf, isUnchanged, requirePreconditions, type Preconditions } from './etag.ts';
import { noteChange } from './exchange.ts';
import type { ListedKind, Showing } from './list.ts';
import { receivedPatch, receivedResource } from './normaliser.ts';
import type { ResourceSource } from './page.ts';
import { applyPatch, requireUnchangedImmutables, resultOf } from './patch.ts';
import { readOperations } from './patch-steps.ts';
import { profileOf } from './profile.ts';
import type { ResourceAnswer, ResourceChange, ResourceReading } from './resource-answer.ts';
import { isWanted, readUser, renderUser, type ResourceLink } from './resource.ts';
import { resourceTypesOf } from './resource-types.ts';
import type { ResourceType, ScimObject, ScimValue } from './schema.ts';
import { isPrimary, refuse } from './value.ts';

/** Groups shown of one user, as many as the graph shows; a list with all of them could outgrow any memory. */
const MAX_GROUPS_SHOWN = 100;
/** Of a userName; the table's own bound. */
const MAX_NAME_LENGTH = 320;

/** The document without what has a column; a person made by hand has one address and no document to hold it. */
const DOCUMENT = `(case when u.email is null or u.resource ? 'emails' then u.resource else u.resource || jsonb_build_object(
  'emails', jsonb_build_array(jsonb_build_object('value', u.email, 'type', 'work', 'primary', true))) end)`;

const SOURCE: ResourceSource = {
  select: `u.id, u.user_name, u.external_id, u.display_name, u.active, u.version, u.created_at, u.updated_at, u.provisioned_by, ${DOCUMENT} as resource`,
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
      'meta.resourceType': { kind: 'text', expression: `'User'::text` },
      'meta.version': { kind: 'text', expression: `('W/"' || u.version || '"')` },
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

/** Users as they are listed. */
export const LISTED_USERS: ListedKind = {
  name: 'User',
  source: SOURCE,
  render: async (tx, ids, show) => {
    const rows = await tx.query<UserRow>(`select ${SOURCE.select} from ${SOURCE.from} where u.id = any($1::uuid[])`, [
      ids,
    ]);
    const resources = await renderRows(tx, rows, show);
    return new Map(rows.flatMap(({ id }, index) => (resources[index] ? [[id, resources[index]]] : [])));
  },
};

/** Returns a user, or null where the client has this version already; nobody of that id in this tenant is NOT_FOUND. */
export async function readScimUser(
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

/** Creates a user and its audit event; a userName that is taken, in whatever case, is UNIQUENESS. */
export async function createScimUser(ctx: RequestContext, { body, view }: ResourceChange): Promise<ResourceAnswer> {
  const id = uuidOf('usr', mintId('usr'));
  return inTenant(ctx, async (tx) => {
    const types = await resourceTypesOf(tx);
    const document = readUser(receivedResource(ctx, body, { type: types.User }), types.User);
    const active = document['active'] !== false;
    await tx.query(
      `insert into users (id, user_name, external_id, display_name, email, resource, active, created_at, updated_at, provisioned_by)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)`,
      [id, ...columnsOf(document), active, ctx.clock(), clientUuid(ctx)],
    );
    const row = await findRow(tx, idOf('usr', id));
    await auditUser(tx, ctx, { action: 'user.provision', row, context: { active } });
    return answerOf(tx, row, { types, view });
  });
}

/**
 * Replaces a user by what the client sends (RFC 7644 section 3.5.1). Where it says nothing of `active`, that stays as it
 * is: nobody loses or regains access by an omission. A change of `active` ends or restores access in the same transaction.
 */
export async function replaceScimUser(
  ctx: RequestContext,
  id: string,
  change: ResourceChange,
): Promise<ResourceAnswer> {
  return changeUser(ctx, id, {
    ...change,
    isReplacement: true,
    next: (before, type) => {
      const body = receivedResource(ctx, change.body, { type, current: before });
      return { active: before['active'] ?? true, ...readUser(body, type), id };
    },
  });
}

/** Applies a PATCH to a user, all of its operations or none (RFC 7644 section 3.5.2); `active` as in a replacement. */
export async function patchScimUser(ctx: RequestContext, id: string, change: ResourceChange): Promise<ResourceAnswer> {
  const profile = profileOf(ctx);
  return changeUser(ctx, id, {
    ...change,
    next: (before, type) => {
      const operations = readOperations(receivedPatch(ctx, change.body, { type, id }));
      return applyPatch(before, operations, { type, profile }).resource;
    },
  });
}

/** Deletes a user for good: her credentials, memberships and roles go with her. Again is NOT_FOUND. */
export async function deleteScimUser(ctx: RequestContext, id: string, conditions: Preconditions): Promise<void> {
  await inTenant(ctx, async (tx) => {
    const row = await findRow(tx, id, 'for update');
    requirePreconditions(row.version, conditions);
    requireWriter(ctx, row, ['active']);
    const ended = await revokeAll(tx, row.id, ctx.clock());
    await tx.query('delete from users where id = $1', [row.id]);
    await noteEnd(tx, ctx, row.id);
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
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly resource: ScimObject;
  readonly provisioned_by: string | null;
}

type Query = Pick<TenantTransaction, 'query'>;

async function findRow(tx: Query, id: string, lock: 'for update' | '' = ''): Promise<UserRow> {
  const [row] = await tx.query<UserRow>(`select ${SOURCE.select} from ${SOURCE.from} where u.id = $1 ${lock}`, [
    uuidOf('usr', id),
  ]);
  return row ?? fail('NOT_FOUND', 'no such user in this tenant');
}

interface UserChange extends Pick<ResourceChange, 'view' | 'conditions'> {
  readonly isReplacement?: boolean;
  /** Returns the new document; the row is locked meanwhile, so that changes at the same moment queue up. */
  readonly next: (before: ScimObject, type: ResourceType) => ScimObject;
}

async function changeUser(ctx: RequestContext, id: string, change: UserChange): Promise<ResourceAnswer> {
  return inTenant(ctx, async (tx) => {
    const [types, row] = await Promise.all([resourceTypesOf(tx), findRow(tx, id, 'for update')]);
    requirePreconditions(row.version, change.conditions);
    const show = { types, view: change.view };
    const before = documentOf(row);
    const document = change.next(before, types.User);
    requireUnchangedImmutables(types.User, before, document);
    const { changed, changedAttributes } = resultOf(before, { resource: document, ignored: [] });
    if (!changed) return answerOf(tx, row, show);
    requireWriter(ctx, row, changedAttributes);
    await takeOver(tx, ctx, row);
    const attributes = changedAttributes.filter((name) => name !== 'active');
    if (change.isReplacement === true) await noteReplacement(tx);
    if (attributes.length > 0) await updateRow(tx, ctx, { row, document, attributes });
    if (changedAttributes.includes('active')) await setActive(tx, ctx, { row, active: document['active'] === true });
    return answerOf(tx, await findRow(tx, id), show);
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
  await auditUser(tx, ctx, { action: 'user.update', row, context: { source: 'scim', attributes: [...attributes] } });
}

async function setActive(
  tx: TenantTransaction,
  ctx: RequestContext,
  { row, active }: { row: UserRow; active: boolean },
): Promise<void> {
  if (active) {
    await reactivateUser(tx, row.id, ctx.clock());
    await noteAccess(tx, ctx, { id: row.id, active });
    await auditUser(tx, ctx, { action: 'user.reactivate', row });
    return;
  }
  const ended = await deactivateUser(tx, row.id, ctx.clock());
  await noteAccess(tx, ctx, { id: row.id, active });
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

async function answerOf(tx: Query, row: UserRow, show: Showing): Promise<ResourceAnswer> {
  const [resource] = await renderRows(tx, [row], show);
  if (resource === undefined) throw new Error('a row renders to one resource');
  return { id: idOf('usr', row.id), resource, etag: etagOf(row.version) };
}

async function renderRows(tx: Query, rows: readonly UserRow[], { types, view }: Showing): Promise<ScimObject[]> {
  const groups = isWanted(types.User, 'groups', view) ? await groupsOf(tx, rows) : new Map<string, ResourceLink[]>();
  return rows.map((row) => {
    const resource = {
      id: idOf('usr', row.id),
      resource: documentOf(row),
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      version: row.version,
      groups: groups.get(row.id) ?? [],
    };
    return renderUser(resource, view, types.User);
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
  const id = idOf('usr', row.id);
  const { attributes } = context;
  const names = Array.isArray(attributes) ? attributes.filter((name) => typeof name === 'string') : ['active'];
  const read = noteChange(ctx, { action, resourceId: id, attributes: names });
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'user', id, name: row.display_name },
    context: { ...context, ...read },
  });
}

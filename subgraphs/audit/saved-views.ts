import { validateSync } from 'class-validator';
import { newestFirst, pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOrNull } from '#schema/ids.ts';
import { AuditFilter } from './inputs.ts';
import { AuditView, type CreateAuditViewInput, type StoredFilter, type UpdateAuditViewInput } from './saved-view.ts';
import { entryQuery, filterNames, givenOf } from './search-terms.ts';

/** Views that one owner may have. */
const MAX_VIEWS = 200;

/** Returns a page of the views that the caller sees, newest first: her own and those that are shared. */
export async function listViews(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<AuditView>> {
  const request = pageRequest(args);
  const rows = await inTenantOnce(ctx, ({ manager }) =>
    newestFirst(manager.createQueryBuilder(AuditView, 'row'), request, 'vew')
      .andWhere('(row.shared or row.ownerId = :owner)', { owner: ownerOf(ctx) })
      .getMany(),
  );
  return pageOf(rows, request);
}

/** Returns the filter of a view; one that the caller cannot see is NOT_FOUND. */
export async function viewFilter(ctx: RequestContext, id: string): Promise<AuditFilter> {
  return inTenantOnce(ctx, async (tx) => filterOf(await requireView(tx, ctx, id)));
}

/** Returns the filter that a view has stored; one that the rules of today refuse is CONFLICT. */
export function filterOf({ storedFilter }: Pick<AuditView, 'storedFilter'>): AuditFilter {
  const { from, to } = storedFilter;
  const filter = Object.assign(new AuditFilter(), storedFilter);
  if (typeof from === 'string') filter.from = new Date(from);
  if (typeof to === 'string') filter.to = new Date(to);
  if (validateSync(filter).length > 0) {
    fail('CONFLICT', 'a stored filter is refused', { hint: 'The filter of the view is no longer valid; change it.' });
  }
  return filter;
}

/**
 * Saves a filter under a name, with its audit event in one transaction. A name that the owner has given already is
 * UNIQUENESS, a view too many CONFLICT.
 */
export async function createView(
  ctx: RequestContext,
  { name, shared, filter }: CreateAuditViewInput,
): Promise<AuditView> {
  const view = { id: mintId('vew'), name, shared, ownerId: ownerOf(ctx), storedFilter: storedOf(filter) };
  return inTenant(ctx, async (tx) => {
    if ((await tx.manager.countBy(AuditView, { ownerId: view.ownerId })) >= MAX_VIEWS) {
      fail('CONFLICT', 'too many views', { hint: `Nobody can have more than ${MAX_VIEWS} views.` });
    }
    await tx.manager.insert(AuditView, { ...view, updatedAt: ctx.clock() });
    await record(tx, ctx, { action: 'audit_view.create', view });
    return tx.manager.findOneByOrFail(AuditView, { id: view.id });
  });
}

/**
 * Changes a view of the caller's own, with its audit event in one transaction. One that she cannot see is NOT_FOUND, one
 * that another shares FORBIDDEN, a name that she has given to another view UNIQUENESS.
 */
export async function updateView(
  ctx: RequestContext,
  { id, name, shared, filter }: UpdateAuditViewInput,
): Promise<AuditView> {
  return inTenant(ctx, async (tx) => {
    const view = await requireView(tx, ctx, id);
    if (view.ownerId !== ownerOf(ctx)) fail('FORBIDDEN', 'a view of another', { hint: 'Its owner alone changes it.' });
    view.name = name ?? view.name;
    view.shared = shared ?? view.shared;
    if (filter != null) view.storedFilter = storedOf(filter);
    view.updatedAt = ctx.clock();
    const { id: _, ...changes } = view;
    await tx.manager.update(AuditView, { id: view.id }, changes);
    await record(tx, ctx, { action: 'audit_view.update', view });
    return tx.manager.findOneByOrFail(AuditView, { id: view.id });
  });
}

/**
 * Deletes a view, with its audit event in one transaction: one's own, and a shared one also with the right to change the
 * tenant, since its owner may be gone. One that the caller cannot see is NOT_FOUND, another's FORBIDDEN.
 */
export async function deleteView(ctx: RequestContext, id: string): Promise<string> {
  return inTenant(ctx, async (tx) => {
    const view = await requireView(tx, ctx, id);
    if (view.ownerId !== ownerOf(ctx) && !ctx.tenant.scopes.includes('tenant:write')) {
      fail('FORBIDDEN', 'a view of another', { hint: 'Its owner deletes it, or whoever may change the tenant.' });
    }
    await tx.manager.delete(AuditView, { id: view.id });
    await record(tx, ctx, { action: 'audit_view.delete', view });
    return view.id;
  });
}

async function requireView(
  { manager }: Pick<TenantTransaction, 'manager'>,
  ctx: RequestContext,
  id: string,
): Promise<AuditView> {
  const view = uuidOrNull('vew', id) === null ? null : await manager.findOneBy(AuditView, { id });
  return view !== null && (view.shared || view.ownerId === ownerOf(ctx))
    ? view
    : fail('NOT_FOUND', 'no such view that she sees');
}

/** The event says which fields the filter has, and not what it asks for, which the name of a personal view may tell. */
async function record(
  tx: TenantTransaction,
  ctx: RequestContext,
  { action, view }: { action: string; view: Pick<AuditView, 'id' | 'name' | 'shared' | 'storedFilter'> },
): Promise<void> {
  await appendAudit(tx, ctx, {
    action,
    resource: { type: 'audit_view', id: view.id, name: view.shared ? view.name : null },
    context: { shared: view.shared, filters: filterNames(filterOf(view)) },
  });
}

function storedOf(filter: AuditFilter): StoredFilter {
  // A text of too many words is refused now, not when the view is used.
  entryQuery([filter]);
  const values = Object.entries(givenOf(filter));
  return Object.fromEntries(values.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]));
}

function ownerOf({ tenant: { actor } }: RequestContext): string {
  return actor.type === 'anonymous' ? fail('FORBIDDEN', 'nobody has no views') : actor.id;
}

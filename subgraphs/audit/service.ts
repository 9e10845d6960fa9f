import type { Connection } from '#kit/connection.ts';
import { inTenantAudit } from '#kit/database.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { readByEvent, readHead } from './entries.ts';
import type { AuditEventArgs } from './inputs.ts';
import type { AuditEvent, AuditLog } from './model.ts';
import { logPage, pageOfLog } from './paging.ts';
import { withSealed } from './personal-search.ts';
import { shownEvents } from './personal-values.ts';
import { readSealedHead } from './proof.ts';
import { searchEntries } from './search.ts';
import { entryQuery, filterNames, givenOf, type ReadingFilter } from './search-terms.ts';
import { viewFilter } from './saved-views.ts';

/** The ways to read the log, as the log itself records them. */
export type ReadingDoor = 'search' | 'event' | 'proof' | 'export_ndjson' | 'export_csv';

/** Readings of a request that are recorded or about to be, so that a field asked for ten times is one reading. */
const recorded = new WeakMap<RequestContext, Map<string, Promise<unknown>>>();

/**
 * Writes down that the log is read, and by which filters' names, before anything is shown: nobody reads unseen, and
 * what she looked for stays hers. The same reading is written once a request.
 */
export async function recordReading(ctx: RequestContext, door: ReadingDoor, filter: ReadingFilter = {}): Promise<void> {
  const filters = filterNames(filter);
  const readings = recorded.get(ctx) ?? new Map<string, Promise<unknown>>();
  recorded.set(ctx, readings);
  const name = [door, ...filters].join(' ');
  const reading =
    readings.get(name) ??
    recordAudit(ctx, {
      action: 'audit.read',
      resource: { type: 'audit_log', id: ctx.tenant.tenant, name: null },
      context: { door, filters },
    });
  readings.set(name, reading);
  await reading;
}

/**
 * Returns a page of the log, newest first. Cursors are places in the log, so pages neither repeat nor skip an entry
 * while others are appended. A view that the caller cannot see is NOT_FOUND.
 */
export async function listEvents(
  ctx: RequestContext,
  { filter, view, ...args }: AuditEventArgs,
): Promise<Connection<AuditEvent>> {
  const page = logPage(args);
  const saved = view == null ? {} : await viewFilter(ctx, view);
  const query = entryQuery([filter ?? {}, saved]);
  await recordReading(ctx, 'search', { ...givenOf(saved), ...givenOf(filter ?? {}), view: view ?? null });
  const found = await inTenantAudit(ctx, (tx) => searchEntries(tx, { query, ...page }));
  const { rows, stoppedAt } = await withSealed(ctx, found, { query, ...page });
  return pageOfLog(page, { events: await shownEvents(ctx, rows), stoppedAt });
}

/** Returns the tenant's events among the ids. */
export async function findEvents(ctx: RequestContext, ids: readonly string[]): Promise<AuditEvent[]> {
  const uuids = ids.map((id) => uuidOrNull('aud', id)).filter((uuid) => uuid !== null);
  await recordReading(ctx, 'event');
  return shownEvents(ctx, await inTenantAudit(ctx, (tx) => readByEvent(tx, uuids)));
}

/** Returns how far the tenant's log has come. */
export async function findLog(ctx: RequestContext): Promise<AuditLog> {
  return inTenantAudit(ctx, async (tx) => {
    const { epoch, size, sealedSize, root, alarm } = await readHead(tx);
    const sealed = await readSealedHead(tx, epoch);
    return { size, sealedSize, rootHash: root.toString('hex'), checkpoint: sealed?.note ?? null, alarm };
  });
}

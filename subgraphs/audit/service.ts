import { pageOf, pageRequest, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenantAudit } from '#kit/database.ts';
import { recordAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { uuidOrNull } from '#schema/ids.ts';
import { eventOf, filterNames, readByEvent, readHead, readNewestFirst, type EntryPlace } from './entries.ts';
import type { AuditFilter } from './inputs.ts';
import type { AuditEvent, AuditLog } from './model.ts';
import { readSealedHead } from './proof.ts';

/** The ways to read the log, as the log itself records them. */
export type ReadingDoor = 'search' | 'event' | 'proof' | 'export_ndjson' | 'export_csv';

const CURSOR = /^(\d{1,9})\.(\d{1,15})$/;

/**
 * Writes down that the log is read, and by which filter's names, before anything is shown: nobody reads unseen, and
 * what she looked for stays hers.
 */
export async function recordReading(ctx: RequestContext, door: ReadingDoor, filter: AuditFilter = {}): Promise<void> {
  await recordAudit(ctx, {
    action: 'audit.read',
    resource: { type: 'audit_log', id: ctx.tenant.tenant, name: null },
    context: { door, filters: filterNames(filter) },
  });
}

/**
 * Returns a page of the log, newest first. Cursors are places in the log, so pages neither repeat nor skip an entry
 * while others are appended.
 */
export async function listEvents(
  ctx: RequestContext,
  args: ConnectionArgs,
  filter: AuditFilter,
): Promise<Connection<AuditEvent>> {
  const request = pageRequest(args);
  const before = request.after === null ? null : placeOf(request.after);
  await recordReading(ctx, 'search', filter);
  const rows = await inTenantAudit(ctx, (tx) => readNewestFirst(tx, { before, filter, limit: request.limit }));
  return pageOf(rows.map(eventOf), request, ({ epoch, seq }) => `${epoch}.${seq}`);
}

/** Returns the tenant's events among the ids. */
export async function findEvents(ctx: RequestContext, ids: readonly string[]): Promise<AuditEvent[]> {
  const uuids = ids.map((id) => uuidOrNull('aud', id)).filter((uuid) => uuid !== null);
  await recordReading(ctx, 'event');
  return inTenantAudit(ctx, async (tx) => (await readByEvent(tx, uuids)).map(eventOf));
}

/** Returns how far the tenant's log has come. */
export async function findLog(ctx: RequestContext): Promise<AuditLog> {
  return inTenantAudit(ctx, async (tx) => {
    const { epoch, size, sealedSize, root, alarm } = await readHead(tx);
    const sealed = await readSealedHead(tx, epoch);
    return { size, sealedSize, rootHash: root.toString('hex'), checkpoint: sealed?.note ?? null, alarm };
  });
}

function placeOf(cursor: string): EntryPlace {
  const [, epoch, seq] = CURSOR.exec(cursor) ?? [];
  if (epoch === undefined || seq === undefined) {
    fail('BAD_USER_INPUT', 'cursor not ours', { hint: '"after" takes a cursor of an earlier page.' });
  }
  return { epoch: Number(epoch), seq: Number(seq) };
}

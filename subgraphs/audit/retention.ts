import { pageOf, pageRequest, uuidAfter, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, inTenantOnce, type TenantTransaction } from '#kit/database.ts';
import { lockHolds } from '#kit/legal-hold.ts';
import { appendAudit } from '#kit/outbox.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, uuidv7 } from '#schema/ids.ts';
import type { AuditRetention, LegalHold, PlaceLegalHoldInput, SetAuditRetentionInput } from './retention-model.ts';

/** Holds that may stand at once; one keeps as much as a hundred. */
const MAX_HOLDS = 100;
const MAX_CHANGES = 100;

/** Returns how the archive keeps the tenant's log. */
export async function readRetention(ctx: RequestContext): Promise<AuditRetention> {
  return inTenant(ctx, (tx) => retentionIn(tx, ctx));
}

/**
 * Decides how far ahead the archive keeps the tenant's log, with the audit event in one transaction; the worker follows
 * within seconds. Days outside of what the deployment allows are BAD_USER_INPUT; the same days again change nothing.
 */
export async function setRetention(ctx: RequestContext, { days }: SetAuditRetentionInput): Promise<AuditRetention> {
  const { retentionMinDays: least, retentionMaxDays: most } = ctx.platform.config;
  if (days < least || days > most)
    fail('BAD_USER_INPUT', 'days out of range', { hint: `"days" takes ${least} to ${most}.` });
  return inTenant(ctx, async (tx) => {
    // One decision after another, so that each event names the one before it.
    await lockHolds(tx);
    const before = await retentionIn(tx, ctx);
    await appendAudit(tx, ctx, {
      action: 'audit_retention.update',
      resource: { type: 'audit_retention', id: ctx.tenant.tenant, name: null },
      context: { days, previous_days: before.days },
    });
    if (before.days === days) return before;
    await tx.query('insert into retention_policies (id, days, set_by, set_at) values ($1, $2, $3, $4)', [
      uuidv7(),
      days,
      actorOf(ctx),
      ctx.clock(),
    ]);
    return retentionIn(tx, ctx);
  });
}

/** Returns a page of the tenant's legal holds, newest first, with those that are released. */
export async function listHolds(ctx: RequestContext, args: ConnectionArgs): Promise<Connection<LegalHold>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'hld');
  const rows = await inTenantOnce(ctx, (tx) =>
    tx.query<HoldRow>(
      `select ${COLUMNS} from legal_holds where $1::uuid is null or id < $1 order by id desc limit $2`,
      [after, request.limit],
    ),
  );
  return pageOf(rows.map(holdOf), request);
}

/**
 * Places a legal hold, with its audit event in one transaction: from this commit on nobody is erased; the worker locks
 * each object of the archive. Of several holds the last one to stand keeps. More than 100 at once are CONFLICT.
 */
export async function placeHold(ctx: RequestContext, { reason }: PlaceLegalHoldInput): Promise<LegalHold> {
  const id = mintId('hld');
  return inTenant(ctx, async (tx) => {
    await lockHolds(tx);
    const [count] = await tx.query<{ standing: number }>(
      'select count(*)::integer as standing from legal_holds where released_at is null',
    );
    if ((count?.standing ?? 0) >= MAX_HOLDS)
      fail('CONFLICT', 'too many holds', { hint: `No more than ${MAX_HOLDS} holds can stand at once.` });
    const [row] = await tx.query<HoldRow>(
      `insert into legal_holds (id, reason, placed_by, placed_at) values ($1, $2, $3, $4) returning ${COLUMNS}`,
      [uuidOf('hld', id), reason, actorOf(ctx), ctx.clock()],
    );
    await appendAudit(tx, ctx, {
      action: 'legal_hold.place',
      resource: { type: 'legal_hold', id, name: null },
      context: { reason },
    });
    return row === undefined ? fail('INTERNAL_SERVER_ERROR', 'the insert returned no row') : holdOf(row);
  });
}

/**
 * Releases a legal hold, with its audit event in one transaction. It takes a person, and another one than who placed it
 * (FORBIDDEN); a hold that is released already is CONFLICT, an unknown one NOT_FOUND.
 */
export async function releaseHold(ctx: RequestContext, id: string): Promise<LegalHold> {
  const { actor } = ctx.tenant;
  return inTenant(ctx, async (tx) => {
    const [hold] = await tx.query<HoldRow>(`select ${COLUMNS} from legal_holds where id = $1 for update`, [
      uuidOf('hld', id),
    ]);
    if (hold === undefined) return fail('NOT_FOUND', 'no such hold in this tenant');
    if (hold.released_at !== null)
      fail('CONFLICT', 'the hold is released', { hint: 'The hold has been released already.' });
    if (actor.type !== 'user' || actor.id === hold.placed_by)
      fail('FORBIDDEN', 'it takes two', { hint: 'A hold is released by a user other than who placed it.' });
    const [row] = await tx.query<HoldRow>(
      `update legal_holds set released_by = $2, released_at = $3 where id = $1 returning ${COLUMNS}`,
      [uuidOf('hld', id), actor.id, ctx.clock()],
    );
    await appendAudit(tx, ctx, {
      action: 'legal_hold.release',
      resource: { type: 'legal_hold', id, name: null },
      context: { reason: hold.reason, placed_by: hold.placed_by, placed_at: hold.placed_at.toISOString() },
    });
    return row === undefined ? fail('INTERNAL_SERVER_ERROR', 'the update returned no row') : holdOf(row);
  });
}

interface HoldRow {
  readonly id: string;
  readonly reason: string;
  readonly placed_by: string;
  readonly placed_at: Date;
  readonly released_by: string | null;
  readonly released_at: Date | null;
}

const COLUMNS = 'id, reason, placed_by, placed_at, released_by, released_at';

function holdOf(row: HoldRow): LegalHold {
  return {
    id: idOf('hld', row.id),
    reason: row.reason,
    placedBy: row.placed_by,
    placedAt: row.placed_at,
    releasedBy: row.released_by,
    releasedAt: row.released_at,
  };
}

async function retentionIn(tx: TenantTransaction, { platform }: RequestContext): Promise<AuditRetention> {
  const changes = await tx.query<{ days: number; set_by: string; set_at: Date }>(
    'select days, set_by, set_at from retention_policies order by id desc limit $1',
    [MAX_CHANGES],
  );
  const [row] = await tx.query<{ held: boolean }>(
    'select exists (select from legal_holds where released_at is null) as held',
  );
  const { retentionDays: defaultDays, retentionMinDays: minDays, retentionMaxDays: maxDays } = platform.config;
  return {
    days: changes[0]?.days ?? defaultDays,
    defaultDays,
    minDays,
    maxDays,
    isHeld: row?.held === true,
    changes: changes.map(({ days, set_by: setBy, set_at: setAt }) => ({ days, setBy, setAt })),
  };
}

function actorOf({ tenant: { actor } }: RequestContext): string {
  return actor.type === 'anonymous' ? fail('FORBIDDEN', 'nobody decides nothing') : actor.id;
}

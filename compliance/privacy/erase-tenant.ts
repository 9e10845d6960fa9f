import { inTenant, inTenantAudit } from '#kit/database.ts';
import { isHeld } from '#kit/legal-hold.ts';
import type { Platform, RequestContext } from '#kit/request-context.ts';
import { erasureContext, requireNothingLeft, type Stopped } from './erase.ts';
import type { ErasedRows } from './erasure-statement.ts';
import { erasedTables, eraseLetGo, eraseTables, holdsRows } from './tenant-tables.ts';

/** Whose erasure, and how long the archive keeps what is put there now. */
export interface TenantErasure {
  /** UUID. */
  readonly tenantId: string;
  readonly retentionMs: number;
  /** Whether it was done once before, and a restored backup has undone it: what a legal hold then kept is gone. */
  readonly again: boolean;
  /** How long it may go on now: a process that is to end waits for it. What is done again has no end. */
  readonly sliceMs: number;
}

/**
 * Erases an ended tenant from the databases of her cell, and returns what went where: her key where a backup brought it
 * back, what waits for her in the job queue, and every table of both databases but the log and what proves it. Each step
 * is repeatable, and one that was done is not counted twice. Where a search finds anything afterwards it throws. What a
 * legal hold or the end of its time stops goes on with the next call.
 */
export async function eraseTenant(
  platform: Platform,
  { tenantId, retentionMs, again, sliceMs }: TenantErasure,
): Promise<readonly ErasedRows[] | Stopped> {
  const deadlineMs = again ? Infinity : performance.now() + sliceMs;
  const ctx = await erasureContext(platform, tenantId);
  if ((await destroyKey(ctx, { now: platform.clock(), again })) === 'held') return 'held';
  for (const database of ['cell', 'audit'] as const) {
    const stopped = await eraseTables(ctx, { database, again, deadlineMs });
    if (stopped !== null) return stopped;
  }
  const stores = [
    ...(await erasedTables(ctx, 'cell')),
    await emptyQueue(ctx, tenantId),
    ...(await erasedTables(ctx, 'audit')),
  ];
  requireNothingLeft(stores);
  const keys = { store: 'cell.keys', method: 'key_destroyed', rows: 1, left: 0 } as const;
  return [
    ...[...stores, keys].map((store) => Object.assign({ kept_until: null }, store)),
    ...(await sealedStores(ctx, new Date(platform.clock().getTime() + retentionMs))),
  ];
}

/** Tells whether the cell or the audit database hold something of an erased tenant again. */
export async function hasTenantReappeared(platform: Platform, tenantId: string): Promise<boolean> {
  const ctx = await erasureContext(platform, tenantId);
  const isBack = await inTenant(ctx, async (tx) => {
    const [row] = await tx.query<{ back: boolean }>(
      `select exists (select from tenant_keys where wrapped is not null)
           or exists (select from tenants where state not in ('erasing', 'erased')) as back`,
    );
    return row?.back === true;
  });
  return isBack || (await holdsRows(ctx, 'cell')) || holdsRows(ctx, 'audit');
}

/** Takes the log of an erased tenant, too, once the archive has let go of it; tells whether there was something to take. */
export async function eraseLogLetGo(platform: Platform, tenantId: string): Promise<boolean> {
  return eraseLetGo(await erasureContext(platform, tenantId));
}

/** A tenant without a key gets a destroyed one: only of whom it is destroyed anything can be erased. */
async function destroyKey(
  ctx: RequestContext,
  { now, again }: { readonly now: Date; readonly again: boolean },
): Promise<'held' | null> {
  return inTenant(ctx, async (tx) => {
    if (!again && (await isHeld(tx))) return 'held';
    await tx.query(
      `insert into tenant_keys (data_kid, wrapped, destroyed_at) values ('none', null, $1) on conflict do nothing`,
      [now],
    );
    await ctx.databases.personalKeys.destroyTenant(tx, ctx.tenant.tenant, now);
    // Her state is set back before her rows go, for its change leaves a row of its own.
    if (again) await tx.query('select tenon.erase_tenant_facts()');
    return null;
  });
}

/** What the queue holds of jobs whose rows are gone would be passed over, one by one. */
async function emptyQueue(ctx: RequestContext, tenantId: string) {
  return inTenant(ctx, async (tx) => {
    const [gone] = await tx.query<{ rows: number }>(
      `with gone as (delete from graphile_worker._private_jobs where key like $1 || ':%' and locked_at is null returning id)
       select count(*)::integer as rows from gone`,
      [tenantId],
    );
    const [left] = await tx.query<{ rows: number }>(
      `select count(*)::integer as rows from graphile_worker._private_jobs where key like $1 || ':%'`,
      [tenantId],
    );
    return { store: 'cell.job_queue', method: 'deleted', rows: gone?.rows ?? 0, left: left?.rows ?? 0 } as const;
  });
}

/** What stays as ciphertext, and until when. The last events of her go into the archive after this. */
async function sealedStores(ctx: RequestContext, lastUntil: Date): Promise<ErasedRows[]> {
  return inTenantAudit(ctx, async (tx) => {
    const [entries] = await tx.query<{ rows: number }>('select count(*)::integer as rows from log_entries');
    const [objects] = await tx.query<{ rows: number; until: Date | null }>(
      'select count(*)::integer as rows, max(retain_until) as until from archive_objects where removed_at is null',
    );
    const until = new Date(Math.max(lastUntil.getTime(), objects?.until?.getTime() ?? 0)).toISOString();
    return [
      sealed('audit.log', { rows: entries?.rows ?? 0, until: null }),
      sealed('archive', { rows: objects?.rows ?? 0, until }),
    ];
  });
}

function sealed(store: string, { rows, until }: { readonly rows: number; readonly until: string | null }): ErasedRows {
  return { store, method: 'key_destroyed', rows, left: rows, kept_until: until };
}

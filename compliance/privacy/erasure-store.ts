import type pg from 'pg';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import type { LedgerObject } from './erasure-ledger.ts';
import type { ErasedRows } from './erasure-statement.ts';

/** An erasure as the audit database keeps it. */
export interface ErasureRow {
  readonly tenant_id: string;
  readonly event_id: string;
  readonly epoch: number;
  readonly seq: string;
  readonly leaf: Buffer;
  readonly subject_id: string | null;
  readonly key_id: string | null;
  readonly basis: string;
  readonly request: string | null;
  readonly requested_at: Date;
  readonly erased_at: Date | null;
  readonly stores: readonly ErasedRows[] | null;
  readonly statement: string | null;
}

const COLUMNS = `tenant_id, event_id, epoch, seq, leaf, subject_id, key_id, basis, request, requested_at, erased_at,
  stores, statement`;

/** Returns erasures that are not complete, oldest first; where wanted those too that a legal hold has stopped, behind them. */
export async function openErasures(
  audit: pg.ClientBase,
  { limit, held }: { readonly limit: number; readonly held: boolean },
): Promise<ErasureRow[]> {
  const { rows } = await audit.query<ErasureRow>(
    `select ${COLUMNS} from erasures where statement is null and (held_since is null or $2)
      order by held_since is not null, requested_at, event_id limit $1`,
    [limit, held],
  );
  return rows;
}

/** Yields the complete erasures, tenant by tenant, in pages. */
export async function* completeErasures(audit: pg.ClientBase, pageSize: number): AsyncGenerator<ErasureRow[]> {
  const nil = '00000000-0000-0000-0000-000000000000';
  for (let [tenant, event] = [nil, nil]; ;) {
    const { rows } = await audit.query<ErasureRow>(
      `select ${COLUMNS} from erasures where statement is not null and (tenant_id, event_id) > ($1, $2)
        order by tenant_id, event_id limit $3`,
      [tenant, event, pageSize],
    );
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    [tenant, event] = [last.tenant_id, last.event_id];
  }
}

/** Returns whether the erasure of an event is known. */
export async function isKnownErasure(
  audit: pg.ClientBase,
  { tenantId, eventId }: { tenantId: string; eventId: string },
): Promise<boolean> {
  const { rowCount } = await audit.query('select from erasures where tenant_id = $1 and event_id = $2', [
    tenantId,
    eventId,
  ]);
  return rowCount === 1;
}

/**
 * Deletes what leads to values of a destroyed key, or to any of an ended tenant, and returns how many rows went. The head
 * of the log is locked meanwhile, so that the sequencer adds none that this does not see.
 */
export async function deleteTokens(
  client: pg.ClientBase,
  { tenant_id: tenant, key_id: key }: ErasureRow,
): Promise<number> {
  await client.query('select from log_heads where tenant_id = $1 for update', [tenant]);
  const { rowCount } = await client.query(
    'delete from log_index_tokens where tenant_id = $1 and ($2::text is null or key_id = $2)',
    [tenant, key],
  );
  return rowCount ?? 0;
}

/** Returns those of a tenant's erasures to whose values the index leads (again). */
export async function stillFound(client: pg.ClientBase, erasures: readonly ErasureRow[]): Promise<ErasureRow[]> {
  const { rows } = await client.query<{ event_id: string }>(
    `select event_id from erasures e where tenant_id = $1 and event_id = any ($2::uuid[])
        and exists (select from log_index_tokens t where t.tenant_id = e.tenant_id
                      and (e.key_id is null or t.key_id = e.key_id))`,
    [erasures[0]?.tenant_id ?? null, erasures.map(({ event_id: event }) => event)],
  );
  return erasures.filter(({ event_id: event }) => rows.some((row) => row.event_id === event));
}

/** Writes down when nothing was left, and what went; the first answer stays, since the statement repeats it. */
export async function noteErased(
  client: pg.ClientBase,
  row: ErasureRow,
  { at, stores }: { at: Date; stores: readonly ErasedRows[] },
): Promise<ErasureRow> {
  const { rows } = await client.query<ErasureRow>(
    `update erasures set erased_at = coalesce(erased_at, $3), stores = coalesce(stores, $4::jsonb), held_since = null
      where tenant_id = $1 and event_id = $2 returning ${COLUMNS}`,
    [row.tenant_id, row.event_id, at, JSON.stringify(stores)],
  );
  return rows[0] ?? row;
}

/** Writes down that a legal hold stops an erasure, and since when. */
export async function noteHeld(audit: pg.ClientBase, row: ErasureRow, now: Date): Promise<void> {
  await audit.query(
    'update erasures set held_since = coalesce(held_since, $3) where tenant_id = $1 and event_id = $2',
    [row.tenant_id, row.event_id, now],
  );
}

/** Stores the statement, which lies in the archive by now. */
export async function noteStatement(audit: pg.ClientBase, row: ErasureRow, statement: string): Promise<void> {
  await audit.query('update erasures set statement = coalesce(statement, $3) where tenant_id = $1 and event_id = $2', [
    row.tenant_id,
    row.event_id,
    statement,
  ]);
}

/**
 * Makes the object of a statement known to the retention of the archive. It belongs to the platform: an erasure has to be
 * known for as long as a backup may come back, also when its tenant has ended.
 */
export async function knowStatement(
  audit: pg.ClientBase,
  { key, sizeBytes, sha256 }: LedgerObject,
  { now, retainUntil }: { readonly now: Date; readonly retainUntil: Date },
): Promise<void> {
  await audit.query(
    `insert into archive_objects (tenant_id, key, size_bytes, sha256, retain_until, due_at, checked_at)
     values ($1, $2, $3, decode($4, 'hex'), $5, $5::timestamptz - ($5::timestamptz - $6) / 3, $6) on conflict do nothing`,
    [PLATFORM_UUID, key, sizeBytes, sha256, retainUntil, now],
  );
}

import type pg from 'pg';
import { PLATFORM_UUID } from '#kit/platform-log.ts';

/** What an object of the archive can lack. */
export type Fault = 'missing' | 'size' | 'content' | 'lock' | 'hold';

/** An object of the archive as it was last seen, and what its tenant wants. */
export interface KnownObject {
  /** UUID; of the platform where it belongs to no tenant. */
  readonly tenantId: string;
  readonly key: string;
  /** Null where nobody wrote it down. */
  readonly sizeBytes: number | null;
  /** Lower-case hex. */
  readonly sha256: string | null;
  readonly retainUntil: Date;
  readonly isHeld: boolean;
  readonly fault: Fault | null;
  readonly wants: { readonly days: number; readonly isHeld: boolean; readonly isEnded: boolean };
}

/** What is different of an object now; the rest stays. */
export interface ObjectChange {
  readonly retainUntil?: Date;
  readonly isHeld?: boolean;
  readonly dueAt?: Date;
  readonly checkedAt?: Date;
  readonly fault?: Fault | null;
  readonly removedAt?: Date;
}

/** A comparison of the archive with what is known of it. */
export interface Scan {
  readonly startedAt: Date;
  readonly objects: number;
  readonly repaired: number;
  readonly faults: number;
}

/** Which objects are asked for. */
export interface ObjectQuery {
  readonly now: Date;
  readonly defaultDays: number;
  readonly limit: number;
}

/** Returns objects whose legal hold is another than their tenant's. */
export async function objectsToHold(audit: pg.Pool, query: ObjectQuery): Promise<KnownObject[]> {
  const held = await select(audit, query, { condition: 'r.is_held and not o.is_held' });
  if (held.length === query.limit) return held;
  const rest = { ...query, limit: query.limit - held.length };
  return [...held, ...(await select(audit, rest, { condition: 'o.is_held and not coalesce(r.is_held, false)' }))];
}

/** Returns objects that are to be kept for longer or removed, the longest waiting first. */
export function dueObjects(audit: pg.Pool, query: ObjectQuery): Promise<KnownObject[]> {
  return select(audit, query, { condition: 'o.due_at <= $2', order: 'o.due_at' });
}

/** Returns objects that nobody has looked at since the time. */
export function uncheckedObjects(audit: pg.Pool, query: ObjectQuery, since: Date): Promise<KnownObject[]> {
  return select(audit, { ...query, now: since }, { condition: 'o.checked_at < $2', order: 'o.checked_at' });
}

/** Stores what is different of an object. */
export async function changeObject(
  audit: pg.Pool | pg.ClientBase,
  { tenantId, key }: Pick<KnownObject, 'tenantId' | 'key'>,
  change: ObjectChange & { readonly now: Date },
): Promise<void> {
  await audit.query(
    `update archive_objects set retain_until = coalesce($3, retain_until), is_held = coalesce($4, is_held),
       due_at = coalesce($5, due_at), checked_at = coalesce($6, checked_at), removed_at = coalesce($7, removed_at),
       fault = case when $8 then $9 else fault end,
       fault_since = case when not $8 then fault_since when $9::text is null then null else coalesce(fault_since, $10) end
     where tenant_id = $1 and key = $2`,
    [
      tenantId,
      key,
      change.retainUntil,
      change.isHeld,
      change.dueAt,
      change.checkedAt,
      change.removedAt,
      change.fault !== undefined,
      change.fault ?? null,
      change.now,
    ],
  );
}

/** Adds objects of which nothing else is known than that they are there; those that are known stay as they are. */
export async function knowObjects(
  audit: pg.Pool,
  { tenantId, keys, now }: { tenantId: string; keys: readonly string[]; now: Date },
): Promise<void> {
  await audit.query(
    `insert into archive_objects (tenant_id, key, retain_until, due_at, checked_at)
     select $1, key, $3, $3, $3 from unnest($2::text[]) as key on conflict do nothing`,
    [tenantId, keys, now],
  );
}

/** Returns whose objects (UUIDs) the archive does not hold as it should, the platform's among them. */
export async function tenantsWithFaults(audit: pg.Pool): Promise<string[]> {
  const { rows } = await audit.query<{ tenant_id: string }>(
    'select distinct tenant_id from archive_objects where fault is not null and removed_at is null',
  );
  return rows.map(({ tenant_id: tenantId }) => tenantId);
}

/** Returns how many objects the archive does not hold as it should. */
export async function countFaults(audit: pg.Pool): Promise<number> {
  const { rows } = await audit.query<{ count: string }>(
    'select count(*) as count from archive_objects where fault is not null and removed_at is null',
  );
  return Number(rows[0]?.count ?? 0);
}

/**
 * Returns the scan that is under way, having begun one where the last has begun before the time; null while none is
 * due.
 */
export async function openScan(
  audit: pg.Pool,
  { now, notBefore }: { now: Date; notBefore: Date },
): Promise<Scan | null> {
  const { rows } = await audit.query<{
    started_at: Date;
    finished_at: Date | null;
    objects: string;
    repaired: string;
    faults: string;
  }>('select * from archive_scans where tenant_id = $1 order by started_at desc limit 1', [PLATFORM_UUID]);
  const [last] = rows;
  if (last !== undefined && last.finished_at === null) {
    const { objects, repaired, faults } = last;
    return { startedAt: last.started_at, objects: Number(objects), repaired: Number(repaired), faults: Number(faults) };
  }
  if (last !== undefined && last.started_at > notBefore) return null;
  await audit.query('insert into archive_scans (tenant_id, started_at) values ($1, $2) on conflict do nothing', [
    PLATFORM_UUID,
    now,
  ]);
  return { startedAt: now, objects: 0, repaired: 0, faults: 0 };
}

/** Adds to the counts of a scan, or ends it. */
export async function noteScan(
  client: pg.ClientBase,
  scan: Scan,
  { objects, repaired, faults, finishedAt }: Omit<Scan, 'startedAt'> & { finishedAt: Date | null },
): Promise<void> {
  await client.query(
    `update archive_scans set objects = objects + $3, repaired = repaired + $4, faults = faults + $5, finished_at = $6
     where tenant_id = $1 and started_at = $2`,
    [PLATFORM_UUID, scan.startedAt, objects, repaired, faults, finishedAt],
  );
}

interface RawObject {
  readonly tenant_id: string;
  readonly key: string;
  readonly size_bytes: string | null;
  readonly sha256: string | null;
  readonly retain_until: Date;
  readonly is_held: boolean;
  readonly fault: Fault | null;
  readonly days: number;
  readonly wants_hold: boolean;
  readonly is_ended: boolean;
}

async function select(
  audit: pg.Pool,
  { now, defaultDays, limit }: ObjectQuery,
  { condition, order = 'o.tenant_id, o.key' }: { condition: string; order?: string },
): Promise<KnownObject[]> {
  const { rows } = await audit.query<RawObject>(
    `select o.tenant_id, o.key, o.size_bytes, encode(o.sha256, 'hex') as sha256, o.retain_until, o.is_held, o.fault,
       coalesce(r.days, $1) as days, coalesce(r.is_held, false) as wants_hold, coalesce(r.is_ended, false) as is_ended
     from archive_objects o left join archive_retention r on r.tenant_id = o.tenant_id
     where o.removed_at is null and $2::timestamptz is not null and ${condition} order by ${order} limit $3`,
    [defaultDays, now, limit],
  );
  return rows.map((row) => ({
    tenantId: row.tenant_id,
    key: row.key,
    sizeBytes: row.size_bytes === null ? null : Number(row.size_bytes),
    sha256: row.sha256,
    retainUntil: row.retain_until,
    isHeld: row.is_held,
    fault: row.fault,
    wants: { days: row.days, isHeld: row.wants_hold, isEnded: row.is_ended },
  }));
}

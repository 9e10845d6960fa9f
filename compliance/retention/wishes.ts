import type pg from 'pg';
import type { Statements } from '#kit/cell-stores.ts';
import { PLATFORM_UUID } from '#kit/platform-log.ts';
import { idOf } from '#schema/ids.ts';
import type { Archive } from '../archive/archive.ts';
import { inTransaction } from '../log-store.ts';
import { knowObjects } from './object-store.ts';

/** Where it stands what tenants want. */
export interface WishOptions {
  readonly cell: string;
  /** Pool of `tenon_worker` over the tenant database. */
  readonly tenants: Statements;
  /** The same over the audit database. */
  readonly audit: pg.Pool;
  /** The same over the directory, which knows who has ended. */
  readonly directory: pg.Pool;
  readonly archive: Archive;
  readonly region: string;
  readonly clock: () => Date;
  /** What holds for a tenant who has decided nothing. */
  readonly defaultDays: number;
}

interface Wish {
  /** Null where the default holds. */
  readonly days: number | null;
  readonly isHeld: boolean;
  readonly isEnded: boolean;
}

const PAGE_SIZE = 1_000;
const NOTHING: Wish = { days: null, isHeld: false, isEnded: false };

/**
 * Copies into the audit database what tenants have decided and who has ended, and makes the objects due that this
 * concerns: at once where they are to be kept for longer, or may go. The platform's own objects are kept as long as
 * anybody's.
 */
export async function applyWishes(options: WishOptions): Promise<void> {
  const { audit, defaultDays } = options;
  const wishes = await readWishes(options);
  const known = await readKnown(audit);
  const longest = Math.max(defaultDays, ...[...wishes.values()].map(({ days }) => days ?? 0));
  wishes.set(PLATFORM_UUID, { ...NOTHING, days: longest });
  const changed = [...new Set([...wishes.keys(), ...known.keys()])].filter(
    (tenantId) => !isSame(wishes.get(tenantId) ?? NOTHING, known.get(tenantId)),
  );
  if (changed.length === 0) return;
  const longer = changed.filter((tenantId) => {
    const before = known.get(tenantId)?.days ?? defaultDays;
    return (wishes.get(tenantId)?.days ?? defaultDays) > before;
  });
  const newlyEnded = changed.filter((id) => wishes.get(id)?.isEnded === true && known.get(id)?.isEnded !== true);
  for (const tenantId of newlyEnded) await knowAll(options, tenantId);
  await inTransaction(audit, async (client) => {
    await store(client, changed, { wishes, now: options.clock() });
    await makeDue(client, { changed, longer, defaultDays, now: options.clock() });
  });
}

/** Of an ended tenant everything has to go, also what a worker put before it was killed and no segment ever named. */
async function knowAll({ archive, audit, region, clock }: WishOptions, tenantId: string): Promise<void> {
  let keys: string[] = [];
  const flush = async () => {
    await knowObjects(audit, { tenantId, keys, now: clock() });
    keys = [];
  };
  for await (const key of archive.list(`v1/${region}/${idOf('tnt', tenantId)}/`)) {
    keys.push(key);
    if (keys.length === PAGE_SIZE) await flush();
  }
  await flush();
}

async function readWishes({ tenants, directory, cell }: WishOptions): Promise<Map<string, Wish>> {
  const policies = await tenants.query<{ tenant_id: string; days: number }>(
    'select distinct on (tenant_id) tenant_id, days from retention_policies order by tenant_id, id desc',
  );
  const holds = await tenants.query<{ tenant_id: string }>(
    'select distinct tenant_id from legal_holds where released_at is null',
  );
  const ended = await directory.query<{ id: string }>(
    `select id from tenants where cell = $1 and state in ('erasing', 'erased')`,
    [cell],
  );
  const wishes = new Map<string, Wish>();
  const add = (tenantId: string, part: Partial<Wish>) =>
    wishes.set(tenantId, { ...(wishes.get(tenantId) ?? NOTHING), ...part });
  for (const { tenant_id: tenantId, days } of policies.rows) add(tenantId, { days });
  for (const { tenant_id: tenantId } of holds.rows) add(tenantId, { isHeld: true });
  for (const { id } of ended.rows) add(id, { isEnded: true });
  return wishes;
}

async function readKnown(audit: pg.Pool): Promise<Map<string, Wish>> {
  const { rows } = await audit.query<{ tenant_id: string; days: number | null; is_held: boolean; is_ended: boolean }>(
    'select tenant_id, days, is_held, is_ended from archive_retention',
  );
  return new Map(
    rows.map((row) => [row.tenant_id, { days: row.days, isHeld: row.is_held, isEnded: row.is_ended }] as const),
  );
}

function isSame(wish: Wish, known: Wish = NOTHING): boolean {
  return wish.days === known.days && wish.isHeld === known.isHeld && wish.isEnded === known.isEnded;
}

async function store(
  client: pg.ClientBase,
  changed: readonly string[],
  { wishes, now }: { wishes: ReadonlyMap<string, Wish>; now: Date },
): Promise<void> {
  const of = changed.map((tenantId) => wishes.get(tenantId) ?? NOTHING);
  await client.query(
    `insert into archive_retention (tenant_id, days, is_held, is_ended, updated_at)
     select *, $5::timestamptz from unnest($1::uuid[], $2::integer[], $3::boolean[], $4::boolean[])
     on conflict (tenant_id) do update set days = excluded.days, is_held = excluded.is_held,
       is_ended = excluded.is_ended, updated_at = excluded.updated_at`,
    [changed, of.map(({ days }) => days), of.map(({ isHeld }) => isHeld), of.map(({ isEnded }) => isEnded), now],
  );
}

async function makeDue(
  client: pg.ClientBase,
  { changed, longer, defaultDays, now }: { changed: string[]; longer: string[]; defaultDays: number; now: Date },
): Promise<void> {
  await client.query(
    `update archive_objects o set due_at = case
       when r.is_ended and r.is_held then 'infinity'
       when r.is_ended then o.retain_until
       when o.tenant_id = any ($2::uuid[]) then $4
       else o.retain_until - make_interval(days => coalesce(r.days, $3)) / 3 end
     from archive_retention r
     where r.tenant_id = o.tenant_id and o.tenant_id = any ($1::uuid[]) and o.removed_at is null`,
    [changed, longer, defaultDays, now],
  );
}

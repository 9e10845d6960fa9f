import type { ChangeFeed } from './change-feed.ts';
import type { Databases } from './database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { TenantState, Tier } from '#schema/tenant-context.ts';
import type { Placement } from '#schema/tenant-store.ts';

/** Where a tenant lives, as the directory knows it. */
export interface TenantPlace {
  readonly id: Id<'tnt'>;
  readonly slug: string;
  readonly tier: Tier;
  readonly region: string;
  readonly cell: string;
  readonly placement: Placement;
  /** The store of the cell that holds her rows: `pool`, `silo_7`, `bridge_2_31`. */
  readonly store: string;
  readonly state: TenantState;
}

/** How long a place is remembered: tenants move rarely, and the cell's own row decides on tier and state anyway. */
const REMEMBERED_MS = 10_000;
/** While the directory does not answer, what it said last is believed for so long: nobody is moved meanwhile. */
const BELIEVED_MS = 3_600_000;
/** More tenants than a gateway sees in that time; the oldest are forgotten first. */
const MOST_REMEMBERED = 50_000;

interface Remembered {
  readonly place: TenantPlace;
  readonly readMs: number;
  readonly untilMs: number;
}

/** What a process remembers of the directory. */
interface Memory {
  readonly places: Map<string, Remembered>;
  /** Counts what was forgotten, so that a read that was under way then is not remembered. */
  forgotten: number;
}

const memories = new WeakMap<Databases, Memory>();

/**
 * Forgets where tenants live when the directory says that it has changed, until the returned function is called: places
 * are then as old as the feed is behind, and without it as old as they may get.
 */
export function followPlaces(databases: Databases, feed: Pick<ChangeFeed, 'subscribe'>): () => void {
  const memory = memoryOf(databases);
  return feed.subscribe(({ topic, tenant }) => {
    if (topic === 'places') forget(memory, tenant);
  });
}

/**
 * Returns where a tenant lives, or null where there is none; remembered for seconds, unknown ones never. While the directory
 * does not answer, whoever was seen in the last hour is where she was, so that cells go on without it; anybody else is
 * SERVICE_UNAVAILABLE.
 */
export async function findTenant(databases: Databases, tenant: Id<'tnt'>): Promise<TenantPlace | null> {
  const memory = memoryOf(databases);
  const known = memory.places.get(tenant);
  if (known !== undefined && known.untilMs > Date.now()) return known.place;
  const { forgotten } = memory;
  try {
    const place = await readPlace(databases, 'id = $1', uuidOf('tnt', tenant));
    if (place !== null && memory.forgotten === forgotten) remember(memory, place, Date.now());
    return place;
  } catch (error) {
    const last = memory.places.get(tenant);
    if (last === undefined || Date.now() - last.readMs > BELIEVED_MS) throw error;
    // For a moment again, so that not every request waits for what does not answer.
    remember(memory, last.place, last.readMs);
    return last.place;
  }
}

/** Returns where the tenant of a slug lives, or null where there is none. */
export async function findTenantBySlug(databases: Databases, slug: string): Promise<TenantPlace | null> {
  return readPlace(databases, 'slug = $1', slug);
}

/** Returns the tenant that has proven the e-mail domain, or null where nobody has. */
export async function findTenantByDomain(databases: Databases, domain: string): Promise<TenantPlace | null> {
  return readPlace(databases, 'id = (select tenant_id from email_domains where domain = lower($1))', domain);
}

/** Forgets where a tenant lives, after a change that must be seen at once. */
export function forgetTenant(databases: Databases, tenant: Id<'tnt'>): void {
  forget(memoryOf(databases), tenant);
}

type PlaceRow = Omit<TenantPlace, 'id'> & { readonly id: string };

async function readPlace(databases: Databases, where: string, value: string): Promise<TenantPlace | null> {
  const sql = `select id, slug, tier, region, cell, placement, store, state from tenants where ${where}`;
  const { rows } = await databases.directory
    .query<PlaceRow>(sql, [value])
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${(cause as Error).message}`, { cause }),
    );
  const row = rows[0];
  return row === undefined ? null : { ...row, id: idOf('tnt', row.id) };
}

function memoryOf(databases: Databases): Memory {
  const memory = memories.get(databases) ?? { places: new Map(), forgotten: 0 };
  memories.set(databases, memory);
  return memory;
}

function forget(memory: Memory, tenant: Id<'tnt'> | null): void {
  memory.forgotten += 1;
  if (tenant === null) memory.places.clear();
  else memory.places.delete(tenant);
}

function remember({ places }: Memory, place: TenantPlace, readMs: number): void {
  places.delete(place.id);
  places.set(place.id, { place, readMs, untilMs: Date.now() + REMEMBERED_MS });
  const oldest = places.keys().next().value;
  if (places.size > MOST_REMEMBERED && oldest !== undefined) places.delete(oldest);
}

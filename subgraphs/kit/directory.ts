import type { Databases } from './database.ts';
import { fail } from '#schema/errors.ts';
import { idOf, uuidOf, type Id } from '#schema/ids.ts';
import type { TenantState, Tier } from '#schema/tenant-context.ts';

/** Where a tenant lives, as the directory knows it. */
export interface TenantPlace {
  readonly id: Id<'tnt'>;
  readonly slug: string;
  readonly tier: Tier;
  readonly region: string;
  readonly cell: string;
  readonly placement: 'pool' | 'bridge' | 'silo';
  readonly state: TenantState;
}

/** How long a place is remembered: tenants move rarely, and the cell's own row decides on tier and state anyway. */
const REMEMBERED_MS = 10_000;
/** More tenants than a gateway sees in that time; the oldest are forgotten first. */
const MOST_REMEMBERED = 10_000;

const remembered = new WeakMap<Databases, Map<string, { readonly place: TenantPlace; readonly untilMs: number }>>();

/** Returns where a tenant lives, or null where there is none; remembered for seconds, unknown ones never. */
export async function findTenant(databases: Databases, tenant: Id<'tnt'>): Promise<TenantPlace | null> {
  const places = remembered.get(databases) ?? new Map();
  remembered.set(databases, places);
  const known = places.get(tenant);
  if (known !== undefined && known.untilMs > Date.now()) return known.place;
  const place = await readPlace(databases, 'id = $1', uuidOf('tnt', tenant));
  if (place !== null) remember(places, place);
  return place;
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
  remembered.get(databases)?.delete(tenant);
}

type PlaceRow = Omit<TenantPlace, 'id'> & { readonly id: string };

async function readPlace(databases: Databases, where: string, value: string): Promise<TenantPlace | null> {
  const sql = `select id, slug, tier, region, cell, placement, state from tenants where ${where}`;
  const { rows } = await databases.directory
    .query<PlaceRow>(sql, [value])
    .catch((cause: unknown) =>
      fail('SERVICE_UNAVAILABLE', `the directory does not answer: ${(cause as Error).message}`, { cause }),
    );
  const row = rows[0];
  return row === undefined ? null : { ...row, id: idOf('tnt', row.id) };
}

function remember(
  places: Map<string, { readonly place: TenantPlace; readonly untilMs: number }>,
  place: TenantPlace,
): void {
  places.delete(place.id);
  places.set(place.id, { place, untilMs: Date.now() + REMEMBERED_MS });
  const oldest = places.keys().next().value;
  if (places.size > MOST_REMEMBERED && oldest !== undefined) places.delete(oldest);
}

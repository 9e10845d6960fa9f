import type { Databases } from '#kit/database.ts';
import { storeVersion } from '#kit/store-admission.ts';
import { fail } from '#schema/errors.ts';
import { mintId, uuidOf } from '#schema/ids.ts';
import type { Placement } from '#schema/tenant-store.ts';
import type { Claim } from './directory-entry.ts';

/**
 * Claims a slug together with a store that stands ready for nobody yet, in the cell of the region with the fewest tenants
 * that has one; both or neither. Where the slug is claimed already, nothing happens. SERVICE_UNAVAILABLE where no store of
 * that placement is free in the region.
 */
export async function claimWithStore(
  databases: Databases,
  { slug, tier, region }: Claim,
  placement: Exclude<Placement, 'pool'>,
): Promise<void> {
  const cells = databases.cells.filter((cell) => cell.region === region).map(({ name }) => name);
  const { rows } = await databases.directory.query<{ taken: boolean; given: boolean }>(CLAIM, [
    uuidOf('tnt', mintId('tnt')),
    slug,
    region,
    tier,
    placement,
    cells,
    await storeVersion(),
  ]);
  const { taken = false, given = false } = rows[0] ?? {};
  if (taken || given) return;
  fail('SERVICE_UNAVAILABLE', `no ${placement} is free in ${region}`, {
    hint: `No ${placement} stands ready in ${region}: an operator makes one with "tenon store add".`,
  });
}

const CLAIM = `
  with taken as (select from tenants where slug = $2),
  free as (
    select s.cell, s.name from stores s
     where s.cell = any($6::text[]) and split_part(s.name, '_', 1) = $5 and s.tenant_id is null and s.version >= $7
       and s.fault is null and s.left_at is null and not exists (select from taken)
     order by (select count(*) from tenants t where t.cell = s.cell), array_position($6::text[], s.cell), s.created_at, s.name
     limit 1 for update of s skip locked),
  claimed as (
    insert into tenants (id, slug, region, cell, placement, store, tier, state)
    select $1, $2, $3, cell, $5, name, $4, 'provisioning' from free
    on conflict (slug) do nothing returning id, cell, store),
  given as (
    update stores s set tenant_id = claimed.id from claimed where s.cell = claimed.cell and s.name = claimed.store
    returning s.name)
  select exists (select from taken) as taken, exists (select from given) as given`;

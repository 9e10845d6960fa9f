import { pageOf, pageRequest, uuidAfter, type Connection, type ConnectionArgs } from '#kit/connection.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import { findTenantBySlug, forgetTenant, type TenantPlace } from '#kit/directory.ts';
import type { Platform } from '#kit/request-context.ts';
import { fail } from '#schema/errors.ts';
import { idOf, mintId, uuidOf, type Id } from '#schema/ids.ts';
import type { Tier } from '#schema/tenant-context.ts';
import type { Placement } from '#schema/tenant-store.ts';
import { Tenant, type TenantPlaceEntry } from './model.ts';
import { contextIn, systemOrigin } from './operator.ts';
import { claimWithStore } from './store-claim.ts';

/** What a claim on a slug fixes for good. */
export interface Claim {
  readonly slug: string;
  readonly tier: Tier;
  readonly region: string;
  /** Without it the pool. */
  readonly placement?: Placement;
}

/** What a run of `reconcileDirectory` saw. */
export interface Reconciliation {
  readonly checked: number;
  readonly updated: number;
}

/** Rows read at once when the whole directory is gone through. */
const BATCH_SIZE = 200;
/** Tenants looked at side by side; well below the connections of a cell, which requests need at the same time. */
const CONCURRENCY = 4;

/**
 * Claims a slug and chooses the cell: the one of the region with the fewest tenants, for a silo or a bridge among those
 * that have one free (SERVICE_UNAVAILABLE where none has). The same claim again returns the first one's place as long as
 * the tenant is not finished, so that a creation that broke off can be taken up; a slug that is taken is UNIQUENESS, a
 * region without cells BAD_USER_INPUT.
 */
export async function claimPlace(databases: Databases, claim: Claim): Promise<TenantPlace> {
  const cell = await emptiestCell(databases, claim.region);
  await requireNeverUsed(databases, claim.slug);
  const { placement = 'pool' } = claim;
  if (placement === 'pool') {
    await databases.directory.query(
      `insert into tenants (id, slug, region, cell, tier, state) values ($1, $2, $3, $4, $5, 'provisioning')
       on conflict (slug) do nothing`,
      [uuidOf('tnt', mintId('tnt')), claim.slug, claim.region, cell, claim.tier],
    );
  } else await claimWithStore(databases, claim, placement);
  const place = await findTenantBySlug(databases, claim.slug);
  const isSame =
    place?.state === 'provisioning' &&
    place.region === claim.region &&
    place.tier === claim.tier &&
    place.placement === placement;
  return isSame ? place : fail('UNIQUENESS', 'the slug is claimed', { hint: `The slug ${claim.slug} is taken.` });
}

/** Copies a tenant's tier and state into the directory; returns false where the copy there is as new or newer. */
export async function copyToDirectory(databases: Databases, tenant: Tenant): Promise<boolean> {
  const { rowCount } = await databases.directory.query(
    'update tenants set tier = $2, state = $3, version = $4 where id = $1 and version < $4',
    [uuidOf('tnt', tenant.id), tenant.tier, tenant.state, tenant.version],
  );
  forgetTenant(databases, idOf('tnt', uuidOf('tnt', tenant.id)));
  return rowCount === 1;
}

/**
 * Reduces the entry of an erased tenant to her id and where she lived; done again it changes nothing. Her slug stays
 * taken, by its hash alone; her e-mail domains are free.
 */
export async function retirePlace(databases: Databases, { id, slug }: TenantPlace, now: Date): Promise<void> {
  const retired = `erased-${id.slice('tnt_'.length)}`;
  const tenant = uuidOf('tnt', id);
  if (slug !== retired)
    await databases.directory.query(
      `with slugs as (insert into retired_slugs values (sha256(convert_to($1, 'UTF8'))) on conflict do nothing)
       update tenants set slug = $2, state = 'erased', erased_at = coalesce(erased_at, $3), version = version + 1
        where id = $4`,
      [slug, retired, now, tenant],
    );
  await databases.directory.query('delete from email_domains where tenant_id = $1', [tenant]);
  forgetTenant(databases, id);
}

/**
 * Brings the directory's copies up to date with the cells that this process serves, for a process that died between
 * the two. Claims stay as they are: who asks for the tenant again finishes it. Safe beside requests and other
 * processes; one small transaction a tenant, so callers need not wait for it.
 */
export async function reconcileDirectory(platform: Platform): Promise<Reconciliation> {
  const { databases } = platform;
  const cells = databases.cells.map(({ name }) => name);
  let [checked, updated] = [0, 0];
  let after: string | null = null;
  for (;;) {
    const places: TenantPlace[] = await readPlaces(databases, after, cells);
    for (let start = 0; start < places.length; start += CONCURRENCY) {
      const copied = await Promise.all(
        places.slice(start, start + CONCURRENCY).map((place) => reconcile(platform, place)),
      );
      updated += copied.filter(Boolean).length;
    }
    checked += places.length;
    after = places.at(-1)?.id ?? null;
    if (after === null) return { checked, updated };
  }
}

/** Returns a page of the directory, newest tenant first. */
export async function listPlaces(databases: Databases, args: ConnectionArgs): Promise<Connection<TenantPlaceEntry>> {
  const request = pageRequest(args);
  const after = uuidAfter(request, 'tnt');
  const { rows } = await databases.directory.query<Pick<TenantPlaceEntry, keyof TenantPlaceEntry>>(
    `select id, slug, tier, region, cell, placement, state, created_at as "createdAt" from tenants
      where $1::uuid is null or id < $1 order by id desc limit $2`,
    [after, request.limit],
  );
  return pageOf(rows.map(withPublicId), request);
}

/** The slug of an erased tenant is known by its hash alone. */
async function requireNeverUsed(databases: Databases, slug: string): Promise<void> {
  const { rows } = await databases.directory.query(
    `select 1 as one from retired_slugs where slug_sha256 = sha256(convert_to($1, 'UTF8'))`,
    [slug],
  );
  if (rows.length > 0) fail('UNIQUENESS', 'the slug is retired', { hint: `The slug ${slug} is taken.` });
}

async function emptiestCell(databases: Databases, region: string): Promise<string> {
  const names = databases.cells.filter((cell) => cell.region === region).map(({ name }) => name);
  if (names.length === 0) {
    const regions = [...new Set(databases.cells.map((cell) => cell.region))].toSorted();
    fail('BAD_USER_INPUT', 'no cell in that region', { hint: `"region" takes ${regions.join(', ')}.` });
  }
  const { rows } = await databases.directory.query<{ cell: string }>(
    `select name as cell from unnest($1::text[]) with ordinality as cells (name, place)
      order by (select count(*) from tenants where cell = name), place limit 1`,
    [names],
  );
  return rows[0]?.cell ?? fail('SERVICE_UNAVAILABLE', 'no cell to choose from');
}

async function readPlaces(
  databases: Databases,
  after: string | null,
  cells: readonly string[],
): Promise<TenantPlace[]> {
  const { rows } = await databases.directory.query<TenantPlace>(
    `select id, slug, tier, region, cell, placement, store, state from tenants
      where ($1::uuid is null or id > $1) and cell = any($2) and state <> 'provisioning' order by id limit $3`,
    [after === null ? null : uuidOf('tnt', after), cells, BATCH_SIZE],
  );
  return rows.map(withPublicId);
}

function withPublicId<Row extends { readonly id: string }>(row: Row): Row & { readonly id: Id<'tnt'> } {
  return { ...row, id: idOf('tnt', row.id) };
}

async function reconcile(platform: Platform, place: TenantPlace): Promise<boolean> {
  const tenant = contextIn(place, systemOrigin('directory', mintId('req')));
  const [row] = await inTenant({ tenant, databases: platform.databases }, ({ manager }) => manager.find(Tenant));
  return row === undefined ? false : copyToDirectory(platform.databases, row);
}

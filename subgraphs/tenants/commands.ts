import type { Command, CommandArguments, CommandSurroundings } from '#kit/command.ts';
import { UsageError } from '#kit/command.ts';
import { MAX_PAGE_SIZE } from '#kit/connection.ts';
import { inTenant, type Databases } from '#kit/database.ts';
import { findTenantBySlug } from '#kit/directory.ts';
import { fail } from '#schema/errors.ts';
import { mintId } from '#schema/ids.ts';
import { TIERS } from '#schema/tenant-context.ts';
import { PLACEMENTS } from '#schema/tenant-store.ts';
import { listPlaces } from './directory-entry.ts';
import { endTenant } from './ending.ts';
import { Tenant, type TenantPlaceEntry } from './model.ts';
import { moveCommand } from './move-commands.ts';
import { contextIn, systemOrigin, type Origin } from './operator.ts';
import { ensureOperatorTenant, provisionTenant } from './provisioning.ts';

const create: Command = {
  name: 'tenant create',
  about: 'Creates a tenant and prints the one-time link of her first administrator.',
  positionals: ['<slug>'],
  options: {
    name: { about: 'What people call her', required: true },
    tier: { about: TIERS.join(', '), required: true },
    region: { about: 'Where her data will lie', required: true },
    placement: { about: `How her rows lie: ${PLACEMENTS.join(', ')}; by default as the settings say for her tier` },
    'admin-email': { about: 'Address of her first administrator', required: true },
    'admin-name': { about: 'Name of her first administrator; by default her address' },
  },
  run: async (surroundings, args) => {
    const platform = await surroundings.platform();
    const { tenant, adminSignInUrl } = await provisionTenant(platform, inputOf(args), commandOrigin());
    if (surroundings.json) writeJson(surroundings, { tenant: shown(tenant), adminSignInUrl });
    else {
      surroundings.write(`${tenant.slug} is ${tenant.id} in cell ${tenant.cell} (${tenant.region}), ${tenant.state}.`);
      surroundings.write(`Her first administrator signs in once, within a day, at ${adminSignInUrl}`);
    }
    return 0;
  },
};

const list: Command = {
  name: 'tenant list',
  about: 'Lists all tenants, newest first.',
  run: async (surroundings) => {
    const { databases } = await surroundings.platform();
    const places: TenantPlaceEntry[] = [];
    for await (const place of allPlaces(databases)) {
      if (surroundings.json) places.push(place);
      else
        surroundings.write(
          [place.id, place.slug, place.tier, place.region, place.cell, place.placement, place.state].join('  '),
        );
    }
    if (surroundings.json) writeJson(surroundings, places);
    return 0;
  },
};

const show: Command = {
  name: 'tenant show',
  about: 'Shows a tenant as her cell knows her.',
  positionals: ['<slug>'],
  run: async (surroundings, { positionals: [slug = ''] }) => {
    const { databases } = await surroundings.platform();
    const place = await findTenantBySlug(databases, slug);
    if (place === null)
      return fail('NOT_FOUND', `no tenant has the slug ${slug}`, { hint: `No tenant has the slug ${slug}.` });
    const tenant = contextIn(place, commandOrigin());
    const [row] = await inTenant({ tenant, databases }, ({ manager }) => manager.find(Tenant));
    // A creation that broke off has left a claim in the directory and nothing in the cell.
    const facts = row === undefined ? { ...place, name: null } : shown(row);
    if (surroundings.json) writeJson(surroundings, facts);
    else for (const [fact, value] of Object.entries(facts)) surroundings.write(`${fact.padEnd(12)} ${textOf(value)}`);
    return 0;
  },
};

const erase: Command = {
  name: 'tenant erase',
  about:
    'Destroys the key of a tenant that has been deleted for 30 days: nobody can read any more what is personal in her log.',
  positionals: ['<slug>'],
  options: { request: { about: 'What this is called in the books' } },
  run: async (surroundings, { positionals: [slug = ''], options }) => {
    const platform = await surroundings.platform();
    const place = await findTenantBySlug(platform.databases, slug);
    if (place === null)
      return fail('NOT_FOUND', `no tenant has the slug ${slug}`, { hint: `No tenant has the slug ${slug}.` });
    const request = options['request'];
    const ending = { tenant: place.id, origin: commandOrigin(), ...(request === undefined ? {} : { request }) };
    const tenant = await endTenant(platform, ending);
    if (surroundings.json) writeJson(surroundings, shown(tenant));
    else surroundings.write(`The key of ${tenant.slug} is destroyed; the worker makes the certificate.`);
    return 0;
  },
};

const operator: Command = {
  name: 'operator create',
  about: "Makes the tenant of the platform's operators and prints its first API key, once.",
  run: async (surroundings) => {
    const { tenant, apiKey } = await ensureOperatorTenant(await surroundings.platform());
    if (surroundings.json) writeJson(surroundings, { tenant, apiKey });
    else
      surroundings.write(
        apiKey === null
          ? `${tenant} stands already; its key was shown when it was made.`
          : `${tenant} has the API key ${apiKey}`,
      );
    return apiKey === null ? 1 : 0;
  },
};

/** The commands about tenants. */
export const tenantCommands: readonly Command[] = [create, list, show, moveCommand, erase, operator];

function inputOf({ positionals: [slug = ''], options }: CommandArguments) {
  const adminEmail = options['admin-email'] ?? '';
  const tier = TIERS.find((known) => known === options['tier']);
  if (tier === undefined) throw new UsageError(`--tier takes ${TIERS.join(', ')}`);
  const adminName = options['admin-name'] ?? adminEmail;
  const wish = options['placement'];
  const placement = PLACEMENTS.find((known) => known === wish);
  if (wish !== undefined && placement === undefined) throw new UsageError(`--placement takes ${PLACEMENTS.join(', ')}`);
  const input = { slug, name: options['name'] ?? '', tier, region: options['region'] ?? '', adminEmail, adminName };
  return placement === undefined ? input : { ...input, placement };
}

async function* allPlaces(databases: Databases): AsyncGenerator<TenantPlaceEntry> {
  let after: string | null = null;
  do {
    const page = await listPlaces(databases, { first: MAX_PAGE_SIZE, after });
    yield* page.edges.map(({ node }) => node);
    after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after !== null);
}

function commandOrigin(): Origin {
  return systemOrigin('tenon', mintId('req'));
}

function shown({ id, slug, name, tier, region, cell, state, createdAt }: Tenant) {
  return { id, slug, name, tier, region, cell, state, createdAt };
}

function textOf(value: string | Date | null): string {
  return value instanceof Date ? value.toISOString() : (value ?? 'not finished; ask for her again to finish it');
}

function writeJson(surroundings: CommandSurroundings, value: unknown): void {
  surroundings.write(JSON.stringify(value, null, 2));
}

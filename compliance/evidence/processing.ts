import { inTenantAudit } from '#kit/database.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { dataClasses, type DataClass } from './data-classes.ts';

/** What Article 15(1) asks beside the data themselves, as far as the platform knows it. */
export type Processing = {
  readonly v: 1;
  readonly categories: readonly string[];
  readonly purposes: readonly string[];
  readonly fields: readonly DataClass[];
  /** Where every store of the tenant lies: databases, log and archive. */
  readonly region: string;
  /** Who made or changed her account, by the log. */
  readonly sources: readonly { readonly description: string; readonly entries: number }[];
  readonly automated_decisions: string;
  readonly added_by_the_controller: readonly string[];
};

const SOURCES: Readonly<Record<string, string>> = {
  scim: 'the identity provider of her organisation',
  user: 'people of her organisation',
  api_key: 'programs of her organisation',
  system: 'the platform, when the account of her organisation was made',
  anonymous: 'somebody who was not signed in',
};

/** Returns how a person's data are processed: the classes of the supergraph, and what the log and directory say. */
export async function processingOf(ctx: RequestContext, userId: string, supergraphSdl: string): Promise<Processing> {
  const fields = dataClasses(supergraphSdl);
  const rows = await inTenantAudit(ctx, (tx) =>
    tx.query<{ actor_type: string; entries: number }>(
      `select actor_type, count(*)::integer as entries from log_entries
        where resource_id = $1 and action in ('user.create', 'user.provision', 'user.update')
        group by actor_type order by actor_type collate "C"`,
      [userId],
    ),
  );
  return {
    v: 1,
    categories: distinct(fields.map(({ category }) => category)),
    purposes: distinct(fields.map(({ purpose }) => purpose)),
    fields,
    region: ctx.tenant.region,
    sources: rows.map(({ actor_type: type, entries }) => ({ description: SOURCES[type] ?? type, entries })),
    automated_decisions: 'The platform takes none about people.',
    added_by_the_controller: [
      'the legal basis of each purpose',
      'other recipients of the data',
      'safeguards of transfers to third countries',
      'how to ask for rectification, erasure, restriction or to object',
      'the supervisory authority for complaints',
    ],
  };
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted();
}

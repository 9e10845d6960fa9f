import { inTenantAudit } from '#kit/database.ts';
import { entriesHolding } from '#kit/held-entries.ts';
import type { RequestContext } from '#kit/request-context.ts';
import { fieldWord } from '#schema/search-words.ts';
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
  support: 'an operator of the platform whom her organisation let in',
  system: 'the platform, when the account of her organisation was made',
  anonymous: 'somebody who was not signed in',
};

/** Returns how a person's data are processed: the classes of the supergraph, and what the log and directory say. */
export async function processingOf(ctx: RequestContext, userId: string, supergraphSdl: string): Promise<Processing> {
  const fields = dataClasses(supergraphSdl);
  const rows = await sourcesOf(ctx, userId);
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

const ACTIONS = ['user.create', 'user.provision', 'user.update'];

/** Entries about her account, counted by the kind of actor, in the order of its name. */
async function sourcesOf(
  ctx: RequestContext,
  userId: string,
): Promise<{ readonly actor_type: string; readonly entries: number }[]> {
  const groups = [[[fieldWord('resource', userId)]], ACTIONS.map((name) => [fieldWord('action', name)])];
  const counts = new Map<string, number>();
  await inTenantAudit(ctx, async (tx) => {
    const entries = entriesHolding<{ actor_type: string }>(tx, {
      words: { groups },
      select: 'actor_type',
      where: 'resource_id = $1 and action = any($2)',
      values: [userId, ACTIONS],
    });
    for await (const rows of entries) {
      for (const { actor_type: type } of rows) counts.set(type, (counts.get(type) ?? 0) + 1);
    }
  });
  return [...counts]
    .map(([type, count]) => ({ actor_type: type, entries: count }))
    .toSorted((a, b) => (a.actor_type < b.actor_type ? -1 : 1));
}

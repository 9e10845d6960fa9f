import type pg from 'pg';
import { RIGHT_RULES } from './catalog-right-rules.ts';
import type { CatalogBreach, CatalogRule } from './catalog-rule.ts';
import { snapshotCatalog, type CatalogSnapshot } from './catalog-snapshot.ts';
import { SUPPORT_RULES } from './catalog-support-rules.ts';
import { TABLE_RULES } from './catalog-table-rules.ts';

/** A breach, with the name of the rule in `CATALOG_RULES`. */
export interface CatalogFault extends CatalogBreach {
  readonly rule: string;
}

/** Every rule of tenant isolation, in the order in which faults are reported. */
export const CATALOG_RULES: readonly CatalogRule[] = [...TABLE_RULES, ...RIGHT_RULES, ...SUPPORT_RULES];

/** Reads the catalog of a tenant or audit database and returns every breach of `CATALOG_RULES`; any role may. */
export async function lintCatalog(client: pg.ClientBase): Promise<CatalogFault[]> {
  return lintSnapshot(await snapshotCatalog(client));
}

/** Returns every breach in a snapshot; the same snapshot gives the same faults, wherever it is judged. */
export function lintSnapshot(catalog: CatalogSnapshot): CatalogFault[] {
  return CATALOG_RULES.flatMap(({ name: rule, breaches }) =>
    breaches(catalog).map(({ object, sentence }) => ({ rule, object, sentence })),
  );
}

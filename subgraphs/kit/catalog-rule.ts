import type { CatalogRelation, CatalogSnapshot } from './catalog-snapshot.ts';

/** What breaks a rule of tenant isolation. */
export interface CatalogBreach {
  /** E.g. `app.users` or `tenon_app`. */
  readonly object: string;
  /** Says what is wrong and what could come of it. */
  readonly sentence: string;
}

/** A rule of tenant isolation that a catalog keeps or breaks. */
export interface CatalogRule {
  readonly name: string;
  /** What holds in a database that keeps the rule. */
  readonly requirement: string;
  readonly breaches: (catalog: CatalogSnapshot) => readonly CatalogBreach[];
}

/** Partitions and inheritance children, in any schema. */
export function children(catalog: CatalogSnapshot): CatalogRelation[] {
  return catalog.relations.filter((relation) => !isNoChild(relation));
}

/** Tells whether a relation stands for itself. */
export function isNoChild({ parents }: CatalogRelation): boolean {
  return parents.length === 0;
}

/** Relations of one kind, in any schema. */
export function ofKind(catalog: CatalogSnapshot, kind: CatalogRelation['kind']): CatalogRelation[] {
  return catalog.relations.filter((relation) => relation.kind === kind);
}

/** Name with its schema. */
export function nameOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${schema}.${name}`;
}

/** A breach by a relation, in a sentence that begins with its name. */
export function at(relation: CatalogRelation, what: string): CatalogBreach {
  return { object: nameOf(relation), sentence: `${nameOf(relation)} ${what}` };
}

/** A breach where something is broken, none elsewhere. */
export function breach(broken: boolean, relation: CatalogRelation, what: string): CatalogBreach[] {
  return broken ? [at(relation, what)] : [];
}

import type { JsonValue } from '#schema/canonical-json.ts';
import type { TenantTransaction } from './database.ts';
import type { RequestContext } from './request-context.ts';

/** What one store holds of a person, as rows whose fields have the names of the graph. */
export interface PersonalDataSet {
  /** `<subgraph>.<noun>`, such as `identity.users`. */
  readonly store: string;
  readonly rows: readonly Readonly<Record<string, JsonValue>>[];
}

/** The person that a request under Article 15 is about, by all that other subgraphs may know her by. */
export interface DataSubject {
  readonly userId: string;
  readonly email: string | null;
}

/** How many rows of a store went, or lost what was personal in them. */
export interface ErasedStore {
  /** As in `PersonalDataSet`. */
  readonly store: string;
  readonly rows: number;
}

/** Says what a subgraph holds of a person (GDPR Article 15), and lets go of it (Article 17). */
export interface PersonalDataHandler {
  /** Returns every row about her, also when she is deactivated; an unknown person yields empty sets. */
  readonly collect: (ctx: RequestContext, subject: DataSubject) => Promise<readonly PersonalDataSet[]>;
  /**
   * Removes what is about her, in the given transaction of the cell, run by the worker under the context of the tenant:
   * through a function `tenon.erase_...(person)` of its own, since the worker may change none of these tables.
   * Done again it finds nothing, so it may be repeated after a crash or a restored backup. What has to be kept stays
   * without her name.
   */
  readonly erase: (ctx: RequestContext, tx: TenantTransaction, subject: DataSubject) => Promise<readonly ErasedStore[]>;
}

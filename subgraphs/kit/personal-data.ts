import type { JsonValue } from '#schema/canonical-json.ts';
import type { TenantTransaction } from './database.ts';
import type { PersonalTable } from './personal-tables.ts';
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

/** How a store let go of what was personal. */
export interface ErasedStore {
  /** As in `PersonalDataSet`. */
  readonly store: string;
  /**
   * Rows are gone, or have lost what was personal in them; packs are withdrawn; or what is there stays, under a key that is
   * destroyed.
   */
  readonly method: 'deleted' | 'cleared' | 'withdrawn' | 'key_destroyed';
  /** How many went or, under a destroyed key, how many there are. */
  readonly rows: number;
  /** How many a search for what had to go has found afterwards. */
  readonly left: number;
}

/** Says what a subgraph holds of a person (GDPR Article 15), and lets go of it (Article 17). */
export interface PersonalDataHandler {
  /** Every table of the cell that is the subgraph's own, by its name, and what it holds of a person. */
  readonly tables: Readonly<Record<string, PersonalTable>>;
  /** Returns every row about her, also when she is deactivated; an unknown person yields empty sets. */
  readonly collect: (ctx: RequestContext, subject: DataSubject) => Promise<readonly PersonalDataSet[]>;
  /**
   * Removes what is about her, in the given transaction of the cell, run by the worker under the context of the tenant:
   * through a function `tenon.erase_...(person)` of its own, since the worker may change none of these tables.
   * Done again it finds nothing, so it may be repeated after a crash or a restored backup. What has to be kept stays
   * without her name. Returns what went outside of `tables`, whose rows are counted before and after.
   */
  readonly erase: (ctx: RequestContext, tx: TenantTransaction, subject: DataSubject) => Promise<readonly ErasedStore[]>;
}

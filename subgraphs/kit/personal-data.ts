import type { JsonValue } from '#schema/canonical-json.ts';
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

/** Says what a subgraph holds of a person (GDPR Article 15). */
export interface PersonalDataHandler {
  /** Returns every row about her, also when she is deactivated; an unknown person yields empty sets. */
  readonly collect: (ctx: RequestContext, subject: DataSubject) => Promise<readonly PersonalDataSet[]>;
}

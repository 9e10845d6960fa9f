import type { DocumentNode } from 'graphql';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';

/** The text of one call of a subgraph, made once when a program is compiled. */
export interface SubgraphOperationText {
  readonly text: string;
  /** `JSON.stringify(text)`. */
  readonly textJson: string;
  readonly name: string | undefined;
  readonly kind: 'query' | 'mutation';
  /** The parsed text; the same object at every call. */
  document(): DocumentNode;
}

/** One call of a subgraph; both forms of the variables are made when first read. */
export interface SubgraphRequest {
  readonly operation: SubgraphOperationText;
  readonly variables: Readonly<Record<string, unknown>> | undefined;
  /** JSON text of `variables`. */
  readonly variablesJson: string | undefined;
}

/** The way to one subgraph; `Call` is what the gateway knows of the client's request. */
export interface SubgraphLink<Call> {
  /** Resolves to the subgraph's answer, whose objects the caller may change; a rejection counts as a failed call. */
  send(request: SubgraphRequest, call: Call): Promise<SubgraphResult>;
}

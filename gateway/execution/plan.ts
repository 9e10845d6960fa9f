/** A query plan: which subgraph is asked what, in which order; the shape of `@graphql-hive/router-query-planner`. */
export interface QueryPlan {
  readonly kind: 'QueryPlan';
  /** Absent where the operation needs no subgraph. */
  readonly node?: PlanNode | null;
}

/** One step of a plan. */
export type PlanNode = FetchNode | BatchFetchNode | SequenceNode | ParallelNode | FlattenNode | ConditionNode;

/** What every call of a subgraph carries. */
export interface FetchedOperation {
  readonly serviceName: string;
  /** Names of the client's variables that this operation uses, without `$`. */
  readonly variableUsages?: readonly string[];
  readonly operationKind?: string;
  readonly operationName?: string;
  /** GraphQL text for the subgraph. */
  readonly operation: string;
}

/** How representations of entities are made and what comes back for them is renamed. */
export interface EntityRewrites {
  readonly inputRewrites?: readonly Rewrite[];
  readonly outputRewrites?: readonly Rewrite[];
}

/** One call; with `requires` it asks for the entities at the path of the Flatten around it. */
export interface FetchNode extends FetchedOperation, EntityRewrites {
  readonly kind: 'Fetch';
  readonly requires?: readonly RequiresSelection[];
}

/** One call that asks for entities of several places at once, one aliased `_entities` field for each selection. */
export interface BatchFetchNode extends FetchedOperation {
  readonly kind: 'BatchFetch';
  readonly entityBatch: { readonly aliases: readonly EntityAlias[] };
}

/** One aliased `_entities` field and the places that its answer belongs to. */
export interface EntityAlias extends EntityRewrites {
  readonly alias: string;
  readonly representationsVariableName: string;
  readonly paths: readonly (readonly PathSegment[])[];
  readonly requires: readonly RequiresSelection[];
}

/** Steps one after the other. */
export interface SequenceNode {
  readonly kind: 'Sequence';
  readonly nodes: readonly PlanNode[];
}

/** Steps at the same time. */
export interface ParallelNode {
  readonly kind: 'Parallel';
  readonly nodes: readonly PlanNode[];
}

/** A fetch for the entities at a path. */
export interface FlattenNode {
  readonly kind: 'Flatten';
  readonly path: readonly PathSegment[];
  readonly node: PlanNode;
}

/** A step that depends on a boolean variable of the operation. */
export interface ConditionNode {
  readonly kind: 'Condition';
  readonly condition: string;
  readonly ifClause?: PlanNode | null;
  readonly elseClause?: PlanNode | null;
}

/** A step of a path: a response key, only the objects of some types, or each item of a list. */
export type PathSegment = { readonly Field: string } | { readonly TypeCondition: readonly string[] } | '@';

/** A part of a representation: a field under its own or another name, or fields for some types alone. */
export type RequiresSelection =
  | {
      readonly kind: 'Field';
      readonly name: string;
      readonly alias?: string;
      readonly selections?: readonly RequiresSelection[];
    }
  | {
      readonly kind: 'InlineFragment';
      readonly typeCondition?: string;
      readonly selections: readonly RequiresSelection[];
      readonly skipIf?: string;
      readonly includeIf?: string;
    }
  | { readonly kind: 'FragmentSpread'; readonly value: string };

/** A step of a rewrite's path. */
export type RewriteSegment = { readonly TypenameEquals: readonly string[] } | { readonly Key: string };

/** A change of a representation or of an answer: a value set, or a key renamed. */
export type Rewrite =
  | { readonly ValueSetter: { readonly path: readonly RewriteSegment[]; readonly setValueTo: unknown } }
  | { readonly KeyRenamer: { readonly path: readonly RewriteSegment[]; readonly renameKeyTo: string } }
  | { readonly kind: 'ValueSetter'; readonly path: readonly RewriteSegment[]; readonly setValueTo: unknown };

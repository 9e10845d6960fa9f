import { Kind } from 'graphql';
import type { DocumentNode, FragmentDefinitionNode } from 'graphql';
import type { FieldCost } from './cost-formula.ts';
import { compileCost } from './cost-program.ts';
import type { CostEstimate, CostedOperation } from './cost-program.ts';
import type { Variables } from './cost-term.ts';

/** A validated operation with the variables of one request. */
export interface CostInput extends CostedOperation {
  /** As the client sent them; hostile. */
  readonly variables: Variables;
}

/** What a dry run answers under `extensions.cost`: the estimate and where it comes from. */
export interface DryRunCost {
  readonly requestedQueryCost: number;
  readonly fields: readonly FieldCost[];
}

/**
 * Returns what an operation costs at most, before it runs; see compileCost, which does the same for many requests.
 *
 * Model (docs/cost.md): a field costs `size x (weight + selected fields) + arguments + required fields`, never less than
 * 0. Its weight is its own `@cost`, else that of its type, else 1 for a composite type and 0 for a leaf; its size is 1, or
 * for a list that of its own `@listSize` or of its parent's sizedFields, else the default size; further list levels
 * multiply by the default size. An input object weighs 1, a mutation 10 more, `__schema` and `__type` a flat 10; an abstract
 * type costs what its dearest possible type costs. Fields merge by response key as in execution. The total saturates at
 * Number.MAX_SAFE_INTEGER.
 */
export function estimateCost(input: CostInput): CostEstimate {
  return compileCost(input).estimate(input.variables);
}

/** Returns what an operation cost by the shape of its answer; see CostProgram.actual. */
export function actualCost(input: CostInput & { readonly data: unknown }): number {
  return compileCost(input).actual(input.data, input.variables);
}

/** Returns what the answer of a dry run carries under `extensions.cost`. */
export function dryRunExtension(estimate: CostEstimate): DryRunCost {
  return { requestedQueryCost: estimate.total, fields: estimate.byField() };
}

/** Returns the fragments of a document by name. */
export function fragmentsOf(document: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition);
  }
  return fragments;
}

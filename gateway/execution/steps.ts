import { newEntityFetch, type EntityField } from './entity-fetch.ts';
import type {
  BatchFetchNode,
  ConditionNode,
  FetchNode,
  FlattenNode,
  PathSegment,
  PlanNode,
  QueryPlan,
} from './plan.ts';
import { newRootFetch } from './root-fetch.ts';
import type { Step, StepSource } from './step.ts';
import type { SupergraphTypes } from './supergraph-schema.ts';

/** Returns the steps of a plan as one. */
export function compilePlan(plan: QueryPlan, types: SupergraphTypes): Step {
  if (plan.node === undefined || plan.node === null) return () => undefined;
  const conditional = /@(?:skip|include)\b|"Condition"/.test(JSON.stringify(plan.node));
  return stepOf(plan.node, { types, paths: pathsOf(plan.node), conditional });
}

function stepOf(node: PlanNode, source: StepSource): Step {
  switch (node.kind) {
    case 'Sequence':
      return sequence(node.nodes.map((inner) => stepOf(inner, source)));
    case 'Parallel':
      return parallel(node.nodes.map((inner) => stepOf(inner, source)));
    case 'Condition':
      return condition(node, (inner) => stepOf(inner, source));
    case 'Fetch':
      return newRootFetch(node, source);
    case 'Flatten':
      return flatten(node, source);
    case 'BatchFetch':
      return newEntityFetch(node, batchFields(node), source);
    default:
      throw new Error(`a plan holds a node of an unknown kind: ${JSON.stringify(node)}`);
  }
}

function sequence(steps: readonly Step[]): Step {
  return async (state) => {
    for (const step of steps) {
      const pending = step(state);
      if (pending !== undefined) await pending;
    }
  };
}

function parallel(steps: readonly Step[]): Step {
  return (state) => {
    const pending: Promise<void>[] = [];
    for (const step of steps) {
      const started = step(state);
      if (started !== undefined) pending.push(started);
    }
    return pending.length < 2 ? pending[0] : Promise.all(pending).then(nothing);
  };
}

function nothing(): void {}

/** Lays the path around everything inside it, so that it stands right at each fetch. */
function flatten({ path, node }: FlattenNode, source: StepSource): Step {
  const under = (inner: PlanNode): Step => flatten({ kind: 'Flatten', path, node: inner }, source);
  switch (node.kind) {
    case 'Fetch':
      return newEntityFetch(node, [entityField(node, path)], source);
    case 'Flatten':
      return flatten({ kind: 'Flatten', path: [...path, ...node.path], node: node.node }, source);
    case 'Sequence':
      return sequence(node.nodes.map(under));
    case 'Parallel':
      return parallel(node.nodes.map(under));
    case 'Condition':
      return condition(node, under);
    default:
      throw new Error(`a plan flattens a node of kind ${node.kind}`);
  }
}

function condition(
  { condition: variable, ifClause, elseClause }: ConditionNode,
  compile: (node: PlanNode) => Step,
): Step {
  const [yes, no] = [ifClause, elseClause].map((node) =>
    node === undefined || node === null ? undefined : compile(node),
  );
  return (state) => (state.variables[variable] === true ? yes : no)?.(state);
}

function entityField(node: FetchNode, path: readonly PathSegment[]): EntityField {
  return {
    alias: '_entities',
    variable: 'representations',
    paths: [path],
    requires: node.requires ?? [],
    inputRewrites: node.inputRewrites ?? [],
    outputRewrites: node.outputRewrites ?? [],
  };
}

function batchFields(node: BatchFetchNode): EntityField[] {
  return node.entityBatch.aliases.map((alias) => ({
    alias: alias.alias,
    variable: alias.representationsVariableName,
    paths: alias.paths,
    requires: alias.requires,
    inputRewrites: alias.inputRewrites ?? [],
    outputRewrites: alias.outputRewrites ?? [],
  }));
}

function pathsOf(node: PlanNode): (readonly PathSegment[])[] {
  switch (node.kind) {
    case 'Sequence':
    case 'Parallel':
      return node.nodes.flatMap(pathsOf);
    case 'Condition':
      return [node.ifClause, node.elseClause].flatMap((clause) =>
        clause === undefined || clause === null ? [] : pathsOf(clause),
      );
    case 'Flatten':
      return [node.path, ...pathsOf(node.node)];
    case 'BatchFetch':
      return node.entityBatch.aliases.flatMap((alias) => [...alias.paths]);
    default:
      return [];
  }
}

import { newMerger } from './merge.ts';
import type { FetchNode } from './plan.ts';
import { placed } from './fetch-errors.ts';
import { newRewriter, rewriteShape } from './rewrites.ts';
import type { RunState, Tree } from './run-state.ts';
import { addFailure, newRequest, sendCall, type Step, type StepSource } from './step.ts';
import { answerShape, newOperationText } from './subgraph-operation.ts';

/** Returns the step that asks a subgraph for root fields. */
export function newRootFetch(node: FetchNode, { types }: StepSource): Step {
  const operation = newOperationText(node);
  const shape = answerShape(operation.document());
  const rewrites = node.outputRewrites ?? [];
  const covers = [...shape.keys()].map((key) => [key]);
  const place = () => ({ path: covers[0], covers });
  rewriteShape(shape, rewrites);
  const rewrite = newRewriter(rewrites, types.satisfies);
  const merger = newMerger(shape, types.isObjectType);
  const usages = node.variableUsages ?? [];
  const arrived = (state: RunState<unknown>, data: Tree) => {
    if (rewrites.length > 0) rewrite(data);
    if (state.touched) merger.merge(state.data, data);
    else state.data = data;
    state.touched = true;
  };
  return (state) =>
    sendCall(state, {
      subgraph: node.serviceName,
      request: newRequest(operation, { usages, values: state.variables }),
      place,
      arrived({ data, errors }) {
        for (const error of errors ?? []) {
          if (error.path === undefined) addFailure(state, { place }, error);
          else state.errors.add(placed(error, error.path));
        }
        if (data !== undefined && data !== null) arrived(state, data);
      },
    });
}

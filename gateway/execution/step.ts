import type { GraphQLFormattedError } from 'graphql';
import type { SubgraphResult } from '#kit/subgraph-execution.ts';
import { abortError, failureError, NO_ANSWER, placed } from './fetch-errors.ts';
import type { PathSegment } from './plan.ts';
import type { AnswerPath, RunState, Tree, Variables } from './run-state.ts';
import type { SubgraphRequest } from './subgraph-link.ts';
import type { SubgraphOperationText } from './subgraph-link.ts';
import type { SupergraphTypes } from './supergraph-schema.ts';

/** One compiled step; it returns nothing where there is nothing to wait for. Its promise never rejects. */
export type Step = (state: RunState<unknown>) => Promise<void> | undefined;

/** What steps are compiled with. */
export interface StepSource {
  readonly types: SupergraphTypes;
  /** Every path of the plan, which tells what may be shared between entities. */
  readonly paths: readonly (readonly PathSegment[])[];
  /** True where conditions may leave fields out, so that a missing one tells of no failure. */
  readonly conditional: boolean;
}

/** One call on its way. */
export interface PendingCall {
  readonly subgraph: string;
  readonly request: SubgraphRequest;
  /** Takes what came back. */
  readonly arrived: (result: SubgraphResult) => void;
  /** Where the answer belongs, asked only when the call failed. */
  readonly place: () => FailurePlace;
}

/** Where a failed call leaves a hole: one exact place, and all of them with `*` for any index. */
export interface FailurePlace {
  readonly path: AnswerPath | undefined;
  readonly covers: readonly AnswerPath[];
}

/** Sends a call, unless the request was aborted; a failure becomes one error of the answer. */
export function sendCall(state: RunState<unknown>, pending: PendingCall): Promise<void> | undefined {
  if (state.signal?.aborted === true) return addFailure(state, pending, abortError(state.signal));
  const link = state.links.get(pending.subgraph);
  if (link === undefined) return addFailure(state, pending, NO_ANSWER);
  try {
    return link.send(pending.request, state.call).then(
      (result) => (isEmpty(result) ? addFailure(state, pending, NO_ANSWER) : pending.arrived(result)),
      (failure: unknown) => addFailure(state, pending, failureError(failure)),
    );
  } catch (failure) {
    return addFailure(state, pending, failureError(failure));
  }
}

function isEmpty({ data, errors }: SubgraphResult): boolean {
  return (data === undefined || data === null) && (errors === undefined || errors.length === 0);
}

/** Adds an error that belongs to a call as a whole. */
export function addFailure(
  state: RunState<unknown>,
  { place }: Pick<PendingCall, 'place'>,
  error: GraphQLFormattedError,
): undefined {
  const { path, covers } = place();
  state.errors.add(placed(error, path), covers);
}

/** What one call's variables are made of. */
export interface CallVariables {
  readonly usages: readonly string[];
  readonly values: Variables;
  /** Lists of representations by the name of their variable. */
  readonly representations?: ReadonlyMap<string, readonly Tree[]>;
}

/** Returns a call; only variables that it uses and that have a value travel. */
export function newRequest(operation: SubgraphOperationText, source: CallVariables): SubgraphRequest {
  return new FetchRequest(operation, source);
}

/** Variables are put together, and serialised, where the link asks for them. */
class FetchRequest implements SubgraphRequest {
  readonly operation: SubgraphOperationText;
  readonly #source: CallVariables;
  readonly #hasNone: boolean;
  #variables: Record<string, unknown> | undefined;
  #json: string | undefined;

  constructor(operation: SubgraphOperationText, source: CallVariables) {
    this.operation = operation;
    this.#source = source;
    this.#hasNone = source.usages.length === 0 && source.representations === undefined;
  }

  get variables(): Record<string, unknown> | undefined {
    return this.#hasNone ? undefined : (this.#variables ??= variablesOf(this.#source));
  }

  get variablesJson(): string | undefined {
    return this.#hasNone ? undefined : (this.#json ??= JSON.stringify(this.variables));
  }
}

function variablesOf({ usages, values, representations }: CallVariables): Record<string, unknown> {
  const variables: Record<string, unknown> = {};
  for (const name of usages) if (Object.hasOwn(values, name)) variables[name] = values[name];
  for (const [name, list] of representations ?? []) variables[name] = list;
  return variables;
}

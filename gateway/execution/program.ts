import type { Abortable } from '#kit/request-ending.ts';
import {
  Kind,
  type DocumentNode,
  type GraphQLFormattedError,
  type GraphQLObjectType,
  type OperationDefinitionNode,
} from 'graphql';
import { fragmentsOf } from '#schema/cost/query-cost.ts';
import { settle, type FaultFlag, type Shape } from './answer-shape.ts';
import { newIntrospection } from './introspection.ts';
import type { QueryPlan } from './plan.ts';
import { compileProjection, conditionVariables } from './projection.ts';
import { newAnswerErrors, type RunState, type Tree, type Variables } from './run-state.ts';
import { compilePlan } from './steps.ts';
import type { SubgraphLink } from './subgraph-link.ts';
import type { SupergraphTypes } from './supergraph-schema.ts';
import { newVariableCoercion } from './variables.ts';

/** One run of a program: what the caller sent and how the subgraphs are reached. */
export interface ProgramInput<Call> {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly links: ReadonlyMap<string, SubgraphLink<Call>>;
  /** Handed to every link as it is. */
  readonly call: Call;
  /** Once aborted, no further call is sent; the parts that are missing are null with an error. */
  readonly signal?: Abortable | undefined;
}

/** What a run answers with. */
export interface ProgramResult {
  /** JSON text of `data`; null where the request was refused before it ran, so that the answer has no `data` at all. */
  readonly json: string | null;
  /** The subgraphs' merged answers, with more in them than the caller asked for or may see; null as `json`. */
  readonly data: Tree | null;
  readonly errors: readonly GraphQLFormattedError[];
}

/** An operation, compiled: it is planned, laid out and serialised once, and run as often as it comes. */
export interface Program {
  readonly operation: OperationDefinitionNode;
  /** The plan; null where no subgraph is asked. */
  readonly plan: QueryPlan | null;
  /** Resolves to the answer; failures of subgraphs are errors in it, never rejections. */
  run<Call>(input: ProgramInput<Call>): Promise<ProgramResult>;
}

/** What a program is compiled from. */
export interface ProgramSource {
  readonly types: SupergraphTypes;
  readonly document: DocumentNode;
  readonly operation: OperationDefinitionNode;
  readonly plan: QueryPlan | null;
  /** `__schema` and `__type` fields of the operation as an operation of their own. */
  readonly schemaPart: OperationDefinitionNode | null;
}

/** Returns the program of a planned operation of a valid document. */
export function compileProgram(source: ProgramSource): Program {
  const { types, operation, plan } = source;
  const coerce = newVariableCoercion(types.apiSchema, operation);
  const step = plan === null ? () => undefined : compilePlan(plan, types);
  const introspect = introspectionOf(source);
  const flag: FaultFlag = { faulty: false };
  const shapeFor = newShapes(source, flag);
  const finish = (state: RunState<unknown>): ProgramResult => {
    const shape = shapeFor(state.variables);
    flag.faulty = false;
    const text = shape.write(state.data);
    if (text === null || flag.faulty) {
      const root = { key: '', above: null, errors: state.errors, field: operation.operation };
      settle(shape.explain(state.data, root), state.errors);
    }
    const errors = state.errors.list.map((error) => withVisiblePath(error, shape, state.data));
    return { json: text === null ? 'null' : flat(text), data: text === null ? null : state.data, errors };
  };
  return {
    operation,
    plan,
    run: ({ variables, links, call, signal }) => {
      const coerced = coerce(variables);
      if (coerced.errors !== undefined) return Promise.resolve({ json: null, data: null, errors: coerced.errors });
      const { values } = coerced;
      const known = introspect?.(values);
      const state: RunState<unknown> = {
        data: known === undefined ? {} : { ...known },
        touched: known !== undefined,
        variables: values,
        errors: newAnswerErrors(),
        call,
        signal,
        links,
      };
      const pending = step(state);
      return pending === undefined ? Promise.resolve(finish(state)) : pending.then(() => finish(state));
    },
  };
}

/**
 * Returns the same text in one piece. Put together from thousands of pieces it is a tree of them, which takes some six times
 * its length. The steps of a request that waited for its turn are old objects by then, and what their promises resolve to counts
 * as alive for the collector of young objects: it would copy each tree twice, piece by piece, with everybody waiting.
 */
function flat(text: string): string {
  // Measuring it makes V8 put it together. `Number(text)` would as well, but is left out of optimised code, as nobody uses it.
  Buffer.byteLength(text);
  return text;
}

/** A field that only another subgraph asked for, or the plan, has no place in the answer; its name is nobody's business. */
function withVisiblePath(error: GraphQLFormattedError, shape: Shape, data: Tree): GraphQLFormattedError {
  const { path, ...rest } = error;
  if (path === undefined) return error;
  const length = shape.visible(data, path);
  if (length === path.length) return error;
  return length === 0 ? rest : { ...rest, path: path.slice(0, length) };
}

function introspectionOf({ types, schemaPart, document }: ProgramSource) {
  if (schemaPart === null) return undefined;
  return newIntrospection(types.apiSchema, {
    kind: Kind.DOCUMENT,
    definitions: [schemaPart, ...fragmentsOf(document).values()],
  });
}

/** Variants of one operation that are kept; each boolean variable may double them. */
const MOST_VARIANTS = 32;

/** Fields left out may also change the order of those that stay, so each choice of the conditions has a shape. */
function newShapes({ types, operation, document }: ProgramSource, flag: FaultFlag): (variables: Variables) => Shape {
  const fragments = fragmentsOf(document);
  const rootType = types.apiSchema.getRootType(operation.operation) as GraphQLObjectType;
  const names = conditionVariables([operation, ...fragments.values()]);
  const { selectionSet } = operation;
  const compile = (conditions: Variables) =>
    compileProjection({ types, fragments, rootType, selectionSet, conditions }, flag);
  if (names.length === 0) {
    const shape = compile({});
    return () => shape;
  }
  const shapes = new Map<string, Shape>();
  return (variables) => {
    const at = names.map((name) => (variables[name] === true ? '1' : '0')).join('');
    const known = shapes.get(at);
    if (known !== undefined) return known;
    if (shapes.size >= MOST_VARIANTS) shapes.clear();
    const made = compile(variables);
    shapes.set(at, made);
    return made;
  };
}

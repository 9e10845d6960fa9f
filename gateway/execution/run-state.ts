import type { Abortable } from '#kit/request-ending.ts';
import type { GraphQLFormattedError } from 'graphql';
import type { SubgraphLink } from './subgraph-link.ts';

/** An object of an answer, while it is put together. */
export type Tree = Record<string, unknown>;

/** Variables of an operation after coercion. */
export type Variables = Readonly<Record<string, unknown>>;

/** Place in an answer. */
export type AnswerPath = readonly (string | number)[];

/** One run of a program. */
export interface RunState<Call> {
  /** The answers of the subgraphs so far, merged. */
  data: Tree;
  /** True once a subgraph's answer stands in `data`. */
  touched: boolean;
  readonly variables: Variables;
  readonly errors: AnswerErrors;
  readonly call: Call;
  readonly signal: Abortable | undefined;
  readonly links: ReadonlyMap<string, SubgraphLink<Call>>;
}

/** The errors of an answer, at most a thousand. */
export interface AnswerErrors {
  readonly list: GraphQLFormattedError[];
  /** Adds an error; `covers` are the places, `*` for any index, whose missing data it explains besides its own path. */
  add(error: GraphQLFormattedError, covers?: readonly AnswerPath[]): void;
  /** True where an error at, above or below a place is known. */
  explains(path: AnswerPath): boolean;
  /** Notes that a subgraph knows nothing under the key of this object. */
  addAbsent(target: Tree): void;
  /** True for an object that is not there, so that what it lacks is nobody's fault. */
  isAbsent(target: Tree): boolean;
}

/** More tell nobody anything, and a list of errors must not outgrow the answer. */
const MOST_ERRORS = 1000;

/** Returns an empty list of errors. */
export function newAnswerErrors(): AnswerErrors {
  return new ErrorList();
}

/** A class, since every run has one and hardly any of them is ever filled. */
class ErrorList implements AnswerErrors {
  readonly list: GraphQLFormattedError[] = [];
  #covered: AnswerPath[] | null = null;
  #absent: Set<Tree> | null = null;

  add(error: GraphQLFormattedError, covers: readonly AnswerPath[] = []): void {
    const covered = (this.#covered ??= []);
    covered.push(...covers);
    if (error.path !== undefined) covered.push(error.path);
    if (this.list.length < MOST_ERRORS) this.list.push(error);
  }

  explains(path: AnswerPath): boolean {
    return this.#covered?.some((known) => agree(known, path)) ?? false;
  }

  addAbsent(target: Tree): void {
    (this.#absent ??= new Set()).add(target);
  }

  isAbsent(target: Tree): boolean {
    return this.#absent?.has(target) ?? false;
  }
}

function agree(known: AnswerPath, path: AnswerPath): boolean {
  const length = Math.min(known.length, path.length);
  for (let index = 0; index < length; index += 1) {
    const element = known[index];
    if (element !== path[index] && !(element === '*' && typeof path[index] === 'number')) return false;
  }
  return true;
}

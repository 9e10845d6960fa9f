import { fail } from '#schema/errors.ts';

/** Values of client variables by name; hostile: neither types nor sizes are checked yet. */
export type Variables = Readonly<Record<string, unknown>>;

/** One evaluation of a compiled cost: the variables of one request with their defaults, and its work so far. */
export interface Evaluation {
  /** Without a prototype. */
  variables: Variables;
  work: number;
}

/** A number that is known when the operation is compiled, or that follows from the variables of a request. */
export type Term = number | ((evaluation: Evaluation) => number);

/**
 * Bounds the time of one compilation or evaluation to some ten milliseconds. Documents of people and code generators
 * need a hundredth; only fragments made to overlap in ever new ways, or inputs dearer than any budget, come here.
 */
export const WORK_MAX = 30_000;

/** Returns the number that a term stands for in this evaluation. */
export function valueOf(term: Term, evaluation: Evaluation): number {
  return typeof term === 'number' ? term : term(evaluation);
}

/** Returns `compute` of three terms, at once where all are known. */
export function combine(
  terms: readonly [Term, Term, Term],
  compute: (a: number, b: number, c: number) => number,
): Term {
  const [a, b, c] = terms;
  if (typeof a === 'number' && typeof b === 'number' && typeof c === 'number') return compute(a, b, c);
  return (evaluation) => compute(valueOf(a, evaluation), valueOf(b, evaluation), valueOf(c, evaluation));
}

/** Returns the sum of terms, saturated; what is known is added up once. */
export function sumOf(terms: readonly Term[]): Term {
  return foldOf(terms, 0, (a, b) => saturate(a + b));
}

/** Returns the largest of terms, 0 for none. */
export function maxOf(terms: readonly Term[]): Term {
  return terms.length === 0 ? 0 : foldOf(terms, -Infinity, (a, b) => Math.max(a, b));
}

/** Returns the term as one that is computed once an evaluation, however many places of the operation share it. */
export function once(term: Term): Term {
  if (typeof term === 'number') return term;
  let last: Evaluation | null = null;
  let value = 0;
  return (evaluation) => {
    if (last !== evaluation) {
      value = term(evaluation);
      last = evaluation;
    }
    return value;
  };
}

/** Keeps a cost within the numbers that count exactly. */
export function saturate(cost: number): number {
  return Math.min(cost, Number.MAX_SAFE_INTEGER);
}

/** Counts work and refuses an operation that needs more than WORK_MAX with COST_ESTIMATED_TOO_EXPENSIVE. */
export function spend(on: { work: number }, steps: number): void {
  on.work += steps;
  if (on.work > WORK_MAX) {
    fail('COST_ESTIMATED_TOO_EXPENSIVE', `cost estimate needs more than ${WORK_MAX} steps`, {
      hint: 'It is too large or too entangled to be weighed.',
    });
  }
}

function foldOf(terms: readonly Term[], start: number, add: (a: number, b: number) => number): Term {
  let known = start;
  const open: Exclude<Term, number>[] = [];
  for (const term of terms) {
    if (typeof term === 'number') known = add(known, term);
    else open.push(term);
  }
  if (open.length === 0) return known;
  return (evaluation) => {
    let total = known;
    for (const term of open) total = add(total, term(evaluation));
    return total;
  };
}

import type { PathSegment } from './plan.ts';
import type { AnswerPath, Tree } from './run-state.ts';

/** Finds the objects that stand at a place of the plan. */
export interface EntityPath {
  /** Appends the objects to a list; one that stands at several places comes as often. */
  collect(data: Tree, targets: Tree[]): void;
  /** Calls back for the same objects in the same order with the exact place of each. */
  locate(data: Tree, found: (target: Tree, path: AnswerPath) => void): void;
  /** The place with `*` for any index. */
  readonly pattern: AnswerPath;
}

type Satisfies = (typename: string, condition: string) => boolean;

/** Returns the walker of a path. */
export function newEntityPath(segments: readonly PathSegment[], satisfies: Satisfies): EntityPath {
  const visit = segments.reduceRight<Visit>((next, segment) => visitOf(segment, next, satisfies), atEnd);
  return {
    collect: (data, targets) => visit(data, targets),
    locate: (data, found) => locateIn({ segments, satisfies, found }, data, []),
    pattern: segments.flatMap((segment) => (segment === '@' ? ['*'] : 'Field' in segment ? [segment.Field] : [])),
  };
}

/** Segments are laid into one another once, so that a walk reads no plan. */
type Visit = (value: unknown, targets: Tree[]) => void;

function visitOf(segment: PathSegment, next: Visit, satisfies: Satisfies): Visit {
  if (segment === '@') {
    return (value, targets) => {
      if (Array.isArray(value)) for (const item of value) next(item, targets);
    };
  }
  if ('Field' in segment) {
    const key = segment.Field;
    return (value, targets) => {
      if (Array.isArray(value)) for (const item of value) inField(item, key, next, targets);
      else inField(value, key, next, targets);
    };
  }
  const { TypeCondition: conditions } = segment;
  const fits = memo((typename) => conditions.some((condition) => satisfies(typename, condition)));
  const inCast = (value: unknown, targets: Tree[]): void => {
    if (Array.isArray(value)) for (const item of value) inCast(item, targets);
    else if (fitsCast(value, fits)) next(value, targets);
  };
  return inCast;
}

// oxlint-disable-next-line max-params -- the hot loop of every merge: an object for each call costs more than it tells
function inField(value: unknown, key: string, next: Visit, targets: Tree[]): void {
  if (typeof value !== 'object' || value === null) return;
  const inner = (value as Tree)[key];
  if (typeof inner === 'object' && inner !== null) next(inner, targets);
}

function atEnd(value: unknown, targets: Tree[]): void {
  if (Array.isArray(value)) for (const item of value) atEnd(item, targets);
  else if (typeof value === 'object' && value !== null) targets.push(value as Tree);
}

function fitsCast(value: unknown, fits: (typename: string) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const typename = (value as Tree)['__typename'];
  return typeof typename !== 'string' || fits(typename);
}

function memo(decide: (typename: string) => boolean): (typename: string) => boolean {
  const known = new Map<string, boolean>();
  return (typename) => {
    const answer = known.get(typename);
    if (answer !== undefined) return answer;
    const decided = decide(typename);
    // A subgraph names the types; it may not fill the memory with them.
    if (known.size < 1000) known.set(typename, decided);
    return decided;
  };
}

interface Search {
  readonly segments: readonly PathSegment[];
  readonly satisfies: Satisfies;
  readonly found: (target: Tree, path: AnswerPath) => void;
}

/** The same walk with places, for errors alone; it goes over the rest of the segments from a value on. */
function locateIn(search: Search, value: unknown, path: AnswerPath): void {
  if (Array.isArray(value)) {
    const [first, ...rest] = search.segments;
    const inner = first === '@' ? { ...search, segments: rest } : search;
    for (const [index, item] of value.entries()) locateIn(inner, item, [...path, index]);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  const [first, ...rest] = search.segments;
  if (first === undefined) search.found(value as Tree, path);
  else if (first === '@') return;
  else if ('Field' in first) {
    locateIn({ ...search, segments: rest }, (value as Tree)[first.Field], [...path, first.Field]);
  } else {
    const fits = (typename: string) => first.TypeCondition.some((condition) => search.satisfies(typename, condition));
    if (fitsCast(value, fits)) locateIn({ ...search, segments: rest }, value, path);
  }
}

import type { PathSegment } from './plan.ts';

/**
 * How entities at one place take over the inner objects of one and the same answer: `shared` all refer to the same,
 * `copied` those of this path do, `own` each has its own.
 */
export type Sharing = 'shared' | 'copied' | 'own';

type Path = readonly PathSegment[];

/**
 * Returns what a path may share. Inner objects may be the same as long as no later step can put into one what does not
 * belong into the other: steps tell places apart by their paths and by the types on the way alone.
 */
export function sharingOf(path: Path, siblings: readonly Path[], all: readonly Path[]): Sharing {
  const others = all.filter((other) => !siblings.includes(other));
  const below = (place: Path) => others.filter((other) => fields(other).startsWith(fields(place)));
  if (below(path).some((other) => !spelled(other).startsWith(spelled(path)))) return 'own';
  if (siblings.length === 1 || siblings.every((sibling) => below(sibling).length === 0)) return 'shared';
  return 'copied';
}

function fields(path: Path): string {
  return path.map((segment) => (segment !== '@' && 'Field' in segment ? `${segment.Field}/` : '')).join('');
}

function spelled(path: Path): string {
  return path.map((segment) => `${JSON.stringify(segment)}/`).join('');
}

import { isObject } from '#schema/json-object.ts';
import type { AnswerShape } from './subgraph-operation.ts';
import type { Tree } from './run-state.ts';

/** Lays a subgraph's answer over what is known of the same object. */
export interface Merger {
  /** Adds to the target; inner objects that it lacks are taken over as they are, not copied. */
  merge(target: Tree, source: Tree): void;
  /** Returns a copy whose inner objects are copies too. */
  copy(source: Tree): Tree;
  /** True where an answer has no inner objects that two targets could share. */
  readonly flat: boolean;
}

interface MergeKey {
  readonly key: string;
  readonly inner: Merger | null;
}

/**
 * Returns the merger of a shape. A null never takes the place of something known, and a `__typename` that is not an
 * object type's (as a subgraph with an interface object gives it) never that of one that is.
 */
export function newMerger(shape: AnswerShape, isObjectType: (name: string) => boolean): Merger {
  const keys = [...shape]
    .filter(([key]) => key !== '__typename')
    .map(([key, inner]): MergeKey => ({ key, inner: inner === null ? null : newMerger(inner, isObjectType) }));
  const hasTypename = shape.has('__typename');
  const merge = (target: Tree, source: Tree) => {
    if (hasTypename) mergeTypename(target, source['__typename'], isObjectType);
    for (const { key, inner } of keys) {
      const value = source[key];
      if (value === undefined || typeof value === 'function') continue;
      if (inner === null || value === null) {
        if (value !== null || !isKnown(target[key])) target[key] = value;
      } else target[key] = merged(target[key], value, inner);
    }
  };
  const copy = (source: Tree) => {
    const target: Tree = {};
    if (hasTypename) target['__typename'] = source['__typename'];
    for (const { key, inner } of keys) {
      const value = source[key];
      if (value !== undefined) target[key] = inner === null ? value : copied(value, inner);
    }
    return target;
  };
  return { merge, copy, flat: keys.every(({ inner }) => inner === null) };
}

function mergeTypename(target: Tree, name: unknown, isObjectType: (name: string) => boolean): void {
  if (typeof name !== 'string') return;
  const known = target['__typename'];
  if (typeof known !== 'string' || (known !== name && isObjectType(name))) target['__typename'] = name;
}

/** What every object inherits under some names is a function, and no answer holds one. */
function isKnown(value: unknown): boolean {
  return value !== undefined && value !== null && typeof value !== 'function';
}

function merged(known: unknown, value: unknown, inner: Merger): unknown {
  if (known === value) return known;
  if (Array.isArray(known) && Array.isArray(value)) return mergedLists(known, value, inner);
  if (!isObject(known) || !isObject(value)) return value;
  inner.merge(known, value);
  return known;
}

function mergedLists(known: unknown[], value: readonly unknown[], inner: Merger): unknown[] {
  const length = Math.min(known.length, value.length);
  for (let index = 0; index < length; index += 1) {
    if (value[index] !== null) known[index] = merged(known[index], value[index], inner);
  }
  return known;
}

function copied(value: unknown, inner: Merger): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => copied(item, inner));
  return isObject(value) ? inner.copy(value) : value;
}

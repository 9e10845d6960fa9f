import { isObject } from '#schema/json-object.ts';
import type { Rewrite, RewriteSegment } from './plan.ts';
import type { Tree } from './run-state.ts';
import type { AnswerShape } from './subgraph-operation.ts';

type Satisfies = (typename: string, condition: string) => boolean;

/** What a rewrite does to each object that its path ends in. */
interface Change {
  readonly path: readonly RewriteSegment[];
  readonly key: string;
  readonly apply: (object: Tree, key: string) => void;
}

/** Returns a function that changes an object, or each of a list, in place as the planner's rewrites say. */
export function newRewriter(rewrites: readonly Rewrite[], satisfies: Satisfies): (value: unknown) => void {
  const changes = rewrites.map(changeOf);
  return (value) => {
    for (const change of changes) walk(value, change.path, { change, satisfies });
  };
}

/** Changes a shape as the rewrites change its answers. */
export function rewriteShape(shape: AnswerShape, rewrites: readonly Rewrite[]): void {
  for (const rewrite of rewrites) {
    if (!('KeyRenamer' in rewrite)) continue;
    const keys = rewrite.KeyRenamer.path.flatMap((segment) => ('Key' in segment ? [segment.Key] : []));
    const last = keys.pop();
    let inner: AnswerShape | null | undefined = shape;
    for (const key of keys) inner = inner?.get(key);
    const renamed = last === undefined ? undefined : inner?.get(last);
    if (inner === null || inner === undefined || renamed === undefined) continue;
    const known = inner.get(rewrite.KeyRenamer.renameKeyTo);
    if (known instanceof Map && renamed instanceof Map) for (const [key, value] of renamed) known.set(key, value);
    else inner.set(rewrite.KeyRenamer.renameKeyTo, renamed);
  }
}

function changeOf(rewrite: Rewrite): Change {
  if ('KeyRenamer' in rewrite) {
    const { path, renameKeyTo } = rewrite.KeyRenamer;
    return ending(path, (object, key) => {
      if (!Object.hasOwn(object, key)) return;
      object[renameKeyTo] = object[key];
      delete object[key];
    });
  }
  const { path, setValueTo } = 'ValueSetter' in rewrite ? rewrite.ValueSetter : rewrite;
  return ending(path, (object, key) => {
    object[key] = setValueTo;
  });
}

function ending(path: readonly RewriteSegment[], apply: Change['apply']): Change {
  const last = path.at(-1);
  if (last === undefined || !('Key' in last)) throw new Error(`a rewrite ends in no key: ${JSON.stringify(path)}`);
  return { path: path.slice(0, -1), key: last.Key, apply };
}

interface Walk {
  readonly change: Change;
  readonly satisfies: Satisfies;
}

function walk(value: unknown, path: readonly RewriteSegment[], how: Walk): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, path, how);
    return;
  }
  if (!isObject(value)) return;
  const [first, ...rest] = path;
  if (first === undefined) how.change.apply(value, how.change.key);
  else if ('Key' in first) walk(value[first.Key], rest, how);
  else {
    const typename = value['__typename'];
    const fits = typeof typename !== 'string' || first.TypenameEquals.some((name) => how.satisfies(typename, name));
    if (fits) walk(value, rest, how);
  }
}
